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

var digests = map[crypto.Hash]struct{ digest, ecdsa asn1.ObjectIdentifier }{
	crypto.SHA1:   {asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}},
	crypto.SHA256: {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	crypto.SHA384: {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	crypto.SHA512: {asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
}

// Attribute is a signed attribute; Value is marshalled by encoding/asn1.
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
	// Attributes are added to contentType and messageDigest.
	Attributes []Attribute
	// Digest defaults to SHA-256.
	Digest crypto.Hash
	// NoAttributes signs the content itself, and BER writes indefinite lengths:
	// the shape that real devices were captured sending. For test kits.
	NoAttributes, BER bool
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

type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          contentInfo
	Certificates     asn1.RawValue `asn1:"optional"`
	Signers          []signerInfo  `asn1:"set"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// Sign makes a SignedData message over content. chain begins with key's
// certificate and is carried whole. Any crypto.Signer with an RSA or ECDSA key
// does, such as one in an HSM.
func Sign(content []byte, key crypto.Signer, chain []*x509.Certificate, opt SignOptions) ([]byte, error) {
	if opt.Digest == 0 {
		opt.Digest = crypto.SHA256
	}
	oids, ok := digests[opt.Digest]
	if !ok {
		return nil, fmt.Errorf("cms: digest %v is not supported", opt.Digest)
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

	data := signedData{Version: 1, DigestAlgorithms: []pkix.AlgorithmIdentifier{digestAlgorithm}, Content: contentInfo{Type: oidData}, Signers: []signerInfo{info}}
	if !opt.Detached {
		data.Content.Content = asn1.RawValue{FullBytes: encode(0xa0, encode(0x04, content))}
	}
	data.Certificates = certificateSet(chain)
	der, err := wrap(oidSignedData, data)
	if err != nil || !opt.BER {
		return der, err
	}
	return toBER(der, 3)
}

// Degenerate makes a SignedData message that carries certificates only.
func Degenerate(certs ...*x509.Certificate) ([]byte, error) {
	return wrap(oidSignedData, signedData{
		Version: 1, DigestAlgorithms: []pkix.AlgorithmIdentifier{}, Content: contentInfo{Type: oidData},
		Certificates: certificateSet(certs), Signers: []signerInfo{},
	})
}

func wrap(kind asn1.ObjectIdentifier, content any) ([]byte, error) {
	inner, err := asn1.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	oid, err := asn1.Marshal(kind)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	return encode(0x30, append(oid, encode(0xa0, inner)...)), nil
}

func certificateSet(certs []*x509.Certificate) asn1.RawValue {
	var raw []byte
	for _, c := range certs {
		raw = append(raw, c.Raw...)
	}
	return asn1.RawValue{FullBytes: encode(0xa0, raw)}
}

// attributes is the content of the SET OF signed attributes, in DER order.
func attributes(digest []byte, opt SignOptions) ([]byte, error) {
	list := append([]Attribute{{oidContentType, oidData}, {oidMessageDigest, digest}}, opt.Attributes...)
	if !opt.Time.IsZero() {
		list = append(list, Attribute{oidSigningTime, opt.Time.UTC()})
	}
	var encoded [][]byte
	for _, a := range list {
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

// toBER rewrites the outermost levels of a DER message with indefinite lengths.
func toBER(der []byte, levels int) ([]byte, error) {
	e, err := header(der, 0, len(der))
	if err != nil {
		return nil, err
	}
	if levels == 0 || e.tag&0x20 == 0 {
		return der, nil
	}
	out := []byte{e.tag, 0x80}
	for at := e.contentStart; at < e.contentEnd; {
		child, err := header(der, at, e.contentEnd)
		if err != nil {
			return nil, err
		}
		inner := der[at:child.end]
		if child.tag == 0x30 || child.tag == 0xa0 && levels > 1 {
			if inner, err = toBER(inner, levels-1); err != nil {
				return nil, err
			}
		}
		out, at = append(out, inner...), child.end
	}
	return append(out, 0, 0), nil
}
