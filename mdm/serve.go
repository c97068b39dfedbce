package mdm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// The content types and bounds of the two requests.
const (
	checkInType    = "application/x-apple-aspen-mdm-checkin"
	connectType    = "application/x-apple-aspen-mdm"
	maxCheckIn     = 64 << 10
	maxConnect     = 1 << 20
	retryAfter     = "30" // seconds
	maxLogged      = 64   // bytes of anything that a device wrote
	unrecognized   = `{"code":"com.apple.unrecognized.device"}`
	maxEnrollment  = 64  // bytes of an EnrollmentID, which is a UUID, or of a UDID
	maxDescription = 64  // bytes of a version or product
	maxToken       = 100 // bytes of a push token, which is of 32 today
	maxMagic       = 256 // bytes of a PushMagic, which is a UUID
	notNowRetry    = 10 * time.Minute
)

// refusal is an answer other than 200 that is meant.
type refusal struct {
	status int
	reason string
	body   string      // JSON, "" for an empty answer
	header http.Header // further fields
}

func (e *refusal) Error() string { return e.reason }

func badRequest(format string, args ...any) error {
	return &refusal{status: http.StatusBadRequest, reason: fmt.Sprintf(format, args...)}
}

// endpoint is one of the two handlers.
type endpoint struct {
	server      *Server
	contentType string
	limit       int64
	// handle answers a body from a sender who is not named yet; nil is empty.
	handle func(ctx context.Context, from sender, body []byte) ([]byte, error)
}

// ServeHTTP implements http.Handler.
func (h *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.Header().Set("Allow", http.MethodPut)
		empty(w, http.StatusMethodNotAllowed)
		return
	}
	answer, err := h.answer(w, r)
	if err != nil {
		h.server.refuse(w, r, err)
		return
	}
	if len(answer) == 0 {
		empty(w, http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(http.StatusOK)
	// The device has gone away when this fails; it will ask again.
	_, _ = w.Write(answer)
}

// answer looks at the proofs, then at the body, then hands both on. Whatever is
// wrong with the body, an identity that is not in force is answered as such.
//
// A panic, such as of a Planner, is an error like others: the device tries again.
func (h *endpoint) answer(w http.ResponseWriter, r *http.Request) (_ []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // a panic's value is compared, as net/http does
				panic(cause)
			}
			err = fmt.Errorf("mdm: panic: %v\n%s", cause, debug.Stack())
		}
	}()
	s, ctx, now := h.server, r.Context(), h.server.now()
	forbidden := func(err error) error {
		return &refusal{status: http.StatusForbidden, reason: err.Error()}
	}
	p, err := s.presented(r, now)
	if err != nil {
		return nil, forbidden(err)
	}
	body, err := readBody(w, r, h.limit)
	if err != nil {
		if p.signature == nil {
			return nil, s.judged(ctx, sha256.Sum256(p.certificate.Raw), err)
		}
		return nil, err
	}
	certificate, err := s.verified(p, body, now)
	if err != nil {
		return nil, forbidden(err)
	}
	digest := sha256.Sum256(certificate.Raw)
	if err := mediaType(r, h.contentType); err != nil {
		return nil, s.judged(ctx, digest, err)
	}
	from := sender{certificate: digest}
	from.token, from.bearer = bearer(r)
	answer, err := h.handle(ctx, from, body)
	var refused *unauthorized
	if errors.As(err, &refused) {
		again, admitErr := s.admitted(ctx, refused.from)
		switch {
		case admitErr != nil:
			return nil, admitErr
		case again:
			answer, err = h.handle(ctx, from, body)
		}
	}
	if errors.As(err, &refused) {
		err = s.challenge(ctx, refused.from, err)
	}
	return answer, s.judged(ctx, digest, err)
}

// judged replaces the refusal of a body by that of its sender, if there is one.
// No identity is bound to an empty EnrollmentID, so the step changes nothing.
func (s *Server) judged(ctx context.Context, certificate [32]byte, err error) error {
	var refused *refusal
	if !errors.As(err, &refused) || refused.status == http.StatusForbidden || refused.status == http.StatusUnauthorized {
		return err
	}
	_, sender := s.cfg.Store.Exchange(ctx, ExchangeStep{Certificate: certificate, At: s.now()})
	if errors.Is(sender, ErrForeignCertificate) || errors.Is(sender, ErrNotAuthenticated) || errors.Is(sender, ErrEnded) {
		return err
	}
	if sender == nil {
		return errors.New("mdm: the store exchanged with an enrollment without a name")
	}
	return sender
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := &refusal{status: http.StatusRequestEntityTooLarge, reason: fmt.Sprintf("body is over %d bytes", limit)}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, badRequest("body was cut off")
	}
	return body, nil
}

func mediaType(r *http.Request, want string) error {
	if len(r.Header.Values("Content-Encoding")) > 0 {
		return &refusal{status: http.StatusUnsupportedMediaType, reason: "Content-Encoding"}
	}
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || got != want {
		return &refusal{status: http.StatusUnsupportedMediaType, reason: "content type is not " + want}
	}
	return nil
}

// refuse writes the answer to an error: a refusal's own, 403 for what the
// store says about the sender, and 503 for everything else, which is ours.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
	case senderRefused(err):
		refused = &refusal{status: http.StatusForbidden, reason: err.Error()}
	default:
		s.cfg.Logger.ErrorContext(r.Context(), "mdm: request failed", "error", err)
		w.Header().Set("Retry-After", retryAfter)
		empty(w, http.StatusServiceUnavailable)
		return
	}
	s.cfg.Logger.InfoContext(r.Context(), "mdm: request refused", "status", refused.status, "reason", refused.reason)
	maps.Copy(w.Header(), refused.header)
	if refused.body == "" {
		empty(w, refused.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(refused.body)))
	w.WriteHeader(refused.status)
	_, _ = io.WriteString(w, refused.body)
}

func senderRefused(err error) bool {
	for _, kind := range []error{ErrUnknownIdentity, ErrForeignCertificate, ErrNotAuthenticated, ErrEnded, ErrSuspended, ErrDeviceLimit, ErrUnknownEnrollment} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func empty(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// logged shortens what a device wrote and takes control characters out.
func logged(text string) string {
	if len(text) > maxLogged {
		text = text[:maxLogged]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, text)
}

// fingerprint is a certificate's digest for logs.
func fingerprint(certificate [32]byte) string { return hex.EncodeToString(certificate[:8]) }
