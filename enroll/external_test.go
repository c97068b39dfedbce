package enroll_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// authServer is a small authorization server of a company: a login form, codes,
// refresh tokens that it rotates, and introspection.
type authServer struct {
	now    func() time.Time
	server *httptest.Server

	mu       sync.Mutex
	codes    map[string]string // user by code
	refresh  map[string]string // user by refresh token
	access   map[string]issued
	asked    int   // introspections
	down     error // of introspection
	lifetime time.Duration
	subject  func(user string) jit.Identity
}

type issued struct {
	user    string
	expires time.Time
}

func newAuthServer(t testing.TB, now func() time.Time) *authServer {
	t.Helper()
	s := &authServer{now: now, codes: map[string]string{}, refresh: map[string]string{}, access: map[string]issued{}, lifetime: time.Hour}
	s.subject = func(user string) jit.Identity {
		return jit.Identity{Issuer: s.server.URL, Subject: user, PreferredUsername: user, Name: user, Groups: []string{"byod"}, GroupState: jit.GroupsPresent}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", s.form)
	mux.HandleFunc("POST /authorize", s.login)
	mux.HandleFunc("POST /token", s.token)
	s.server = httptest.NewTLSServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

var loginForm = template.Must(template.New("").Parse(`<form method="post" action="{{.}}"><input name="username"><input name="password"><button>Sign in</button></form>`))

func (s *authServer) form(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("tenant") != "example" || q.Get("client_id") != "devices" || q.Get("redirect_uri") != enroll.RedirectURI || q.Get("scope") != "mdm.enroll" {
		http.Error(w, "unknown client", http.StatusBadRequest)
		return
	}
	loginForm.Execute(w, template.URL("/authorize?"+r.URL.RawQuery))
}

func (s *authServer) login(w http.ResponseWriter, r *http.Request) {
	code := rand.Text()
	s.mu.Lock()
	s.codes[code] = r.PostFormValue("username")
	s.mu.Unlock()
	http.Redirect(w, r, enroll.RedirectURI+"?"+url.Values{"code": {code}, "state": {r.URL.Query().Get("state")}}.Encode(), http.StatusFound)
}

func (s *authServer) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, key := s.codes, r.PostFormValue("code")
	if r.PostFormValue("grant_type") == "refresh_token" {
		from, key = s.refresh, r.PostFormValue("refresh_token")
	}
	user, ok := from[key]
	delete(from, key)
	w.Header().Set("Content-Type", "application/json")
	if !ok || r.PostFormValue("client_id") != "devices" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	access, refresh := "eyJ."+rand.Text()+"~"+strings.Repeat("x", 1000)+"=", rand.Text()
	s.access[access], s.refresh[refresh] = issued{user, s.now().Add(s.lifetime)}, user
	fmt.Fprintf(w, `{"token_type":"bearer","access_token":%q,"refresh_token":%q,"expires_in":%d}`, access, refresh, int(s.lifetime.Seconds()))
}

// VerifyToken implements enroll.TokenVerifier.
func (s *authServer) VerifyToken(_ context.Context, token string) (jit.Identity, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.down != nil {
		return jit.Identity{}, time.Time{}, s.down
	}
	a, ok := s.access[token]
	if !ok {
		return jit.Identity{}, time.Time{}, fmt.Errorf("introspection: %w", enroll.ErrToken)
	}
	return s.subject(a.user), a.expires, nil
}

// newExternalWorld is a server whose devices sign in at the company's own
// authorization server.
func newExternalWorld(t *testing.T, edit ...func(*enroll.Config)) (*accountWorld, *authServer) {
	t.Helper()
	at := time.Now()
	var a *accountWorld
	s := newAuthServer(t, func() time.Time {
		if a == nil {
			return at
		}
		return a.clock.Now()
	})
	a = newAccountWorld(t, append([]func(*enroll.Config){account(func(c *enroll.AccountConfig) {
		c.Method = enroll.MethodOAuth2
		c.External = &enroll.ExternalOAuth{
			AuthorizationURL: s.server.URL + "/authorize?tenant=example", TokenURL: s.server.URL + "/token",
			ClientID: "devices", Scope: "mdm.enroll", Tokens: s,
		}
	})}, edit...)...)
	a.also = s.server
	return a, s
}

func TestExternalAuthorizationServer(t *testing.T) {
	a, s := newExternalWorld(t)
	p, account := a.enrolled(alice)
	connects(t, p)
	require.Equal(t, 1, s.asked, "a token is judged once")
	tickets := a.all().Tickets
	require.Len(t, tickets, 1)
	require.Equal(t, []any{enroll.TicketEnrolled, mdm.WayAccount}, []any{tickets[0].State, tickets[0].Way})
	require.Equal(t, alice, p.Identity().Profile.AssignedManagedAppleID)

	t.Run("a second device", func(t *testing.T) {
		second, _ := a.enrolled(alice)
		connects(t, second)
		connects(t, p)
		require.Len(t, a.all().Users, 1)
	})
	t.Run("the device refreshes by itself", func(t *testing.T) {
		former := account.Tokens
		a.clock.add(time.Hour)
		connects(t, p)
		require.NotEqual(t, former, account.Tokens)
	})
	t.Run("a token that was used again is none", func(t *testing.T) {
		require.NoError(t, a.kept.RevokeTokens(t.Context(), p.Identity().ID()))
		former := account.Tokens
		account.Tokens.Refresh = ""
		a.challenged(p)
		account.Tokens = former
		connects(t, p)
	})
	t.Run("suspended, and healed", func(t *testing.T) {
		a.suspend(alice, true)
		a.forbidden(p)
		a.suspend(alice, false)
		connects(t, p)
	})
	t.Run("suspended in the directory alone", func(t *testing.T) {
		require.NoError(t, a.kept.Suspend(t.Context(), a.person(alice).ID, true))
		a.clock.add(time.Hour)
		account.Tokens.Access = "unknown"
		_, err := p.Connect(t.Context())
		require.Error(t, err)
		require.NoError(t, a.kept.Suspend(t.Context(), a.person(alice).ID, false))
		connects(t, p)
	})
	t.Run("another person's token", func(t *testing.T) {
		mine := account.Tokens
		bobs := a.phone()
		other, err := bobs.EnrollAccount(t.Context(), bob, bob, "password")
		require.NoError(t, err)
		account.Tokens = mdmtest.Tokens{Access: other.Tokens.Access}
		a.challenged(p)
		late := a.phone()
		theirs, err := late.Discover(t.Context(), bob)
		require.NoError(t, err)
		_, err = theirs.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, theirs.SignIn(t.Context(), bob, "password"))
		require.NoError(t, theirs.RequestToken(t.Context()))
		account.Tokens = mdmtest.Tokens{Access: theirs.Tokens.Access}
		a.challenged(p)
		account.Tokens = mine
		connects(t, p)
		require.NoError(t, theirs.RequestProfile(t.Context()), "it was not used up by being refused")
	})
	t.Run("the server is down", func(t *testing.T) {
		s.down = errors.New("no answer")
		mine := account.Tokens
		account.Tokens.Access = "new"
		a.still(func() {
			_, err := p.Connect(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrRefused)
			require.Equal(t, http.StatusServiceUnavailable, a.last("/mdm/").status)
		})
		s.down, account.Tokens = nil, mine
		connects(t, p)
	})
	t.Run("the enrollment ended", func(t *testing.T) {
		require.NoError(t, a.mdm.Unenroll(t.Context(), p.Identity().ID()))
		_, err := p.Connect(t.Context())
		require.ErrorIs(t, err, mdmtest.ErrLeft)
	})
}

// TestExternalTokensThatAreRefused at the enrollment POST.
func TestExternalTokensThatAreRefused(t *testing.T) {
	groups := []string{"byod"}
	a, s := newExternalWorld(t, func(c *enroll.Config) {
		c.DeviceLimit = 2
		c.DeviceEnrollment = &enroll.DeviceEnrollment{Groups: groups}
		c.Accounts = verifies(func(account string) error {
			if account == "unknown@example.com" {
				return enroll.ErrAccountUnknown
			}
			return nil
		})
	})
	a.enrolled(alice)
	signedIn := func(user string) (*mdmtest.Phone, *mdmtest.Account) {
		p := a.phone()
		account, err := p.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), user, "password"))
		require.NoError(t, account.RequestToken(t.Context()))
		return p, account
	}
	refusedWith := func(account *mdmtest.Account, status int) {
		t.Helper()
		a.still(func() {
			var no *mdmtest.RefusedError
			require.ErrorAs(t, account.RequestProfile(t.Context()), &no)
			require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: status}, *no)
			answer := a.last("/enroll/account/byod")
			require.Equal(t, status == http.StatusUnauthorized, answer.header.Get("WWW-Authenticate") != "")
			require.Empty(t, answer.body)
		})
	}
	_, account := signedIn(alice)
	good := account.Tokens
	for _, token := range []string{"unknown", "x y", "=", strings.Repeat("x", 9<<10)} {
		account.Tokens.Access = token
		refusedWith(account, http.StatusUnauthorized)
	}
	account.Tokens = good
	s.access[good.Access] = issued{alice, a.clock.Now()}
	refusedWith(account, http.StatusUnauthorized)
	s.access[good.Access] = issued{alice, a.clock.Now().Add(time.Hour)}

	s.down = errors.New("no answer")
	refusedWith(account, http.StatusServiceUnavailable)
	s.down = nil
	require.NoError(t, a.kept.Suspend(t.Context(), a.person(alice).ID, true))
	refusedWith(account, http.StatusForbidden)
	require.NoError(t, a.kept.Suspend(t.Context(), a.person(alice).ID, false))

	identity := s.subject
	s.subject = func(user string) jit.Identity { i := identity(user); i.PreferredUsername = ""; return i }
	refusedWith(account, http.StatusForbidden)
	s.subject = func(user string) jit.Identity { i := identity(user); i.Subject = ""; return i }
	refusedWith(account, http.StatusForbidden)
	s.subject = identity
	require.NoError(t, account.RequestProfile(t.Context()), "nothing of that used the token up")

	_, unknown := signedIn("unknown@example.com")
	before := len(a.all().Tickets)
	require.Error(t, unknown.RequestProfile(t.Context()))
	require.Equal(t, http.StatusForbidden, a.last("/enroll/account/byod").status)
	require.Len(t, a.all().Tickets, before, "there is a user, and no ticket")

	a.enrolled(alice)
	_, third := signedIn(alice)
	refusedWith(third, http.StatusForbidden)
	require.Contains(t, a.log.String(), "device_limit")

	a.adde()
	groups[0] = "others"
	p := a.devicePhone()
	adde, err := p.EnrollAccount(t.Context(), bob, bob, "password")
	var no *mdmtest.RefusedError
	require.ErrorAs(t, err, &no)
	require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: http.StatusForbidden}, *no, "Device Enrollment is not offered")
	require.NotEmpty(t, adde.Tokens.Access)
	require.False(t, slices.ContainsFunc(a.all().Tickets, func(k enroll.Ticket) bool { return k.Way == mdm.WayAccountDevice }))
}

// verifies verifies Managed Apple Accounts.
type verifies func(account string) error

// VerifyAccount implements enroll.AccountVerifier.
func (v verifies) VerifyAccount(_ context.Context, account string) error { return v(account) }
