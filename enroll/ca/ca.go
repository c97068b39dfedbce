package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"time"
)

// DefaultLifetime is how long what an authority issues is valid.
const DefaultLifetime = 365 * 24 * time.Hour

// backdate is how far certificates begin before now, see the package documentation.
const backdate = 5 * time.Minute

var (
	// ErrKey: certificates are not issued to such a key. Accepted are RSA of
	// 2048 to 4096 bits with an odd exponent of at least 65537, and ECDSA on
	// P-256 and P-384.
	ErrKey = errors.New("ca: key is not acceptable")
	// ErrUnusable: what an authority is made of does not fit together, or its
	// certificate is not valid at this time.
	ErrUnusable = errors.New("ca: unusable authority")
)

// Config is what an authority is made of.
type Config struct {
	// Certificate is the authority's own, required.
	Certificate *x509.Certificate
	// Key is the private key of Certificate, such as one in an HSM; required.
	Key crypto.Signer
	// Intermediates are the certificates above Certificate, nearest first. May
	// be empty.
	Intermediates []*x509.Certificate
	// Lifetime of what is issued. Defaults to DefaultLifetime.
	Lifetime time.Duration
	// Now defaults to time.Now, Random to crypto/rand.
	Now    func() time.Time
	Random io.Reader
}

// CA is a certificate authority. It keeps no record of what it issued: that is
// its caller's. It may be used concurrently if its key and Random may.
type CA struct{ cfg Config }

// New returns the authority of a configuration, or an error wrapping ErrUnusable.
func New(cfg Config) (*CA, error) {
	switch c := cfg.Certificate; {
	case c == nil || cfg.Key == nil:
		return nil, fmt.Errorf("%w: Certificate and Key are required", ErrUnusable)
	case !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, fmt.Errorf("%w: the certificate is not one of an authority", ErrUnusable)
	case len(c.SubjectKeyId) == 0:
		return nil, fmt.Errorf("%w: the certificate has no subject key identifier", ErrUnusable)
	case !sameKey(cfg.Key.Public(), c.PublicKey):
		return nil, fmt.Errorf("%w: Key is not the key of Certificate", ErrUnusable)
	case cfg.Lifetime < 0:
		return nil, fmt.Errorf("%w: negative Lifetime", ErrUnusable)
	}
	if err := acceptable(cfg.Key.Public()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	cfg.Intermediates = slices.Clone(cfg.Intermediates)
	return &CA{cfg}, nil
}

// Chain returns the authority's certificate and those above it.
func (c *CA) Chain() []*x509.Certificate {
	return append([]*x509.Certificate{c.cfg.Certificate}, c.cfg.Intermediates...)
}

// Issue makes a device identity for a public key, see the package
// documentation for what is in it. Each call makes another one. Errors are
// ErrKey, ErrUnusable when the authority has expired, the context's and the
// signer's.
func (c *CA) Issue(ctx context.Context, pub crypto.PublicKey) (*x509.Certificate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	id, err := c.random(16)
	if err != nil {
		return nil, err
	}
	return c.sign(pub, c.cfg.Lifetime, &x509.Certificate{
		Subject:     pkix.Name{CommonName: hex.EncodeToString(id)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// IssueRA makes the certificate of a SCEP registration authority: an RSA key
// that signs answers and to which requests are encrypted. Keep it with its key,
// since a request is encrypted to one certificate and may be repeated after a
// restart. Errors are ErrKey, ErrUnusable and the signer's.
func (c *CA) IssueRA(pub crypto.PublicKey, commonName string, lifetime time.Duration) (*x509.Certificate, error) {
	if _, ok := pub.(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("%w: a SCEP registration authority needs RSA", ErrKey)
	}
	return c.sign(pub, lifetime, &x509.Certificate{
		Subject:  pkix.Name{CommonName: commonName},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	})
}

// IssueTLS makes the certificate of an HTTPS server for DNS names and IP
// addresses, at least one. Apple's systems accept lifetimes up to 825 days.
func (c *CA) IssueTLS(pub crypto.PublicKey, hosts []string, lifetime time.Duration) (*x509.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("ca: a TLS certificate without hosts")
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: hosts[0]},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	return c.sign(pub, lifetime, template)
}

// IssueSigning makes a certificate that signs profiles: key usage
// digitalSignature and no extended key usage, since OpenSSL's default purpose
// refuses one. People read the common name in Settings.
func (c *CA) IssueSigning(pub crypto.PublicKey, commonName string, lifetime time.Duration) (*x509.Certificate, error) {
	return c.sign(pub, lifetime, &x509.Certificate{
		Subject:  pkix.Name{CommonName: commonName},
		KeyUsage: x509.KeyUsageDigitalSignature,
	})
}

// sign completes the template; it ends after lifetime, or with the authority.
func (c *CA) sign(pub crypto.PublicKey, lifetime time.Duration, template *x509.Certificate) (*x509.Certificate, error) {
	if lifetime <= 0 || template.Subject.CommonName == "" {
		return nil, errors.New("ca: a certificate without lifetime or common name")
	}
	if err := acceptable(pub); err != nil {
		return nil, err
	}
	now := c.cfg.Now()
	if now.Before(c.cfg.Certificate.NotBefore) || now.After(c.cfg.Certificate.NotAfter) {
		return nil, fmt.Errorf("%w: its certificate is valid from %s to %s", ErrUnusable, c.cfg.Certificate.NotBefore, c.cfg.Certificate.NotAfter)
	}
	template.NotBefore = now.Add(-backdate)
	template.NotAfter = now.Add(lifetime)
	if template.NotAfter.After(c.cfg.Certificate.NotAfter) {
		template.NotAfter = c.cfg.Certificate.NotAfter
	}
	template.BasicConstraintsValid = true
	return create(c.cfg.Random, template, c.cfg.Certificate, pub, c.cfg.Key)
}

// NewRoot makes a new self-signed authority with an RSA key of 2048 bits, which
// every device and tool reads. It issues leaves only.
func NewRoot(commonName string, lifetime time.Duration, now time.Time, random io.Reader) (*x509.Certificate, crypto.Signer, error) {
	if commonName == "" || lifetime <= 0 {
		return nil, nil, errors.New("ca: a root without common name or lifetime")
	}
	key, err := rsa.GenerateKey(random, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("ca: making a key: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, NotBefore: now.Add(-backdate), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	cert, err := create(random, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	return cert, key, nil
}

// create completes the template with serial number and key identifier and
// signs it by key as parent.
func create(random io.Reader, template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(random, serial); err != nil {
		return nil, fmt.Errorf("ca: randomness: %w", err)
	}
	template.SerialNumber = new(big.Int).SetBytes(serial)
	if template.SerialNumber.Sign() == 0 {
		return nil, errors.New("ca: randomness: nothing but zeros")
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	id := sha256.Sum256(spki)
	template.SubjectKeyId = id[:20]
	der, err := x509.CreateCertificate(random, template, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("ca: signing: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return cert, nil
}

func (c *CA) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(c.cfg.Random, b); err != nil {
		return nil, fmt.Errorf("ca: randomness: %w", err)
	}
	return b, nil
}

// acceptable judges a public key before anything is computed with it.
func acceptable(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 2048 || n > 4096 {
			return fmt.Errorf("%w: RSA of %d bits", ErrKey, n)
		}
		if k.E < 65537 || k.E%2 == 0 {
			return fmt.Errorf("%w: RSA with exponent %d", ErrKey, k.E)
		}
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("%w: ECDSA on another curve than P-256 and P-384", ErrKey)
	default:
		return fmt.Errorf("%w: type %T", ErrKey, pub)
	}
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
