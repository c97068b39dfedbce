package machineinfo_test

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
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
)

// message is a SignedData message taken apart, independently of the package
// that reads it.
type message struct {
	Version int
	Digests asn1.RawValue
	Content asn1.RawValue
	Certs   asn1.RawValue   `asn1:"optional,tag:0"`
	Signers []asn1.RawValue `asn1:"set"`
}

type wrapper struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// change takes a message in DER apart, lets edit change it, and puts it together.
func change(t testing.TB, der []byte, edit func(*message)) []byte {
	t.Helper()
	var w wrapper
	var m message
	_, err := asn1.Unmarshal(der, &w)
	require.NoError(t, err)
	_, err = asn1.Unmarshal(w.Content.Bytes, &m)
	require.NoError(t, err)
	edit(&m)
	inner, err := asn1.Marshal(m)
	require.NoError(t, err)
	w.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}
	out, err := asn1.Marshal(w)
	require.NoError(t, err)
	return out
}

// content puts another content into a message.
func content(t testing.TB, b []byte) func(*message) {
	t.Helper()
	octets, err := asn1.Marshal(b)
	require.NoError(t, err)
	kind, err := asn1.Marshal(wrapper{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: octets}})
	require.NoError(t, err)
	return func(m *message) { m.Content = asn1.RawValue{FullBytes: kind} }
}

func TestHostile58(t *testing.T) {
	ca := simulated(t, func(c *machineinfotest.Config) { c.Name, c.Expired = "Apple iPhone Device CA", true })
	d := device(t, ca)
	good := sign(t, d, dict("PRODUCT", product, "VERSION", version))
	_, err := machineinfo.Verify(good, ca.Anchor())
	require.NoError(t, err, "control")
	require.Equal(t, good, change(t, good, func(*message) {}), "the tool itself changes nothing")

	named := simulated(t, func(c *machineinfotest.Config) { c.Name, c.Expired = "Apple iPhone Device CA", true })
	require.Equal(t, ca.Certificate.RawSubject, named.Certificate.RawSubject)
	beside := device(t, named)
	beside.Chain[1] = ca.Certificate // the pin, beside a certificate that it did not sign
	pin, ok := ca.Key.(*rsa.PrivateKey)
	require.True(t, ok)
	self := &machineinfotest.Device{Key: pin, Chain: []*x509.Certificate{ca.Certificate}}
	certified := &machineinfotest.Device{Key: d.Key, Chain: []*x509.Certificate{certificate(t, 1, d.Chain[0], &d.Key.PublicKey, d.Key), d.Chain[0], ca.Certificate}}
	plain := dict("PRODUCT", product, "VERSION", version)

	manyCerts := func(n int) []byte {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return change(t, good, func(m *message) {
			m.Certs.Bytes = bytes.Clone(m.Certs.Bytes) // it lies within good
			for i := range n {
				m.Certs.Bytes = append(m.Certs.Bytes, certificate(t, int64(i+1), ca.Certificate, &key.PublicKey, key).Raw...)
			}
			m.Certs.FullBytes = nil
		})
	}
	require.Less(t, len(manyCerts(100)), machineinfo.MaxBytes, "it is their number that is refused")
	for name, c := range map[string]struct {
		body []byte
		want error
	}{
		"empty":                    {nil, machineinfo.ErrMalformed},
		"not CMS":                  {[]byte("hello"), machineinfo.ErrMalformed},
		"plain plist":              {[]byte(plain), machineinfo.ErrMalformed},
		"PEM":                      {[]byte("-----BEGIN CMS-----\n"), machineinfo.ErrMalformed},
		"32 KiB of open lengths":   {bytes.Repeat([]byte{0x30, 0x80}, 16<<10), machineinfo.ErrMalformed},
		"more than 32 KiB":         {sign(t, d, dict("PRODUCT", product, "VERSION", version, "X", "<string>"+strings.Repeat("x", 32<<10)+"</string>")), machineinfo.ErrMalformed},
		"another CA":               {sign(t, device(t, simulated(t)), plain), machineinfo.ErrUntrusted},
		"a CA named Apple's":       {sign(t, device(t, named), plain), machineinfo.ErrUntrusted},
		"the same beside the pin":  {sign(t, beside, plain), machineinfo.ErrUntrusted},
		"the pin itself as signer": {sign(t, self, plain), machineinfo.ErrUntrusted},
		"certified by a device":    {sign(t, certified, plain), machineinfo.ErrUntrusted},
		"100 certificates":         {manyCerts(100), machineinfo.ErrMalformed},
		"9 certificates":           {manyCerts(7), machineinfo.ErrMalformed},
		"2,000 signers":            {change(t, good, func(m *message) { m.Signers = slices.Repeat(m.Signers, 2000) }), machineinfo.ErrMalformed},
		"two signers":              {change(t, good, func(m *message) { m.Signers = slices.Repeat(m.Signers, 2) }), machineinfo.ErrMalformed},
		"no signer":                {change(t, good, func(m *message) { m.Signers = nil }), machineinfo.ErrMalformed},
		"no certificate":           {change(t, good, func(m *message) { m.Certs = asn1.RawValue{} }), machineinfo.ErrMalformed},
		"detached": {change(t, good, func(m *message) {
			m.Content = asn1.RawValue{FullBytes: []byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")}
		}), machineinfo.ErrMalformed},
		"bytes after":               {append(bytes.Clone(good), 0), machineinfo.ErrMalformed},
		"another content":           {change(t, good, content(t, []byte(dict("PRODUCT", "<string>iPad1,1</string>", "VERSION", version)))), machineinfo.ErrUntrusted},
		"signature changed":         {flip(good, len(good)-1), machineinfo.ErrUntrusted},
		"content bplist":            {sign(t, d, "bplist00\xd1\x01\x02"), machineinfo.ErrMalformed},
		"content OpenStep":          {sign(t, d, `{PRODUCT="iPhone17,2";VERSION=23B85;}`), machineinfo.ErrMalformed},
		"content empty":             {sign(t, d, ""), machineinfo.ErrMalformed},
		"content JSON":              {sign(t, d, `{"PRODUCT":"iPhone17,2","VERSION":"23B85"}`), machineinfo.ErrMalformed},
		"content nested 10,000":     {sign(t, d, dict("PRODUCT", product, "VERSION", version, "X", strings.Repeat("<array>", 2000)+strings.Repeat("</array>", 2000))), machineinfo.ErrMalformed},
		"content of 1,000 elements": {sign(t, d, dict("PRODUCT", product, "VERSION", version, "X", "<array>"+strings.Repeat("<true/>", 1000)+"</array>")), machineinfo.ErrMalformed},
		"an entity":                 {sign(t, d, `<!DOCTYPE plist [<!ENTITY x "y">]><plist version="1.0"><dict><key>PRODUCT</key><string>&x;</string><key>VERSION</key>`+version+`</dict></plist>`), machineinfo.ErrMalformed},
		"an array":                  {sign(t, d, `<plist version="1.0"><array>`+product+`</array></plist>`), machineinfo.ErrMalformed},
		"PRODUCT missing":           {sign(t, d, dict("VERSION", version)), machineinfo.ErrMalformed},
		"VERSION missing":           {sign(t, d, dict("PRODUCT", product)), machineinfo.ErrMalformed},
		"PRODUCT twice":             {sign(t, d, dict("PRODUCT", product, "PRODUCT", product, "VERSION", version)), machineinfo.ErrMalformed},
		"PRODUCT a number":          {sign(t, d, dict("PRODUCT", "<integer>17</integer>", "VERSION", version)), machineinfo.ErrMalformed},
		"PRODUCT long":              {sign(t, d, dict("PRODUCT", "<string>"+strings.Repeat("i", 129)+"</string>", "VERSION", version)), machineinfo.ErrMalformed},
		"LANGUAGE with a line feed": {sign(t, d, dict("PRODUCT", product, "VERSION", version, "LANGUAGE", "<string>en\nlevel=ERROR</string>")), machineinfo.ErrMalformed},
		"LANGUAGE from the right":   {sign(t, d, dict("PRODUCT", product, "VERSION", version, "LANGUAGE", "<string>\u202een</string>")), machineinfo.ErrMalformed},
		"a flag that is a text":     {sign(t, d, dict("PRODUCT", product, "VERSION", version, "MDM_CAN_REQUEST_SOFTWARE_UPDATE", "<string>yes</string>")), machineinfo.ErrMalformed},
		"key case":                  {sign(t, d, dict("product", product, "version", version)), machineinfo.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := machineinfo.Verify(c.body, ca.Anchor())
			require.ErrorIs(t, err, c.want)
			require.Zero(t, info)
			require.Less(t, len(err.Error()), 300)
			require.NotContains(t, err.Error(), "iPhone17,2")
		})
	}

	pinned, err := machineinfo.ParseAnchor(fixture(t, "device-ca.pem"))
	require.NoError(t, err)
	_, err = machineinfo.Verify(fixture(t, "pin.der"), pinned)
	require.ErrorIs(t, err, machineinfo.ErrUntrusted, "the pin itself as signer")
	_, err = machineinfo.Verify(fixture(t, "foreign.der"), pinned)
	require.ErrorIs(t, err, machineinfo.ErrUntrusted)
}

// What looks odd and is legal, since real devices send it: see also the
// fixtures, whose CA has ended, whose keys are short and whose content may come
// in chunks.
func TestHostile58Legal(t *testing.T) {
	ca := simulated(t)
	d := device(t, ca)
	for name, content := range map[string]string{
		"LANGUAGE missing":    dict("PRODUCT", product, "VERSION", version),
		"keys of the future":  dict("PRODUCT", product, "VERSION", version, "FUTURE", "<dict><key>a</key><array><data>AAAA</data></array></dict>"),
		"as Apple writes XML": `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n" + strings.TrimPrefix(dict("PRODUCT", product, "VERSION", version), `<?xml version="1.0" encoding="UTF-8"?>`),
	} {
		_, err := machineinfo.Verify(sign(t, d, content), ca.Anchor())
		require.NoError(t, err, name)
	}
	alone := &machineinfotest.Device{Key: d.Key, Chain: d.Chain[:1]}
	_, err := machineinfo.Verify(sign(t, alone, dict("PRODUCT", product, "VERSION", version)), ca.Anchor())
	require.NoError(t, err, "without the CA's certificate")
}

// Without attributes a signature can be read as one over attributes. What was
// signed is then DER and no property list.
func TestHostile58AttributesAsContent(t *testing.T) {
	ca := simulated(t)
	good := sign(t, device(t, ca), dict("PRODUCT", product, "VERSION", version))
	var set []byte
	stripped := change(t, good, func(m *message) {
		var s struct {
			Version   int
			ID        asn1.RawValue
			Digest    pkix.AlgorithmIdentifier
			Attrs     asn1.RawValue `asn1:"optional,tag:0"`
			Algorithm pkix.AlgorithmIdentifier
			Signature []byte
		}
		_, err := asn1.Unmarshal(m.Signers[0].FullBytes, &s)
		require.NoError(t, err)
		set = bytes.Clone(s.Attrs.FullBytes)
		set[0] = 0x31
		s.Attrs = asn1.RawValue{}
		m.Signers[0].FullBytes, err = asn1.Marshal(s)
		require.NoError(t, err)
		content(t, set)(m)
	})
	_, err := machineinfo.Verify(stripped, ca.Anchor())
	require.ErrorIs(t, err, machineinfo.ErrMalformed)
}

// certificate is one that by signs.
func certificate(t testing.TB, serial int64, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: now, NotAfter: now}
	if _, ok := by.(*ecdsa.PrivateKey); ok {
		parent = template // self-signed
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// FuzzVerify: a refusal has no result; what the anchor's devices said is read
// alike by whoever believes everybody; and only the fixtures' device is believed.
func FuzzVerify(f *testing.F) {
	for _, name := range []string{"sha1.der", "sha1-noattr.der", "sha256.der", "foreign.der", "pin.der", "info.plist"} {
		f.Add(fixture(f, name))
	}
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x80, 0, 0})
	a := anchor(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := machineinfo.Verify(body, a)
		if err != nil {
			require.Zero(t, info)
			require.True(t, strings.HasPrefix(err.Error(), "machineinfo: "))
			require.Contains(t, []int{400, 403}, machineinfo.Status(err))
			return
		}
		require.Equal(t, sample, info, "a signed message was changed")
		again, err := machineinfo.Verify(body, machineinfo.Anchor{InsecureAnySigner: true})
		require.NoError(t, err)
		require.Equal(t, info, again)
	})
}

// FuzzParse: what is accepted is marshalled to what is read as the same.
func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/info.plist")
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(dict("PRODUCT", product, "VERSION", version, "MDM_CAN_REQUEST_SOFTWARE_UPDATE", "<true/>", "FUTURE", "<array><dict/></array>")))
	f.Add([]byte(dict("PRODUCT", product)))
	f.Add([]byte("bplist00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := machineinfo.Parse(b)
		if err != nil {
			require.Zero(t, info)
			require.ErrorIs(t, err, machineinfo.ErrMalformed)
			return
		}
		info.Family()
		info.OS()
		out, err := info.Marshal()
		require.NoError(t, err)
		again, err := machineinfo.Parse(out)
		require.NoError(t, err)
		require.Equal(t, info, again)
	})
}
