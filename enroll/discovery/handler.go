package discovery

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// CodeFailed is the code of Apple's error document for a refusal.
const CodeFailed = "com.apple.well-known.failed"

// contentType is compared by devices as it is.
const contentType = "application/json"

// ServeHTTP serves discovery at whatever path it is mounted.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	ask, err := parse(r.URL.RawQuery)
	if err != nil {
		h.refused(r, http.StatusBadRequest, slog.String("reason", err.Error()))
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers, ok := h.domains[ask.domain]
	status, body := http.StatusForbidden, h.unknownDomain
	if ok {
		if body, ok = answers[ask.family]; !ok {
			body = h.unknownFamily
		}
	}
	if ok {
		status = http.StatusOK
	} else {
		h.refused(r, status, slog.String("domain", ask.domain), slog.String("family", string(ask.family)))
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// The device has gone away when this fails.
	_, _ = w.Write(body)
}

func (h *Handler) refused(r *http.Request, status int, why ...slog.Attr) {
	h.logger.LogAttrs(r.Context(), slog.LevelInfo, "discovery: request refused", append(why, slog.Int("status", status))...)
}

// errMalformed is a query that no device sends. It says nothing of what it held.
var errMalformed = errors.New("discovery: user-identifier must be user@domain, once, and model-family at most once")
