package schematest

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/enrollkit/enrollkit/internal/appleschema"
)

// Transport is an http.RoundTripper that judges every document of a flow that
// passes through it: service discovery, machine information, profiles,
// check-ins, commands and reports, declarations, Enrollment SSO, and error
// documents. It is safe for concurrent use.
type Transport struct {
	T      testing.TB
	Target appleschema.Target
	// Base makes the requests; needed.
	Base http.RoundTripper

	mu       sync.Mutex
	commands map[string]string // RequestType by CommandUUID
	esso     map[string]bool   // addresses of Enrollment SSO documents
	seen     map[string]int
}

// Seen is how many documents of each kind were judged. Names are those of the
// documents, such as "Authenticate", "InstallProfile" or "report".
func (j *Transport) Seen() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.seen)
}

func (j *Transport) saw(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seen == nil {
		j.seen = map[string]int{}
	}
	j.seen[name]++
}

// maxBody is more than any document has.
const maxBody = 8 << 20

// RoundTrip implements http.RoundTripper.
func (j *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	j.request(r, sent)
	answer, err := j.Base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind := mediaType(answer.Header)
	stream := kind == "text/event-stream" || kind == "text/html"
	if stream {
		return answer, nil
	}
	received, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return nil, err
	}
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(received))
	j.response(r, sent, answer, received)
	return answer, nil
}

func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

const (
	checkInType = "application/x-apple-aspen-mdm-checkin"
	connectType = "application/x-apple-aspen-mdm"
	wellKnown   = "/.well-known/com.apple.remotemanagement"
)

func (j *Transport) request(r *http.Request, sent []byte) {
	j.T.Helper()
	switch mediaType(r.Header) {
	case checkInType:
		message := CheckIn(j.T, sent, j.Target)
		name, _ := message["MessageType"].(string)
		j.saw(name)
	case connectType:
		j.report(sent)
	case "application/pkcs7-signature":
		MachineInfo(j.T, sent, j.Target)
		j.saw("MachineInfo")
	}
}

func (j *Transport) report(sent []byte) {
	j.T.Helper()
	uuid := text(sent, "CommandUUID")
	j.mu.Lock()
	name := j.commands[uuid]
	j.mu.Unlock()
	if uuid != "" && name == "" {
		j.T.Errorf("a report on a command that was not sent: %s", uuid)
	}
	PropertyList(j.T, appleschema.KindReport, name, sent, j.Target)
	j.saw("report")
}

func (j *Transport) response(r *http.Request, sent []byte, answer *http.Response, received []byte) {
	j.T.Helper()
	j.expectSSO(answer.Header)
	kind, asked := mediaType(answer.Header), mediaType(r.Header)
	ok := answer.StatusCode == http.StatusOK
	switch {
	case kind == "application/x-apple-aspen-config":
		Profile(j.T, received, j.Target)
		j.saw("profile")
	case answer.StatusCode == http.StatusForbidden && kind == "application/json" && len(received) > 0:
		JSON(j.T, appleschema.KindError, "", received, j.Target)
		j.saw("error")
	case ok && r.URL.Path == wellKnown:
		JSON(j.T, appleschema.KindDiscovery, "", received, j.Target)
		j.saw("discovery")
	case ok && j.isSSO(r.URL.String()):
		j.enrollmentSSO(received)
	case ok && asked == connectType && len(received) > 0:
		uuid, name := Command(j.T, received, j.Target)
		j.mu.Lock()
		if j.commands == nil {
			j.commands = map[string]string{}
		}
		j.commands[uuid] = name
		j.mu.Unlock()
		j.saw(name)
	case ok && asked == checkInType:
		j.checkInAnswer(sent, received)
	}
}

func (j *Transport) checkInAnswer(sent, received []byte) {
	j.T.Helper()
	switch name := text(sent, "MessageType"); name {
	case "DeclarativeManagement":
		endpoint := text(sent, "Endpoint")
		Declarations(j.T, endpoint, received, j.Target)
		head, _, _ := strings.Cut(endpoint, "/")
		j.saw("answer to " + head)
	case "GetToken":
		PropertyList(j.T, appleschema.KindCheckInAnswer, name, received, j.Target)
		j.saw("answer to " + name)
	default:
		if len(received) > 0 {
			j.T.Errorf("%s is answered with %d bytes", name, len(received))
		}
	}
}

// expectSSO notes where the document of Enrollment SSO will be fetched.
func (j *Transport) expectSSO(h http.Header) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range []string{"X-Apple-MDM-ESSO", "X-Apple-MDM-ESSO-Developer"} {
		if address := h.Get(name); address != "" {
			if j.esso == nil {
				j.esso = map[string]bool{}
			}
			j.esso[address] = true
		}
	}
}

func (j *Transport) isSSO(address string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.esso[address]
}

// enrollmentSSO judges the document, the profile and the declarations in it.
func (j *Transport) enrollmentSSO(received []byte) {
	j.T.Helper()
	document := JSON(j.T, appleschema.KindESSO, "", received, j.Target)
	inside := func(value any, judge func(content []byte)) {
		encoded, _ := value.(string)
		if content, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(content) > 0 {
			judge(content)
		}
	}
	inside(document["ConfigurationProfile"], func(content []byte) { Profile(j.T, content, j.Target) })
	declarations, _ := document["Declarations"].([]any)
	for _, d := range declarations {
		inside(d, func(content []byte) { JSON(j.T, appleschema.KindDeclaration, "", content, j.Target) })
	}
	j.saw("Enrollment SSO")
}
