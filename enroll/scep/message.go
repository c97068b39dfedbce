package scep

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// The signed attributes of RFC 8894, section 3.2.1.
var (
	oidMessageType    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransactionID  = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}

	oidSignedData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidChallengePassword = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

const (
	typeCertRep     = "3"
	typePKCSReq     = "19"
	statusSuccess   = "0"
	statusFailure   = "2"
	badMessageCheck = "1"
	badRequest      = "2"

	nonceSize        = 16
	maxTransactionID = 256
	maxChallenge     = 256
	// maxExtensions is far above the two or three that iOS asks for.
	maxExtensions = 32
)

// failure is a refusal that the device is told by a CertRep.
type failure struct {
	info   string // failInfo
	reason string // for the log, the same for all that must not differ
	err    error
}

func (f *failure) Error() string { return "scep: " + f.reason }
func (f *failure) Unwrap() error { return f.err }

// request is a PKCSReq whose signature is good, or as much of a message as its
// refusal echoes.
type request struct {
	transactionID string
	senderNonce   []byte
	signer        *x509.Certificate
	envelope      []byte
}

// open verifies a message and reads its attributes. What is no SCEP message is
// a *statusError, what is one and is refused a *failure.
func open(message []byte, max int) (request, error) {
	if err := cms.Check(message, max); err != nil {
		return request{}, &statusError{status: http.StatusBadRequest}
	}
	signed, err := cms.VerifySCEP(message)
	if err != nil {
		req, ok := peek(message)
		if !ok && !errors.Is(err, cms.ErrSignature) {
			return request{}, &statusError{status: http.StatusBadRequest}
		}
		return req, &failure{badMessageCheck, "message cannot be read", err}
	}
	req := request{signer: signed.Signer, envelope: signed.Content}
	var kind, id string
	var nonce []byte
	err = errors.Join(signed.Attribute(oidMessageType, &kind), signed.Attribute(oidTransactionID, &id), signed.Attribute(oidSenderNonce, &nonce))
	if !req.echo(id, nonce) || err != nil || kind != typePKCSReq {
		return req, &failure{badMessageCheck, "not a PKCSReq with transaction id and nonce", err}
	}
	return req, nil
}

// echo keeps what the answer repeats, if it is fit to be repeated.
func (r *request) echo(id string, nonce []byte) bool {
	good := true
	if id != "" && len(id) <= maxTransactionID && strings.IndexFunc(id, notPrintable) < 0 {
		r.transactionID = id
	} else {
		good = false
	}
	if len(nonce) == nonceSize {
		r.senderNonce = nonce
	} else {
		good = false
	}
	return good
}

// notPrintable is the complement of ASN.1's PrintableString.
func notPrintable(c rune) bool {
	letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return !letter && !strings.ContainsRune(" '()+,-./:=?", c)
}

type signedAttribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// peek reads what a refusal echoes out of a message that did not verify. It
// reports whether it is SignedData at all.
func peek(message []byte) (request, bool) {
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	if rest, err := asn1.Unmarshal(message, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidSignedData) {
		return request{}, false
	}
	var data struct {
		Version      int
		Digests      asn1.RawValue
		Content      asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []struct {
			Version    int
			Signer     asn1.RawValue
			Digest     asn1.RawValue
			Attributes []signedAttribute `asn1:"set,optional,tag:0"`
		} `asn1:"set"`
	}
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil {
		return request{}, false
	}
	var req request
	var id string
	var nonce []byte
	if len(data.Signers) > 0 {
		for _, a := range data.Signers[0].Attributes {
			var err error
			switch {
			case a.Type.Equal(oidTransactionID):
				_, err = asn1.Unmarshal(a.Values.Bytes, &id)
			case a.Type.Equal(oidSenderNonce):
				_, err = asn1.Unmarshal(a.Values.Bytes, &nonce)
			}
			if err != nil {
				return req, true
			}
		}
	}
	req.echo(id, nonce)
	return req, true
}

// csr is what is taken from a certificate request.
type csr struct {
	key       *rsa.PublicKey
	spki      []byte
	challenge string
}

// parseCSR reads and judges a certificate request that signer's key sent. Its
// error is a *failure.
func parseCSR(der []byte, signer *x509.Certificate) (csr, error) {
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		// As if it had not been decrypted: a wrong key may end here as well.
		return csr{}, &failure{badMessageCheck, "message cannot be read", err}
	}
	refuse := func(reason string, err error) (csr, error) { return csr{}, &failure{badRequest, reason, err} }
	key, ok := req.PublicKey.(*rsa.PublicKey)
	if !ok || !acceptable(key) {
		return refuse("key is not RSA of 2048 to 4096 bits", nil)
	}
	if !key.Equal(signer.PublicKey) {
		return refuse("message is signed by another key than the one to certify", nil)
	}
	switch req.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA:
	default:
		return refuse("certificate request is not signed with SHA-2", nil)
	}
	if err := req.CheckSignature(); err != nil {
		return refuse("certificate request's signature is not good", err)
	}
	if len(req.Extensions) > maxExtensions {
		return refuse("certificate request asks for too many extensions", nil)
	}
	challenge, err := challengeOf(req.RawTBSCertificateRequest)
	if err != nil {
		return refuse("certificate request has not one challenge", err)
	}
	return csr{key, req.RawSubjectPublicKeyInfo, challenge}, nil
}

// challengeOf returns the one challengePassword (RFC 2985, section 5.4.1).
func challengeOf(tbs []byte) (string, error) {
	var info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []signedAttribute `asn1:"set,tag:0"`
	}
	if _, err := asn1.Unmarshal(tbs, &info); err != nil {
		return "", err
	}
	challenge := ""
	for _, a := range info.Attributes {
		if !a.Type.Equal(oidChallengePassword) {
			continue
		}
		if challenge != "" {
			return "", errors.New("more than one")
		}
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(a.Values.Bytes, &value)
		if err != nil || len(rest) > 0 || value.Class != asn1.ClassUniversal || value.IsCompound {
			return "", errors.New("not one value")
		}
		switch value.Tag {
		case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String:
		default:
			return "", fmt.Errorf("string of type %d", value.Tag)
		}
		if len(value.Bytes) == 0 || len(value.Bytes) > maxChallenge || !utf8.Valid(value.Bytes) {
			return "", errors.New("empty, too long, or not text")
		}
		challenge = string(value.Bytes)
	}
	if challenge == "" {
		return "", errors.New("none")
	}
	return challenge, nil
}

// reply makes a CertRep (RFC 8894, section 3.3.2). A failure has no content.
func (h *Handler) reply(req request, status, info string, content []byte) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	if _, err := io.ReadFull(h.cfg.Random, nonce); err != nil {
		return nil, fmt.Errorf("scep: randomness: %w", err)
	}
	attributes := []cms.Attribute{
		{Type: oidMessageType, Value: typeCertRep},
		{Type: oidStatus, Value: status},
		{Type: oidTransactionID, Value: req.transactionID},
		{Type: oidSenderNonce, Value: nonce},
		{Type: oidRecipientNonce, Value: req.senderNonce},
	}
	if status == statusFailure {
		attributes = append(attributes, cms.Attribute{Type: oidFailInfo, Value: info})
	}
	return cms.Sign(content, h.cfg.RAKey, []*x509.Certificate{h.cfg.RA}, cms.SignOptions{Detached: status == statusFailure, Attributes: attributes})
}
