// Package machineinfotest is a simulated device CA, and devices with the
// identities that it built into them, which sign machine information as real
// ones do. It is for tests of servers and for the simulated iPhone: a real
// server never makes one.
package machineinfotest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/internal/cms"
)

// Config says how the CA looks. The zero value does.
type Config struct {
	// Name is the common name, "Simulated iPhone Device CA" by default.
	Name string
	// Expired lets the certificate end in 2014, as Apple's did. Otherwise it is
	// valid for ten years, so that any tool uses it.
	Expired bool
	// Bits is the size of RSA keys, 2048 by default; old devices have 1024.
	Bits int
	// SHA256 signs certificates with SHA-256 and not, as Apple's are, with SHA-1.
	SHA256 bool
	// Now defaults to time.Now, Random to crypto/rand.
	Now    func() time.Time
	Random io.Reader
}

// CA certifies simulated devices.
type CA struct {
	Certificate *x509.Certificate
	Key         crypto.Signer

	cfg Config
}

// Device is a device with its built-in identity.
type Device struct {
	Key *rsa.PrivateKey
	// Chain is the certificate and the CA's; both are sent.
	Chain []*x509.Certificate
	// Shape is how the device signs.
	Shape Shape
}

// Shape is how a message is signed. The zero value is what devices of today
// send: DER, SHA-1, with attributes.
type Shape struct {
	// SHA256 is the digest instead of SHA-1.
	SHA256 bool
	// NoAttributes signs the content itself, as old devices do.
	NoAttributes bool
	// BER writes indefinite lengths and content in chunks.
	BER bool
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "Simulated iPhone Device CA"
	}
	if c.Bits == 0 {
		c.Bits = 2048
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}

func (c Config) algorithm() x509.SignatureAlgorithm {
	if c.SHA256 {
		return x509.SHA256WithRSA
	}
	return x509.SHA1WithRSA
}

// NewSimulatedCA makes a new device CA.
func NewSimulatedCA(cfg Config) (*CA, error) {
	cfg = cfg.withDefaults()
	cert, key, err := cfg.root()
	if err != nil {
		return nil, err
	}
	return &CA{cert, key, cfg}, nil
}

// LoadOrCreate keeps the CA in dir, as device-ca.pem and device-ca.key, so that
// a restarted server knows its devices and other clients can be driven against
// it. Of cfg only Now and Random matter for a CA that exists.
func LoadOrCreate(dir string, cfg Config) (*CA, error) {
	cfg = cfg.withDefaults()
	cert, key, err := ca.LoadOrCreate(dir, "device-ca", cfg.root)
	if err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	if _, ok := key.Public().(*rsa.PublicKey); !ok {
		return nil, fmt.Errorf("machineinfotest: the CA in %s has no RSA key", dir)
	}
	return &CA{cert, key, cfg}, nil
}

func (c Config) root() (*x509.Certificate, crypto.Signer, error) {
	key, err := rsa.GenerateKey(c.Random, c.Bits)
	if err != nil {
		return nil, nil, fmt.Errorf("machineinfotest: %w", err)
	}
	now := c.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: c.Name, OrganizationalUnit: []string{"Simulated"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if c.Expired {
		template.NotBefore = time.Date(2007, time.April, 16, 0, 0, 0, 0, time.UTC)
		template.NotAfter = time.Date(2014, time.April, 16, 0, 0, 0, 0, time.UTC)
	}
	cert, err := c.certify(template, template, &key.PublicKey, key)
	return cert, key, err
}

func (c Config) certify(template, parent *x509.Certificate, pub *rsa.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 8)
	if _, err := io.ReadFull(c.Random, serial); err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	serial[0] = serial[0]&0x7f | 1
	template.SerialNumber = new(big.Int).SetBytes(serial)
	template.SignatureAlgorithm = c.algorithm()
	id := sha256.Sum256(x509.MarshalPKCS1PublicKey(pub))
	template.SubjectKeyId = id[:20]
	der, err := x509.CreateCertificate(c.Random, template, parent, pub, by)
	if err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	return cert, nil
}

// Anchor believes this CA's devices.
func (c *CA) Anchor() machineinfo.Anchor {
	return machineinfo.Anchor{DeviceCAs: []*x509.Certificate{c.Certificate}}
}

// Device makes a device with an identity of its own. Its certificate names
// nothing but a random number.
func (c *CA) Device() (*Device, error) {
	key, err := rsa.GenerateKey(c.cfg.Random, c.cfg.Bits)
	if err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	name := make([]byte, 16)
	if _, err := io.ReadFull(c.cfg.Random, name); err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	now := c.cfg.Now()
	cert, err := c.cfg.certify(&x509.Certificate{
		Subject:   pkix.Name{CommonName: hex.EncodeToString(name)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(3, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, BasicConstraintsValid: true,
	}, c.Certificate, &key.PublicKey, c.Key)
	if err != nil {
		return nil, err
	}
	return &Device{Key: key, Chain: []*x509.Certificate{cert, c.Certificate}}, nil
}

// Sign makes the body of an enrollment POST.
func (d *Device) Sign(info machineinfo.Info) ([]byte, error) {
	content, err := info.Marshal()
	if err != nil {
		return nil, err
	}
	return d.SignContent(content)
}

// SignContent signs any content, such as what a broken device would send.
func (d *Device) SignContent(content []byte) ([]byte, error) {
	opt := cms.SignOptions{Digest: crypto.SHA1, NoAttributes: d.Shape.NoAttributes, BER: d.Shape.BER}
	if d.Shape.SHA256 {
		opt.Digest = crypto.SHA256
	}
	body, err := cms.Sign(content, d.Key, d.Chain, opt)
	if err != nil {
		return nil, fmt.Errorf("machineinfotest: %w", err)
	}
	return body, nil
}
