package esso

import (
	"net/http"
	"strconv"
)

// The headers that name a document's address in a challenge, by mode.
const (
	Header          = "X-Apple-MDM-ESSO"
	DeveloperHeader = "X-Apple-MDM-ESSO-Developer"
)

// SetHeaders names the documents' https addresses in the header of a challenge.
// An empty address leaves its header out. Where there are both documents send
// both headers: a device reads that of its mode.
func SetHeaders(h http.Header, standard, developer string) {
	for name, address := range map[string]string{Header: standard, DeveloperHeader: developer} {
		if address != "" {
			h.Set(name, address)
		}
	}
}

// Handler serves one document. It is safe for concurrent use.
type Handler struct{ document []byte }

// NewHandler checks the document and returns the handler that serves it. The
// error is that of Document.Encode.
func NewHandler(d Document, mode Mode) (*Handler, error) {
	b, err := d.Encode(mode)
	if err != nil {
		return nil, err
	}
	return &Handler{b}, nil
}

// ServeHTTP serves the document at whatever path it is mounted, with status 200
// and the type application/json, which are the only ones that devices take.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(h.document)))
	w.WriteHeader(http.StatusOK)
	// The device has gone away when this fails.
	_, _ = w.Write(h.document)
}
