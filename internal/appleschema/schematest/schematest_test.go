package schematest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	. "github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/internal/plist"
)

type dict = map[string]any

// recorder notes what a test would fail for.
type recorder struct {
	testing.TB
	problems []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// server answers every request with the same.
type server struct {
	status int
	header http.Header
	body   []byte
}

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: s.status, Header: s.header, Body: io.NopCloser(strings.NewReader(string(s.body))), Request: r}, nil
}

func xml(t *testing.T, d any) []byte {
	t.Helper()
	b, err := plist.Marshal(d)
	require.NoError(t, err)
	return b
}

func object(t *testing.T, d any) []byte {
	t.Helper()
	b, err := json.Marshal(d)
	require.NoError(t, err)
	return b
}

func with(d dict, key string, value any) dict {
	c := dict{key: value}
	for k, v := range d {
		if k != key {
			c[k] = v
		}
	}
	return c
}

func TestTransport(t *testing.T) {
	const base = "https://mdm.example.com"
	common := dict{"PayloadIdentifier": "a.b", "PayloadUUID": "U", "PayloadVersion": 1}
	font := with(with(common, "PayloadType", "com.apple.font"), "Font", []byte{1})
	profile := with(with(common, "PayloadType", "Configuration"), "PayloadContent", []any{font})
	vpn := with(profile, "PayloadContent", []any{with(common, "PayloadType", "com.apple.vpn.managed")})
	idle := dict{"Status": "Idle", "EnrollmentID": "E"}
	install := func(p dict) dict {
		return dict{"CommandUUID": "C", "Command": dict{"RequestType": "InstallProfile", "Payload": xml(t, p)}}
	}
	management := func(endpoint string) dict {
		return dict{"MessageType": "DeclarativeManagement", "EnrollmentID": "E", "Endpoint": endpoint}
	}
	status := func(report dict) dict { return with(management("status"), "Data", object(t, report)) }
	declaration := dict{"Type": "com.apple.activation.simple", "Identifier": "i", "ServerToken": "s", "Payload": dict{"StandardConfigurations": []any{"c"}}}
	esso := func(p dict) dict {
		return dict{"iTunesStoreID": 1, "ConfigurationProfile": xml(t, p), "Declarations": []any{base64.StdEncoding.EncodeToString(object(t, declaration))}}
	}
	const checkIn, connect, config = "application/x-apple-aspen-mdm-checkin", "application/x-apple-aspen-mdm; charset=UTF-8", "application/x-apple-aspen-config"

	for _, test := range []struct {
		name       string
		path, kind string
		sent       []byte
		status     int
		answerKind string
		received   []byte
		seen       string
		problem    string // "" for none
	}{
		{"check-in", "/checkin", checkIn, xml(t, dict{"MessageType": "CheckOut", "EnrollmentID": "E", "Topic": "t"}), 200, "", nil, "CheckOut", ""},
		{"bad check-in", "/checkin", checkIn, xml(t, dict{"MessageType": "CheckOut", "EnrollmentID": "E"}), 400, "", nil, "CheckOut", "Topic: is missing"},
		{"binary check-in", "/checkin", checkIn, []byte("bplist00"), 400, "", nil, "", "check-in"},
		{"answered check-in", "/checkin", checkIn, xml(t, dict{"MessageType": "CheckOut", "EnrollmentID": "E", "Topic": "t"}), 200, "text/plain", []byte("ok"), "CheckOut", "answered with 2 bytes"},
		{"idle", "/connect", connect, xml(t, idle), 200, "", nil, "report", ""},
		{"command", "/connect", connect, xml(t, idle), 200, "application/xml", xml(t, install(profile)), "InstallProfile", ""},
		{"forbidden payload", "/connect", connect, xml(t, idle), 200, "application/xml", xml(t, install(vpn)), "InstallProfile", "com.apple.vpn.managed is forbidden"},
		{"command with a key too many", "/connect", connect, xml(t, idle), 200, "application/xml", xml(t, with(install(profile), "Extra", true)), "", "nothing else"},
		{"report on nothing", "/connect", connect, xml(t, dict{"Status": "Acknowledged", "EnrollmentID": "E", "CommandUUID": "none"}), 200, "", nil, "report", "was not sent"},
		{"profile", "/profile", "", nil, 200, config, xml(t, profile), "profile", ""},
		{"bad profile", "/profile", "", nil, 200, config, xml(t, with(profile, "Mood", 1)), "profile", "Mood: is unknown"},
		{"unreadable profile", "/profile", "", nil, 200, config, []byte("0\x80"), "profile", "signature"},
		{"error", "/connect", connect, xml(t, idle), 403, "application/json", object(t, dict{"code": "com.apple.unrecognized.device"}), "error", ""},
		{"bad error", "/connect", connect, xml(t, idle), 403, "application/json", object(t, dict{"code": "mood"}), "error", "no error"},
		{"discovery", "/.well-known/com.apple.remotemanagement", "", nil, 200, "application/json", object(t, dict{"Servers": []any{dict{"Version": "mdm-byod", "BaseURL": base}}}), "discovery", ""},
		{"bad discovery", "/.well-known/com.apple.remotemanagement", "", nil, 200, "application/json", []byte(`{}{}`), "discovery", "not one object"},
		{"tokens", "/checkin", checkIn, xml(t, management("tokens")), 200, "application/json", object(t, dict{"SyncTokens": dict{"DeclarationsToken": "t", "Timestamp": "2026-01-31T12:00:00Z"}}), "answer to tokens", ""},
		{"bad tokens", "/checkin", checkIn, xml(t, management("tokens")), 200, "application/json", object(t, dict{}), "answer to tokens", "SyncTokens: is missing"},
		{"manifest", "/checkin", checkIn, xml(t, management("declaration-items")), 200, "application/json", object(t, dict{"DeclarationsToken": "t"}), "answer to declaration-items", "Declarations: is missing"},
		{"declaration", "/checkin", checkIn, xml(t, management("declaration/activation/i")), 200, "application/json", object(t, declaration), "answer to declaration", ""},
		{"no endpoint", "/checkin", checkIn, xml(t, management("mood")), 200, "application/json", object(t, declaration), "answer to mood", "no endpoint"},
		{"status report", "/checkin", checkIn, xml(t, status(dict{"StatusItems": dict{}, "Errors": []any{}})), 200, "", nil, "answer to status", ""},
		{"bad status report", "/checkin", checkIn, xml(t, status(dict{"Errors": []any{}})), 200, "", nil, "answer to status", "StatusItems: is missing"},
		{"Enrollment SSO", "/esso", "", nil, 200, "application/json", object(t, esso(profile)), "Enrollment SSO", ""},
		{"Enrollment SSO with a bad profile", "/esso", "", nil, 200, "application/json", object(t, esso(vpn)), "Enrollment SSO", "forbidden"},
		{"anything else", "/other", "", nil, 200, "application/json", []byte("["), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{TB: t}
			j := &Transport{T: r, Base: server{test.status, http.Header{"Content-Type": {test.answerKind}, "X-Apple-Mdm-Esso": {base + "/esso"}}, test.received}}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+test.path, strings.NewReader(string(test.sent)))
			require.NoError(t, err)
			request.Header.Set("Content-Type", test.kind)
			answer, err := j.RoundTrip(request)
			require.NoError(t, err)
			body, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			require.Equal(t, string(test.received), string(body), "the answer is handed on")
			if test.seen != "" {
				require.Equal(t, 1, j.Seen()[test.seen], j.Seen())
			}
			if test.problem == "" {
				require.Empty(t, r.problems)
				return
			}
			require.Contains(t, strings.Join(r.problems, "\n"), test.problem)
		})
	}
}

func TestCommandRefusesWhatIsNone(t *testing.T) {
	for _, answer := range [][]byte{nil, []byte("<html>"), xml(t, dict{"CommandUUID": "C"})} {
		r := &recorder{TB: t}
		uuid, name := Command(r, answer, appleschema.Target{})
		require.Empty(t, uuid+name)
		require.NotEmpty(t, r.problems)
	}
}
