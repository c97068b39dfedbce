package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// bearing is a network on which the bearer token is another one, or gone.
type bearing struct {
	http.RoundTripper
	edit func(http.Header)
	mdm  int // requests of the device that went through
}

func (b *bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Path, "/mdm/") {
		b.mdm++
		r = r.Clone(r.Context())
		if b.edit != nil {
			b.edit(r.Header)
		}
	}
	return b.RoundTripper.RoundTrip(r)
}

// byAccount is a phone that its owner enrolled from Settings.
func (w *world) byAccount(user string, edit ...func(*mdmtest.Config)) (*mdmtest.Phone, *mdmtest.Account) {
	w.t.Helper()
	device, err := w.server.deviceCA.Device()
	require.NoError(w.t, err)
	p := w.phone(append([]func(*mdmtest.Config){func(c *mdmtest.Config) {
		c.OSVersion = "26.1"
		c.Account = mdmtest.AccountConfig{Device: device, DomainURL: w.server.domainURL}
	}}, edit...)...)
	account, err := p.EnrollAccount(w.t.Context(), user, user, password)
	require.NoError(w.t, err)
	return p, account
}

// TestEachRequestNeedsItsBearer: the identity alone is not enough, and neither is
// the token of somebody else, or of the same person's other phone.
func TestEachRequestNeedsItsBearer(t *testing.T) {
	for _, way := range []string{"account", "oauth2", "adde"} {
		t.Run(way, func(t *testing.T) {
			w := open(t, "-way", way)
			network := &bearing{RoundTripper: w.server.transport}
			p, account := w.byAccount("alice@example.com", func(c *mdmtest.Config) { c.Transport = network })
			_, other := w.byAccount("alice@example.com")
			tokens := map[string]string{
				"none": "", "of her other phone": "Bearer " + other.Tokens.Access, "unknown": "Bearer " + strings.Repeat("A", 43),
				"of another scheme": "Basic " + account.Tokens.Access,
			}
			if way == "oauth2" {
				tokens["that refreshes"] = "Bearer " + account.Tokens.Refresh
			}
			if way != "adde" {
				_, stranger := w.byAccount("bob@example.com")
				tokens["of another person"] = "Bearer " + stranger.Tokens.Access
			}
			id := p.Identity()
			requests := map[string]func() error{
				"TokenUpdate": func() error { return p.TokenUpdate(t.Context()) },
				"Idle": func() error {
					_, err := p.Connect(t.Context())
					return err
				},
				"CheckOut": func() error {
					return p.CheckIn(t.Context(), map[string]any{"MessageType": "CheckOut", "Topic": id.Profile.Topic})
				},
			}
			before := w.state()
			for name, token := range tokens {
				network.edit = func(h http.Header) {
					if h.Del("Authorization"); token != "" {
						h.Set("Authorization", token)
					}
				}
				for what, request := range requests {
					account.Tokens.Refresh = "" // or the phone would help itself
					require.ErrorIs(t, request(), mdmtest.ErrSignIn, "%s with a token: %s", what, name)
					require.Same(t, id, p.Identity(), "the profile stays")
				}
			}
			network.edit = nil
			after := w.state()
			delete(before, "pushes") // those of the enrollments may come late
			delete(after, "pushes")
			require.Equal(t, before, after)
			_, err := p.Connect(t.Context())
			require.NoError(t, err)
			require.Len(t, p.Installed(), 1, "nothing left the queue before")
		})
	}
}

// TestSigningInAgain: who revokes the tokens of an enrollment makes its owner
// sign in again, and changes nothing else.
func TestSigningInAgain(t *testing.T) {
	for _, way := range []string{"account", "oauth2", "adde"} {
		t.Run(way, func(t *testing.T) {
			w := open(t, "-way", way)
			p, account := w.byAccount("alice@example.com")
			_, err := p.Connect(t.Context())
			require.NoError(t, err)
			_, err = w.server.pushes.await(t.Context(), p.Identity().ID())
			require.NoError(t, err)
			before, first, id := w.state(), account.Tokens, p.Identity()

			require.NoError(t, w.server.store.RevokeTokens(t.Context(), id.ID()))
			_, err = p.Connect(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrSignIn)
			require.Same(t, account, p.Pending())

			require.ErrorContains(t, p.SignInAgain(t.Context(), "bob@example.com", password), "403", "her phone is not his")
			require.Same(t, account, p.Pending())
			require.NoError(t, p.SignInAgain(t.Context(), "alice@example.com", password))
			require.NotEqual(t, first.Access, account.Tokens.Access)
			n, err := p.Connect(t.Context())
			require.NoError(t, err)
			require.Zero(t, n)
			require.Same(t, id, p.Identity())

			after := w.state()
			require.Len(t, after["users"], 2, "bob signed in, if in vain")
			delete(before, "users")
			delete(after, "users")
			require.Equal(t, before, after, "no new ticket and no new enrollment")
		})
	}
}

// TestUnenrolledByTheServer: a phone that enrolled by an account is told so, and
// not to sign in.
func TestUnenrolledByTheServer(t *testing.T) {
	w := open(t, "-way", "account")
	p, _ := w.byAccount("alice@example.com")
	require.NoError(t, w.server.store.Unenroll(t.Context(), p.Identity().ID(), time.Now()))
	_, err := p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrLeft)
	require.Nil(t, p.Identity())
	require.Equal(t, "ended", w.state()["enrollments"][0]["state"])
}

// TestRefreshing: a phone of the OAuth 2 method gets its next token by itself.
func TestRefreshing(t *testing.T) {
	w := open(t, "-way", "oauth2")
	p, account := w.byAccount("alice@example.com")
	first := account.Tokens
	account.Tokens.Access = "expired"
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Nil(t, p.Pending())
	require.NotEqual(t, first.Access, account.Tokens.Access)
	require.NotEmpty(t, account.Tokens.Refresh)
	require.NotEqual(t, first.Refresh, account.Tokens.Refresh)

	// Whoever comes with the former refresh token now, the thief or the owner,
	// ends the grant.
	account.Tokens = mdmtest.Tokens{Access: "expired", Refresh: first.Refresh}
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn)
	require.NoError(t, p.SignInAgain(t.Context(), "alice@example.com", password))
	_, err = p.Connect(t.Context())
	require.NoError(t, err)
}

// suspend does what a help desk does: for sign-ins, and for devices.
func (w *world) suspend(user string, suspended bool) {
	w.t.Helper()
	require.NoError(w.t, w.server.store.Suspend(w.t.Context(), user, suspended))
	require.NoError(w.t, w.server.store.SuspendUser(w.t.Context(), user, suspended))
}

// TestSuspension: a suspended person is locked out at the next request of the
// device, which stays enrolled; lifting the suspension heals it.
func TestSuspension(t *testing.T) {
	for _, way := range []string{"account", "oauth2", "adde"} {
		t.Run(way, func(t *testing.T) {
			w := open(t, "-way", way)
			p, account := w.byAccount("alice@example.com")
			id := p.Identity()
			user := w.state()["users"][0]["id"].(string)
			w.suspend(user, true)
			before := w.state()
			require.Equal(t, true, before["users"][0]["suspended"])
			for range 2 {
				_, err := p.Connect(t.Context())
				require.ErrorIs(t, err, mdmtest.ErrRefused)
				require.NotErrorIs(t, err, mdmtest.ErrLeft)
				require.NotErrorIs(t, err, mdmtest.ErrSignIn)
				require.ErrorContains(t, err, "403")
			}
			require.Same(t, id, p.Identity())
			require.Equal(t, before["commands"], w.state()["commands"], "nothing leaves the queue")

			w.suspend(user, false)
			_, err := p.Connect(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrSignIn, "her token was revoked")
			require.Same(t, account, p.Pending())
			require.NoError(t, p.SignInAgain(t.Context(), "alice@example.com", password))
			_, err = p.Connect(t.Context())
			require.NoError(t, err)
			require.Len(t, p.Installed(), 1)
		})
	}
}

// TestSuspendedDuringTheWay: neither a challenge's sign-in nor a token from
// before gets anything.
func TestSuspendedDuringTheWay(t *testing.T) {
	w := open(t, "-way", "account")
	w.byAccount("alice@example.com") // makes her record
	user := w.state()["users"][0]["id"].(string)
	device, err := w.server.deviceCA.Device()
	require.NoError(t, err)
	p := w.phone(func(c *mdmtest.Config) {
		c.OSVersion, c.Account = "18.6", mdmtest.AccountConfig{Device: device, DomainURL: w.server.domainURL}
	})
	account, err := p.Discover(t.Context(), "alice@example.com")
	require.NoError(t, err)
	_, err = account.RequestChallenge(t.Context())
	require.NoError(t, err)
	w.suspend(user, true)
	require.ErrorContains(t, account.SignIn(t.Context(), "alice@example.com", password), "403")

	w.suspend(user, false)
	_, err = account.OpenSession(t.Context())
	require.NoError(t, err, "the session that was refused")
	require.NoError(t, account.SignIn(t.Context(), "alice@example.com", password))
	w.suspend(user, true)
	var refused *mdmtest.RefusedError
	require.ErrorAs(t, account.RequestProfile(t.Context()), &refused)
	require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: http.StatusForbidden}, *refused)
}
