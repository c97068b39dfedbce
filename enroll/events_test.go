package enroll_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// news is an event as a page reads it.
type news struct {
	Ref       string
	State     enroll.TicketState
	Text      string
	Left, Of  int
	Downloads int
	Over      bool
	Problem   *struct{ Code enroll.Code }
}

// listener reads a live stream.
type listener struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Scanner
	end   context.CancelFunc
}

func (b *browser) listen(t *testing.T, header ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.w.url+"/events", nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(r)
	require.NoError(t, err)
	l := &listener{t, resp, bufio.NewScanner(resp.Body), cancel}
	t.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	l.end()
	l.resp.Body.Close()
}

// next is the next event, nil at the end of the stream.
func (l *listener) next() *news {
	l.t.Helper()
	for l.lines.Scan() {
		if data, ok := strings.CutPrefix(l.lines.Text(), "data: "); ok {
			var n news
			require.NoError(l.t, json.Unmarshal([]byte(data), &n))
			return &n
		}
	}
	return nil
}

// device goes on from the latest download, as scep and mdm would.
func (w *world) device(upTo enroll.TicketState) {
	w.t.Helper()
	t := w.state().Tickets[0]
	challenge, key, certificate := sha256.Sum256([]byte("challenge")), sha256.Sum256([]byte("key")), sha256.Sum256([]byte("certificate"))
	now := w.clock.Now()
	_, err := w.store.Download(w.t.Context(), enroll.DownloadStep{
		TicketID: t.ID, Challenge: challenge, At: now, MaxDownloads: 10, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: enroll.DefaultWindow, Grace: enroll.DefaultGrace},
	})
	require.NoError(w.t, err)
	_, err = w.store.Identify(w.t.Context(), enroll.IdentifyStep{Challenge: challenge, Key: key, Certificate: []byte("c"), Digest: certificate, NotAfter: now.Add(time.Hour), At: now})
	require.NoError(w.t, err)
	if upTo == enroll.TicketIdentified {
		return
	}
	_, err = w.store.Authenticate(w.t.Context(), mdm.AuthenticateStep{Certificate: certificate, EnrollmentID: "E1", Topic: topic, At: now})
	require.NoError(w.t, err)
	if upTo == enroll.TicketAuthenticated {
		return
	}
	_, err = w.store.TokenUpdate(w.t.Context(), mdm.TokenUpdateStep{Certificate: certificate, EnrollmentID: "E1", Topic: topic, Token: []byte("t"), PushMagic: "m", At: now, Planned: true})
	require.NoError(w.t, err)
}

func TestEventsTellTheStory(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	l := b.listen(t, "Last-Event-ID", "-1")
	require.Equal(t, http.StatusOK, l.resp.StatusCode)
	require.Equal(t, "text/event-stream", l.resp.Header.Get("Content-Type"))
	require.Equal(t, "no-store", l.resp.Header.Get("Cache-Control"))

	n := l.next()
	require.Equal(t, enroll.TicketIssued, n.State)
	require.Equal(t, w.state().Tickets[0].Ref, n.Ref)
	require.Equal(t, 15*60, n.Left)

	b.download()
	n = l.next()
	require.Equal(t, enroll.TicketDownloaded, n.State)
	require.Equal(t, 8*60, n.Left)
	require.Equal(t, 8*60, n.Of)
	w.clock.add(time.Minute)
	b.download()
	n = l.next()
	require.Equal(t, 2, n.Downloads)
	require.Equal(t, 8*60, n.Left, "the eight minutes start anew")

	w.clock.add(enroll.DefaultWindow)
	require.Contains(t, l.next().Text, "If you have tapped Enroll already")
	w.clock.add(enroll.DefaultGrace)
	require.Contains(t, l.next().Text, "Download it again")

	w.device(enroll.TicketIdentified)
	for n = l.next(); n.State == enroll.TicketDownloaded; n = l.next() {
	}
	require.Equal(t, enroll.TicketIdentified, n.State)
	require.Zero(t, n.Left)
	require.False(t, n.Over)
}

func TestEventsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *world, b *browser)
		last enroll.TicketState
		code enroll.Code
	}{
		"enrolled":     {func(w *world, _ *browser) { w.device(enroll.TicketEnrolled) }, enroll.TicketEnrolled, ""},
		"expired":      {func(w *world, _ *browser) { w.clock.add(16 * time.Minute) }, enroll.TicketExpired, enroll.CodeTicketExpired},
		"superseded":   {func(_ *world, b *browser) { b.signIn("alice@example.com") }, "", ""},
		"signed out":   {func(_ *world, b *browser) { b.do(http.MethodPost, "/logout", map[string][]string{}) }, "", ""},
		"the server's": {func(w *world, _ *browser) { w.portal.Close(); w.portal.Close() }, "", ""},
		"suspended": {func(w *world, _ *browser) {
			require.NoError(w.t, w.store.Suspend(context.WithoutCancel(w.t.Context()), w.state().Users[0].ID, true))
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser(iPhone17)
			b.signIn("alice@example.com")
			l := b.listen(t)
			first := l.next()
			require.Equal(t, enroll.TicketIssued, first.State)
			c.end(w, b)
			var last *news
			for n := l.next(); n != nil; n = l.next() {
				last = n
			}
			require.NoError(t, l.lines.Err())
			if c.last == "" {
				return
			}
			require.Equal(t, c.last, last.State)
			require.True(t, last.Over)
			if c.code != "" {
				require.Equal(t, c.code, last.Problem.Code)
			}
			again := b.listen(t)
			require.True(t, again.next().Over, "the end is told to whoever comes later, too")
			require.Nil(t, again.next())
		})
	}
}

func TestEventsAreForTheSession(t *testing.T) {
	w := newWorld(t)
	w.unchanged(func() {
		a := w.browser(iPhone17).get("/events")
		require.Equal(t, http.StatusUnauthorized, a.StatusCode)
		require.Equal(t, "application/json", a.Header.Get("Content-Type"))
		require.Contains(t, a.body, `"code":"session_missing"`)
		require.Contains(t, w.browser(iPhone17).get("/status").body, `"code":"session_missing"`)
	})
	alice, bob := w.browser(iPhone17), w.browser(iPhone17)
	alice.signIn("alice@example.com")
	bob.signIn("bob@example.com")
	tickets := w.state().Tickets
	require.Equal(t, tickets[0].Ref, alice.listen(t).next().Ref)
	require.Equal(t, tickets[1].Ref, bob.listen(t).next().Ref)
	require.Contains(t, bob.get("/status?ref="+tickets[0].Ref).body, tickets[1].Ref, "there is nothing to ask for but one's own")
	require.Equal(t, http.StatusNotFound, bob.get("/events/"+tickets[0].ID).StatusCode)
}

func TestEventsAreLimited(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	var open []*listener
	for range 5 {
		l := b.listen(t)
		require.NotNil(t, l.next())
		open = append(open, l)
	}
	a := b.get("/events")
	require.Equal(t, http.StatusTooManyRequests, a.StatusCode)
	require.Contains(t, a.body, `"code":"too_many_streams"`)
	other := w.browser(iPhone17)
	other.signIn("alice@example.com")
	require.NotNil(t, other.listen(t).next(), "another session has its own")
	open[0].close()
	require.Eventually(t, func() bool {
		l := b.listen(t)
		defer l.close()
		return l.resp.StatusCode == http.StatusOK
	}, time.Minute, 10*time.Millisecond, "a stream that was left makes room")
}

// timed is a connection of a server, and keeps its deadlines.
type timed struct {
	net.Conn
	mu          sync.Mutex
	read, write time.Time
}

func (c *timed) SetDeadline(at time.Time) error {
	return errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at))
}

func (c *timed) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = at
	return c.Conn.SetReadDeadline(at)
}

func (c *timed) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = at
	return c.Conn.SetWriteDeadline(at)
}

func (c *timed) endless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.IsZero() && c.write.IsZero()
}

// timing tells of the connections that it accepts.
type timing struct {
	net.Listener
	accepted chan *timed
}

func (l timing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &timed{Conn: conn}
	l.accepted <- c
	return c, nil
}

// A stream outlives the deadlines that a server sets for answers that end.
func TestEventsWorkBehindTimeouts(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	bounded := httptest.NewUnstartedServer(w.portal)
	bounded.Config.ReadTimeout, bounded.Config.WriteTimeout = time.Hour, time.Hour
	accepted := make(chan *timed, 1)
	bounded.Listener = timing{bounded.Listener, accepted}
	bounded.StartTLS()
	t.Cleanup(bounded.Close)
	transport := bounded.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, bounded.Listener.Addr().String())
	}
	at := &browser{w: w, agent: b.agent, http: &http.Client{Transport: transport, Jar: b.jar}}
	l := at.listen(t)
	require.Equal(t, enroll.TicketIssued, l.next().State)
	conn := <-accepted
	require.Eventually(t, conn.endless, time.Minute, time.Millisecond, "a deadline passes before the next event")
	b.download()
	require.Equal(t, enroll.TicketDownloaded, l.next().State)
	l.close()
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	var n news
	require.NoError(t, json.Unmarshal([]byte(b.get("/status").body), &n))
	require.Equal(t, news{Ref: w.state().Tickets[0].Ref, State: enroll.TicketIssued, Text: n.Text, Left: 900, Of: 900}, n)
	w.clock.add(time.Second / 2)
	require.NoError(t, json.Unmarshal([]byte(b.get("/status").body), &n))
	require.Equal(t, 900, n.Left, "a second that has begun counts")
	w.device(enroll.TicketAuthenticated)
	require.Contains(t, b.get("/status").body, "Almost done")
	require.Contains(t, b.get("/ready").body, "Almost done")
}

func TestReadyWhenItIsDone(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	w.device(enroll.TicketEnrolled)
	a := b.get("/ready")
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Contains(t, a.body, "This device is set up")
	w.unchanged(func() { refused(t, b.get("/profile"), http.StatusGone, enroll.CodeTicketSpent) })
	b.signIn("alice@example.com")
	require.Equal(t, enroll.TicketEnrolled, w.state().Tickets[0].State, "a spent ticket is never superseded")
}

// deadlines is an answer of which the write deadlines are kept.
type deadlines struct {
	*httptest.ResponseRecorder
	set  []time.Time
	once func() // after the first event
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	if t.IsZero() {
		d.once()
	}
	return nil
}

// A deadline that passes between two events ends a stream of HTTP/2.
func TestEventsHaveADeadlineOnlyWhileTheyAreWritten(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, w.url+"/events", nil)
	for name, value := range b.cookies() {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	answer := &deadlines{httptest.NewRecorder(), nil, cancel}
	w.portal.ServeHTTP(answer, r)
	require.Contains(t, answer.Body.String(), "event: ticket")
	require.Len(t, answer.set, 3, "for the event, between events, and for the end")
	require.False(t, answer.set[0].IsZero())
	require.True(t, answer.set[1].IsZero())
	require.False(t, answer.set[2].IsZero())
}
