package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // a digest that the simulated iPhone signs with
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidAES128CBC     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES256CBC     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// scheme is how a digest is named, alone and in signatures.
type scheme struct {
	digest, rsa, ecdsa asn1.ObjectIdentifier
	withRSA, withECDSA x509.SignatureAlgorithm
}

func rsaOID(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, last}
}

func sha2OID(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, last}
}

func ecdsaOID(last ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 10045, 4}, last...)
}

var digests = map[crypto.Hash]scheme{
	crypto.SHA1:   {asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, rsaOID(5), ecdsaOID(1), x509.SHA1WithRSA, x509.ECDSAWithSHA1},
	crypto.SHA256: {sha2OID(1), rsaOID(11), ecdsaOID(3, 2), x509.SHA256WithRSA, x509.ECDSAWithSHA256},
	crypto.SHA384: {sha2OID(2), rsaOID(12), ecdsaOID(3, 3), x509.SHA384WithRSA, x509.ECDSAWithSHA384},
	crypto.SHA512: {sha2OID(3), rsaOID(13), ecdsaOID(3, 4), x509.SHA512WithRSA, x509.ECDSAWithSHA512},
}

// Attribute is a signed attribute with one value, which encoding/asn1 marshals.
type Attribute struct {
	Type  asn1.ObjectIdentifier
	Value any
}

// SignOptions are the choices of a signature. The zero value signs attached
// content with SHA-256 and the two attributes that RFC 5652 demands.
type SignOptions struct {
	// Detached leaves the content out of the message.
	Detached bool
	// Time is the signingTime attribute; zero leaves it out.
	Time time.Time
	// Attributes are added to contentType and messageDigest, each type once.
	Attributes []Attribute
	// Digest is SHA-1, 256, 384 or 512; zero is SHA-256.
	Digest crypto.Hash
	// NoAttributes signs the content itself; Time and Attributes are then not
	// used. Together with BER and SHA-1 it is what real devices were captured
	// sending as Mdm-Signature, for the simulated iPhone: nothing that a server
	// signs should set any of the three.
	NoAttributes bool
	// BER writes indefinite lengths, and content in chunks of 4096 bytes.
	BER bool
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0,optional"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial asn1.RawValue
}

type signerInfo struct {
	Version            int
	Signer             issuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue `asn1:"optional"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// Sign makes a SignedData message over content. chain begins with key's
// certificate, holds at most MaxCertificates and is carried whole. Any
// crypto.Signer with an RSA (PKCS #1 v1.5) or ECDSA key does, such as one in an
// HSM. The errors are of its arguments or of the key; there are no sentinels.
func Sign(content []byte, key crypto.Signer, chain []*x509.Certificate, opt SignOptions) ([]byte, error) {
	if opt.Digest == 0 {
		opt.Digest = crypto.SHA256
	}
	oids, ok := digests[opt.Digest]
	if !ok {
		return nil, fmt.Errorf("cms: digest %v is not supported", opt.Digest)
	}
	if len(chain) > MaxCertificates {
		return nil, fmt.Errorf("cms: chain of %d certificates, more than %d", len(chain), MaxCertificates)
	}
	if len(chain) == 0 || !publicKeyEqual(key.Public(), chain[0].PublicKey) {
		return nil, errors.New("cms: the chain does not begin with the key's certificate")
	}
	null := asn1.RawValue{FullBytes: []byte{5, 0}}
	digestAlgorithm := pkix.AlgorithmIdentifier{Algorithm: oids.digest, Parameters: null}
	info := signerInfo{Version: 1, DigestAlgorithm: digestAlgorithm}
	switch key.Public().(type) {
	case *rsa.PublicKey:
		info.SignatureAlgorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: null}
	case *ecdsa.PublicKey:
		info.SignatureAlgorithm = pkix.AlgorithmIdentifier{Algorithm: oids.ecdsa}
	default:
		return nil, fmt.Errorf("cms: keys of type %T are not supported", key.Public())
	}
	serial, err := asn1.Marshal(chain[0].SerialNumber)
	if err != nil {
		return nil, err
	}
	info.Signer = issuerAndSerial{asn1.RawValue{FullBytes: chain[0].RawIssuer}, asn1.RawValue{FullBytes: serial}}

	signed := content
	if !opt.NoAttributes {
		set, err := attributes(sum(opt.Digest, content), opt)
		if err != nil {
			return nil, err
		}
		signed = encode(0x31, set) // what is signed is the SET, what is sent is [0]
		info.SignedAttributes = asn1.RawValue{FullBytes: encode(0xa0, set)}
	}
	if info.Signature, err = key.Sign(rand.Reader, sum(opt.Digest, signed), opt.Digest); err != nil {
		return nil, fmt.Errorf("cms: signing: %w", err)
	}

	signer, err := asn1.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("cms: signer: %w", err)
	}
	algorithm, err := asn1.Marshal(digestAlgorithm)
	if err != nil {
		return nil, fmt.Errorf("cms: digest: %w", err)
	}
	write := writer(opt.BER)
	var inner []byte
	if !opt.Detached {
		inner = write.explicit(write.octets(content))
	}
	return write.signedData(algorithm, inner, chain, signer)
}

// Degenerate makes a SignedData message that carries certificates only, as SCEP
// hands them out (RFC 8894, section 3.4): one to MaxCertificates of them.
func Degenerate(certs ...*x509.Certificate) ([]byte, error) {
	if len(certs) == 0 || len(certs) > MaxCertificates {
		return nil, fmt.Errorf("cms: %d certificates, not 1 to %d", len(certs), MaxCertificates)
	}
	return writer(false).signedData(nil, nil, certs, nil)
}

// writer puts messages together: in DER, or, when true, in BER with indefinite
// lengths and chunked content where Apple's encoder writes them.
type writer bool

func (w writer) signedData(algorithms, content []byte, certs []*x509.Certificate, signers []byte) ([]byte, error) {
	data, err := asn1.Marshal(oidData)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	kind, err := asn1.Marshal(oidSignedData)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	var raw []byte
	for _, c := range certs {
		raw = append(raw, c.Raw...)
	}
	return w.sequence(kind, w.explicit(w.sequence(
		[]byte{2, 1, 1}, // version
		encode(0x31, algorithms),
		w.sequence(data, content),
		w.explicit(raw),
		encode(0x31, signers),
	))), nil
}

func (w writer) sequence(parts ...[]byte) []byte { return w.constructed(0x30, parts...) }

func (w writer) explicit(parts ...[]byte) []byte { return w.constructed(0xa0, parts...) }

func (w writer) constructed(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	if !w {
		return encode(tag, content)
	}
	return bytes.Join([][]byte{{tag, 0x80}, content, {0, 0}}, nil)
}

func (w writer) octets(b []byte) []byte {
	if !w {
		return encode(0x04, b)
	}
	var chunks [][]byte
	for chunk := range slices.Chunk(b, 4096) {
		chunks = append(chunks, encode(0x04, chunk))
	}
	return w.constructed(0x24, chunks...)
}

// attributes is the content of the SET OF signed attributes, in DER order.
func attributes(digest []byte, opt SignOptions) ([]byte, error) {
	list := append([]Attribute{{oidContentType, oidData}, {oidMessageDigest, digest}}, opt.Attributes...)
	if !opt.Time.IsZero() {
		list = append(list, Attribute{oidSigningTime, opt.Time.UTC()})
	}
	var encoded [][]byte
	for i, a := range list {
		if slices.ContainsFunc(list[:i], func(b Attribute) bool { return a.Type.Equal(b.Type) }) {
			return nil, fmt.Errorf("cms: attribute %v twice", a.Type)
		}
		value, err := asn1.Marshal(a.Value)
		if err != nil {
			return nil, fmt.Errorf("cms: attribute %v: %w", a.Type, err)
		}
		one, err := asn1.Marshal(attribute{a.Type, asn1.RawValue{FullBytes: encode(0x31, value)}})
		if err != nil {
			return nil, fmt.Errorf("cms: attribute %v: %w", a.Type, err)
		}
		encoded = append(encoded, one)
	}
	slices.SortFunc(encoded, bytes.Compare)
	return bytes.Join(encoded, nil), nil
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

func publicKeyEqual(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
