package enroll_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

const (
	topic    = "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001"
	iPhone17 = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"
	iPhone18 = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
	iPad17   = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15"
	curl     = "curl/8.14.1"
)

// clock is a time that tests move.
type clock struct{ atomic.Int64 }

func (c *clock) Now() time.Time { return time.Unix(0, c.Load()) }

func (c *clock) add(d time.Duration) { c.Add(int64(d)) }

// world is a portal with everything around it.
type world struct {
	t      testing.TB
	store  *memory.Store
	idp    *ssotest.Provider
	portal *enroll.Portal
	url    string // of the portal
	server *httptest.Server
	clock  *clock
	roots  *x509.CertPool
	seen   *watcher
	skew   *atomic.Int64  // of the signer's clock
	claims map[string]any // of mallory
}

// watcher is an observer that remembers.
type watcher struct {
	enroll.NopObserver
	moved chan enroll.Ticket
}

func (w *watcher) TicketMoved(_ context.Context, t enroll.Ticket) {
	select {
	case w.moved <- t:
	default:
	}
}

// authority is the root of all tests: making its key takes a while.
var authority = sync.OnceValues(func() (*ca.CA, error) {
	root, key, err := ca.NewRoot("Example", 24*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return ca.New(ca.Config{Certificate: root, Key: key})
})

// newSigner makes a signer of profiles and the root that it chains to.
func newSigner(t testing.TB, now func() time.Time) (*profile.Signer, *x509.Certificate) {
	t.Helper()
	authority, err := authority()
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	leaf, err := authority.IssueSigning(key.Public(), "Example profiles", 12*time.Hour)
	require.NoError(t, err)
	root := authority.Chain()[0]
	signer, err := profile.NewSigner(key, []*x509.Certificate{leaf, root})
	require.NoError(t, err)
	signer.Now = now
	return signer, root
}

// newWorld starts a portal behind TLS. edit may change its configuration.
func newWorld(t testing.TB, edit ...func(*enroll.Config)) *world {
	t.Helper()
	w := &world{t: t, store: memory.New(), clock: &clock{}, seen: &watcher{moved: make(chan enroll.Ticket, 100)}}
	w.clock.Store(time.Now().UnixNano())
	w.skew, w.claims = &atomic.Int64{}, map[string]any{"preferred_username": "mallory@example.com"}
	w.idp = ssotest.New(t, func(c *ssotest.Config) {
		c.Now = w.clock.Now
		c.Users = append(c.Users, ssotest.User{Username: "mallory", Password: "password", Claims: w.claims})
	})
	auth, err := oidc.New(oidc.Config{Issuer: w.idp.Issuer(), ClientID: "enrollkit", ClientSecret: "secret", RootCAs: w.idp.RootCAs(), Now: w.clock.Now})
	require.NoError(t, err)
	people, err := jit.New(jit.Config{Store: w.store, Now: w.clock.Now})
	require.NoError(t, err)
	signer, root := newSigner(t, w.clock.Now)
	signer.Now = func() time.Time { return w.clock.Now().Add(time.Duration(w.skew.Load())) }
	w.roots = x509.NewCertPool()
	w.roots.AddCert(root)
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.portal.ServeHTTP(rw, r) }))
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	cfg := enroll.Config{
		Tickets: w.store, Sessions: w.store, States: w.store, Users: w.store,
		Provisioner: people, Authenticator: auth, Signer: signer,
		CookieKeys: [][]byte{[]byte(strings.Repeat("k", enroll.CookieKeySize))},
		BaseURL:    w.server.URL, Organization: "Example Inc.", Identifier: "com.example.enroll", Topic: topic,
		Support: "help@example.com", PollInterval: time.Millisecond, Observer: w.seen, Now: w.clock.Now,
	}
	for _, e := range edit {
		e(&cfg)
	}
	w.portal, err = enroll.New(cfg)
	require.NoError(t, err)
	t.Cleanup(w.portal.Close)
	w.url = w.portal.URL()
	return w
}

// setName names mallory.
func (w *world) setName(name string) { w.claims["name"] = name }

// signerExpires lets the certificate of the signer expire.
func (w *world) signerExpires() { w.skew.Store(int64(48 * time.Hour)) }

func (w *world) state() storage.State {
	w.t.Helper()
	s, err := w.store.State(w.t.Context())
	require.NoError(w.t, err)
	return s
}

// unchanged runs f and demands that every table is as it was.
func (w *world) unchanged(f func()) {
	w.t.Helper()
	before := w.state()
	f()
	require.Equal(w.t, before, w.state(), "a refused request changed something")
}

// browser is a browser that does not follow redirects.
type browser struct {
	w     *world
	agent string
	jar   http.CookieJar
	http  *http.Client
}

func (w *world) browser(agent string) *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	return &browser{w: w, agent: agent, jar: jar, http: &http.Client{
		Transport: w.server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (a answer) to() string { return a.Header.Get("Location") }

func (b *browser) do(method, address string, form url.Values, header ...string) answer {
	b.w.t.Helper()
	if !strings.Contains(address, "://") {
		address = b.w.url + address
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(b.w.t.Context(), method, address, body)
	require.NoError(b.w.t, err)
	r.Header.Set("User-Agent", b.agent)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			r.Host = header[i+1]
		case "Content-Type":
			r.Header.Set(header[i], header[i+1])
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	resp, err := b.http.Do(r)
	require.NoError(b.w.t, err)
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	require.NoError(b.w.t, err)
	return answer{resp, string(read)}
}

func (b *browser) get(path string, header ...string) answer {
	b.w.t.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

// press presses "This is an iPhone or iPad".
func (b *browser) press() answer {
	b.w.t.Helper()
	return b.do(http.MethodPost, "/device", url.Values{"from": {""}}, "Sec-Fetch-Site", "same-origin")
}

// begin starts a sign-in and returns where the provider sends the browser back to.
func (b *browser) begin(username string) string {
	b.w.t.Helper()
	a := b.get("/login")
	require.Equal(b.w.t, http.StatusSeeOther, a.StatusCode, a.body)
	back, err := b.w.idp.SignIn(a.to(), username, "password")
	require.NoError(b.w.t, err)
	return back.String()
}

// signIn goes up to the page that offers the profile.
func (b *browser) signIn(username string) answer {
	b.w.t.Helper()
	a := b.get(b.begin(username))
	require.Equal(b.w.t, http.StatusSeeOther, a.StatusCode, a.body)
	require.Equal(b.w.t, enroll.DefaultPrefix+"/ready", a.to())
	return b.get("/ready")
}

// cookies are the browser's cookies for the portal by name.
func (b *browser) cookies() map[string]string {
	u, err := url.Parse(b.w.url)
	require.NoError(b.w.t, err)
	all := map[string]string{}
	for _, c := range b.jar.Cookies(u) {
		all[c.Name] = c.Value
	}
	return all
}

// download demands a profile and returns its property list.
func (b *browser) download() []byte {
	b.w.t.Helper()
	a := b.get("/profile")
	require.Equal(b.w.t, http.StatusOK, a.StatusCode, a.body)
	require.Equal(b.w.t, profile.ContentType, a.Header.Get("Content-Type"))
	require.Regexp(b.w.t, `filename="[a-z]+\.mobileconfig"`, a.Header.Get("Content-Disposition"))
	signed, err := cms.VerifyProfile([]byte(a.body), b.w.roots, b.w.clock.Now())
	require.NoError(b.w.t, err)
	return signed.Content
}

// refused demands a page that tells a problem.
func refused(t testing.TB, a answer, status int, code enroll.Code) {
	t.Helper()
	require.Equal(t, status, a.StatusCode, a.body)
	require.Contains(t, a.Header.Get("Content-Type"), "text/html")
	require.Contains(t, a.body, "<code>"+string(code)+"</code>")
	p, ok := enroll.ProblemOf(code)
	require.True(t, ok)
	require.Equal(t, status, p.Status)
}

// Devices implements enroll.TicketStore.
func (c crowded) Devices(context.Context, string) (int, error) { return c.n, nil }

// transport reaches portal and provider, and trusts both.
func (w *world) transport() http.RoundTripper {
	portal, idp := w.server.Client().Transport, w.idp.HTTPClient().Transport
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.String(), w.server.URL+"/") {
			return portal.RoundTrip(r)
		}
		return idp.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
