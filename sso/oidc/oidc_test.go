package oidc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

const (
	alice    = "alice@example.com"
	callback = "https://enroll.example.com/callback"
	tenantA  = "11111111-1111-1111-1111-111111111111"
	tenantB  = "22222222-2222-2222-2222-222222222222"
	consumer = "9188040d-6c67-4c5b-b112-36a304b66dad"
	objectID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a provider, a relying party and what it logged.
type world struct {
	t     *testing.T
	idp   *ssotest.Provider
	rp    *oidc.Provider
	clock *clock
	log   *bytes.Buffer
}

func newWorld(t *testing.T, change func(*oidc.Config), opts ...ssotest.Option) *world {
	w := &world{t: t, clock: &clock{now: start}, log: &bytes.Buffer{}}
	w.idp = ssotest.New(t, append([]ssotest.Option{func(c *ssotest.Config) { c.Now = w.clock.Now }}, opts...)...)
	cfg := oidc.Config{ClientID: "enrollkit", ClientSecret: "secret"}
	w.rp = w.party(cfg, change)
	return w
}

// inProcess is a world without a network, for a bubble of synctest.
func inProcess(t *testing.T, change func(*oidc.Config), opts ...ssotest.Option) *world {
	w := &world{t: t, clock: &clock{now: start}, log: &bytes.Buffer{}}
	cfg := ssotest.Config{
		Issuer: "https://idp.example.com/idp", Now: w.clock.Now,
		Users:   []ssotest.User{{Username: alice, Password: "password", Subject: "alice-1", Email: alice, Groups: []string{"byod"}}},
		Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret"}},
	}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	w.idp, err = ssotest.Open(cfg)
	require.NoError(t, err)
	w.rp = w.party(oidc.Config{ClientID: "enrollkit", ClientSecret: "secret", HTTPClient: w.idp.HTTPClient()}, change)
	return w
}

func (w *world) party(cfg oidc.Config, change func(*oidc.Config)) *oidc.Provider {
	cfg.Issuer, cfg.RootCAs, cfg.Now = w.idp.Issuer(), w.idp.RootCAs(), w.clock.Now
	cfg.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	if change != nil {
		change(&cfg)
	}
	rp, err := oidc.New(cfg)
	require.NoError(w.t, err)
	return rp
}

func request() sso.Request { return sso.Request{RedirectURL: callback, LoginHint: alice} }

// signIn goes the whole way, as the portal does.
func (w *world) signIn() (jit.Identity, error) {
	a, err := w.rp.Begin(w.t.Context(), request())
	if err != nil {
		return jit.Identity{}, err
	}
	back, err := w.idp.SignIn(a.URL, alice, "password")
	require.NoError(w.t, err)
	key, err := w.rp.State(a.Secret, back.Query())
	if err != nil {
		return jit.Identity{}, err
	}
	require.Equal(w.t, a.Key, key)
	return w.rp.Finish(w.t.Context(), request(), a.Secret, back.Query())
}

// claims gives alice claims.
func claims(c map[string]any) ssotest.Option {
	return func(cfg *ssotest.Config) { cfg.Users[0].Claims = c }
}

func TestSignIn(t *testing.T) {
	w := newWorld(t, nil)
	id, err := w.signIn()
	require.NoError(t, err)
	require.Equal(t, w.idp.Issuer(), id.Issuer)
	require.Equal(t, "alice-1", id.Subject)
	require.Equal(t, alice, id.PreferredUsername)
	require.Equal(t, alice, id.Email)
	require.True(t, id.EmailVerified)
	require.Equal(t, "Alice Example", id.Name)
	require.Equal(t, []string{"byod", "engineering"}, id.Groups)
	require.Equal(t, jit.GroupsPresent, id.GroupState)
	require.True(t, start.Equal(id.AuthTime))
	require.Equal(t, "alice-1", id.Claims["sub"])
}

func TestBeginAsksForTheRightThings(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) {
		c.MaxAge, c.RequireMFA, c.ACRValues = time.Hour, true, []string{"a", "b"}
	})
	a, err := w.rp.Begin(t.Context(), request())
	require.NoError(t, err)
	require.LessOrEqual(t, len(a.Secret), 1<<10)
	u, err := url.Parse(a.URL)
	require.NoError(t, err)
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "enrollkit", "redirect_uri": callback, "scope": "openid profile email",
		"code_challenge_method": "S256", "login_hint": alice, "max_age": "3600", "acr_values": "a b",
	} {
		require.Equal(t, want, q.Get(name), name)
	}
	require.Equal(t, sha256.Sum256([]byte(q.Get("state"))), a.Key)
	require.Len(t, q.Get("state"), 43)
	require.Len(t, q.Get("nonce"), 43)
	require.Len(t, q.Get("code_challenge"), 43)

	other, err := w.rp.Begin(t.Context(), sso.Request{RedirectURL: callback, LoginHint: "a\r\nb" + strings.Repeat("x", 300)})
	require.NoError(t, err)
	require.NotEqual(t, a.Secret, other.Secret)
	require.NotContains(t, other.URL, "login_hint")

	_, err = w.rp.Begin(t.Context(), sso.Request{RedirectURL: "/callback"})
	require.Error(t, err)
}

func TestExactlyOneAudienceWithOwnAZPIsFine(t *testing.T) {
	for name, c := range map[string]map[string]any{
		"azp":                  {"azp": "enrollkit"},
		"second audience, azp": {"aud": []string{"enrollkit", "api"}, "azp": "enrollkit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newWorld(t, nil, claims(c)).signIn()
			require.NoError(t, err)
		})
	}
}

func TestClocksMayDiffer(t *testing.T) {
	for skew, ok := range map[time.Duration]bool{-time.Minute: true, time.Minute: true, -3 * time.Minute: false} {
		w := newWorld(t, func(c *oidc.Config) {
			now := c.Now
			c.Now = func() time.Time { return now().Add(skew) }
		})
		_, err := w.signIn()
		require.Equal(t, ok, err == nil, "%v: %v", skew, err)
	}
}

func TestLazyDiscovery(t *testing.T) {
	w := newWorld(t, nil)
	require.Zero(t, w.idp.Requests("openid-configuration"), "New asks nobody")
	w.idp.Break(ssotest.DiscoveryDown)
	require.ErrorIs(t, w.rp.Ready(t.Context()), sso.ErrUnavailable)
	_, err := w.signIn()
	require.ErrorIs(t, err, sso.ErrUnavailable)

	w.idp.Repair()
	require.NoError(t, w.rp.Ready(t.Context()))
	for range 3 {
		_, err = w.signIn()
		require.NoError(t, err)
	}
	require.Equal(t, 3, w.idp.Requests("openid-configuration"), "two failures, one success")
	require.Equal(t, 1, w.idp.Requests("jwks"))

	w.clock.Add(25 * time.Hour)
	_, err = w.signIn()
	require.NoError(t, err)
	require.Equal(t, 4, w.idp.Requests("openid-configuration"), "again after a day")
	require.Equal(t, 2, w.idp.Requests("jwks"), "a key that was withdrawn is forgotten")
}

func TestConcurrentSignInsShareOneDiscovery(t *testing.T) {
	for _, fault := range []ssotest.Fault{"", ssotest.SlowDiscovery} {
		t.Run(string(fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := inProcess(t, nil)
				w.idp.Break(fault)
				began := time.Now()
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						_, err := w.rp.Begin(t.Context(), request())
						if (err == nil) != (fault == "") {
							t.Errorf("%q: %v", fault, err)
						}
					})
				}
				wg.Wait()
				require.LessOrEqual(t, time.Since(began), 10*time.Second, "nobody waits for those before")
				require.Equal(t, 1, w.idp.Requests("openid-configuration"))
			})
		})
	}
}

func TestCallerWhoLeavesDoesNotFailOthers(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.rp.Begin(ctx, request())
	require.ErrorIs(t, err, sso.ErrUnavailable)
	_, err = w.signIn()
	require.NoError(t, err)
}

func TestPublicClientAndAnyNode(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) { c.ClientSecret = "" }, func(c *ssotest.Config) { c.Clients[0].Secret = "" })
	a, err := w.rp.Begin(t.Context(), request())
	require.NoError(t, err)
	back, err := w.idp.SignIn(a.URL, alice, "password")
	require.NoError(t, err)
	node2 := w.party(oidc.Config{ClientID: "enrollkit"}, nil)
	id, err := node2.Finish(t.Context(), request(), a.Secret, back.Query())
	require.NoError(t, err)
	require.Equal(t, "alice-1", id.Subject)
}

func TestWrongClientSecretIsNotThePersonsFault(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) { c.ClientSecret = "wrong" })
	_, err := w.signIn()
	require.ErrorIs(t, err, sso.ErrUnavailable)
	require.Equal(t, 1, w.idp.Requests("token"), "the code is sent once")
}

func TestNothingSecretIsLoggedOrTold(t *testing.T) {
	for _, fault := range []ssotest.Fault{"", ssotest.WrongNonce, ssotest.HTMLToken, ssotest.WrongAudience, ssotest.TokenTattles} {
		w := newWorld(t, nil)
		w.idp.Break(fault)
		a, err := w.rp.Begin(t.Context(), request())
		require.NoError(t, err)
		back, err := w.idp.SignIn(a.URL, alice, "password")
		require.NoError(t, err)
		said := ""
		for range 2 {
			if _, err := w.rp.Finish(t.Context(), request(), a.Secret, back.Query()); err != nil {
				said += err.Error()
			}
		}
		said += w.log.String()
		for _, secret := range []string{back.Query().Get("code"), back.Query().Get("state"), "eyJ", "hotel", "code_verifier", base64.RawURLEncoding.EncodeToString(a.Secret[81:])} {
			require.NotContains(t, said, secret)
		}
	}
}

func TestOwnHTTPClientIsWrapped(t *testing.T) {
	w := newWorld(t, nil)
	w.rp = w.party(oidc.Config{ClientID: "enrollkit", ClientSecret: "secret"}, func(c *oidc.Config) {
		c.RootCAs, c.HTTPClient = nil, w.idp.HTTPClient()
	})
	_, err := w.signIn()
	require.NoError(t, err)
	require.Nil(t, w.idp.HTTPClient().CheckRedirect, "the client that was handed in is left alone")
	w.rp = w.party(oidc.Config{ClientID: "enrollkit", ClientSecret: "secret"}, func(c *oidc.Config) {
		c.RootCAs, c.HTTPClient = nil, &http.Client{}
	})
	_, err = w.signIn()
	require.ErrorIs(t, err, sso.ErrUnavailable, "unknown CA")
}
