package mdm_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/mdm"
)

// Line 47: who cannot prove to be an enrolled device is 403, whatever the body.
func TestIdentityIsRefusedWhateverTheBody(t *testing.T) {
	w := newWorld(t)
	d, other := w.enrolled("alice"), w.enrolled("bob")
	foreign := newAuthority(t, w.now)
	unissued := w.ca.device(t, d.id)
	half := w.identified("alice")
	limited := w.ca.device(t, d.id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	w.store.issue(limited.digest, identity{User: "alice", Ticket: "T", Enrollment: d.id})
	expired := w.ca.device(t, d.id, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Minute) })
	w.store.issue(expired.digest, identity{User: "alice", Ticket: "T", Enrollment: d.id})
	copied := foreign.device(t, d.id, func(c *x509.Certificate) { c.Subject, c.SerialNumber = d.cert.Subject, d.cert.SerialNumber })
	w.store.issue(copied.digest, identity{User: "alice", Ticket: "T", Enrollment: d.id})
	ca := &device{key: w.ca.key, cert: w.ca.cert, id: d.id, shape: modern}
	replaced := w.ca.device(t, d.id)
	w.store.issue(replaced.digest, identity{User: "alice", Enrollment: d.id, Replaced: true})

	for name, sender := range map[string]*device{
		"no proof": nil, "foreign CA": copied, "never issued": unissued, "the CA itself": ca, "expired": expired, "for servers": limited, "replaced": replaced,
	} {
		t.Run(name, func(t *testing.T) {
			for _, body := range [][]byte{encode(t, d.idle()), encode(t, d.tokenUpdate()), []byte("bplist00"), nil} {
				w.refused(t, http.StatusForbidden, w.request(sender, connect, body))
				w.refused(t, http.StatusForbidden, w.request(sender, checkIn, body))
			}
		})
	}
	t.Run("the same over TLS", func(t *testing.T) {
		for _, c := range []*device{copied, unissued, ca, expired, limited, replaced, other, half} {
			for path, m := range map[string]map[string]any{connect: d.idle(), checkIn: d.tokenUpdate()} {
				r := w.request(nil, path, encode(t, m))
				r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
				w.refused(t, http.StatusForbidden, r)
			}
		}
	})
	t.Run("another device's", func(t *testing.T) {
		for path, m := range map[string]map[string]any{connect: d.idle(), checkIn: d.tokenUpdate()} {
			w.refused(t, http.StatusForbidden, w.request(other, path, encode(t, m)))
			w.refused(t, http.StatusForbidden, w.request(half, path, encode(t, m)))
		}
		w.refused(t, http.StatusForbidden, w.request(half, connect, encode(t, half.idle())))
	})
	t.Run("nobody sends too much", func(t *testing.T) {
		w.refused(t, http.StatusForbidden, w.request(nil, checkIn, make([]byte, 65<<10)))
	})
}

func TestTLSCertificates(t *testing.T) {
	const header = "X-Client-Cert"
	proxy := netip.MustParseAddr("192.0.2.1") // httptest's peer
	w := newWorld(t)
	p := newWorld(t, func(c *mdm.Config) {
		c.ProxyCertificate = &mdm.ProxyCertificate{Header: header, Trusted: func(a netip.Addr) bool { return a == proxy }}
	})
	d, other := w.enrolled("alice"), w.enrolled("bob")
	e := p.enrolled("alice")
	body := encode(t, d.idle())
	proxied := func(value string) *http.Request {
		r := p.request(nil, connect, encode(t, e.idle()))
		r.Header.Set(header, value)
		return r
	}
	direct := func(signer *device, certs ...*x509.Certificate) *http.Request {
		r := w.request(signer, connect, body)
		r.TLS = &tls.ConnectionState{PeerCertificates: certs}
		return r
	}
	b64 := base64.StdEncoding.EncodeToString(e.cert.Raw)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert.Raw}))

	require.Equal(t, http.StatusOK, w.serve(direct(nil, d.cert)).Code)
	require.Equal(t, http.StatusOK, w.serve(direct(d, d.cert)).Code, "both, and they agree")
	for _, value := range []string{b64, ":" + b64 + ":", url.PathEscape(text)} {
		require.Equal(t, http.StatusOK, p.serve(proxied(value)).Code)
	}

	t.Run("certificate and signature differ", func(t *testing.T) { w.refused(t, http.StatusForbidden, direct(d, other.cert)) })
	t.Run("a bad signature beside a good certificate", func(t *testing.T) {
		r := direct(nil, d.cert)
		r.Header.Set("Mdm-Signature", other.sign(t, []byte("another body")))
		w.refused(t, http.StatusForbidden, r)
		r = direct(nil, d.cert)
		r.Header.Set("Mdm-Signature", "")
		w.refused(t, http.StatusForbidden, r)
	})
	t.Run("a bad certificate beside a good signature", func(t *testing.T) {
		w.refused(t, http.StatusForbidden, direct(d, newAuthority(t, w.now).device(t, d.id).cert))
	})
	t.Run("nine certificates", func(t *testing.T) {
		chain := []*x509.Certificate{d.cert}
		for range 8 {
			chain = append(chain, w.ca.cert)
		}
		w.refused(t, http.StatusForbidden, direct(nil, chain...))
	})
	t.Run("a header from nobody's proxy", func(t *testing.T) {
		r := w.request(nil, connect, body)
		r.Header.Set(header, base64.StdEncoding.EncodeToString(d.cert.Raw))
		w.refused(t, http.StatusForbidden, r)
		for _, peer := range []string{"192.0.2.9:1", "@", ""} {
			r = proxied(b64)
			r.RemoteAddr = peer
			p.refused(t, http.StatusForbidden, r)
		}
	})
	t.Run("the proxy's own certificate is not the device's", func(t *testing.T) {
		r := p.request(nil, connect, encode(t, e.idle()))
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{e.cert}}
		p.refused(t, http.StatusForbidden, r)
	})
	t.Run("the proxy's header is garbage", func(t *testing.T) {
		for _, value := range []string{"!", "AAAA", "-----BEGIN", "%2D%2D%2D%2D%2DBEGIN%zz", strings.Repeat("A", 33<<10)} {
			p.refused(t, http.StatusForbidden, proxied(value))
		}
		r := proxied(b64)
		r.Header.Add(header, b64)
		p.refused(t, http.StatusForbidden, r)
	})
}

// Line 48.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	body := encode(t, d.idle())
	sign := func(content []byte, o cms.SignOptions) string {
		b, err := cms.Sign(content, d.key, []*x509.Certificate{d.cert}, o)
		require.NoError(t, err)
		return base64.StdEncoding.EncodeToString(b)
	}
	expired := w.ca.device(t, d.id, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = w.now.Add(-2*time.Hour), w.now.Add(-time.Hour) })
	expired.shape = cms.SignOptions{Detached: true, Time: w.now.Add(-90 * time.Minute)}
	degenerate, err := cms.Degenerate(d.cert)
	require.NoError(t, err)
	for name, header := range map[string][]string{
		"not base64":                   {"not base64!"},
		"not a message":                {base64.StdEncoding.EncodeToString([]byte("0\x80"))},
		"attached":                     {sign(body, cms.SignOptions{})},
		"an older message's":           {sign(encode(t, d.report("Acknowledged", "x")), modern)},
		"twice":                        {sign(body, modern), sign(body, modern)},
		"too long":                     {strings.Repeat("A", 33<<10)},
		"expired with a forged time":   {expired.sign(t, body)},
		"of two signers":               {base64.StdEncoding.EncodeToString(twoSigners(t, body, d))},
		"without a signer":             {base64.StdEncoding.EncodeToString(degenerate)},
		"nested deeper than is parsed": {base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x30, 0x80}, 8<<10))},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.request(nil, connect, body)
			r.Header["Mdm-Signature"] = header
			w.refused(t, http.StatusForbidden, r)
		})
	}
	for name, shape := range map[string]cms.SignOptions{"captured": captured, "modern": modern, "SHA-1 with attributes": {Detached: true, Digest: captured.Digest}} {
		t.Run(name, func(t *testing.T) {
			r := w.request(nil, connect, body)
			r.Header.Set("Mdm-Signature", sign(body, shape))
			require.Equal(t, http.StatusOK, w.serve(r).Code)
		})
	}
}

// twoSigners is a detached signature that holds its signer's SignerInfo twice.
func twoSigners(t *testing.T, body []byte, d *device) []byte {
	t.Helper()
	one, err := cms.Sign(body, d.key, []*x509.Certificate{d.cert}, modern)
	require.NoError(t, err)
	type signedData struct {
		Version      int
		Digests      asn1.RawValue
		Content      asn1.RawValue
		Certificates asn1.RawValue   `asn1:"optional,tag:0"`
		Signers      []asn1.RawValue `asn1:"set"`
	}
	var message struct {
		Type asn1.ObjectIdentifier
		Data signedData `asn1:"explicit,tag:0"`
	}
	_, err = asn1.Unmarshal(one, &message)
	require.NoError(t, err)
	message.Data.Signers = append(message.Data.Signers, message.Data.Signers...)
	two, err := asn1.Marshal(message)
	require.NoError(t, err)
	return two
}
