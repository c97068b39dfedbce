package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mozilla.org/pkcs7"
)

// Signed is a message whose signature is good. Whether its signer is trusted
// is said by the function that returned it.
type Signed struct {
	// Content is what was signed; chunks are joined.
	Content []byte
	// Signer is the certificate of the one signer.
	Signer *x509.Certificate
	// Certificates are all that came along, Signer among them, in no order that
	// means anything.
	Certificates []*x509.Certificate
	// Digest is the signature's.
	Digest crypto.Hash

	attributes map[string]asn1.RawValue
}

// ErrNoAttribute means that the message has no such signed attribute.
var ErrNoAttribute = errors.New("cms: no such signed attribute")

// Attribute decodes the single value of a signed attribute into v, a pointer as
// asn1.Unmarshal takes it. The error is ErrNoAttribute, or ErrMalformed for a
// value of another type. A message with an attribute twice never verifies.
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
	content  contentRule
	detached []byte // what is signed, when it travels apart
	strict   bool   // SHA-2 over signed attributes
}

type contentRule int

const (
	contentInside contentRule = iota
	contentApart
	contentOptional
)

// VerifySCEP verifies a SCEP message (RFC 8894): SHA-2, signed attributes with
// one contentType of id-data and one messageDigest, one signer. A message
// without content, such as a refusal, has an empty Content.
//
// It says nothing of trust: the first request of a device is signed by a
// certificate that it made itself. The errors are those of Check and
// ErrSignature.
func VerifySCEP(der []byte) (*Signed, error) {
	return verify(der, rules{content: contentOptional, strict: true})
}

// VerifyProfile verifies a signed configuration profile by the rules of
// VerifySCEP, and that its signer chains to roots at now. The signer's own
// signingTime counts for nothing. A nil pool trusts nobody: ErrUntrusted.
func VerifyProfile(der []byte, roots *x509.CertPool, now time.Time) (*Signed, error) {
	s, err := verify(der, rules{strict: true})
	if err != nil {
		return nil, err
	}
	if err := s.chain(roots, now, x509.ExtKeyUsageAny); err != nil {
		return nil, err
	}
	return s, nil
}

// VerifyCheckIn verifies the value of an Mdm-Signature header, base64 removed,
// over the body that it came with, and returns the certificate that signed. It
// chains to roots at now, by SHA-2, and is for clients; that it is the very one
// issued for the enrollment is for the caller to compare.
//
// A message that carries content of its own is refused. DER and BER, SHA-1 and
// SHA-2, with and without signed attributes are accepted, since real devices
// send the older shapes, and a device's clock is not judged. Without attributes
// the signature can also be read as one over attributes, so the caller must
// parse body as an XML property list, which DER never is.
func VerifyCheckIn(sig, body []byte, roots *x509.CertPool, now time.Time) (*x509.Certificate, error) {
	s, err := verify(sig, rules{content: contentApart, detached: body})
	if err != nil {
		return nil, err
	}
	if s.Signer.IsCA {
		return nil, fmt.Errorf("%w: it is a certificate authority's", ErrUntrusted)
	}
	if err := s.chain(roots, now, x509.ExtKeyUsageClientAuth); err != nil {
		return nil, err
	}
	return s.Signer, nil
}

// VerifyAppleDevice verifies machine information that a device signed with its
// built-in identity. Its certificate must be signed directly by the key of pin,
// the certificate of Apple's device CA. Only here is a SHA-1 certificate good,
// and dates are not judged: Apple's are over.
//
// Device keys can be extracted, so the result is a hint about the device and
// never authenticates anybody. The caller must parse Content as an XML property
// list, for the reason that VerifyCheckIn gives. A nil pin is ErrUntrusted.
func VerifyAppleDevice(der []byte, pin *x509.Certificate) (*Signed, error) {
	s, err := VerifyAnySigner(der)
	if err != nil {
		return nil, err
	}
	leaf := s.Signer
	if pin == nil || leaf.IsCA || leaf.Equal(pin) || !bytes.Equal(leaf.RawIssuer, pin.RawSubject) || !acceptable(pin.PublicKey) ||
		pin.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) != nil {
		return nil, fmt.Errorf("%w: not issued by the pinned device CA", ErrUntrusted)
	}
	return s, nil
}

// VerifyAnySigner verifies what VerifyAppleDevice does but for the pin: the
// signature is good, and anybody may have made it. It is for messages whose
// content alone is of interest.
func VerifyAnySigner(der []byte) (*Signed, error) { return verify(der, rules{}) }

func (s *Signed) chain(roots *x509.CertPool, now time.Time, usage x509.ExtKeyUsage) error {
	if roots == nil {
		return fmt.Errorf("%w: no roots are configured", ErrUntrusted)
	}
	intermediates := x509.NewCertPool()
	for _, c := range s.Certificates {
		intermediates.AddCert(c)
	}
	_, err := s.Signer.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return nil
}

func verify(message []byte, r rules) (*Signed, error) {
	content, p7, err := parse(message)
	if err != nil {
		return nil, err
	}
	switch {
	case r.content == contentApart && content != nil:
		return nil, malformed("content inside a detached signature")
	case r.content == contentInside && content == nil:
		return nil, malformed("no content")
	case r.content == contentApart:
		content = r.detached
	}
	if len(p7.Signers) != 1 {
		return nil, malformed("not one signer")
	}
	signer, info := p7.GetOnlySigner(), p7.Signers[0]
	if signer == nil {
		return nil, malformed("the signer's certificate is missing")
	}
	digest, algorithm, ok := algorithms(signer.PublicKey, info.DigestAlgorithm, info.DigestEncryptionAlgorithm)
	if !ok || r.strict && digest == crypto.SHA1 {
		return nil, fmt.Errorf("%w: digest %v with %v is not accepted", ErrSignature, info.DigestAlgorithm.Algorithm, info.DigestEncryptionAlgorithm.Algorithm)
	}
	s := &Signed{Content: content, Signer: signer, Certificates: p7.Certificates, Digest: digest, attributes: map[string]asn1.RawValue{}}
	for _, a := range info.AuthenticatedAttributes {
		if err := s.add(a.Type, a.Value); err != nil {
			return nil, err
		}
	}
	signed := content
	if len(s.attributes) > 0 || r.strict {
		if err := s.bound(content); err != nil {
			return nil, err
		}
		// What is signed is the DER of the SET, sorted as DER has it.
		if signed, err = asn1.MarshalWithParams(info.AuthenticatedAttributes, "set"); err != nil {
			return nil, malformed("signed attributes")
		}
	}
	// Not the library's Verify: it measures the signer's own signingTime against
	// the certificate, which refuses phones with a wrong clock and Apple's
	// expired device certificates, and it lets the algorithms disagree.
	if err := signer.CheckSignature(algorithm, signed, info.EncryptedDigest); err != nil {
		return nil, ErrSignature
	}
	return s, nil
}

// add keeps a signed attribute, which must be new and have one value.
func (s *Signed) add(oid asn1.ObjectIdentifier, set asn1.RawValue) error {
	name := oid.String()
	if _, twice := s.attributes[name]; twice {
		return malformed("signed attribute twice")
	}
	var value asn1.RawValue
	rest, err := asn1.Unmarshal(set.Bytes, &value)
	if err != nil || len(rest) > 0 || set.Class != asn1.ClassUniversal || set.Tag != asn1.TagSet || !set.IsCompound {
		return malformed("signed attribute without one value")
	}
	s.attributes[name] = value
	return nil
}

// bound checks that the signed attributes speak of content.
func (s *Signed) bound(content []byte) error {
	var kind asn1.ObjectIdentifier
	var hash []byte
	if s.Attribute(oidContentType, &kind) != nil || !kind.Equal(oidData) || s.Attribute(oidMessageDigest, &hash) != nil {
		return fmt.Errorf("%w: contentType or messageDigest is missing", ErrSignature)
	}
	if !bytes.Equal(hash, sum(s.Digest, content)) {
		return fmt.Errorf("%w: messageDigest is of other content", ErrSignature)
	}
	return nil
}

// algorithms is how the signature was made, or false where that is unknown or
// the digest and the signature algorithm contradict each other.
func algorithms(key crypto.PublicKey, digest, signature pkix.AlgorithmIdentifier) (crypto.Hash, x509.SignatureAlgorithm, bool) {
	for hash, oids := range digests {
		if !oids.digest.Equal(digest.Algorithm) {
			continue
		}
		switch key.(type) {
		case *rsa.PublicKey:
			return hash, oids.withRSA, signature.Algorithm.Equal(oidRSA) || signature.Algorithm.Equal(oids.rsa)
		case *ecdsa.PublicKey:
			return hash, oids.withECDSA, signature.Algorithm.Equal(oids.ecdsa)
		}
	}
	return 0, 0, false
}

// acceptable refuses an RSA key that is short, or so large or odd that verifying
// with it is an attack. Other keys are bounded by their curves.
func acceptable(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return !ok || k.N.BitLen() >= 1024 && k.N.BitLen() <= 4096 && k.E >= 3 && k.E%2 == 1 && k.E <= math.MaxInt32
}

// parse reads a SignedData message. content is nil where it has none.
func parse(message []byte) (content []byte, p7 *pkcs7.PKCS7, err error) {
	if err := Check(message, MaxBytes); err != nil {
		return nil, nil, err
	}
	der, err := toDER(message)
	if err != nil {
		return nil, nil, err
	}
	content, signers, err := outline(der)
	if err != nil {
		return nil, nil, err
	}
	p7, err = pkcs7.Parse(der)
	if err != nil || len(p7.Signers) != signers {
		return nil, nil, malformed("SignedData that cannot be read")
	}
	if len(p7.Certificates) == 0 || len(p7.Certificates) > MaxCertificates {
		return nil, nil, malformed(fmt.Sprintf("not 1 to %d certificates", MaxCertificates))
	}
	for i, a := range p7.Certificates {
		// An intermediate's key is used as well, before its own trust is known.
		if !acceptable(a.PublicKey) {
			return nil, nil, fmt.Errorf("%w: an RSA key of unacceptable size or exponent", ErrSignature)
		}
		for _, b := range p7.Certificates[:i] {
			if bytes.Equal(a.RawIssuer, b.RawIssuer) && a.SerialNumber.Cmp(b.SerialNumber) == 0 {
				return nil, nil, malformed("two certificates of one name")
			}
		}
	}
	return content, p7, nil
}

// outline checks the shape of SignedData, which the library does not: it takes
// what it could read, and any type of content. content is nil where there is
// none, else an octet string of type id-data; signers is how many there are.
func outline(der []byte) (content []byte, signers int, err error) {
	bad := malformed("not SignedData with plain content")
	message, ok := children(der, 0x30)
	if !ok || len(message) != 2 || !isOID(message[0], oidSignedData) {
		return nil, 0, bad
	}
	wrapped, ok := value(message[1], 0xa0)
	if !ok {
		return nil, 0, bad
	}
	parts, ok := children(wrapped, 0x30)
	if !ok {
		return nil, 0, bad
	}
	var tags []byte
	for _, part := range parts {
		tags = append(tags, part[0])
	}
	// version, digests, content, [certificates], [revocations], signers
	switch string(tags) {
	case "\x02\x31\x30\x31", "\x02\x31\x30\xa0\x31", "\x02\x31\x30\xa1\x31", "\x02\x31\x30\xa0\xa1\x31":
	default:
		return nil, 0, bad
	}
	set, ok := children(parts[len(parts)-1], 0x31)
	if !ok {
		return nil, 0, bad
	}
	info, ok := children(parts[2], 0x30)
	if !ok || len(info) == 0 || len(info) > 2 || !isOID(info[0], oidData) {
		return nil, 0, bad
	}
	if len(info) == 1 {
		return nil, len(set), nil
	}
	inner, ok := value(info[1], 0xa0)
	if !ok {
		return nil, 0, bad
	}
	if content, ok = value(inner, 0x04); !ok {
		return nil, 0, bad
	}
	return content, len(set), nil // not nil, even when empty
}

func isOID(der []byte, want asn1.ObjectIdentifier) bool {
	var got asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(der, &got)
	return err == nil && len(rest) == 0 && got.Equal(want)
}

// ParseDegenerate reads a message of 1 to MaxCertificates certificates without
// content and signer, as a SCEP server hands them out. Nothing is verified; the
// errors are as for VerifySCEP.
func ParseDegenerate(der []byte) ([]*x509.Certificate, error) {
	content, p7, err := parse(der)
	if err != nil {
		return nil, err
	}
	if content != nil || len(p7.Signers) > 0 {
		return nil, malformed("not a message of certificates only")
	}
	return p7.Certificates, nil
}
