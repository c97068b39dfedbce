package pushtest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push/pushtest"
)

// client speaks HTTP/2 with a certificate and knows nothing of package push.
func client(t *testing.T, apns *pushtest.Server, certPEM, keyPEM []byte) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: apns.RootCAs()}
	if certPEM != nil {
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		require.NoError(t, err)
		cfg.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

const (
	path = "/3/device/00ff10"
	id   = "7a3c51f0-0b2d-4c8e-9d11-5a6b7c8d9e0f"
)

// request is one that APNs accepts.
func request(t *testing.T, apns *pushtest.Server) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, apns.URL()+path, strings.NewReader(`{"mdm":"MAGIC"}`))
	require.NoError(t, err)
	r.Header.Set("Apns-Id", id)
	r.Header.Set("Apns-Topic", apns.Topic())
	r.Header.Set("Apns-Push-Type", "mdm")
	r.Header.Set("Apns-Priority", "10")
	r.Header.Set("Apns-Expiration", "1767323045")
	return r
}

// answer sends a request and reads what came.
func answer(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	var body struct {
		Reason string `json:"reason"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 4096)).Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return res, body.Reason
}

func TestAcceptedPushIsDelivered(t *testing.T) {
	var delivered []pushtest.Push
	apns := pushtest.New(t, func(c *pushtest.Config) {
		c.Topic = "com.apple.mgmt.External.mine"
		c.Deliver = func(p pushtest.Push) { delivered = append(delivered, p) }
	})
	certPEM, keyPEM := apns.PushCertificate()
	res, _ := answer(t, client(t, apns, certPEM, keyPEM), request(t, apns))
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, id, res.Header.Get("Apns-Id"))
	require.Equal(t, apns.Pushes(), delivered)
	p := delivered[0]
	require.Equal(t, []byte{0, 0xff, 0x10}, p.Token)
	require.Equal(t, "MAGIC", p.Magic)
	require.Equal(t, id, p.APNsID)
	require.Equal(t, "com.apple.mgmt.External.mine", p.Topic)
	require.Equal(t, time.Unix(1767323045, 0).UTC(), p.Expiration)
}

func TestMissingIDIsMade(t *testing.T) {
	apns := pushtest.New(t)
	certPEM, keyPEM := apns.PushCertificate()
	r := request(t, apns)
	r.Header.Del("Apns-Id")
	r.Header.Del("Apns-Expiration")
	res, _ := answer(t, client(t, apns, certPEM, keyPEM), r)
	require.Regexp(t, `^[0-9a-f-]{36}$`, res.Header.Get("Apns-Id"))
	require.Equal(t, res.Header.Get("Apns-Id"), apns.Pushes()[0].APNsID)
	require.Zero(t, apns.Pushes()[0].Expiration)
}

func TestWrongRequestsAreRefused(t *testing.T) {
	body := func(s string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s))
		}
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	at := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		reason string
	}{
		"another path":        {at("/3/devices/00"), 404, "BadPath"},
		"a path below":        {at(path + "/00"), 404, "BadPath"},
		"a query":             {func(r *http.Request) { r.URL.RawQuery = "x=1" }, 404, "BadPath"},
		"GET":                 {func(r *http.Request) { r.Method = "GET" }, 405, "MethodNotAllowed"},
		"no token":            {at("/3/device/"), 400, "MissingDeviceToken"},
		"a token not in hex":  {at("/3/device/xyz"), 400, "BadDeviceToken"},
		"an endless token":    {at("/3/device/" + strings.Repeat("00", 101)), 400, "BadDeviceToken"},
		"no topic":            {header("Apns-Topic"), 400, "MissingTopic"},
		"another topic":       {header("Apns-Topic", "com.apple.mgmt.other"), 400, "TopicDisallowed"},
		"two topics":          {header("Apns-Topic", "a", "b"), 400, "DuplicateHeaders"},
		"no push type":        {header("Apns-Push-Type"), 400, "InvalidPushType"},
		"another push type":   {header("Apns-Push-Type", "alert"), 400, "InvalidPushType"},
		"low priority":        {header("Apns-Priority", "5"), 400, "BadPriority"},
		"an expiration in ms": {header("Apns-Expiration", "2026-01-01"), 400, "BadExpirationDate"},
		"an id in capitals":   {header("Apns-Id", strings.ToUpper(id)), 400, "BadMessageId"},
		"no body":             {body(""), 400, "PayloadEmpty"},
		"an alert":            {body(`{"aps":{"alert":"x"}}`), 400, "PayloadEmpty"},
		"more than the magic": {body(`{"mdm":"MAGIC","aps":"x"}`), 400, "PayloadEmpty"},
		"an empty magic":      {body(`{"mdm":""}`), 400, "PayloadEmpty"},
		"too large":           {body(`{"mdm":"` + strings.Repeat("x", 4096) + `"}`), 413, "PayloadTooLarge"},
	} {
		t.Run(name, func(t *testing.T) {
			apns := pushtest.New(t)
			certPEM, keyPEM := apns.PushCertificate()
			r := request(t, apns)
			c.change(r)
			res, reason := answer(t, client(t, apns, certPEM, keyPEM), r)
			require.Equal(t, c.status, res.StatusCode)
			require.Equal(t, c.reason, reason)
			require.Empty(t, apns.Pushes())
			require.Equal(t, 1, apns.Requests())
		})
	}
}

func TestCertificates(t *testing.T) {
	apns := pushtest.New(t)
	now := time.Now()
	t.Run("of another topic", func(t *testing.T) {
		certPEM, keyPEM, err := apns.Issue("com.apple.mgmt.other", now.Add(-time.Hour), now.Add(time.Hour))
		require.NoError(t, err)
		r := request(t, apns)
		r.Header.Set("Apns-Topic", "com.apple.mgmt.other")
		res, reason := answer(t, client(t, apns, certPEM, keyPEM), r)
		require.Equal(t, 400, res.StatusCode)
		require.Equal(t, "DeviceTokenNotForTopic", reason)
	})
	t.Run("refused in TLS", func(t *testing.T) {
		expired, expiredKey, err := apns.Issue(apns.Topic(), now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0))
		require.NoError(t, err)
		foreign, foreignKey := pushtest.New(t).PushCertificate()
		before := apns.Requests()
		for name, pair := range map[string][2][]byte{"none": {}, "expired": {expired, expiredKey}, "foreign": {foreign, foreignKey}} {
			_, err := client(t, apns, pair[0], pair[1]).Do(request(t, apns))
			require.Error(t, err, name)
		}
		require.Equal(t, before, apns.Requests())
	})
	t.Run("what it looks like", func(t *testing.T) {
		certPEM, _ := apns.PushCertificate()
		block, _ := pem.Decode(certPEM)
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		require.Contains(t, cert.Subject.String(), "0.9.2342.19200300.100.1.1=")
		require.WithinDuration(t, now.AddDate(1, 0, 0), cert.NotAfter, time.Minute)
	})
}

func TestHTTP1IsRefused(t *testing.T) {
	apns := pushtest.New(t)
	certPEM, keyPEM := apns.PushCertificate()
	c := client(t, apns, certPEM, keyPEM)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	c.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	res, reason := answer(t, c, request(t, apns))
	require.Equal(t, 505, res.StatusCode)
	require.Equal(t, "HTTPVersionNotSupported", reason)
}

// TestBlackHole: in a bubble, since one who has dialed a socket does not know
// whether the server has accepted it.
func TestBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener()
		apns := pushtest.New(t, func(c *pushtest.Config) { c.Listener = l })
		apns.BlackHole(true)
		conn, err := l.dial(t.Context(), "", "")
		require.NoError(t, err)
		heard := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			heard <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = l.client(t, apns).Do(request(t, apns).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, heard, "not a word")
		require.Zero(t, apns.Connections())

		apns.BlackHole(false)
		require.Error(t, <-heard, "it is cut")
		res, _ := answer(t, l.client(t, apns), request(t, apns))
		require.Equal(t, 200, res.StatusCode)
	})
}

func TestReplies(t *testing.T) {
	apns := pushtest.New(t)
	certPEM, keyPEM := apns.PushCertificate()
	c := client(t, apns, certPEM, keyPEM)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	since := time.UnixMilli(1767323045678)
	for name, want := range map[string]struct {
		reply  pushtest.Reply
		status int
		body   string
		kind   string
	}{
		"refused":  {pushtest.Reply{Status: 410, Reason: "Unregistered", Timestamp: since}, 410, `{"reason":"Unregistered","timestamp":1767323045678}` + "\n", "application/json"},
		"no time":  {pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "7"}, 429, `{"reason":"TooManyRequests"}` + "\n", "application/json"},
		"a page":   {pushtest.Reply{Fault: pushtest.HTML}, 502, "<!DOCTYPE html><title>Bad Gateway</title><h1>Bad Gateway</h1>", "text/html"},
		"as it is": {pushtest.Reply{Status: 400, Body: "[]"}, 400, "[]", "text/plain; charset=utf-8"},
		"away":     {pushtest.Reply{Fault: pushtest.Redirect}, 307, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			apns.Script(func(pushtest.Push) pushtest.Reply { return want.reply })
			res, err := c.Do(request(t, apns))
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, want.status, res.StatusCode)
			require.Equal(t, want.body, string(body))
			require.Equal(t, want.kind, res.Header.Get("Content-Type"))
			require.Equal(t, want.reply.RetryAfter, res.Header.Get("Retry-After"))
		})
	}
	t.Run("giant", func(t *testing.T) {
		apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Giant} })
		res, err := c.Do(request(t, apns))
		require.NoError(t, err)
		defer res.Body.Close()
		_, err = io.CopyN(io.Discard, res.Body, 16<<20) // of 200, which take their time
		require.NoError(t, err)
	})
	t.Run("silent", func(t *testing.T) {
		apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Silent} })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := c.Do(request(t, apns).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("GOAWAY", func(t *testing.T) {
		apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.GoAway, Reason: "Shutdown"} })
		_, err := c.Do(request(t, apns))
		require.ErrorContains(t, err, "GOAWAY")
		require.ErrorContains(t, err, "Shutdown")
	})
	require.Empty(t, apns.Pushes())
	apns.Accept()
	res, _ := answer(t, c, request(t, apns))
	require.Equal(t, 200, res.StatusCode)
}

func TestDropCutsConnections(t *testing.T) {
	apns := pushtest.New(t)
	certPEM, keyPEM := apns.PushCertificate()
	c := client(t, apns, certPEM, keyPEM)
	answer(t, c, request(t, apns))
	require.Equal(t, 1, apns.OpenConnections())
	apns.Drop()
	require.Eventually(t, func() bool { return apns.OpenConnections() == 0 }, time.Minute, time.Millisecond)
	answer(t, client(t, apns, certPEM, keyPEM), request(t, apns)) // another one, because c may not know yet
	require.Equal(t, 2, apns.Connections())
}

// TestDelay: by the clock of a bubble, on a listener of the caller's.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener()
		apns := pushtest.New(t, func(c *pushtest.Config) { c.Listener = l })
		require.Equal(t, "https://apns.test:443", apns.URL())
		c := l.client(t, apns)
		c.Timeout = 0
		apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Delay: time.Hour} })
		begin := time.Now()
		res, _ := answer(t, c, request(t, apns))
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, time.Hour, time.Since(begin))
	})
}

// listener is a network in memory, for a bubble.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newListener() listener { return listener{make(chan net.Conn), make(chan struct{})} }

// client is one that connects through it.
func (l listener) client(t *testing.T, apns *pushtest.Server) *http.Client {
	t.Helper()
	certPEM, keyPEM := apns.PushCertificate()
	c := client(t, apns, certPEM, keyPEM)
	c.Transport.(*http.Transport).DialContext = l.dial
	return c
}

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours, nil
}

func (l listener) Close() error {
	close(l.closed)
	return nil
}

func (l listener) Addr() net.Addr { return l }
func (listener) Network() string  { return "pipe" }
func (listener) String() string   { return "apns.test:443" }

func TestOpenAndClose(t *testing.T) {
	_, err := pushtest.Open(pushtest.Config{MaxConcurrentStreams: -1})
	require.ErrorContains(t, err, "MaxConcurrentStreams")

	l := newListener()
	apns, err := pushtest.Open(pushtest.Config{Listener: l})
	require.NoError(t, err)
	require.Equal(t, pushtest.DefaultTopic, apns.Topic())
	certPEM, keyPEM := apns.PushCertificate()
	clear(certPEM) // it is the caller's
	again, _ := apns.PushCertificate()
	require.False(t, bytes.Equal(certPEM, again))
	require.NotEmpty(t, keyPEM)
	require.NoError(t, apns.Close())
	require.NoError(t, apns.Close())
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}
