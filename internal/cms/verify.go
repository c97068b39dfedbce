package cms

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"go.mozilla.org/pkcs7"
)

// Signed is a message whose signature is good. Whether its signer is trusted
// is said by the function that returned it.
type Signed struct {
	Content      []byte
	Signer       *x509.Certificate
	Certificates []*x509.Certificate
	Digest       crypto.Hash

	attributes map[string]asn1.RawValue
}

// ErrNoAttribute: the message has no such signed attribute.
var ErrNoAttribute = errors.New("cms: no such signed attribute")

// Attribute decodes the single value of a signed attribute into v.
func (s *Signed) Attribute(oid asn1.ObjectIdentifier, v any) error {
	raw, ok := s.attributes[oid.String()]
	if !ok {
		return fmt.Errorf("%w: %v", ErrNoAttribute, oid)
	}
	rest, err := asn1.Unmarshal(raw.FullBytes, v)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("attribute %v: %w", oid, ErrMalformed)
	}
	return nil
}

// rules are what a kind of message must be beyond well formed.
type rules struct {
	detached       []byte // the content, when it travels apart
	isDetached     bool
	needAttributes bool
	allowSHA1      bool
}

// VerifySCEP verifies a SCEP message (RFC 8894): SHA-2, signed attributes, one
// signer. It says nothing of trust: the first request of a device is signed by
// a certificate that it made itself.
func VerifySCEP(der []byte) (*Signed, error) {
	return verify(der, rules{needAttributes: true})
}

// VerifyProfile verifies a signed configuration profile and that its signer
// chains to roots at now.
func VerifyProfile(der []byte, roots *x509.CertPool, now time.Time) (*Signed, error) {
	s, err := verify(der, rules{needAttributes: true})
	if err != nil {
		return nil, err
	}
	if err := s.chain(roots, now); err != nil {
		return nil, err
	}
	return s, nil
}

// VerifyCheckIn verifies the value of an Mdm-Signature header, base64 removed,
// over the body it came with, and returns the certificate that signed, which
// chains to roots at now. DER and BER, SHA-1 and SHA-2, with and without signed
// attributes are accepted, since real devices send the older shapes; trust
// comes from the certificate, which the caller compares with the one it issued.
func VerifyCheckIn(signature, body []byte, roots *x509.CertPool, now time.Time) (*x509.Certificate, error) {
	s, err := verify(signature, rules{detached: body, isDetached: true, allowSHA1: true})
	if err != nil {
		return nil, err
	}
	if err := s.chain(roots, now); err != nil {
		return nil, err
	}
	return s.Signer, nil
}

// VerifyAppleDevice verifies machine information that a device signed with its
// built-in identity: the signer's certificate is issued by pin, Apple's device
// CA, whose dates are over and whose signatures are SHA-1. The result is a hint
// about the device and never authenticates a person.
func VerifyAppleDevice(der []byte, pin *x509.Certificate) (*Signed, error) {
	s, err := verify(der, rules{allowSHA1: true})
	if err != nil {
		return nil, err
	}
	leaf := s.Signer
	if pin == nil || leaf.IsCA || leaf.Equal(pin) || !bytes.Equal(leaf.RawIssuer, pin.RawSubject) || weak(pin.PublicKey, 1024) ||
		pin.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil {
		return nil, ErrUntrusted
	}
	return s, nil
}

func (s *Signed) chain(roots *x509.CertPool, now time.Time) error {
	if roots == nil {
		return fmt.Errorf("%w: no roots are configured", ErrUntrusted)
	}
	intermediates := x509.NewCertPool()
	for _, c := range s.Certificates {
		intermediates.AddCert(c)
	}
	_, err := s.Signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil
}

func verify(message []byte, r rules) (s *Signed, err error) {
	if err := Check(message, MaxBytes); err != nil {
		return nil, err
	}
	der, err := toDER(message)
	if err != nil {
		return nil, err
	}
	p7, err := pkcs7.Parse(der)
	if err != nil {
		return nil, malformed("not a message of CMS")
	}
	if len(p7.Signers) != 1 || len(p7.Certificates) == 0 || len(p7.Certificates) > MaxCertificates {
		return nil, malformed("not one signer with its certificate")
	}
	for i, a := range p7.Certificates {
		for _, b := range p7.Certificates[:i] {
			if bytes.Equal(a.RawIssuer, b.RawIssuer) && a.SerialNumber.Cmp(b.SerialNumber) == 0 {
				return nil, malformed("two certificates of one name")
			}
		}
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return nil, malformed("the signer's certificate is missing")
	}
	if weak(signer.PublicKey, 1024) {
		return nil, fmt.Errorf("%w: the signer's key is not acceptable", ErrSignature)
	}
	if r.isDetached {
		if len(p7.Content) > 0 {
			return nil, malformed("content inside a detached signature")
		}
		p7.Content = r.detached
	}
	info := p7.Signers[0]
	digest, ok := digestOf(info.DigestAlgorithm.Algorithm)
	if !ok || digest == crypto.SHA1 && !r.allowSHA1 {
		return nil, fmt.Errorf("%w: digest %v is not accepted", ErrSignature, info.DigestAlgorithm.Algorithm)
	}
	s = &Signed{Content: p7.Content, Signer: signer, Certificates: p7.Certificates, Digest: digest, attributes: map[string]asn1.RawValue{}}
	for _, a := range info.AuthenticatedAttributes {
		name := a.Type.String()
		if _, twice := s.attributes[name]; twice {
			return nil, malformed("signed attribute twice")
		}
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(a.Value.Bytes, &value)
		if err != nil || len(rest) > 0 {
			return nil, malformed("signed attribute without one value")
		}
		s.attributes[name] = value
	}
	if len(s.attributes) > 0 || r.needAttributes {
		var kind asn1.ObjectIdentifier
		var hash []byte
		if s.Attribute(oidContentType, &kind) != nil || !kind.Equal(oidData) || s.Attribute(oidMessageDigest, &hash) != nil {
			return nil, fmt.Errorf("%w: contentType or messageDigest is missing", ErrSignature)
		}
	}
	if err := p7.Verify(); err != nil {
		return nil, ErrSignature
	}
	return s, nil
}

func digestOf(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	for h, o := range digests {
		if o.digest.Equal(oid) {
			return h, true
		}
	}
	return 0, false
}

// weak reports an RSA key that is shorter than bits, or so large or odd that
// verifying with it is an attack.
func weak(key crypto.PublicKey, bits int) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && (k.N.BitLen() < bits || k.N.BitLen() > 4096 || k.E < 3 || k.E%2 == 0)
}

// ParseDegenerate reads a message that carries certificates only.
func ParseDegenerate(message []byte) ([]*x509.Certificate, error) {
	if err := Check(message, MaxBytes); err != nil {
		return nil, err
	}
	der, err := toDER(message)
	if err != nil {
		return nil, err
	}
	p7, err := pkcs7.Parse(der)
	if err != nil || len(p7.Certificates) == 0 || len(p7.Certificates) > MaxCertificates || len(p7.Signers) > 0 {
		return nil, malformed("not a message of certificates only")
	}
	return p7.Certificates, nil
}
