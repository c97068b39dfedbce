package enroll_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

func TestHostileCallback(t *testing.T) {
	t.Run("no cookie, and another browser's", func(t *testing.T) {
		w := newWorld(t)
		b, other := w.browser(iPhone17), w.browser(iPhone17)
		back := b.begin("alice@example.com")
		w.unchanged(func() {
			refused(t, other.get(back), http.StatusBadRequest, enroll.CodeSignInUnknown)
			other.begin("bob@example.com")
			refused(t, other.get(back), http.StatusBadRequest, enroll.CodeSignInRefused)
		})
		require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode, "the right browser's attempt is whole")
	})
	t.Run("state mismatch, missing, twice", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		u, err := url.Parse(b.begin("alice@example.com"))
		require.NoError(t, err)
		w.unchanged(func() {
			for _, state := range [][]string{nil, {""}, {"x"}, {u.Query().Get("state"), u.Query().Get("state")}} {
				q := u.Query()
				delete(q, "state")
				if state != nil {
					q["state"] = state
				}
				refused(t, b.get("/callback?"+q.Encode()), http.StatusBadRequest, enroll.CodeSignInRefused)
			}
		})
	})
	t.Run("again after success", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		back := b.begin("alice@example.com")
		kept := b.cookies()[signInCookie]
		require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode)
		w.unchanged(func() {
			refused(t, b.get(back), http.StatusBadRequest, enroll.CodeSignInUnknown)
			refused(t, b.get(back, "Cookie", signInCookie+"="+kept), http.StatusBadRequest, enroll.CodeSignInUsed)
		})
		require.Equal(t, http.StatusOK, b.get("/ready").StatusCode)
	})
	t.Run("took longer than ten minutes", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		back := b.begin("alice@example.com")
		w.clock.add(10 * time.Minute)
		w.unchanged(func() { refused(t, b.get(back), http.StatusBadRequest, enroll.CodeSignInUnknown) })
	})
	t.Run("a forged cookie", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		back := b.begin("alice@example.com")
		sealed := b.cookies()[signInCookie]
		first := "A"
		if sealed[0] == 'A' { // it is random
			first = "B"
		}
		w.unchanged(func() {
			for _, forged := range []string{"", "x", sealed[:len(sealed)-2], sealed[2:], strings.Repeat("A", 5000), first + sealed[1:]} {
				other := w.browser(iPhone17)
				refused(t, other.get(back, "Cookie", signInCookie+"="+forged), http.StatusBadRequest, enroll.CodeSignInUnknown)
			}
		})
	})
	t.Run("parameters and methods", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		back := b.begin("alice@example.com")
		w.unchanged(func() {
			require.Equal(t, http.StatusBadRequest, b.get(back+strings.Repeat("a", 64<<10)).StatusCode)
			refused(t, b.get(back+"&code=x"), http.StatusBadRequest, enroll.CodeSignInRefused)
			require.Equal(t, http.StatusMethodNotAllowed, b.do(http.MethodPost, back, url.Values{"code": {"x"}}).StatusCode)
			require.Equal(t, http.StatusMethodNotAllowed, b.do(http.MethodHead, back, nil).StatusCode, "a link preview uses nothing up")
		})
		require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode)
	})
	for fault, want := range map[ssotest.Fault]struct {
		status int
		code   enroll.Code
	}{
		ssotest.AccessDenied:        {http.StatusForbidden, enroll.CodeSignInDenied},
		ssotest.WrongState:          {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.WrongCallbackIssuer: {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.WrongNonce:          {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.WrongIssuer:         {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.AlgNone:             {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.Expired:             {http.StatusBadRequest, enroll.CodeSignInRefused},
		ssotest.TokenDown:           {http.StatusServiceUnavailable, enroll.CodeProviderDown},
	} {
		t.Run(""+string(fault), func(t *testing.T) {
			w := newWorld(t)
			b := w.browser(iPhone17)
			w.idp.Break(fault)
			back := b.begin("alice@example.com")
			w.unchanged(func() {
				a := b.get(back)
				refused(t, a, want.status, want.code)
				require.NotContains(t, a.body, "<script>alert", "what the provider wrote")
				require.Empty(t, a.to())
				require.Empty(t, b.cookies()[sessionCookie])
			})
		})
	}
	t.Run("a provider that is down", func(t *testing.T) {
		w := newWorld(t)
		w.idp.Break(ssotest.DiscoveryDown)
		b := w.browser(iPhone17)
		w.unchanged(func() {
			a := b.get("/login")
			refused(t, a, http.StatusServiceUnavailable, enroll.CodeProviderDown)
			require.NotEmpty(t, a.Header.Get("Retry-After"))
			require.Error(t, w.portal.Ready(t.Context()))
		})
	})
}

func TestConcurrentCallbacks(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	back := b.begin("alice@example.com")
	cookies := signInCookie + "=" + b.cookies()[signInCookie]
	statuses := make([]int, 100)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, back, nil)
			if err != nil {
				return
			}
			r.Header.Set("Cookie", cookies)
			resp, err := w.server.Client().Transport.RoundTrip(r)
			if err != nil {
				return
			}
			resp.Body.Close()
			statuses[i] = resp.StatusCode
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	require.Equal(t, map[int]int{http.StatusSeeOther: 1, http.StatusBadRequest: 99}, count)
	require.Len(t, w.state().Users, 1)
	require.Len(t, w.state().Tickets, 1)
}

func TestPeopleWhoAreNotLetIn(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   enroll.Code
	}{
		"suspended":          {jit.ErrSuspended, http.StatusForbidden, enroll.CodeSuspended},
		"without an account": {&jit.MappingError{Field: "managed_apple_account"}, http.StatusForbidden, enroll.CodeUnmapped},
		"unusable":           {jit.ErrIdentity, http.StatusForbidden, enroll.CodeIdentity},
		"store down":         {errors.New("disk full"), http.StatusServiceUnavailable, enroll.CodeStorage},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *enroll.Config) { cfg.Provisioner = failing{c.err} })
			b := w.browser(iPhone17)
			back := b.begin("alice@example.com")
			w.unchanged(func() {
				a := b.get(back)
				refused(t, a, c.status, c.code)
				require.NotContains(t, a.body, "disk full")
			})
		})
	}
	for _, reason := range []sso.Reason{sso.ReasonDomain, sso.ReasonTenant, sso.ReasonMFA, sso.ReasonGroup, sso.ReasonGroupsAbsent, sso.ReasonGroupsTruncated, "new_reason"} {
		t.Run(string(reason), func(t *testing.T) {
			w := newWorld(t, func(cfg *enroll.Config) { cfg.Authenticator = denying{cfg.Authenticator, reason} })
			b := w.browser(iPhone17)
			back := b.begin("alice@example.com")
			want := enroll.Code(reason)
			if reason == "new_reason" {
				want = enroll.CodeSignInDenied
			}
			w.unchanged(func() { refused(t, b.get(back), http.StatusForbidden, want) })
		})
	}
	t.Run("whose Managed Apple Account does not exist", func(t *testing.T) {
		w := newWorld(t, func(cfg *enroll.Config) { cfg.Accounts = accounts{enroll.ErrAccountUnknown} })
		b := w.browser(iPhone17)
		refused(t, b.get(b.begin("alice@example.com")), http.StatusForbidden, enroll.CodeAccountUnknown)
		require.Empty(t, w.state().Tickets)
	})
	t.Run("but a directory that is down keeps nobody out", func(t *testing.T) {
		w := newWorld(t, func(cfg *enroll.Config) { cfg.Accounts = accounts{errors.New("down")} })
		w.browser(iPhone17).signIn("alice@example.com")
	})
}
