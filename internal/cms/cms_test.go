package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pool *x509.CertPool
}

func issue(t testing.TB, name string, key crypto.Signer, by *authority, from, to time.Time) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, BasicConstraintsValid: true, SubjectKeyId: serial.Bytes(),
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := issue(t, "CA", key, nil, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return key
}

// opaque hides the key as an HSM does.
type opaque struct{ crypto.Signer }

func (o opaque) Sign(r io.Reader, d []byte, opt crypto.SignerOpts) ([]byte, error) {
	return o.Signer.Sign(r, d, opt)
}

func TestSignAndVerify(t *testing.T) {
	ca := newAuthority(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	for name, key := range map[string]crypto.Signer{"RSA": rsaKey(t), "P-256": p256, "P-384": p384, "HSM": opaque{p256}} {
		t.Run(name, func(t *testing.T) {
			cert := issue(t, "signer", key, ca, now.Add(-time.Hour), now.Add(time.Hour))
			content := []byte("content")
			oid := asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
			der, err := cms.Sign(content, key, []*x509.Certificate{cert, ca.cert}, cms.SignOptions{Time: now, Attributes: []cms.Attribute{{Type: oid, Value: "id"}}})
			require.NoError(t, err)

			for _, verify := range []func() (*cms.Signed, error){
				func() (*cms.Signed, error) { return cms.VerifySCEP(der) },
				func() (*cms.Signed, error) { return cms.VerifyProfile(der, ca.pool, now) },
			} {
				s, err := verify()
				require.NoError(t, err)
				require.Equal(t, content, s.Content)
				require.True(t, s.Signer.Equal(cert))
				var id string
				require.NoError(t, s.Attribute(oid, &id))
				require.Equal(t, "id", id)
				require.ErrorIs(t, s.Attribute(asn1.ObjectIdentifier{1, 2, 3}, &id), cms.ErrNoAttribute)
			}
			_, err = cms.VerifyProfile(der, newAuthority(t).pool, now)
			require.ErrorIs(t, err, cms.ErrUntrusted)
			_, err = cms.VerifyProfile(der, nil, now)
			require.ErrorIs(t, err, cms.ErrUntrusted)
			// The signer's signingTime is not the clock.
			_, err = cms.VerifyProfile(der, ca.pool, now.Add(2*time.Hour))
			require.ErrorIs(t, err, cms.ErrUntrusted)

			changed := bytes.Replace(der, content, []byte("CONTENT"), 1)
			_, err = cms.VerifySCEP(changed)
			require.ErrorIs(t, err, cms.ErrSignature)
		})
	}
}

func TestVerifyCheckInShapes(t *testing.T) {
	ca, key := newAuthority(t), rsaKey(t)
	cert := issue(t, "device", key, ca, now.Add(-time.Hour), now.Add(time.Hour))
	body := []byte("<plist/>")
	for name, c := range map[string]struct {
		opt  cms.SignOptions
		want error
	}{
		"BER, SHA-1, no attributes, as captured": {cms.SignOptions{Detached: true, BER: true, NoAttributes: true, Digest: crypto.SHA1}, nil},
		"DER, SHA-256, attributes":               {cms.SignOptions{Detached: true, Time: now}, nil},
		"BER, SHA-512, attributes":               {cms.SignOptions{Detached: true, BER: true, Digest: crypto.SHA512}, nil},
		"attached content":                       {cms.SignOptions{}, cms.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := cms.Sign(body, key, []*x509.Certificate{cert}, c.opt)
			require.NoError(t, err)
			got, err := cms.VerifyCheckIn(der, body, ca.pool, now)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.True(t, got.Equal(cert))
			_, err = cms.VerifyCheckIn(der, []byte("<plist></plist>"), ca.pool, now)
			require.ErrorIs(t, err, cms.ErrSignature)
			_, err = cms.VerifyCheckIn(der, body, ca.pool, now.Add(2*time.Hour))
			require.ErrorIs(t, err, cms.ErrUntrusted)
		})
	}
}

func TestStrictModesRefuse(t *testing.T) {
	ca, key := newAuthority(t), rsaKey(t)
	cert := issue(t, "x", key, ca, now.Add(-time.Hour), now.Add(time.Hour))
	for name, opt := range map[string]cms.SignOptions{
		"no attributes": {NoAttributes: true},
		"SHA-1":         {Digest: crypto.SHA1},
	} {
		t.Run(name, func(t *testing.T) {
			der, err := cms.Sign([]byte("x"), key, []*x509.Certificate{cert}, opt)
			require.NoError(t, err)
			_, err = cms.VerifySCEP(der)
			require.ErrorIs(t, err, cms.ErrSignature)
			_, err = cms.VerifyProfile(der, ca.pool, now)
			require.ErrorIs(t, err, cms.ErrSignature)
		})
	}
	stripped, err := os.ReadFile("testdata/hostile/c10-noattr.der")
	require.NoError(t, err)
	_, err = cms.VerifySCEP(stripped)
	require.Error(t, err)
}

func TestVerifyAppleDevice(t *testing.T) {
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pin := issue(t, "Apple iPhone Device CA", old, nil, now.AddDate(-19, 0, 0), now.AddDate(-12, 0, 0))
	apple := &authority{cert: pin, key: old}
	key := rsaKey(t)
	leaf := issue(t, "device", key, apple, now.AddDate(-15, 0, 0), now.AddDate(-14, 0, 0))
	content := []byte("<plist/>")
	for name, opt := range map[string]cms.SignOptions{"SHA-1 without attributes": {NoAttributes: true, Digest: crypto.SHA1}, "attributes": {BER: true}} {
		t.Run(name, func(t *testing.T) {
			der, err := cms.Sign(content, key, []*x509.Certificate{leaf, pin}, opt)
			require.NoError(t, err)
			s, err := cms.VerifyAppleDevice(der, pin)
			require.NoError(t, err)
			require.Equal(t, content, s.Content)
			impostor := issue(t, "Apple iPhone Device CA", rsaKey(t), nil, now.AddDate(-19, 0, 0), now.AddDate(-12, 0, 0))
			_, err = cms.VerifyAppleDevice(der, impostor)
			require.ErrorIs(t, err, cms.ErrUntrusted)
		})
	}
	der, err := cms.Sign(content, old, []*x509.Certificate{pin}, cms.SignOptions{})
	require.NoError(t, err)
	_, err = cms.VerifyAppleDevice(der, pin)
	require.ErrorIs(t, err, cms.ErrUntrusted, "the pin itself is no device")
}

func TestCheckRefuses(t *testing.T) {
	nested := func(n int) []byte {
		b := []byte{}
		for range n {
			next := []byte{0x30, 0x82, byte(len(b) >> 8), byte(len(b))}
			b = append(next, b...)
		}
		return b
	}
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"empty":                   {nil, cms.ErrMalformed},
		"one byte":                {[]byte{0x30}, cms.ErrMalformed},
		"open indefinite":         {[]byte{0x30, 0x80}, cms.ErrMalformed},
		"8 MB of open indefinite": {bytes.Repeat([]byte{0x30, 0x80}, 4<<20), cms.ErrTooLarge},
		"16k open indefinite":     {bytes.Repeat([]byte{0x30, 0x80}, 16<<10), cms.ErrTooLarge},
		"length of four bytes":    {[]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, cms.ErrMalformed},
		"high tag":                {[]byte{0x1f, 0x80}, cms.ErrMalformed},
		"high tag inside":         {[]byte{0x30, 2, 0x1f, 0x80}, cms.ErrMalformed},
		"longer than the body":    {[]byte{0x30, 0x83, 1, 0, 0}, cms.ErrMalformed},
		"trailing byte":           {[]byte{0x30, 0, 0}, cms.ErrMalformed},
		"primitive of no length":  {[]byte{0x30, 2, 4, 0x80}, cms.ErrMalformed},
		"stray end":               {[]byte{0x30, 2, 0, 0}, cms.ErrMalformed},
		"33 levels":               {nested(33), cms.ErrTooLarge},
		"20k siblings":            {append([]byte{0x30, 0x82, 0x9c, 0x40}, bytes.Repeat([]byte{5, 0}, 20000)...), cms.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, cms.Check(c.in, cms.MaxBytes), c.want)
			for _, f := range everyReader(t) {
				require.Error(t, f(c.in))
			}
		})
	}
	require.NoError(t, cms.Check([]byte{0x30, 0x80, 0, 0}, 64))
	require.NoError(t, cms.Check(nested(32), 256), "32 levels")
	require.NoError(t, cms.Check(append([]byte{0x30, 0x82, 0x0f, 0x9e}, bytes.Repeat([]byte{5, 0}, 1999)...), 4002), "2000 elements, of exactly the size allowed")
	require.ErrorIs(t, cms.Check(append([]byte{0x30, 0x82, 0x0f, 0xa0}, bytes.Repeat([]byte{5, 0}, 2000)...), 5000), cms.ErrTooLarge, "2001 elements")
	require.ErrorIs(t, cms.Check([]byte{0x30, 0x80, 0, 0}, 3), cms.ErrTooLarge)
}

// everyReader are the functions that read messages.
func everyReader(t testing.TB) []func([]byte) error {
	t.Helper()
	return []func([]byte) error{
		func(b []byte) error { _, err := cms.VerifySCEP(b); return err },
		func(b []byte) error { _, err := cms.VerifyProfile(b, x509.NewCertPool(), now); return err },
		func(b []byte) error { _, err := cms.VerifyCheckIn(b, []byte("x"), x509.NewCertPool(), now); return err },
		func(b []byte) error { _, err := cms.VerifyAppleDevice(b, nil); return err },
		func(b []byte) error { _, err := cms.ParseDegenerate(b); return err },
	}
}

func TestEnvelope(t *testing.T) {
	key := rsaKey(t)
	cert := issue(t, "RA", key, nil, now, now.AddDate(1, 0, 0))
	for _, n := range []int{0, 1, 15, 16, 17, 5000} {
		content := bytes.Repeat([]byte{7}, n)
		der, err := cms.Encrypt(content, cert, rand.Reader)
		require.NoError(t, err)
		got, err := cms.Decrypt(der, cert, key)
		require.NoError(t, err)
		require.Equal(t, content, append([]byte{}, got...))

		other := issue(t, "RA", rsaKey(t), nil, now, now.AddDate(1, 0, 0))
		_, err = cms.Decrypt(der, other, key)
		require.ErrorIs(t, err, cms.ErrDecrypt)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = cms.Encrypt(nil, issue(t, "ec", ec, nil, now, now.AddDate(1, 0, 0)), rand.Reader)
	require.Error(t, err)
}

func TestDecryptIsNoOracle(t *testing.T) {
	key := rsaKey(t)
	cert := issue(t, "RA", key, nil, now, now.AddDate(1, 0, 0))
	der, err := cms.Encrypt([]byte("secret"), cert, rand.Reader)
	require.NoError(t, err)
	for i := len(der) - 16; i < len(der); i++ { // the ciphertext
		changed := bytes.Clone(der)
		changed[i] ^= 0xff
		if _, err := cms.Decrypt(changed, cert, key); err != nil {
			require.Equal(t, cms.ErrDecrypt, err, "byte %d", i)
		}
	}
}

func TestDegenerate(t *testing.T) {
	ca := newAuthority(t)
	second := issue(t, "RA", rsaKey(t), ca, now, now.AddDate(1, 0, 0))
	der, err := cms.Degenerate(second, ca.cert)
	require.NoError(t, err)
	certs, err := cms.ParseDegenerate(der)
	require.NoError(t, err)
	require.Len(t, certs, 2)
	require.True(t, certs[0].Equal(second))
}
