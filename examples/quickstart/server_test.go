package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/porttest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// world is a server of this process, without a phone of its own.
type world struct {
	t      *testing.T
	server *server
}

// dataDir is a new directory with keys that were made before: making them is most
// of a start.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	keys, err := madeKeys()
	require.NoError(t, err)
	for name, content := range keys {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return dir
}

// open starts a server, without -data in a directory of dataDir.
func open(t *testing.T, args ...string) *world {
	t.Helper()
	if !slices.Contains(args, "-data") {
		args = append(args, "-data", dataDir(t))
	}
	o, err := parse(append([]string{"-addr", "127.0.0.1:0"}, args...), io.Discard)
	require.NoError(t, err)
	s, err := start(t.Context(), o, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(s.close)
	return &world{t, s}
}

// madeKeys are the files of authorities that tests share.
var madeKeys = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "quickstart-keys-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := openAuthorities(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// do sends a request to the listener, whatever its host.
func (w *world) do(method, address string, body io.Reader, edit ...func(*http.Request)) *http.Response {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, address, body)
	require.NoError(w.t, err)
	for _, e := range edit {
		e(r)
	}
	resp, err := w.server.transport.RoundTrip(r)
	require.NoError(w.t, err)
	read, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, resp.Body.Close())
	resp.Body = io.NopCloser(bytes.NewReader(read))
	return resp
}

func (w *world) state() map[string][]map[string]any {
	w.t.Helper()
	resp := w.do(http.MethodGet, w.server.base.String()+"/state", nil)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	var state map[string][]map[string]any
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&state))
	return state
}

func (w *world) phone(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	w.t.Helper()
	cfg := mdmtest.Config{Transport: w.server.transport, Roots: w.server.roots}
	for _, e := range edit {
		e(&cfg)
	}
	p, err := mdmtest.New(cfg)
	require.NoError(w.t, err)
	return p
}

// signedIn is a phone whose owner is on the page with the profile.
func (w *world) signedIn(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	w.t.Helper()
	p := w.phone(edit...)
	require.NoError(w.t, p.SignIn(w.t.Context(), w.server.portal(), "alice@example.com", password))
	return p
}

func (w *world) enrolled(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	w.t.Helper()
	p := w.signedIn(edit...)
	_, err := p.Download(w.t.Context())
	require.NoError(w.t, err)
	require.NoError(w.t, p.Install(w.t.Context()))
	return p
}

func TestStateHasTheKeysOfTheContract(t *testing.T) {
	w := open(t)
	for table, rows := range w.state() {
		require.NotNil(t, rows, "%s is null", table)
		require.Empty(t, rows)
	}
	p := w.enrolled()
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
	_, err = w.server.pushes.await(t.Context(), p.Identity().EnrollmentID)
	require.NoError(t, err)

	state := w.state()
	want := map[string][]string{
		"users":       {"groups", "id", "issuer", "managed_apple_account", "subject", "suspended"},
		"tickets":     {"downloads", "issued", "ownership", "ref", "state", "user"},
		"enrollments": {"certificate_sha256", "enrollment_id", "state", "ticket", "user"},
		"commands":    {"command_uuid", "enrollment_id", "request_type", "status"},
		"pushes":      {"enrollment_id", "status", "time"},
	}
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(state)))
	for table, keys := range want {
		require.Len(t, state[table], 1, table)
		require.Equal(t, keys, slices.Sorted(maps.Keys(state[table][0])), table)
	}
	user, ticket, enrollment := state["users"][0], state["tickets"][0], state["enrollments"][0]
	require.Equal(t, w.server.base.String()+"/idp", user["issuer"])
	require.Equal(t, false, user["suspended"])
	require.Equal(t, user["id"], ticket["user"])
	require.Equal(t, user["id"], enrollment["user"])
	require.Equal(t, ticket["ref"], enrollment["ticket"])
	require.Equal(t, "personal", ticket["ownership"])
	require.Equal(t, "enrolled", ticket["state"])
	require.EqualValues(t, 1, ticket["downloads"])
	require.Equal(t, digest(p.Identity().Digest()), enrollment["certificate_sha256"])
	require.Equal(t, p.Identity().EnrollmentID, state["commands"][0]["enrollment_id"])
	require.EqualValues(t, 200, state["pushes"][0]["status"])
	for _, at := range []any{ticket["issued"], state["pushes"][0]["time"]} {
		_, err := time.Parse(time.RFC3339, at.(string))
		require.NoError(t, err)
	}
}

func TestStateIsForLoopbackPeers(t *testing.T) {
	w := open(t)
	for peer, want := range map[string]int{
		"127.0.0.1:5": 200, "[::1]:5": 200, "[::ffff:127.0.0.1]:5": 200,
		"192.0.2.1:5": 404, "[2001:db8::1]:5": 404, "[fe80::1%eth0]:5": 404, "": 404, "@": 404,
	} {
		r := httptest.NewRequest(http.MethodGet, "/state", nil)
		r.RemoteAddr = peer
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		rec := httptest.NewRecorder()
		w.server.state(rec, r)
		require.Equal(t, want, rec.Code, peer)
	}
	require.Equal(t, http.StatusMethodNotAllowed, w.do(http.MethodPost, w.server.base.String()+"/state", nil).StatusCode)
}

func TestASecondDownloadChangesDownloadsOnly(t *testing.T) {
	w := open(t)
	p := w.signedIn()
	_, err := p.Download(t.Context())
	require.NoError(t, err)
	before := w.state()
	_, err = p.Download(t.Context())
	require.NoError(t, err)
	after := w.state()
	require.EqualValues(t, 1, before["tickets"][0]["downloads"])
	require.EqualValues(t, 2, after["tickets"][0]["downloads"])
	after["tickets"][0]["downloads"] = before["tickets"][0]["downloads"]
	require.Equal(t, before, after)
	require.NoError(t, p.Install(t.Context()))
}

func TestARefusedRequestChangesNothing(t *testing.T) {
	w := open(t)
	p := w.enrolled()
	_, err := w.server.pushes.await(t.Context(), p.Identity().EnrollmentID)
	require.NoError(t, err)
	base := w.server.base.String()
	before := w.state()
	for name, c := range map[string]struct {
		method, path, body, contentType string
		want                            int
	}{
		"callback of nobody":      {http.MethodGet, "/enroll/callback?code=a&state=b", "", "", 400},
		"check-in without proof":  {http.MethodPut, "/mdm/checkin", "<plist/>", "application/x-apple-aspen-mdm-checkin", 403},
		"connect without proof":   {http.MethodPut, "/mdm/connect", "<plist/>", "application/x-apple-aspen-mdm", 403},
		"SCEP that is none":       {http.MethodPost, "/scep?operation=PKIOperation", "0", "application/x-pki-message", 400},
		"login form out of place": {http.MethodPost, "/idp/login", "username=alice", "application/x-www-form-urlencoded", 400},
		"nothing there":           {http.MethodGet, "/elsewhere", "", "", 404},
	} {
		resp := w.do(c.method, base+c.path, strings.NewReader(c.body), func(r *http.Request) { r.Header.Set("Content-Type", c.contentType) })
		require.Equal(t, c.want, resp.StatusCode, name)
	}
	require.Equal(t, before, w.state())
}

func TestHost(t *testing.T) {
	base := &url.URL{Scheme: "https", Host: "mdm.example.com:8443"}
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })
	for _, c := range []struct {
		base, host, target string
		status             int
		location           string
	}{
		{"", "mdm.example.com:8443", "/enroll", 200, ""},
		{"", "MDM.Example.Com:8443", "/enroll", 200, ""},
		{"", "mdm.example.com", "/enroll", 421, ""},
		{"", "mdm.example.com:443", "/enroll", 421, ""},
		{"", "127.0.0.1:8443", "/enroll", 421, ""},
		{"", "evil.example", "/enroll", 421, ""},
		{"", "", "/enroll", 421, ""},
		{"", "localhost:8443", "/enroll?a=b%2Fc", 307, "https://mdm.example.com:8443/enroll?a=b%2Fc"},
		{"", "LOCALHOST", "/", 307, "https://mdm.example.com:8443/"},
		{"", "localhost", "//evil.example/x", 307, "https://mdm.example.com:8443//evil.example/x"},
		{"", "localhost.evil.example", "/", 421, ""},
		{"", "mdm.example.com:8443", "//evil.example/x", 404, ""},
		{"", "mdm.example.com:8443", "/a/../b", 404, ""},
		{"", "mdm.example.com:8443", "/enroll/", 200, ""},
		{"mdm.example.com", "mdm.example.com:443", "/", 200, ""},
		{"mdm.example.com", "mdm.example.com", "/", 200, ""},
		{"localhost:8443", "localhost:8443", "/", 200, ""},
		{"localhost:8443", "127.0.0.1:8443", "/", 421, ""},
	} {
		ours := *base
		if c.base != "" {
			ours.Host = c.base
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		var err error
		r.URL, err = url.ParseRequestURI(c.target)
		require.NoError(t, err)
		r.Host = c.host
		rec := httptest.NewRecorder()
		onlyOurHost(&ours, served).ServeHTTP(rec, r)
		require.Equal(t, c.status, rec.Code, "%+v", c)
		require.Equal(t, c.location, rec.Header().Get("Location"), "%+v", c)
	}
}

func TestHostsOfTheListener(t *testing.T) {
	w := open(t)
	port := w.server.base.Port()
	for host, want := range map[string]int{"127.0.0.1": 303, "localhost": 307, "[::1]": 421} {
		// The certificate is for all three.
		resp := w.do(http.MethodGet, "https://"+host+":"+port+"/", nil)
		require.Equal(t, want, resp.StatusCode, host)
	}
	strange := w.do(http.MethodGet, w.server.base.String()+"/", nil, func(r *http.Request) { r.Host = "evil.example" })
	require.Equal(t, http.StatusMisdirectedRequest, strange.StatusCode)
}

func TestBaseURLElsewhere(t *testing.T) {
	w := open(t, "-base-url", "https://mdm.example.com")
	p := w.enrolled(func(c *mdmtest.Config) { c.TLSIdentity, c.Signature = true, mdmtest.SignatureNone })
	require.Equal(t, "https://mdm.example.com/mdm/connect", p.Identity().Profile.ServerURL)
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Installed(), 1)
	require.Equal(t, "https://mdm.example.com/idp", w.state()["users"][0]["issuer"])
}

// A device that lives elsewhere: nobody in this process has its token.
func TestAPushForAPhoneElsewhereIsAccepted(t *testing.T) {
	w := open(t)
	p := w.enrolled()
	result, err := w.server.pushes.await(t.Context(), p.Identity().EnrollmentID)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, result.Status)
	require.NotEmpty(t, w.server.apns.Pushes()) // one whose answer comes late is repeated
	push := w.state()["pushes"][0]
	require.Equal(t, p.Identity().EnrollmentID, push["enrollment_id"])
	require.EqualValues(t, 200, push["status"])
}

func TestDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	w := open(t, "-data", dir)
	found := func() map[string]string {
		files := map[string]string{}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			info, err := e.Info()
			require.NoError(t, err)
			if strings.HasPrefix(e.Name(), "enrollkit.db") {
				continue
			}
			want := os.FileMode(0o600)
			if strings.HasSuffix(e.Name(), ".pem") {
				want = 0o644
			}
			require.Equal(t, want, info.Mode(), e.Name())
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			require.NoError(t, err)
			files[e.Name()] = string(b)
		}
		return files
	}
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	first := found()
	require.Equal(t, []string{
		"ca.key", "ca.pem", "cookie.key", "device-ca.key", "device-ca.pem", "identity-ca.key", "identity-ca.pem", "idp.key", "port",
		"profile-signing.key", "profile-signing.pem", "push-topic", "scep-ra.key", "scep-ra.pem", "tls.key", "tls.pem",
	}, slices.Sorted(maps.Keys(first)))
	require.Equal(t, w.server.base.Port(), first["port"])
	w.server.close()

	again := open(t, "-data", dir)
	require.Equal(t, first, found())
	again.server.close()

	// Another base URL needs another certificate, and nothing else.
	other := open(t, "-data", dir, "-base-url", "https://mdm.example.com")
	second := found()
	require.NotEqual(t, first["tls.pem"], second["tls.pem"])
	for _, name := range []string{"tls.pem"} {
		delete(first, name)
		delete(second, name)
	}
	delete(first, "tls.key")
	delete(second, "tls.key")
	require.Equal(t, first, second)
	require.Equal(t, http.StatusSeeOther, other.do(http.MethodGet, "https://mdm.example.com/", nil).StatusCode)
}

// announcing tells when the answer to a path has begun.
type announcing struct {
	http.RoundTripper
	path  string
	begun chan struct{}
}

func (a *announcing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if r.URL.Path == a.path {
		close(a.begun)
	}
	return resp, err
}

func TestStopEndsLivePages(t *testing.T) {
	w := open(t)
	live := &announcing{w.server.transport, "/enroll/events", make(chan struct{})}
	p := w.signedIn(func(c *mdmtest.Config) { c.Transport = live })
	page := make(chan *mdmtest.Page, 1)
	go func() {
		got, err := p.Safari.Open(t.Context(), w.server.portal()+"/events")
		if err != nil {
			t.Error(err)
		}
		page <- got
	}()
	<-live.begun
	w.server.close()
	require.Equal(t, "text/event-stream", (<-page).ContentType)
}

// listensAt is a listener as far as its address goes.
type listensAt struct {
	net.Listener
	at string
}

func (l listensAt) Addr() net.Addr  { return l }
func (l listensAt) Network() string { return "tcp" }
func (l listensAt) String() string  { return l.at }

func TestBaseURLOfTheListener(t *testing.T) {
	for at, want := range map[string]string{
		"127.0.0.1:8443": "https://127.0.0.1:8443", "192.0.2.1:443": "https://192.0.2.1", "[::1]:8443": "https://[::1]:8443",
		"0.0.0.0:8443": "https://127.0.0.1:8443", "[::]:8443": "https://127.0.0.1:8443",
	} {
		require.Equal(t, want, baseURL(listensAt{at: at}).String())
	}
	open(t, "-addr", ":0").enrolled()
	open(t, "-addr", "localhost:0").enrolled()
}

// The port is chosen once for a data directory, and again when it is taken. This
// one is none that the system gives to others while nobody listens.
func TestPortIsKept(t *testing.T) {
	dir := t.TempDir()
	w := open(t, "-data", dir, "-addr", porttest.Address(t))
	first := w.server.base.Host
	w.server.close()
	w = open(t, "-data", dir)
	require.Equal(t, first, w.server.base.Host)
	w.server.close()

	taken, err := net.Listen("tcp", first)
	require.NoError(t, err)
	w = open(t, "-data", dir)
	require.NotEqual(t, first, w.server.base.Host)
	w.server.close()
	require.NoError(t, taken.Close())
	require.Equal(t, first, open(t, "-data", dir).server.base.Host)
}
