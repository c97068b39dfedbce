package mdm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Challenger says how the person of an account-driven enrollment signs in
// again. Package enroll has one.
type Challenger interface {
	// Challenge returns the header fields of a 401: WWW-Authenticate with one
	// value of the scheme Bearer, such as
	//
	//	Bearer method="apple-as-web", url="https://mdm.example.com/enroll/…"
	//
	// and, if wanted, those of Enrollment SSO (X-Apple-MDM-ESSO). The web session
	// that it begins belongs to e. At the first Authenticate there is no
	// enrollment: then e has nothing but its Way, and the device will start over.
	// An error, or a header without a challenge, is answered 503.
	Challenge(ctx context.Context, e Enrollment) (http.Header, error)
}

// TokenAdmitter is optionally implemented by a Challenger whose devices get
// their tokens from another authorization server. It is asked about a token that
// the store does not know.
type TokenAdmitter interface {
	// Admit reports whether the token is one of the enrollment's person, after
	// making it good in the store: the step is then tried once more. An error is
	// answered 503.
	Admit(ctx context.Context, e Enrollment, token string) (bool, error)
}

// sender is who sent a request: the certificate that proves it, the bearer
// token that came along, and how the message names its device.
type sender struct {
	certificate [32]byte
	token       string   // never logged
	bearer      [32]byte // its SHA-256, zero for none
	id          string   // EnrollmentID, or UDID
	device      bool     // id is a UDID
}

// maxBearer bounds a bearer token in bytes. Ours are of 43; those of another
// authorization server may be whole documents.
const maxBearer = 8 << 10

// bearer is the request's bearer token (RFC 6750 §2.1) with its SHA-256. What is
// no single well-formed token is none, and zero.
func bearer(r *http.Request) (token string, digest [32]byte) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", digest
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxBearer {
		return "", digest
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	body := strings.TrimRight(token, "=")
	if body == "" || strings.Trim(body, alphabet) != "" {
		return "", digest
	}
	return token, sha256.Sum256([]byte(token))
}

// unauthorized is a step that was refused with ErrBearer.
type unauthorized struct {
	from sender
	err  error
}

func (e *unauthorized) Error() string { return e.err.Error() }
func (e *unauthorized) Unwrap() error { return e.err }

// name takes from a message how the device names itself. A UDID beside an
// EnrollmentID is dropped.
func (s *sender) name(enrollmentID, udid string) error {
	key := "EnrollmentID"
	s.id, s.device = enrollmentID, false
	if enrollmentID == "" && udid != "" {
		key = "UDID"
		s.id, s.device = udid, true
	}
	if s.id == "" {
		return badRequest("EnrollmentID is missing")
	}
	if len(s.id) > maxEnrollment || strings.Trim(s.id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") != "" {
		return badRequest("%s is malformed", key)
	}
	return nil
}

// failed is the answer to an error of the store in a device's step.
func (s *Server) failed(step string, from sender, err error) error {
	err = fmt.Errorf("%s by certificate %s: %w", step, fingerprint(from.certificate), err)
	switch {
	case errors.Is(err, ErrChannel):
		return &refusal{status: http.StatusBadRequest, reason: err.Error()}
	case errors.Is(err, ErrBearer):
		return &unauthorized{from, err}
	}
	return err
}

// admitted reports whether a refused token is good after all.
func (s *Server) admitted(ctx context.Context, from sender) (bool, error) {
	admitter, ok := s.cfg.Challenger.(TokenAdmitter)
	if !ok || from.token == "" {
		return false, nil
	}
	e, err := s.cfg.Store.Enrollment(ctx, from.id)
	if errors.Is(err, ErrUnknownEnrollment) || err == nil && e.Certificate != from.certificate {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("admit: %w", err)
	}
	ok, err = admitter.Admit(ctx, e, from.token)
	if err != nil {
		return false, fmt.Errorf("admit: %w", err)
	}
	return ok, nil
}

// challenge answers a sender whose bearer token is not in force: 401 makes an
// account-driven device sign in again, and is never sent without saying how.
func (s *Server) challenge(ctx context.Context, from sender, cause error) error {
	if s.cfg.Challenger == nil {
		return &refusal{status: http.StatusForbidden, reason: cause.Error() + "; and there is no Challenger to tell how to sign in"}
	}
	e, err := s.cfg.Store.Enrollment(ctx, from.id)
	unbound := errors.Is(err, ErrUnknownEnrollment) || err == nil && e.Certificate != from.certificate
	switch {
	case unbound && from.device:
		e = Enrollment{Way: WayAccountDevice}
	case unbound:
		e = Enrollment{Way: WayAccount}
	case err != nil:
		return fmt.Errorf("challenge: %w", err)
	}
	header, err := s.cfg.Challenger.Challenge(ctx, e)
	if err != nil {
		return fmt.Errorf("challenge: %w", err)
	}
	if how := header.Values("WWW-Authenticate"); len(how) != 1 || !strings.HasPrefix(how[0], "Bearer ") {
		return errors.New("challenge: the Challenger returned no WWW-Authenticate of the scheme Bearer")
	}
	return &refusal{status: http.StatusUnauthorized, reason: cause.Error(), header: header}
}
