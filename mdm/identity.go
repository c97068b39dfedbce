package mdm

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// The bounds of what proves an identity. A signature's header holds a
// certificate and a signature, of RSA with 4096 bits at most.
const (
	signatureHeader   = "Mdm-Signature"
	maxIdentityHeader = 32 << 10
	maxPresented      = 8 // certificates in a chain
)

// ProxyCertificate is a proxy that ends TLS and passes the client certificate
// on in a header. The proxy must remove that header from what it receives.
type ProxyCertificate struct {
	// Header is the header's name. Its value is one certificate: DER in
	// base64, with or without RFC 9440's colons, or PEM, URL-encoded or not.
	Header string
	// Trusted says whether the peer of a connection is the proxy. From
	// another peer the header is as good as absent.
	Trusted func(peer netip.Addr) bool
}

// certificate reads the header of a request from the proxy. From another peer
// proxied is false; the proxy may have seen no certificate, which is nil.
func (p *ProxyCertificate) certificate(r *http.Request) (c *x509.Certificate, proxied bool, err error) {
	if p == nil {
		return nil, false, nil
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.Trusted(peer.Addr().Unmap()) {
		return nil, false, nil
	}
	values := r.Header.Values(p.Header)
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil, true, nil
	}
	if len(values) > 1 || len(values[0]) > maxIdentityHeader {
		return nil, true, errors.New("the proxy's header is not one certificate")
	}
	der, err := certificateDER(values[0])
	if err != nil {
		return nil, true, err
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		return nil, true, errors.New("the proxy's header is not a certificate")
	}
	return c, true, nil
}

func certificateDER(value string) ([]byte, error) {
	const begin = "-----BEGIN"
	if strings.HasPrefix(value, begin) || strings.HasPrefix(value, strings.ReplaceAll(begin, "-", "%2D")) {
		text, err := url.PathUnescape(value)
		if err != nil {
			return nil, errors.New("the proxy's header is badly escaped")
		}
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("the proxy's header is not PEM")
		}
		return block.Bytes, nil
	}
	if n := len(value); n > 2 && value[0] == ':' && value[n-1] == ':' {
		value = value[1 : n-1]
	}
	der, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("the proxy's header is not base64")
	}
	return der, nil
}

// proof is what a request presents to show who sent it. At least one is there.
type proof struct {
	certificate *x509.Certificate // of TLS, verified
	signature   []byte            // of the body, not yet verified
}

// presented reads the proofs of a request, before its body.
func (s *Server) presented(r *http.Request, now time.Time) (proof, error) {
	var p proof
	chain := []*x509.Certificate{}
	c, proxied, err := s.cfg.ProxyCertificate.certificate(r)
	switch {
	case err != nil:
		return p, err
	case c != nil:
		chain = append(chain, c)
	case !proxied && r.TLS != nil:
		chain = r.TLS.PeerCertificates
	}
	if len(chain) > 0 {
		if err := s.verifyChain(chain, now); err != nil {
			return p, err
		}
		p.certificate = chain[0]
	}
	switch values := r.Header.Values(signatureHeader); {
	case len(values) > 1:
		return p, errors.New("more than one signature")
	case len(values) == 1 && len(values[0]) > maxIdentityHeader:
		return p, errors.New("the signature is too long")
	case len(values) == 1:
		p.signature, err = base64.StdEncoding.DecodeString(values[0])
		if err != nil || len(p.signature) == 0 {
			return p, errors.New("the signature is not base64")
		}
	}
	if p.certificate == nil && p.signature == nil {
		return p, errors.New("neither a certificate nor a signature")
	}
	return p, nil
}

func (s *Server) verifyChain(chain []*x509.Certificate, now time.Time) error {
	if len(chain) > maxPresented {
		return errors.New("too many certificates")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: s.cfg.Identity, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	return forDevices(chain[0])
}

// verified is the certificate that proves who sent body.
func (s *Server) verified(p proof, body []byte, now time.Time) (*x509.Certificate, error) {
	if p.signature == nil {
		return p.certificate, nil
	}
	signer, err := cms.VerifyCheckIn(p.signature, body, s.cfg.Identity, now)
	if err != nil {
		return nil, err
	}
	if err := forDevices(signer); err != nil {
		return nil, err
	}
	if p.certificate != nil && !p.certificate.Equal(signer) {
		return nil, errors.New("certificate and signature are of different identities")
	}
	return signer, nil
}

// forDevices refuses a certificate that was not made to authenticate a client.
func forDevices(c *x509.Certificate) error {
	if c.IsCA {
		return errors.New("the certificate is a CA's")
	}
	limited := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0
	if limited && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return errors.New("the certificate is not for clients")
	}
	return nil
}
