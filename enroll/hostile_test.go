package enroll_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
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
			t.Run("a body"+path, func(t *testing.T) {
				a := b.do(http.MethodGet, path, url.Values{"a": {long}})
				require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
				a = b.chunked(http.MethodGet, path, 9<<10)
				require.Equal(t, http.StatusRequestEntityTooLarge, a.StatusCode)
			})
			t.Run("wrong method"+path, func(t *testing.T) {
				for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
					a := b.do(method, path, nil)
					require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode, method)
					require.Contains(t, a.Header.Get("Allow"), http.MethodGet)
					require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
				}
			})
			t.Run("another host"+path, func(t *testing.T) {
				a := b.get(path, "Host", "evil.example")
				require.Equal(t, http.StatusMisdirectedRequest, a.StatusCode)
			})
			t.Run("query"+path, func(t *testing.T) {
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a=%zz").StatusCode)
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a=1;b=2").StatusCode)
				require.Equal(t, http.StatusBadRequest, b.get(path+"?a="+long).StatusCode)
			})
			t.Run("encoded"+path, func(t *testing.T) {
				require.Equal(t, http.StatusUnsupportedMediaType, b.get(path, "Content-Encoding", "gzip").StatusCode)
			})
		}
		for _, path := range []string{"/device", "/logout"} {
			t.Run("a body"+path, func(t *testing.T) {
				require.Equal(t, http.StatusRequestEntityTooLarge, b.do(http.MethodPost, path, url.Values{"a": {long}}).StatusCode)
				require.Equal(t, http.StatusRequestEntityTooLarge, b.chunked(http.MethodPost, path, 9<<10).StatusCode)
			})
			t.Run("wrong method"+path, func(t *testing.T) {
				a := b.get(path)
				require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode)
				require.Equal(t, http.MethodPost, a.Header.Get("Allow"))
			})
			t.Run("no form"+path, func(t *testing.T) {
				a := b.do(http.MethodPost, path, url.Values{"a": {"b"}}, "Content-Type", "text/plain")
				require.Equal(t, http.StatusUnsupportedMediaType, a.StatusCode)
			})
			t.Run("another site's"+path, func(t *testing.T) {
				for _, h := range [][]string{
					{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
					{"Origin", "https://evil.example"}, {"Origin", "null"},
				} {
					refused(t, b.do(http.MethodPost, path, url.Values{}, h...), http.StatusForbidden, enroll.CodeCrossSite)
				}
				require.NotEmpty(t, b.cookies()[sessionCookie])
			})
		}
		t.Run("forwarded hosts are not believed", func(t *testing.T) {
			a := b.get("/login", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "Forwarded", "host=evil.example")
			u, err := url.Parse(a.to())
			require.NoError(t, err)
			require.Equal(t, w.url+"/callback", u.Query().Get("redirect_uri"))
		})
		t.Run("paths", func(t *testing.T) {
			for _, path := range []string{"/../admin", "/%2e%2e/", "/login/..;/", "/x", "/login%00", "/" + long, "//evil.example/..%2f"} {
				a := b.get(path)
				require.Equal(t, http.StatusNotFound, a.StatusCode, path)
				require.Empty(t, a.to())
			}
		})
		t.Run("cookies", func(t *testing.T) {
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
		t.Run("nothing is returned to", func(t *testing.T) {
			for _, to := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)", "\r\nSet-Cookie: a=b"} {
				fresh := w.browser(iPhone17)
				a := fresh.get("/login?" + url.Values{"return_to": {to}, "next": {to}, "redirect_uri": {to}}.Encode())
				require.True(t, strings.HasPrefix(a.to(), w.idp.Issuer()+"/authorize?"), a.to())
				require.NotContains(t, a.to(), "evil")
			}
		})
		t.Run("languages", func(t *testing.T) {
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
		t.Run(""+name[:7], func(t *testing.T) {
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
