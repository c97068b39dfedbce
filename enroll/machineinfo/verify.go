package machineinfo

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// MaxBytes is the largest body that Verify accepts, in bytes. Those of real
// devices have less than 4 KiB.
const MaxBytes = 32 << 10

var (
	// ErrMalformed: the body is no signed machine information.
	ErrMalformed = errors.New("machineinfo: not signed machine information")
	// ErrUntrusted: the message is forged or was changed, or its signer is no
	// device of the anchor.
	ErrUntrusted = errors.New("machineinfo: not signed by a device of the anchor")
	// ErrAnchor: what ParseAnchor was given is no anchor.
	ErrAnchor = errors.New("machineinfo: unusable anchor")
)

// Status is the HTTP status with which Verify's error is answered, with an empty
// body: any code or challenge would let the device go on. It is 403 for
// ErrUntrusted, else 400.
func Status(err error) int {
	if errors.Is(err, ErrUntrusted) {
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}

// Anchor says whose signatures are believed. The zero value believes nobody.
type Anchor struct {
	// DeviceCAs are the certificates of the authorities that certify devices;
	// a device's own must be signed directly by the key of one of them. Their
	// dates do not matter.
	DeviceCAs []*x509.Certificate
	// InsecureAnySigner believes every signature that is good, whoever made it,
	// and needs no DeviceCAs. Anybody with a self-made key can then say that
	// they are any device of any version. It remains the caller's duty that
	// nothing but the choice of a page hangs on what is said, and to log a
	// warning at its start.
	InsecureAnySigner bool
}

// maxAnchors bounds what each request is measured against.
const maxAnchors = 8

// ParseAnchor reads one to eight certificates in PEM. The error wraps ErrAnchor.
func ParseAnchor(text []byte) (Anchor, error) {
	var a Anchor
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return Anchor{}, fmt.Errorf("%w: a PEM block %q, not CERTIFICATE", ErrAnchor, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Anchor{}, fmt.Errorf("%w: %w", ErrAnchor, err)
		}
		if !cert.IsCA {
			return Anchor{}, fmt.Errorf("%w: %q is not the certificate of an authority", ErrAnchor, cert.Subject)
		}
		a.DeviceCAs = append(a.DeviceCAs, cert)
	}
	if len(a.DeviceCAs) == 0 || len(a.DeviceCAs) > maxAnchors {
		return Anchor{}, fmt.Errorf("%w: %d certificates in PEM, not 1 to %d", ErrAnchor, len(a.DeviceCAs), maxAnchors)
	}
	return a, nil
}

// Verify checks the signature of a body first, and then reads it. The header
// Content-Type says nothing of use: devices and Apple's samples disagree. Errors
// wrap ErrMalformed or ErrUntrusted and hold nothing that the body said.
func Verify(body []byte, anchor Anchor) (Info, error) {
	if len(body) > MaxBytes {
		return Info{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxBytes)
	}
	content, err := anchor.open(body)
	switch {
	case errors.Is(err, cms.ErrSignature), errors.Is(err, cms.ErrUntrusted):
		return Info{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	case err != nil:
		return Info{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return parse(content)
}

// open returns what was signed.
func (a Anchor) open(body []byte) ([]byte, error) {
	if a.InsecureAnySigner {
		s, err := cms.VerifyAnySigner(body)
		if err != nil {
			return nil, err
		}
		return s.Content, nil
	}
	cas := a.DeviceCAs
	if len(cas) == 0 {
		cas = []*x509.Certificate{nil} // whom nobody chains to
	}
	var err error
	for _, ca := range cas {
		var s *cms.Signed
		if s, err = cms.VerifyAppleDevice(body, ca); err == nil {
			return s.Content, nil
		}
		if !errors.Is(err, cms.ErrUntrusted) {
			break // another CA would not change that
		}
	}
	return nil, err
}
