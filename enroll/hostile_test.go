package enroll_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// pages are the paths that answer GET.
var getPaths = []string{"", "/login", "/callback", "/ready", "/profile", "/events", "/status", "/help"}

func TestHostileRequests(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	long := strings.Repeat("a", 9<<10)
	w.unchanged(func() {
		for _, path := range getPaths {
			t.Run("line 1: a body"+path, func(t *testing.T) {
				a := b.do(http.MethodGet, path, url.Values{"a": {long}})
				require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
				a = b.chunked(http.MethodGet, path, 9<<10)
				require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
			})
			t.Run("line 3: wrong method"+path, func(t *testing.T) {
				for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
					a := b.do(method, path, nil)
					require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode, method)
					require.Contains(t, a.Header.Get("Allow"), http.MethodGet)
					require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
				}
			})
			t.Run("line 4: another host"+path, func(t *testing.T) {
				a := b.get(path, "Host", "evil.example")
				require.Equal(t, http.StatusMisdirectedRequest, a.StatusCode)
			})
			t.Run("line 5: query"+path, func(t *testing.T) {
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a=%zz").StatusCode)
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a=1;b=2").StatusCode)
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a="+long).StatusCode)
			})
			t.Run("line 7: encoded"+path, func(t *testing.T) {
				require.Equal(t, http.StatusUnsupportedMediaType, b.get(path, "Content-Encoding", "gzip").StatusCode)
			})
		}
		for _, path := range []string{"/device", "/logout"} {
			t.Run("line 1: a body"+path, func(t *testing.T) {
				require.Equal(t, http.StatusRequestEntityTooLarge, b.do(http.MethodPost, path, url.Values{"a": {long}}).StatusCode)
				require.Equal(t, http.StatusRequestEntityTooLarge, b.chunked(http.MethodPost, path, 9<<10).StatusCode)
			})
			t.Run("line 3: wrong method"+path, func(t *testing.T) {
				a := b.get(path)
				require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode)
				require.Equal(t, http.MethodPost, a.Header.Get("Allow"))
			})
			t.Run("no form"+path, func(t *testing.T) {
				a := b.do(http.MethodPost, path, url.Values{"a": {"b"}}, "Content-Type", "text/plain")
				require.Equal(t, http.StatusUnsupportedMediaType, a.StatusCode)
			})
			t.Run("line 11: another site's"+path, func(t *testing.T) {
				for _, h := range [][]string{
					{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
					{"Origin", "https://evil.example"}, {"Origin", "null"},
				} {
					refused(t, b.do(http.MethodPost, path, url.Values{}, h...), http.StatusForbidden, enroll.CodeCrossSite)
				}
				require.NotEmpty(t, b.cookies()[sessionCookie])
			})
		}
		t.Run("line 4: forwarded hosts are not believed", func(t *testing.T) {
			a := b.get("/login", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example")
			u, err := url.Parse(a.to())
			require.NoError(t, err)
			require.Equal(t, w.url+"/callback", u.Query().Get("redirect_uri"))
		})
		t.Run("line 5: paths", func(t *testing.T) {
			for _, path := range []string{"/../admin", "/%2e%2e/", "/login/..;/", "/x", "/login%00", "/" + long, "//evil.example/..%2f"} {
				a := b.get(path)
				require.Equal(t, http.StatusNotFound, a.StatusCode, path)
				require.Empty(t, a.to())
			}
		})
		t.Run("line 9: cookies", func(t *testing.T) {
			session := b.cookies()[sessionCookie]
			twice := w.browser(iPhone17)
			a := twice.get("/profile", "Cookie", sessionCookie+"="+session+"; "+sessionCookie+"="+session)
			require.Equal(t, "/enroll", a.to(), "of two with one name, one was planted")
			a = twice.get("/profile", "Cookie", "enroll-session="+session)
			require.Equal(t, "/enroll", a.to(), "a name without the prefix is not ours")
			var many strings.Builder
			for i := range 100 {
				fmt.Fprintf(&many, "c%d=%d; ", i, i)
			}
			require.Equal(t, "/enroll", twice.get("/profile", "Cookie", many.String()).to())
			for _, value := range []string{"", "x", strings.Repeat("A", 43), session + "A", session[:42], "*" + session[1:]} {
				require.Equal(t, "/enroll", twice.get("/profile", "Cookie", sessionCookie+"="+value).to(), value)
			}
		})
		t.Run("line 10: nothing is returned to", func(t *testing.T) {
			for _, to := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)", "\r\nSet-Cookie: a=b"} {
				fresh := w.browser(iPhone17)
				a := fresh.get("/login?" + url.Values{"return_to": {to}, "next": {to}, "redirect_uri": {to}}.Encode())
				require.True(t, strings.HasPrefix(a.to(), w.idp.Issuer()+"/authorize?"), a.to())
				require.NotContains(t, a.to(), "evil")
			}
		})
		t.Run("line 14: languages", func(t *testing.T) {
			for _, l := range []string{long[:8<<10], strings.Repeat("zz-ZZ-x-a,", 500)} {
				require.Equal(t, http.StatusOK, b.get("", "Accept-Language", l).StatusCode)
			}
		})
	})
	b.download()
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	check := func(a answer) {
		t.Helper()
		require.Contains(t, a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.NotContains(t, a.Header.Get("Content-Security-Policy"), "unsafe")
		require.Equal(t, "no-referrer", a.Header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	}
	for range 2 {
		for _, path := range append(getPaths, "/nowhere", "/device") {
			if path == "/events" && len(b.cookies()) > 0 {
				continue
			}
			check(b.get(path))
			get, head := b.get(path), b.do(http.MethodHead, path, nil)
			if head.StatusCode == http.StatusMethodNotAllowed {
				continue // changes something
			}
			require.Equal(t, get.StatusCode, head.StatusCode, path)
			require.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"), path)
			require.Empty(t, head.body)
		}
		b.signIn("alice@example.com")
	}
	for _, c := range b.get(b.begin("alice@example.com")).Cookies() {
		require.True(t, strings.HasPrefix(c.Name, "__Host-") && c.Secure && c.HttpOnly && c.Path == "/" && c.Domain == "" && c.SameSite == http.SameSiteLaxMode, c.Raw)
	}
}

func TestNamesAreEscaped(t *testing.T) {
	for name, shown := range map[string]string{
		`"><script>alert(1)</script>`: "<bdi>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;</bdi>",
		"{{7*7}}":                     "<bdi>{{7*7}}</bdi>",
		strings.Repeat("ü", 200):      "<bdi>" + strings.Repeat("ü", 64) + "…</bdi>",
	} {
		t.Run("line 13: "+name[:7], func(t *testing.T) {
			w := newWorld(t)
			w.setName(name)
			require.Contains(t, w.browser(iPhone17).signIn("mallory").body, shown)
		})
	}
	t.Run("of the organization", func(t *testing.T) {
		w := newWorld(t, func(c *enroll.Config) { c.Organization = `A ]]> <B> & "C"`; c.Support = `"><script>` })
		a := w.browser(iPhone17).get("")
		require.NotContains(t, a.body, "<B>")
		require.NotContains(t, a.body, `"><script>`)
	})
}

// callback is what a browser has after the provider sent it back.
func TestHostileCallback(t *testing.T) {
	t.Run("line 17: no cookie, and another browser's", func(t *testing.T) {
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
	t.Run("line 17: state mismatch, missing, twice", func(t *testing.T) {
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
	t.Run("line 17: again after success", func(t *testing.T) {
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
		w.unchanged(func() {
			for _, forged := range []string{"", "x", sealed[:len(sealed)-2], sealed[2:], strings.Repeat("A", 5000), "A" + sealed[1:]} {
				other := w.browser(iPhone17)
				refused(t, other.get(back, "Cookie", signInCookie+"="+forged), http.StatusBadRequest, enroll.CodeSignInUnknown)
			}
		})
	})
	t.Run("line 20: parameters and methods", func(t *testing.T) {
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
		t.Run("lines 19 to 25: "+string(fault), func(t *testing.T) {
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
	t.Run("line 24: a provider that is down", func(t *testing.T) {
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
	t.Run("line 27: without a session", func(t *testing.T) {
		w := newWorld(t)
		w.unchanged(func() {
			a := w.browser(iPhone17).get("/profile")
			require.Equal(t, http.StatusSeeOther, a.StatusCode)
			require.Equal(t, "/enroll", a.to())
		})
	})
	t.Run("line 27: again within bounds, in parallel too", func(t *testing.T) {
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
	t.Run("line 27: exhausted", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		for range enroll.DefaultMaxDownloads {
			b.download()
		}
		w.unchanged(func() { refused(t, b.get("/profile"), http.StatusGone, enroll.CodeTicketExhausted) })
		require.Contains(t, b.get("/ready").body, `href="/enroll/login"`, "the page leads on")
	})
	t.Run("line 27: expired", func(t *testing.T) {
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
	t.Run("line 28: nobody tapped", func(t *testing.T) {
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
	t.Run("line 31: the signing certificate has expired", func(t *testing.T) {
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

func TestPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t, func(c *enroll.Config) { c.Users = panicking{} })
	b := w.browser(iPhone17)
	back := b.begin("alice@example.com")
	require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode)
	w.unchanged(func() {
		a := b.get("/ready")
		refused(t, a, http.StatusInternalServerError, enroll.CodeInternal)
		require.Regexp(t, `Incident: <code>[0-9A-Z]{8}</code>`, a.body)
		require.NotContains(t, a.body, "goroutine")
	})
	require.Equal(t, http.StatusOK, b.get("/help").StatusCode)
}

func TestStoresThatFail(t *testing.T) {
	for _, step := range []string{"Session", "User", "Ticket", "Download"} {
		t.Run(step, func(t *testing.T) {
			broken := &broken{}
			w := newWorld(t, func(c *enroll.Config) {
				broken.Store = c.Tickets.(*memory.Store)
				c.Tickets, c.Sessions, c.States, c.Users = broken, broken, broken, broken
			})
			b := w.browser(iPhone17)
			b.signIn("alice@example.com")
			broken.step = step
			w.unchanged(func() {
				a := b.get("/profile")
				refused(t, a, http.StatusServiceUnavailable, enroll.CodeStorage)
				require.NotEmpty(t, a.Header.Get("Retry-After"))
				require.NotContains(t, a.body, "secret detail")
			})
			broken.step = ""
			b.download()
		})
	}
	for _, step := range []string{"OpenState", "ConsumeState", "PutSession", "IssueTicket"} {
		t.Run(step, func(t *testing.T) {
			broken := &broken{}
			w := newWorld(t, func(c *enroll.Config) {
				broken.Store = c.Tickets.(*memory.Store)
				c.Tickets, c.Sessions, c.States, c.Users = broken, broken, broken, broken
			})
			b := w.browser(iPhone17)
			if step == "OpenState" {
				broken.step = step
				refused(t, b.get("/login"), http.StatusServiceUnavailable, enroll.CodeStorage)
			} else {
				back := b.begin("alice@example.com")
				broken.step = step
				refused(t, b.get(back), http.StatusServiceUnavailable, enroll.CodeStorage)
			}
			require.Empty(t, w.state().Tickets)
			broken.step = ""
			b.signIn("alice@example.com")
			b.download()
		})
	}
}
