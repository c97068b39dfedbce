package enroll_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/profile"
)

func TestSuspendedASecondAgo(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	require.NoError(t, w.store.Suspend(t.Context(), w.state().Users[0].ID, true))
	w.unchanged(func() {
		for _, path := range []string{"/ready", "/profile"} {
			require.Equal(t, "/enroll", b.get(path).to(), path)
		}
		for _, path := range []string{"/events", "/status"} {
			a := b.get(path)
			require.Equal(t, http.StatusUnauthorized, a.StatusCode)
			require.Contains(t, a.body, `"code":"session_missing"`)
		}
		require.Contains(t, b.get("").body, "Your account is suspended", "the first page says why")
		refused(t, b.get(b.begin("alice@example.com")), http.StatusForbidden, enroll.CodeSuspended)
	})
	require.NoError(t, w.store.Suspend(t.Context(), w.state().Users[0].ID, false))
	b.download()
}

func TestDownloads(t *testing.T) {
	t.Run("without a session", func(t *testing.T) {
		w := newWorld(t)
		w.unchanged(func() {
			a := w.browser(iPhone17).get("/profile")
			require.Equal(t, http.StatusSeeOther, a.StatusCode)
			require.Equal(t, "/enroll", a.to())
		})
	})
	t.Run("again within bounds, in parallel too", func(t *testing.T) {
		w := newWorld(t, func(c *enroll.Config) { c.MaxDownloads = 60 })
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		cookies := sessionCookie + "=" + b.cookies()[sessionCookie]
		before := w.state().Tickets[0]
		var all sync.WaitGroup
		bodies := make([]string, 50)
		for i := range bodies {
			all.Go(func() {
				a := w.browser(iPhone17).get("/profile", "Cookie", cookies)
				if a.StatusCode == http.StatusOK && a.Header.Get("Content-Type") == profile.ContentType {
					bodies[i] = a.body
				}
			})
		}
		all.Wait()
		seen := map[string]bool{}
		for _, body := range bodies {
			require.NotEmpty(t, body)
			seen[body] = true
		}
		require.Len(t, seen, 50, "each has its own challenge")
		after := w.state().Tickets
		require.Len(t, after, 1)
		require.Equal(t, 50, after[0].Downloads)
		before.Downloads, before.Downloaded, before.State = after[0].Downloads, after[0].Downloaded, after[0].State
		require.Equal(t, before, after[0], "the same ticket")
	})
	t.Run("exhausted", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		for range enroll.DefaultMaxDownloads {
			b.download()
		}
		w.unchanged(func() { refused(t, b.get("/profile"), http.StatusGone, enroll.CodeTicketExhausted) })
		require.Contains(t, b.get("/ready").body, `href="/enroll/login"`, "the page leads on")
	})
	t.Run("expired", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		w.clock.add(enroll.DefaultWait)
		b2 := w.browser(iPhone17)
		b2.signIn("bob@example.com")
		w.clock.add(time.Millisecond)
		w.unchanged(func() {
			refused(t, b.get("/profile"), http.StatusGone, enroll.CodeTicketExpired)
			refused(t, b.get("/ready"), http.StatusGone, enroll.CodeTicketExpired)
		})
		b2.download()
		w.clock.add(enroll.DefaultMaxAge - time.Second)
		b2.download()
		w.clock.add(time.Second)
		w.unchanged(func() { refused(t, b2.get("/profile"), http.StatusGone, enroll.CodeTicketExpired) })
	})
	t.Run("nobody tapped", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		w.unchanged(func() {
			head := b.do(http.MethodHead, "/profile", nil)
			require.Equal(t, http.StatusOK, head.StatusCode)
			require.Equal(t, profile.ContentType, head.Header.Get("Content-Type"))
			for _, h := range [][]string{{"Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"X-Moz", "prefetch"}, {"X-Purpose", "preview"}} {
				a := b.get("/profile", h...)
				require.Equal(t, http.StatusNoContent, a.StatusCode, h)
				require.Empty(t, a.body)
			}
		})
	})
	t.Run("the signing certificate has expired", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		require.NoError(t, w.portal.Ready(t.Context()))
		w.signerExpires()
		w.unchanged(func() {
			a := b.get("/profile")
			refused(t, a, http.StatusServiceUnavailable, enroll.CodeSigning)
			require.Empty(t, a.Header.Get("Content-Disposition"))
			require.Equal(t, http.StatusServiceUnavailable, b.do(http.MethodHead, "/profile", nil).StatusCode)
		})
		require.ErrorIs(t, w.portal.Ready(t.Context()), profile.ErrSigningCertificate)
	})
}
