package scep

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// Capabilities is the answer to GetCACaps. SCEPStandard alone implies nothing to
// iOS, which looks for the others one by one.
const Capabilities = "POSTPKIOperation\nSHA-256\nAES\nSCEPStandard"

const (
	typeAuthorities = "application/x-x509-ca-ra-cert"
	typeMessage     = "application/x-pki-message"
)

// statusError is an answer for what is no SCEP message.
type statusError struct {
	status int
	allow  string
}

func (e *statusError) Error() string { return http.StatusText(e.status) }

// ServeHTTP serves the operations by the query, at whatever path it is mounted.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, body, err := h.serve(w, r)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	var status *statusError
	switch {
	case errors.As(err, &status):
		if status.allow != "" {
			w.Header().Set("Allow", status.allow)
		}
		http.Error(w, status.Error(), status.status)
	case err != nil:
		h.cfg.Logger.ErrorContext(r.Context(), "scep: no answer", slog.Any("error", err))
		w.Header().Set("Retry-After", "10")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusOK)
		if _, err := w.Write(body); err != nil {
			h.cfg.Logger.InfoContext(r.Context(), "scep: answer was not taken", slog.Any("error", err))
		}
	}
}

// serve returns an answer with its type. Its error is a *statusError, or
// something of ours that broke, a panic of a Redeemer or an Issuer included.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) (kind string, body []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // a panic's value is compared, as net/http does
				panic(cause)
			}
			err = fmt.Errorf("scep: panic: %v\n%s", cause, debug.Stack())
		}
	}()
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !read && r.Method != http.MethodPost {
		return "", nil, &statusError{http.StatusMethodNotAllowed, "GET, HEAD, POST"}
	}
	// Base64 is 4 bytes for 3, and escaped 3 bytes for 1: never beyond 4 times.
	if len(r.URL.RawQuery) > 4*h.cfg.MaxBytes+1024 {
		return "", nil, &statusError{status: http.StatusRequestURITooLong}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query["operation"]) != 1 {
		return "", nil, &statusError{status: http.StatusBadRequest}
	}
	switch operation := query.Get("operation"); {
	case operation == "PKIOperation":
		if r.Method == http.MethodHead {
			return "", nil, &statusError{http.StatusMethodNotAllowed, "GET, POST"}
		}
		message, err := h.message(w, r, query)
		if err != nil {
			return "", nil, err
		}
		body, err = h.operate(r.Context(), message)
		return typeMessage, body, err
	case operation != "GetCACert" && operation != "GetCACaps":
		return "", nil, &statusError{status: http.StatusBadRequest}
	case !read:
		return "", nil, &statusError{http.StatusMethodNotAllowed, "GET, HEAD"}
	case operation == "GetCACert":
		return typeAuthorities, h.authorities, nil
	default:
		return "text/plain", []byte(Capabilities), nil
	}
}

// message reads the CMS message out of the request.
func (h *Handler) message(w http.ResponseWriter, r *http.Request, query url.Values) ([]byte, error) {
	if r.Method == http.MethodGet {
		// iOS may leave + unescaped, which a query turns into a space.
		text := query["message"]
		if len(text) != 1 {
			return nil, &statusError{status: http.StatusBadRequest}
		}
		b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text[0], " ", "+"))
		if err != nil {
			return nil, &statusError{status: http.StatusBadRequest}
		}
		if len(b) > h.cfg.MaxBytes {
			return nil, &statusError{status: http.StatusRequestEntityTooLarge}
		}
		return b, nil
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, &statusError{status: http.StatusUnsupportedMediaType}
	}
	if r.ContentLength > int64(h.cfg.MaxBytes) {
		return nil, &statusError{status: http.StatusRequestEntityTooLarge}
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(h.cfg.MaxBytes)))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &statusError{status: http.StatusRequestEntityTooLarge}
	}
	if err != nil {
		return nil, &statusError{status: http.StatusBadRequest}
	}
	return b, nil
}

// operate answers a PKIOperation.
func (h *Handler) operate(ctx context.Context, message []byte) ([]byte, error) {
	req, err := open(message, h.cfg.MaxBytes)
	if err == nil {
		var plain []byte
		if plain, err = cms.Decrypt(req.envelope, h.cfg.RA, h.cfg.RAKey); err == nil {
			return h.enroll(ctx, req, plain)
		}
		// Whatever it was: one reason, one answer.
		err = &failure{badMessageCheck, "message cannot be read", err}
	}
	return h.refuse(ctx, req, err)
}

// enroll answers a decrypted certificate request.
func (h *Handler) enroll(ctx context.Context, req request, plain []byte) ([]byte, error) {
	csr, err := parseCSR(plain, req.signer)
	if err != nil {
		return h.refuse(ctx, req, err)
	}
	key := sha256.Sum256(csr.spki)
	cert, err := h.cfg.Redeemer.Redeem(ctx, csr.challenge, key, func(ctx context.Context) (*x509.Certificate, error) {
		return h.cfg.Issuer.Issue(ctx, csr.key)
	})
	switch {
	case errors.Is(err, ErrRefused):
		return h.refuse(ctx, req, &failure{badRequest, "challenge is not good for this key", err})
	case err != nil:
		return nil, fmt.Errorf("scep: redeeming: %w", err)
	case cert == nil || !csr.key.Equal(cert.PublicKey):
		return nil, errors.New("scep: the redeemed certificate is not of this key")
	}
	certs, err := cms.Degenerate(cert)
	if err != nil {
		return nil, err
	}
	envelope, err := cms.Encrypt(certs, req.signer, h.cfg.Random)
	if err != nil {
		return nil, err
	}
	return h.reply(req, statusSuccess, "", envelope)
}

// refuse answers an error that is a failure, and returns any other.
func (h *Handler) refuse(ctx context.Context, req request, err error) ([]byte, error) {
	var f *failure
	if !errors.As(err, &f) {
		return nil, err
	}
	h.cfg.Logger.InfoContext(ctx, "scep: request refused", slog.String("fail_info", f.info), slog.String("reason", f.reason))
	return h.reply(req, statusFailure, f.info, nil)
}
