package profile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// ErrSigningCertificate: the certificate for signing profiles does not fit its
// key, or is not in force.
var ErrSigningCertificate = errors.New("profile: signing certificate is not usable")

// Signer signs profiles (CMS, SHA-256, with the chain). It is safe for
// concurrent use as far as its key is.
type Signer struct {
	key   crypto.Signer
	chain []*x509.Certificate
	// Now is the clock; nil is time.Now. It is not changed after first use.
	Now func() time.Time
}

// NewSigner makes a Signer from a key, in memory or behind a crypto.Signer such
// as an HSM, and its certificate chain, leaf first. The leaf needs the key usage
// digitalSignature. Errors wrap ErrSigningCertificate.
func NewSigner(key crypto.Signer, chain []*x509.Certificate) (*Signer, error) {
	if key == nil || len(chain) == 0 {
		return nil, fmt.Errorf("%w: key or certificate is missing", ErrSigningCertificate)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(chain[0].PublicKey) {
		return nil, fmt.Errorf("%w: the first certificate is not the key's", ErrSigningCertificate)
	}
	if chain[0].KeyUsage != 0 && chain[0].KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: its key usage is not digitalSignature", ErrSigningCertificate)
	}
	for i, c := range chain[1:] {
		if !bytes.Equal(chain[i].RawIssuer, c.RawSubject) {
			return nil, fmt.Errorf("%w: certificate %d of the chain did not issue the one before it", ErrSigningCertificate, i+2)
		}
	}
	return &Signer{key: key, chain: chain}, nil
}

// Ready reports whether a profile could be signed now; the error wraps
// ErrSigningCertificate.
func (s *Signer) Ready() error {
	_, err := s.clock()
	return err
}

func (s *Signer) clock() (time.Time, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := now()
	if at.Before(s.chain[0].NotBefore) || at.After(s.chain[0].NotAfter) {
		return at, fmt.Errorf("%w: it is in force from %s to %s", ErrSigningCertificate,
			s.chain[0].NotBefore.UTC().Format(time.RFC3339), s.chain[0].NotAfter.UTC().Format(time.RFC3339))
	}
	return at, nil
}

// Sign signs an encoded profile. It never returns an unsigned one.
func (s *Signer) Sign(profile []byte) ([]byte, error) {
	at, err := s.clock()
	if err != nil {
		return nil, err
	}
	signed, err := cms.Sign(profile, s.key, s.chain, cms.SignOptions{Time: at})
	if err != nil {
		return nil, fmt.Errorf("profile: signing: %w", err)
	}
	return signed, nil
}
