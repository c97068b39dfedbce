// Package schematest holds what a test sends and receives against Apple's
// schema. Its functions judge one document; Transport judges every document
// that passes between a device and its server.
package schematest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
)

var limits = plist.Limits{Bytes: 4 << 20, Depth: 32, Elements: 200_000}

// Check fails the test for each problem of a decoded document; see
// appleschema.Validate.
func Check(t testing.TB, kind appleschema.Kind, name string, document map[string]any, target appleschema.Target) {
	t.Helper()
	for _, p := range appleschema.Validate(kind, name, document, target) {
		t.Errorf("%s %s for %s: %s", kind, name, target.Enrollment, p)
	}
}

// PropertyList judges a document that is an XML property list, and returns it.
func PropertyList(t testing.TB, kind appleschema.Kind, name string, content []byte, target appleschema.Target) map[string]any {
	t.Helper()
	var document map[string]any
	if err := plist.Unmarshal(content, limits, &document); err != nil {
		t.Errorf("%s %s: %v", kind, name, err)
		return nil
	}
	Check(t, kind, name, document, target)
	return document
}

// JSON judges a document in JSON, and returns it.
func JSON(t testing.TB, kind appleschema.Kind, name string, content []byte, target appleschema.Target) map[string]any {
	t.Helper()
	var document map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil || decoder.More() {
		t.Errorf("%s %s is not one object in JSON: %v", kind, name, err)
		return nil
	}
	Check(t, kind, name, document, target)
	return document
}

// Profile judges a configuration profile, signed or not, with its payloads. The
// signature is for others to judge.
func Profile(t testing.TB, content []byte, target appleschema.Target) map[string]any {
	t.Helper()
	return PropertyList(t, appleschema.KindProfile, "", unsigned(t, content), target)
}

// MachineInfo judges the body of an enrollment POST.
func MachineInfo(t testing.TB, content []byte, target appleschema.Target) map[string]any {
	t.Helper()
	return PropertyList(t, appleschema.KindMachineInfo, "", unsigned(t, content), target)
}

// unsigned takes a CMS signature off, if there is one.
func unsigned(t testing.TB, content []byte) []byte {
	t.Helper()
	if bytes.HasPrefix(bytes.TrimSpace(content), []byte("<")) {
		return content
	}
	signed, err := cms.VerifyAnySigner(content)
	if err != nil {
		t.Errorf("signature: %v", err)
		return nil
	}
	return signed.Content
}

// Command judges what a device is answered to a connect request, a profile that
// it installs and declarations that it carries included. It returns the
// CommandUUID and the RequestType.
func Command(t testing.TB, answer []byte, target appleschema.Target) (uuid, requestType string) {
	t.Helper()
	var envelope map[string]any
	if err := plist.Unmarshal(answer, limits, &envelope); err != nil {
		t.Errorf("command: %v", err)
		return "", ""
	}
	uuid, _ = envelope["CommandUUID"].(string)
	command, _ := envelope["Command"].(map[string]any)
	if uuid == "" || command == nil || len(envelope) != 2 {
		t.Errorf("a command is not CommandUUID and Command, and nothing else: %d keys", len(envelope))
		return "", ""
	}
	requestType, _ = command["RequestType"].(string)
	Check(t, appleschema.KindCommand, "", command, target)
	if profile, ok := command["Payload"].([]byte); ok && requestType == "InstallProfile" {
		Profile(t, profile, target)
	}
	if tokens, ok := command["Data"].([]byte); ok && requestType == "DeclarativeManagement" {
		JSON(t, appleschema.KindSynchronization, "TokensResponse", tokens, target)
	}
	return uuid, requestType
}

// CheckIn judges a check-in message, a status report inside it included.
func CheckIn(t testing.TB, message []byte, target appleschema.Target) map[string]any {
	t.Helper()
	document := PropertyList(t, appleschema.KindCheckIn, "", message, target)
	if status, ok := document["Data"].([]byte); ok && document["Endpoint"] == "status" {
		JSON(t, appleschema.KindSynchronization, "StatusReport", status, target)
	}
	return document
}

// Declarations judges the answer to an endpoint of declarative management.
func Declarations(t testing.TB, endpoint string, answer []byte, target appleschema.Target) {
	t.Helper()
	switch {
	case endpoint == "tokens":
		JSON(t, appleschema.KindSynchronization, "TokensResponse", answer, target)
	case endpoint == "declaration-items":
		JSON(t, appleschema.KindSynchronization, "DeclarationItemsResponse", answer, target)
	case strings.HasPrefix(endpoint, "declaration/"):
		JSON(t, appleschema.KindDeclaration, "", answer, target)
	case endpoint == "status":
		if len(answer) > 0 {
			t.Errorf("a status report is answered with %d bytes", len(answer))
		}
	default:
		t.Errorf("declarative management has no endpoint %q", endpoint)
	}
}

// text is a key of a property list, "" when there is none.
func text(content []byte, key string) string {
	var document map[string]any
	if err := plist.Unmarshal(content, limits, &document); err != nil {
		return ""
	}
	value, _ := document[key].(string)
	return value
}
