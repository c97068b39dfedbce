package mdmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	wellKnown = "/.well-known/com.apple.remotemanagement"
	// clientAgent is how a device calls itself before it is managed.
	clientAgent = "DeviceManagementClient/1.0"
)

// The kinds of enrollment that a domain can send a device to.
const (
	VersionBYOD = "mdm-byod"
	VersionADDE = "mdm-adde"
)

// Server is what service discovery found.
type Server struct{ Version, BaseURL string }

// RefusedError is a step of an enrollment that the server refused, with the
// document that says so, if there was one. It is an ErrRefused.
type RefusedError struct {
	Step   string // "discovery", "challenge", "token", "profile", "sso"
	Status int
	// Code and Message are Apple's error document, or those of RFC 6749 §5.2.
	Code, Message string
}

// Error implements error.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%v: %s was answered %d", ErrRefused, e.Step, e.Status)
	if e.Code != "" {
		text += fmt.Sprintf(" (%s: %s)", e.Code, e.Message)
	}
	return text
}

// Unwrap is ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// ErrIdentifier: what the owner typed is not user@domain.
var ErrIdentifier = errors.New("mdmtest: the identifier is not user@domain")

// Discover types an identifier under Settings > General > VPN & Device
// Management > Sign In to Work or School Account, and asks the identifier's
// domain where to enroll. From iOS 18.2 on Config.Account.Fallback is asked when
// that fails, whatever the reason; the error is that of the last.
func (p *Phone) Discover(ctx context.Context, identifier string) (*Account, error) {
	if p.before(15, 0) {
		return nil, fmt.Errorf("mdmtest: iOS %s has no sign-in to a work account", p.cfg.OSVersion)
	}
	if p.cfg.Account.Device == nil {
		return nil, errors.New("mdmtest: Config.Account.Device is missing")
	}
	user, domain, ok := strings.Cut(identifier, "@")
	if !ok || user == "" || domain == "" || strings.Contains(domain, "@") || !strings.Contains(domain, ".") {
		return nil, ErrIdentifier
	}
	query := "user-identifier=" + escape(identifier) + "&model-family=" + escape(p.info().Family())
	asked := []string{p.cfg.Account.DomainURL(domain) + wellKnown}
	if !p.before(18, 2) {
		asked = append(asked, p.cfg.Account.Fallback...)
	}
	var err error
	for _, address := range asked {
		var server Server
		if server, err = p.ask(ctx, address+"?"+query); err == nil {
			return &Account{Identifier: identifier, Server: server, phone: p}, nil
		}
	}
	return nil, err
}

// ask fetches a discovery document.
func (p *Phone) ask(ctx context.Context, address string) (Server, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Server{}, fmt.Errorf("mdmtest: %w", err)
	}
	status, header, body, err := p.client(req)
	if err != nil {
		return Server{}, err
	}
	if status != http.StatusOK {
		refused := &RefusedError{Step: "discovery", Status: status}
		if status == http.StatusForbidden && header.Get("Content-Type") == "application/json" && !p.before(17, 5) {
			refused.read(body)
		}
		return Server{}, refused
	}
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Server{}, fmt.Errorf("%w: discovery is of the type %q", ErrRefused, header.Get("Content-Type"))
	}
	var document struct{ Servers []map[string]any }
	if err := json.Unmarshal(body, &document); err != nil || len(document.Servers) == 0 {
		return Server{}, fmt.Errorf("%w: discovery names no server", ErrRefused)
	}
	first := document.Servers[0]
	server := Server{Version: text(first, "Version"), BaseURL: text(first, "BaseURL")}
	switch {
	case server.Version == VersionBYOD:
	case server.Version == VersionADDE && !p.before(17, 0):
	default:
		return Server{}, fmt.Errorf("%w: discovery names the version %q, which iOS %s does not know", ErrRefused, server.Version, p.cfg.OSVersion)
	}
	if !reaches(server.BaseURL, "https") {
		return Server{}, fmt.Errorf("%w: BaseURL is no https address", ErrRefused)
	}
	return server, nil
}

// read takes code and message from an error document.
func (e *RefusedError) read(body []byte) {
	var document map[string]any
	if json.Unmarshal(body, &document) != nil {
		return
	}
	e.Code, e.Message = text(document, "code"), text(document, "message")
	if e.Code == "" {
		e.Code, e.Message = text(document, "error"), text(document, "error_description")
	}
}

// client makes a request of the system's enrollment client, following redirects.
func (p *Phone) client(req *http.Request) (status int, header http.Header, body []byte, err error) {
	req.Header.Set("User-Agent", clientAgent)
	resp, err := p.plain.Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("mdmtest: %w", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(body) > maxAnswer {
		err = errors.New("the answer is too large")
	}
	if err != nil {
		return 0, nil, nil, fmt.Errorf("mdmtest: %s: %w", req.URL.Path, err)
	}
	return resp.StatusCode, resp.Header, body, nil
}

// escape encodes a value of a query as the device does: a plus sign stays, a
// space is %20.
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2B", "+")
}
