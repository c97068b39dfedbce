package sceptest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/internal/cms"
)

var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}

	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidExtensionRequest  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidSHA256WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// PKCSReq is the message type of a request for a certificate.
const PKCSReq = "19"

// RequestOptions are what a certificate request says beside its key.
type RequestOptions struct {
	Subject pkix.Name
	// Extensions are asked for in an extensionRequest attribute; nil: none.
	Extensions []pkix.Extension
	// Challenges are challengePassword attributes, one each. A phone sends one.
	Challenges []string
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// CertificateRequest makes a PKCS #10 request for the public key pub, signed by
// key (SHA-256 with RSA). A phone's pub is the one of key.
func CertificateRequest(key *rsa.PrivateKey, pub crypto.PublicKey, opt RequestOptions) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	subject, err := asn1.Marshal(opt.Subject.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	var attributes []attribute
	for _, c := range opt.Challenges {
		attributes = append(attributes, attribute{oidChallengePassword, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte(c)}}})
	}
	if opt.Extensions != nil {
		der, err := asn1.Marshal(opt.Extensions)
		if err != nil {
			return nil, err
		}
		attributes = append(attributes, attribute{oidExtensionRequest, []asn1.RawValue{{FullBytes: der}}})
	}
	var encoded [][]byte
	for _, a := range attributes {
		der, err := asn1.Marshal(a)
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, der)
	}
	slices.SortFunc(encoded, bytes.Compare)
	tbs, err := asn1.Marshal(struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes asn1.RawValue
	}{
		Subject: asn1.RawValue{FullBytes: subject}, PublicKey: asn1.RawValue{FullBytes: spki},
		Attributes: asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: bytes.Join(encoded, nil)},
	})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(tbs)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs}, pkix.AlgorithmIdentifier{Algorithm: oidSHA256WithRSA, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: signature, BitLength: len(signature) * 8},
	})
}

// SelfSigned makes the temporary certificate by which a phone signs its request.
func SelfSigned(key crypto.Signer, subject pkix.Name, now time.Time, random io.Reader) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(random, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Message is a SCEP request. All fields but those with a default are required.
type Message struct {
	// Type is the message type in decimal. Defaults to PKCSReq.
	Type          string
	TransactionID string
	SenderNonce   []byte
	// Content is the certificate request, encrypted to Recipient.
	Content   []byte
	Recipient *x509.Certificate
	// Envelope replaces the encrypted Content when it is not nil.
	Envelope []byte
	// Signer signs with Key.
	Signer *x509.Certificate
	Key    crypto.Signer
}

// Marshal returns the message's DER.
func (m Message) Marshal(random io.Reader) ([]byte, error) {
	envelope := m.Envelope
	if envelope == nil {
		var err error
		if envelope, err = cms.Encrypt(m.Content, m.Recipient, random); err != nil {
			return nil, err
		}
	}
	if m.Type == "" {
		m.Type = PKCSReq
	}
	return cms.Sign(envelope, m.Key, []*x509.Certificate{m.Signer}, cms.SignOptions{Attributes: []cms.Attribute{
		{Type: oidMessageType, Value: m.Type},
		{Type: oidTransactionID, Value: m.TransactionID},
		{Type: oidSenderNonce, Value: m.SenderNonce},
	}})
}

// Reply is a server's CertRep.
type Reply struct {
	// Status is pkiStatus: "0" success, "2" failure, "3" pending.
	Status string
	// FailInfo is set in a failure.
	FailInfo       string
	TransactionID  string
	RecipientNonce []byte
	// Envelope is a success's encrypted content.
	Envelope []byte
	Signer   *x509.Certificate
}

// ParseReply verifies a CertRep's signature and reads it.
func ParseReply(der []byte) (*Reply, error) {
	signed, err := cms.VerifySCEP(der)
	if err != nil {
		return nil, err
	}
	r := &Reply{Envelope: signed.Content, Signer: signed.Signer}
	var kind string
	err = errors.Join(signed.Attribute(oidMessageType, &kind), signed.Attribute(oidStatus, &r.Status),
		signed.Attribute(oidTransactionID, &r.TransactionID), signed.Attribute(oidRecipientNonce, &r.RecipientNonce))
	if err != nil {
		return nil, err
	}
	if kind != "3" {
		return nil, fmt.Errorf("sceptest: message of type %q, not a CertRep", kind)
	}
	if r.Status == "2" {
		if err := signed.Attribute(oidFailInfo, &r.FailInfo); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Certificate decrypts the certificate of a success.
func (r *Reply) Certificate(signer *x509.Certificate, key crypto.Decrypter) (*x509.Certificate, error) {
	plain, err := cms.Decrypt(r.Envelope, signer, key)
	if err != nil {
		return nil, err
	}
	certs, err := cms.ParseDegenerate(plain)
	if err != nil {
		return nil, err
	}
	for _, c := range certs {
		if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.Equal(signer.PublicKey) {
			return c, nil
		}
	}
	return nil, errors.New("sceptest: no certificate of our key in the answer")
}
