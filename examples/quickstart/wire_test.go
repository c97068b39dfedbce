package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// piped is a listener whose connections are in this process, so that deadlines
// follow the clock of a synctest bubble.
type piped struct{ conns chan net.Conn }

func (p piped) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p piped) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (p piped) Close() error   { return nil }

// Who sends a byte a second is cut off.
func TestSlowClientsAreCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		begin string
		after time.Duration
	}{
		"nothing":    {"", 5 * time.Second},
		"the header": {"GET /enroll HTTP/1.1\r\nHost: mdm.example.com\r\nX: ", 5 * time.Second},
		"the body":   {"PUT /mdm/checkin HTTP/1.1\r\nHost: mdm.example.com\r\nContent-Length: 60000\r\n\r\n", 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				web := newHTTPServer(handler, slog.New(slog.DiscardHandler))
				listener := piped{make(chan net.Conn)}
				go func() { _ = web.Serve(listener) }()
				client, server := net.Pipe()
				listener.conns <- server
				begun := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := io.WriteString(client, c.begin)
					for err == nil && c.begin != "" {
						<-time.After(time.Second)
						_, err = client.Write([]byte("a"))
					}
				})
				_, _ = io.Copy(io.Discard, client)
				require.LessOrEqual(t, time.Since(begun), c.after+time.Second)
				require.NoError(t, client.Close())
				sending.Wait()
				close(listener.conns)
				require.NoError(t, web.Close())
			})
		})
	}
}

// wire sends bytes over TLS and reads the answer. Who is refused may be cut off
// before all is sent.
func (w *world) wire(request string) *http.Response {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.server.base.Host, &tls.Config{RootCAs: w.server.roots, NextProtos: []string{"http/1.1"}})
	require.NoError(w.t, err)
	defer conn.Close()
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, sent := io.WriteString(conn, request)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(w.t, err, "sent: %v", sent)
	require.NoError(w.t, resp.Body.Close())
	return resp
}

// Lines 4, 5, 6 and 71: what no client library sends.
func TestTheWire(t *testing.T) {
	w := open(t)
	host := w.server.base.Host
	get := func(target, host string, more ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
	}
	before := w.tables()
	for request, want := range map[string]int{
		get("https://evil.example/enroll", host):                          421, // the target counts
		get("https://"+host+"/enroll", "evil.example"):                    200,
		get("/enroll", "evil.example"):                                    421,
		get("/enroll", host+"\r\nHost: evil.example"):                     400,
		get("/enroll", "a b"):                                             400,
		get("/enroll", host, "X-Forwarded-Host: evil.example"):            200,
		get("//evil.example/..%2f", host):                                 404,
		get("/%2e%2e/enroll", host):                                       404,
		get("/enroll/..;/state", host):                                    404,
		get("/enroll/%00", host):                                          404,
		get("/\x00", host):                                                400,
		get("/enroll?a=%zz", host):                                        400,
		get("/"+strings.Repeat("a", 8<<10), host):                         404,
		get("/enroll", host, "X: "+strings.Repeat("a", 64<<10)):           431,
		get("/enroll", host, "Content-Length: 3", "Content-Length: 4"):    400,
		get("/enroll", host, "Transfer-Encoding: chunked, identity"):      501,
		get("/enroll", host, "Content-Length: -1"):                        400,
		get("/enroll", host, "A : b"):                                     400,
		"GET /enroll HTTP/1.1\r\n\r\n":                                    400,
		"GET /enroll HTTP/3.7\r\nHost: " + host + "\r\n\r\n":              505,
		"OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\n\r\n":                200,
		"CONNECT evil.example:443 HTTP/1.1\r\nHost: " + host + "\r\n\r\n": 421,
		get("/debug/pprof/", host):                                        404,
		get("/debug/vars", host):                                          404,
		get("/metrics", host):                                             404,
	} {
		resp := w.wire(request)
		line, _, _ := strings.Cut(request, "\r\n")
		require.Equal(t, want, resp.StatusCode, "%.80q", line)
		require.Empty(t, resp.Header.Get("Location"), "%.80q", line)
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"), "%.80q", line)
	}
	require.Equal(t, before, w.tables())
}

// secrets is the network of a phone. It notes what nobody else may read.
type secrets struct {
	http.RoundTripper
	mu    sync.Mutex
	texts map[string]string // by what it is
}

func (s *secrets) note(kind, text string) {
	if len(text) < 16 {
		return // found anywhere by chance
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[text] = kind
}

// RoundTrip implements http.RoundTripper.
func (s *secrets) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, c := range r.Cookies() {
		s.note("cookie", c.Value)
	}
	for key, values := range r.URL.Query() {
		if key == "code" || key == "state" || key == "nonce" || key == "code_challenge" {
			s.note(key, values[0])
		}
	}
	if signature := r.Header.Get("Mdm-Signature"); signature != "" {
		s.note("signature", signature[len(signature)-64:])
	}
	if r.GetBody != nil && strings.HasPrefix(r.URL.Path, "/mdm/") {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		var m struct {
			Token     []byte
			PushMagic string
		}
		if err := plist.Unmarshal(b, plist.Limits{Bytes: 1 << 20}, &m); err != nil {
			return nil, err
		}
		s.note("magic", m.PushMagic)
		s.note("push token", hex.EncodeToString(m.Token))
		s.note("push token", base64.StdEncoding.EncodeToString(m.Token))
	}
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		for _, c := range resp.Cookies() {
			s.note("cookie", c.Value)
		}
		if to, err := url.Parse(resp.Header.Get("Location")); err == nil {
			s.note("code", to.Query().Get("code"))
		}
	}
	return resp, err
}

// heard is a log that is read afterwards.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// Line 72: a story, with what goes wrong in it, and no secret of it in the log of
// all parts together, nor in /state.
func TestNoSecretIsLogged(t *testing.T) {
	o, err := parse([]string{"-addr", "127.0.0.1:0", "-data", dataDir(t)}, io.Discard)
	require.NoError(t, err)
	log := &heard{}
	s, err := start(t.Context(), o, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	require.NoError(t, err)
	t.Cleanup(s.close)
	w := &world{t, s}
	network := &secrets{RoundTripper: s.transport, texts: map[string]string{}}
	p := w.phone(func(c *mdmtest.Config) { c.Transport = network })
	require.Error(t, p.SignIn(t.Context(), s.portal(), "alice@example.com", "a secret that is wrong"))
	network.note("password", "a secret that is wrong")
	require.NoError(t, p.SignIn(t.Context(), s.portal(), "alice@example.com", password))
	raw, err := p.Download(t.Context())
	require.NoError(t, err)
	network.note("challenge", enrollmentIn(t, raw, w).SCEP.Challenge)
	require.NoError(t, p.Install(t.Context()))
	_, err = s.pushes.await(t.Context(), p.Identity().EnrollmentID)
	require.NoError(t, err)
	require.Error(t, p.CheckIn(t.Context(), map[string]any{"MessageType": "Foo"}))
	_, err = p.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.CheckOut(t.Context()))
	state := w.do(http.MethodGet, s.base.String()+"/state", nil)
	told, err := io.ReadAll(state.Body)
	require.NoError(t, err)
	s.close() // so that all is written

	kinds := map[string]int{}
	for text, kind := range network.texts {
		kinds[kind]++
		require.NotContains(t, log.String(), text, kind)
		require.NotContains(t, string(told), text, kind)
	}
	require.NotContains(t, log.String(), "PRIVATE KEY")
	for _, kind := range []string{"cookie", "code", "state", "nonce", "code_challenge", "signature", "magic", "push token", "challenge", "password"} {
		require.Positive(t, kinds[kind], kind)
	}
	require.Contains(t, log.String(), "ticket=")
}
