package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// The rows C1 to C19 are the proven hazards of the PKCS #7 library. Messages are
// taken apart and put together by the types below, independently of the package.

var (
	oidData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSigned  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnvelop = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
)

type outer struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

type inner struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"optional,tag:0"`
}

type signer struct {
	Version   int
	ID        asn1.RawValue
	Digest    pkix.AlgorithmIdentifier
	Attrs     asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm pkix.AlgorithmIdentifier
	Signature []byte
}

type signedMessage struct {
	Version int
	Digests asn1.RawValue
	Content inner
	Certs   asn1.RawValue `asn1:"optional,tag:0"`
	Signers []signer      `asn1:"set"`
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	require.NoError(t, err)
	return der
}

func wrap(t testing.TB, kind asn1.ObjectIdentifier, content []byte) []byte {
	t.Helper()
	return marshal(t, outer{kind, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: content}})
}

// change takes the DER message apart, lets edit change it, and puts it together.
func change(t testing.TB, der []byte, edit func(*signedMessage)) []byte {
	t.Helper()
	var o outer
	var m signedMessage
	_, err := asn1.Unmarshal(der, &o)
	require.NoError(t, err)
	_, err = asn1.Unmarshal(o.Content.Bytes, &m)
	require.NoError(t, err)
	edit(&m)
	return wrap(t, oidSigned, marshal(t, m))
}

func TestC1C2C3RefusedBeforeTheLibrary(t *testing.T) {
	for name, b := range map[string][]byte{
		"C1 8 MB of open indefinite lengths": bytes.Repeat([]byte{0x30, 0x80}, 4<<20),
		"C2 definite, 100k levels":           nestedDefinite(100_000),
		"C2 indefinite, 50k levels":          append(bytes.Repeat([]byte{0x30, 0x80}, 50_000), make([]byte, 100_000)...),
		"C3 350k siblings, no end":           append([]byte{0x30, 0x80}, bytes.Repeat([]byte{2, 1, 1}, 350_000)...),
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, cms.Check(b, 1<<24), cms.ErrTooLarge)
			for _, read := range everyReader(t) {
				require.ErrorIs(t, read(b), cms.ErrTooLarge)
			}
		})
	}
}

func nestedDefinite(levels int) []byte {
	var heads [][]byte
	for length := 0; levels > 0; levels-- {
		head := []byte{0x30, 0x83, byte(length >> 16), byte(length >> 8), byte(length)}
		heads = append(heads, head)
		length += len(head)
	}
	slices.Reverse(heads)
	return bytes.Join(heads, nil)
}

// device is an identity under ca, with the key usages of the template.
func device(t testing.TB, ca *authority, usages ...x509.ExtKeyUsage) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "device"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), ExtKeyUsage: usages}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return key, cert
}

func sign(t testing.TB, content []byte, key crypto.Signer, opt cms.SignOptions, chain ...*x509.Certificate) []byte {
	t.Helper()
	der, err := cms.Sign(content, key, chain, opt)
	require.NoError(t, err)
	return der
}

func TestC8TrustIsChecked(t *testing.T) {
	ca, body := newAuthority(t), []byte("<plist/>")
	key := rsaKey(t)
	own := issue(t, "CA", key, nil, now.Add(-time.Hour), now.Add(time.Hour)) // named like ours
	leaf := issue(t, "device", key, &authority{cert: own, key: key}, now.Add(-time.Hour), now.Add(time.Hour))
	for _, roots := range []*x509.CertPool{nil, ca.pool} {
		_, err := cms.VerifyProfile(sign(t, body, key, cms.SignOptions{}, leaf, own), roots, now)
		require.ErrorIs(t, err, cms.ErrUntrusted)
		_, err = cms.VerifyCheckIn(sign(t, body, key, cms.SignOptions{Detached: true}, leaf, own), body, roots, now)
		require.ErrorIs(t, err, cms.ErrUntrusted)
	}
	_, err := cms.VerifyAppleDevice(sign(t, body, key, cms.SignOptions{}, leaf, own), ca.cert)
	require.ErrorIs(t, err, cms.ErrUntrusted, "a CA of the pin's name with another key")
	_, err = cms.VerifyAppleDevice(sign(t, body, key, cms.SignOptions{}, leaf, own), nil)
	require.ErrorIs(t, err, cms.ErrUntrusted, "no pin")
}

func TestC9TheServersClockAndPurpose(t *testing.T) {
	ca, body, later := newAuthority(t), []byte("<plist/>"), now.Add(2*time.Hour)
	key, cert := device(t, ca, x509.ExtKeyUsageClientAuth)
	checkIn := func(key crypto.Signer, cert *x509.Certificate, signed, at time.Time) error {
		_, err := cms.VerifyCheckIn(sign(t, body, key, cms.SignOptions{Detached: true, Time: signed}, cert), body, ca.pool, at)
		return err
	}
	require.NoError(t, checkIn(key, cert, now, now))
	require.NoError(t, checkIn(key, cert, time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC), now), "a device with a wrong clock")
	require.NoError(t, checkIn(key, cert, time.Date(2099, 1, 2, 0, 0, 0, 0, time.UTC), now), "a device with a wrong clock")
	require.ErrorIs(t, checkIn(key, cert, now, later), cms.ErrUntrusted, "expired, signingTime forged")
	_, err := cms.VerifyProfile(sign(t, body, key, cms.SignOptions{Time: now}, cert), ca.pool, later)
	require.ErrorIs(t, err, cms.ErrUntrusted, "expired, signingTime forged")

	server, serverCert := device(t, ca, x509.ExtKeyUsageServerAuth)
	require.ErrorIs(t, checkIn(server, serverCert, now, now), cms.ErrUntrusted, "serverAuth only")
	require.ErrorIs(t, checkIn(ca.key, ca.cert, now, now), cms.ErrUntrusted, "the CA itself")
}

func TestC9AppleDevicesSignAfterTheirCertificateEnded(t *testing.T) {
	ca := newAuthority(t)
	key, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // what old devices have
	require.NoError(t, err)
	leaf := issue(t, "device", key, ca, now.AddDate(-15, 0, 0), now.AddDate(-14, 0, 0))
	s, err := cms.VerifyAppleDevice(sign(t, []byte("<plist/>"), key, cms.SignOptions{Time: now, Digest: crypto.SHA1, BER: true}, leaf), ca.cert)
	require.NoError(t, err)
	require.Equal(t, "<plist/>", string(s.Content))
	require.Equal(t, crypto.SHA1, s.Digest)
}

func TestC10AttributesCannotBecomeContent(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	der := sign(t, []byte("honest"), key, cms.SignOptions{}, cert)
	stripped := change(t, der, func(m *signedMessage) {
		set := bytes.Clone(m.Signers[0].Attrs.FullBytes)
		set[0] = 0x31
		m.Content.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: marshal(t, set)}
		m.Signers[0].Attrs = asn1.RawValue{}
	})
	_, err := cms.VerifySCEP(stripped)
	require.ErrorIs(t, err, cms.ErrSignature)
	_, err = cms.VerifyProfile(stripped, ca.pool, now)
	require.ErrorIs(t, err, cms.ErrSignature)
	s, err := cms.VerifyAppleDevice(stripped, ca.cert)
	require.NoError(t, err, "the signature is real where attributes are optional")
	require.NotEqual(t, byte('<'), s.Content[0], "and its content is no XML")

	file, err := os.ReadFile("testdata/hostile/c10-noattr.der")
	require.NoError(t, err)
	_, err = cms.VerifySCEP(file)
	require.ErrorIs(t, err, cms.ErrSignature)

	for name, attrs := range map[string][][]byte{
		"no contentType":       {attr(t, 4, make([]byte, 32))},
		"no messageDigest":     {attr(t, 3, oidData)},
		"other contentType":    {attr(t, 3, oidSigned), attr(t, 4, sha256Of("honest"))},
		"other messageDigest":  {attr(t, 3, oidData), attr(t, 4, sha256Of("other"))},
		"digest of other type": {attr(t, 3, oidData), attr(t, 4, 5)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cms.VerifySCEP(resign(t, der, key, crypto.SHA256, bytes.Join(attrs, nil)))
			require.ErrorIs(t, err, cms.ErrSignature)
		})
	}
	for name, attrs := range map[string][][]byte{
		"contentType twice":   {attr(t, 3, oidData), attr(t, 3, oidData), attr(t, 4, sha256Of("honest"))},
		"messageDigest twice": {attr(t, 3, oidData), attr(t, 4, sha256Of("honest")), attr(t, 4, sha256Of("other"))},
		"two values":          {attr(t, 3, oidData), attr(t, 4, sha256Of("honest"), sha256Of("honest"))},
		"no value":            {attr(t, 3, oidData), attr(t, 4, sha256Of("honest")), attr(t, 99)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cms.VerifySCEP(resign(t, der, key, crypto.SHA256, bytes.Join(attrs, nil)))
			require.ErrorIs(t, err, cms.ErrMalformed)
		})
	}
	_, err = cms.VerifySCEP(resign(t, der, key, crypto.SHA256, bytes.Join([][]byte{attr(t, 3, oidData), attr(t, 4, sha256Of("honest"))}, nil)))
	require.NoError(t, err, "control: resigned with what belongs there")
}

// attr is a PKCS #9 attribute with the values.
func attr(t testing.TB, last int, values ...any) []byte {
	t.Helper()
	var set []byte
	for _, v := range values {
		set = append(set, marshal(t, v)...)
	}
	return marshal(t, struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, last}, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: set}})
}

func sha256Of(s string) []byte { return hashOf(crypto.SHA256, []byte(s)) }

func hashOf(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// resign puts the attributes (in DER order) in, signed with that digest.
func resign(t testing.TB, der []byte, key *ecdsa.PrivateKey, digest crypto.Hash, attrs []byte) []byte {
	t.Helper()
	return change(t, der, func(m *signedMessage) {
		set := marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: attrs})
		sig, err := key.Sign(rand.Reader, hashOf(digest, set), digest)
		require.NoError(t, err)
		m.Signers[0].Attrs = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: attrs}
		m.Signers[0].Signature = sig
	})
}

func TestC11NoSHA1WhereStrict(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	der := sign(t, []byte("x"), key, cms.SignOptions{}, cert)
	s, err := cms.VerifySCEP(der)
	require.NoError(t, err)
	require.Equal(t, crypto.SHA256, s.Digest, "the default")

	attrs := bytes.Join([][]byte{attr(t, 3, oidData), attr(t, 4, sha256Of("x"))}, nil)
	downgraded := change(t, resign(t, der, key, crypto.SHA1, attrs), func(m *signedMessage) {
		m.Signers[0].Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
	})
	for _, b := range [][]byte{downgraded, sign(t, []byte("x"), key, cms.SignOptions{Digest: crypto.SHA1}, cert)} {
		_, err = cms.VerifySCEP(b)
		require.ErrorIs(t, err, cms.ErrSignature)
		_, err = cms.VerifyProfile(b, ca.pool, now)
		require.ErrorIs(t, err, cms.ErrSignature)
	}
}

func TestC12ChunksAreJoined(t *testing.T) {
	file, err := os.ReadFile("testdata/hostile/c12-openssl-stream.ber")
	require.NoError(t, err)
	s, err := cms.VerifySCEP(file)
	require.NoError(t, err)
	require.Len(t, s.Content, 81053)

	// Two chunks, the first of them signed: must not verify as the first alone.
	key, cert := device(t, newAuthority(t))
	der := change(t, sign(t, []byte("signed"), key, cms.SignOptions{}, cert), func(m *signedMessage) {
		m.Content.Content.FullBytes = nil
		m.Content.Content.Bytes = marshal(t, asn1.RawValue{Tag: 4, IsCompound: true, Bytes: append(marshal(t, []byte("signed")), marshal(t, []byte("more"))...)})
	})
	_, err = cms.VerifySCEP(der)
	require.ErrorIs(t, err, cms.ErrSignature)
}

func TestC13TheWholeMessageAndNothingElse(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	der := sign(t, []byte("x"), key, cms.SignOptions{}, cert)
	seq := asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: []byte{0x30, 0}}
	for name, b := range map[string][]byte{
		"trailing byte":            append(bytes.Clone(der), 0),
		"second message":           append(bytes.Clone(der), der...),
		"legal and empty":          {0x30, 0x80, 0, 0},
		"no signer":                change(t, der, func(m *signedMessage) { m.Signers = []signer{} }),
		"SignedData of nothing":    wrap(t, oidSigned, []byte{0x30, 0}),
		"SignedData of an integer": wrap(t, oidSigned, []byte{2, 1, 1}),
		"EnvelopedData":            wrap(t, oidEnvelop, []byte{0x30, 0}),
		"content of another type":  change(t, der, func(m *signedMessage) { m.Content.Type = oidSigned }),
		"content is no octets":     change(t, der, func(m *signedMessage) { m.Content.Content = seq }),
		"content wraps nothing":    change(t, der, func(m *signedMessage) { seq := seq; seq.Bytes = nil; m.Content.Content = seq }),
		"no certificates":          change(t, der, func(m *signedMessage) { m.Certs = asn1.RawValue{} }),
		"certificate of garbage":   change(t, der, func(m *signedMessage) { m.Certs = seq }),
	} {
		t.Run(name, func(t *testing.T) {
			for _, read := range everyReader(t) {
				require.ErrorIs(t, read(b), cms.ErrMalformed)
			}
		})
	}
	empty := sign(t, nil, key, cms.SignOptions{}, cert)
	_, err := cms.VerifyCheckIn(empty, nil, ca.pool, now)
	require.ErrorIs(t, err, cms.ErrMalformed, "empty content is content")
	s, err := cms.VerifySCEP(empty)
	require.NoError(t, err)
	require.Empty(t, s.Content)
	_, err = cms.ParseDegenerate(der)
	require.ErrorIs(t, err, cms.ErrMalformed, "it has a signer")
}

func TestC14TheSignerIsNamedNotFirst(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	_, twin := device(t, ca) // the same issuer and serial number, another key
	der := sign(t, []byte("x"), key, cms.SignOptions{}, cert)
	certs := func(list ...*x509.Certificate) []byte {
		return change(t, der, func(m *signedMessage) {
			m.Certs = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true}
			for _, c := range list {
				m.Certs.Bytes = append(m.Certs.Bytes, c.Raw...)
			}
		})
	}
	s, err := cms.VerifySCEP(certs(ca.cert, cert))
	require.NoError(t, err)
	require.True(t, s.Signer.Equal(cert))
	require.Len(t, s.Certificates, 2)
	for _, b := range [][]byte{certs(twin, cert), certs(cert, twin), certs(cert, cert), certs(ca.cert)} {
		_, err := cms.VerifySCEP(b)
		require.ErrorIs(t, err, cms.ErrMalformed)
	}
	_, err = cms.VerifySCEP(certs(twin))
	require.ErrorIs(t, err, cms.ErrSignature)
}

func TestC15CountsAreBounded(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	der := sign(t, []byte("x"), key, cms.SignOptions{}, cert)
	signers := func(n int) []byte {
		return change(t, der, func(m *signedMessage) { m.Signers = slices.Repeat(m.Signers, n) })
	}
	_, err := cms.VerifySCEP(signers(2))
	require.ErrorIs(t, err, cms.ErrMalformed)
	_, err = cms.VerifySCEP(signers(2000))
	require.ErrorIs(t, err, cms.ErrTooLarge)

	chain := []*x509.Certificate{cert}
	for len(chain) < cms.MaxCertificates {
		chain = append(chain, issue(t, "more", key, nil, now, now))
	}
	_, err = cms.VerifySCEP(sign(t, []byte("x"), key, cms.SignOptions{}, chain...))
	require.NoError(t, err)
	chain = append(chain, issue(t, "one more", key, nil, now, now))
	_, err = cms.Sign([]byte("x"), key, chain, cms.SignOptions{})
	require.Error(t, err)
	_, err = cms.Degenerate(chain...)
	require.Error(t, err)
	_, err = cms.Degenerate()
	require.Error(t, err)
	many := change(t, der, func(m *signedMessage) {
		m.Certs = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true}
		for _, c := range chain {
			m.Certs.Bytes = append(m.Certs.Bytes, c.Raw...)
		}
	})
	_, err = cms.VerifySCEP(many)
	require.ErrorIs(t, err, cms.ErrMalformed)
	_, err = cms.ParseDegenerate(many)
	require.ErrorIs(t, err, cms.ErrMalformed)
}

func TestC18AttributesMaySitInAnyOrder(t *testing.T) {
	key, cert := device(t, newAuthority(t))
	der := change(t, sign(t, []byte("x"), key, cms.SignOptions{}, cert), func(m *signedMessage) {
		var first asn1.RawValue
		rest, err := asn1.Unmarshal(m.Signers[0].Attrs.Bytes, &first)
		require.NoError(t, err)
		require.NotEmpty(t, rest)
		m.Signers[0].Attrs.Bytes, m.Signers[0].Attrs.FullBytes = slices.Concat(rest, first.FullBytes), nil
	})
	_, err := cms.VerifySCEP(der)
	require.NoError(t, err)
}

func TestC19RefusedKinds(t *testing.T) {
	ski, err := os.ReadFile("testdata/hostile/c19-ski.der")
	require.NoError(t, err)
	for _, read := range everyReader(t) {
		require.ErrorIs(t, read(ski), cms.ErrMalformed)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	_, err = cms.Sign(nil, key, []*x509.Certificate{issue(t, "ed", key, nil, now, now)}, cms.SignOptions{})
	require.Error(t, err)
}

// hugeKey is a public key whose use takes minutes of a processor.
func hugeKey() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 65535)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// oddCertificate is a certificate authority with a public key of choice.
func oddCertificate(t testing.TB, by *authority, public *rsa.PublicKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "odd"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, public, by.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

// pretender claims a public key it does not have.
type pretender struct{ public crypto.PublicKey }

func (p pretender) Public() crypto.PublicKey { return p.public }

func (p pretender) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 8192), nil
}

func TestOddRSAKeysAreNotUsed(t *testing.T) {
	ca := newAuthority(t)
	good := rsaKey(t).N
	key, cert := device(t, ca, x509.ExtKeyUsageClientAuth)
	for name, public := range map[string]*rsa.PublicKey{
		"65536 bits":    hugeKey(),
		"4097 bits":     {N: new(big.Int).SetBit(big.NewInt(1), 4096, 1), E: 65537},
		"1023 bits":     {N: new(big.Int).SetBit(big.NewInt(1), 1022, 1), E: 65537},
		"exponent 1":    {N: good, E: 1},
		"even exponent": {N: good, E: 65536},
		"long exponent": {N: good, E: 1<<40 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			odd := oddCertificate(t, ca, public)
			_, err := cms.VerifySCEP(sign(t, []byte("x"), pretender{public}, cms.SignOptions{}, odd))
			require.ErrorIs(t, err, cms.ErrSignature, "as the signer's key")
			_, err = cms.VerifyCheckIn(sign(t, []byte("x"), key, cms.SignOptions{Detached: true}, cert, odd), []byte("x"), ca.pool, now)
			require.ErrorIs(t, err, cms.ErrSignature, "as an intermediate's key")
		})
	}
}

func TestSimulatedPhoneLooksLikeTheCapture(t *testing.T) {
	key := rsaKey(t)
	cert := issue(t, "", key, newAuthority(t), now, now)
	der := sign(t, []byte("<plist/>"), key, cms.SignOptions{Detached: true, BER: true, NoAttributes: true, Digest: crypto.SHA1}, cert)
	// SEQUENCE, signedData, [0], SEQUENCE, version 1, {SHA-1}, {data}, [0] certificates
	require.Equal(t, []byte{
		0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x80, 0x30, 0x80, 2, 1, 1,
		0x31, 11, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0,
		0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1, 0, 0, 0xa0, 0x80, 0x30, 0x82,
	}, der[:52])
	require.Equal(t, make([]byte, 6), der[len(der)-6:])
}

func TestSignRefuses(t *testing.T) {
	ca := newAuthority(t)
	key, cert := device(t, ca)
	extra := func(oid asn1.ObjectIdentifier, v any) cms.SignOptions {
		return cms.SignOptions{Attributes: []cms.Attribute{{Type: oid, Value: v}}}
	}
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		opt   cms.SignOptions
	}{
		"no chain":                {nil, cms.SignOptions{}},
		"chain of another key":    {[]*x509.Certificate{ca.cert, cert}, cms.SignOptions{}},
		"unknown digest":          {[]*x509.Certificate{cert}, cms.SignOptions{Digest: crypto.MD5}},
		"second messageDigest":    {[]*x509.Certificate{cert}, extra(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}, []byte{1})},
		"attribute without ASN.1": {[]*x509.Certificate{cert}, extra(asn1.ObjectIdentifier{1, 2, 3}, make(chan int))},
	} {
		_, err := cms.Sign([]byte("x"), key, c.chain, c.opt)
		require.Error(t, err, name)
	}
}
