package scep

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// DefaultMaxBytes is the size of a request in bytes that is accepted unless
// Config says otherwise. Requests of iOS have about 3 KiB.
const DefaultMaxBytes = 32 << 10

var (
	// ErrRefused is wrapped by a Redeemer's error when a challenge is not good
	// for this key: unknown, expired, superseded, or another key's.
	ErrRefused = errors.New("scep: challenge refused")
	// ErrConfig is every mistake in a Config.
	ErrConfig = errors.New("scep: bad configuration")
)

// A Redeemer turns challenges into certificates.
type Redeemer interface {
	// Redeem redeems a challenge by a public key (the SHA-256 of its
	// SubjectPublicKeyInfo in DER), in one step that is durable when it
	// returns. A challenge belongs to the first key that presents it: the same
	// key gets the same certificate again, also when calls run at the same
	// time; any other key, and a challenge that is unknown, expired or
	// superseded, gets an error wrapping ErrRefused. Any other error means that
	// nothing was redeemed and that the device may try again. issue makes the
	// certificate to record and is called at most once; its error is to be
	// wrapped. The challenge is a secret: it is neither logged nor kept.
	Redeem(ctx context.Context, challenge string, key [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error)
}

// An Issuer is a certificate authority, such as a ca.CA.
type Issuer interface {
	// Issue makes a certificate for a public key, an *rsa.PublicKey of 2048 to
	// 4096 bits. An error wrapping ErrRefused is a refusal, any other one a
	// breakdown.
	Issue(ctx context.Context, pub crypto.PublicKey) (*x509.Certificate, error)
	// Chain returns the issuing authority's certificate, and those above it.
	Chain() []*x509.Certificate
}

// RAKey is the private key of a registration authority: an *rsa.PrivateKey, or
// one in an HSM with an *rsa.PublicKey.
type RAKey interface {
	crypto.Signer
	crypto.Decrypter
}

// Config is what a Handler is made of. Issuer, Redeemer, RA and RAKey are
// required.
type Config struct {
	Issuer   Issuer
	Redeemer Redeemer
	// RA is the registration authority's certificate, and RAKey its key: RSA of
	// 2048 to 4096 bits, for digitalSignature and keyEncipherment, and not the
	// authority's own, so that what decrypts strangers' messages issues nothing.
	RA    *x509.Certificate
	RAKey RAKey
	// MaxBytes bounds a request. Defaults to DefaultMaxBytes.
	MaxBytes int
	// Logger defaults to slog.Default, Now to time.Now, Random to crypto/rand.
	Logger *slog.Logger
	Now    func() time.Time
	Random io.Reader
}

// Handler serves SCEP. It holds no state.
type Handler struct {
	cfg Config
	// authorities is the answer to GetCACert.
	authorities []byte
}

// New returns the handler of a configuration, or an error wrapping ErrConfig.
func New(cfg Config) (*Handler, error) {
	if cfg.Issuer == nil || cfg.Redeemer == nil || cfg.RA == nil || cfg.RAKey == nil {
		return nil, fmt.Errorf("%w: Issuer, Redeemer, RA and RAKey are required", ErrConfig)
	}
	if cfg.MaxBytes < 0 || cfg.MaxBytes > cms.MaxBytes {
		return nil, fmt.Errorf("%w: MaxBytes is not between 0 and %d", ErrConfig, cms.MaxBytes)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	public, ok := cfg.RAKey.Public().(*rsa.PublicKey)
	usage := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment
	now := cfg.Now()
	switch {
	case !ok || !acceptable(public):
		return nil, fmt.Errorf("%w: the RA's key is not RSA of 2048 to 4096 bits", ErrConfig)
	case !public.Equal(cfg.RA.PublicKey):
		return nil, fmt.Errorf("%w: RAKey is not the key of RA", ErrConfig)
	case cfg.RA.KeyUsage != 0 && cfg.RA.KeyUsage&usage != usage:
		return nil, fmt.Errorf("%w: the RA's certificate is not for digitalSignature and keyEncipherment", ErrConfig)
	case now.Before(cfg.RA.NotBefore) || now.After(cfg.RA.NotAfter):
		return nil, fmt.Errorf("%w: the RA's certificate is not valid now", ErrConfig)
	}
	chain := cfg.Issuer.Chain()
	if len(chain) == 0 || len(chain) >= cms.MaxCertificates {
		return nil, fmt.Errorf("%w: the Issuer's chain has %d certificates", ErrConfig, len(chain))
	}
	for _, c := range chain {
		if public.Equal(c.PublicKey) {
			return nil, fmt.Errorf("%w: the RA has the key of an authority", ErrConfig)
		}
	}
	authorities, err := cms.Degenerate(append([]*x509.Certificate{cfg.RA}, chain...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Handler{cfg, authorities}, nil
}

// acceptable judges a key before anything is computed with it.
func acceptable(k *rsa.PublicKey) bool {
	return k.N.BitLen() >= 2048 && k.N.BitLen() <= 4096 && k.E >= 65537 && k.E%2 == 1
}
