package mdmtest_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// web answers for every host name, so that pages of several sites are at hand.
type web struct {
	t      testing.TB
	mux    *http.ServeMux
	server *httptest.Server
}

func newWeb(t testing.TB) *web {
	t.Helper()
	w := &web{t: t, mux: http.NewServeMux()}
	w.server = httptest.NewTLSServer(w.mux)
	t.Cleanup(w.server.Close)
	return w
}

func (w *web) browser(edit ...func(*mdmtest.Config)) *mdmtest.Browser {
	w.t.Helper()
	transport := w.server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.InsecureSkipVerify = true
	var dialer net.Dialer
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", w.server.Listener.Addr().String())
	}
	cfg := mdmtest.Config{Transport: transport}
	for _, e := range edit {
		e(&cfg)
	}
	p, err := mdmtest.New(cfg)
	require.NoError(w.t, err)
	return p.Safari
}

func (w *web) page(pattern, html string) {
	w.mux.HandleFunc(pattern, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, html) })
}

func TestFollowAndSubmit(t *testing.T) {
	w := newWeb(t)
	w.page("/start", `<title>no</title><a class="x" href="/en/help">Help</a> <a href='/go?a=1&amp;b=2'>Go</a>`)
	w.mux.HandleFunc("/go", func(rw http.ResponseWriter, r *http.Request) {
		require.Equal(t, "a=1&b=2", r.URL.RawQuery)
		fmt.Fprint(rw, `<form action="/other"><input name="q"></form>
			<form method="post" action="/login"><input type="hidden" name="request" value="a&quot;b">
			<input name="username" value="old"><input type="password" name="password"><button>Sign <b>in</b></button></form>`)
	})
	var sent url.Values
	w.mux.HandleFunc("POST /login", func(rw http.ResponseWriter, r *http.Request) {
		require.NoError(t, r.ParseForm())
		sent = r.PostForm
		http.Redirect(rw, r, "/done", http.StatusSeeOther)
	})
	w.mux.HandleFunc("GET /done", func(rw http.ResponseWriter, r *http.Request) {
		require.Empty(t, r.Header.Get("Origin"))
		require.Empty(t, r.Header.Get("Content-Type"))
		require.Contains(t, r.Header.Get("User-Agent"), "iPhone OS 17_6_1")
		fmt.Fprint(rw, "<p>All&nbsp;done</p>")
	})

	b := w.browser()
	ctx := t.Context()
	_, err := b.Follow(ctx, "/go")
	require.ErrorContains(t, err, "no page")
	_, err = b.Open(ctx, "https://mdm.example.com/start")
	require.NoError(t, err)
	_, err = b.Follow(ctx, "/missing")
	require.ErrorContains(t, err, "no link to /missing: Help Go")
	_, err = b.Follow(ctx, "/go")
	require.NoError(t, err)
	_, err = b.Submit(ctx, map[string]string{"username": "alice", "otp": "1"})
	require.ErrorContains(t, err, "no such form")
	page, err := b.Submit(ctx, map[string]string{"username": "alice", "password": "secret"})
	require.NoError(t, err)
	require.Equal(t, url.Values{"request": {`a"b`}, "username": {"alice"}, "password": {"secret"}}, sent)
	require.Equal(t, "https://mdm.example.com/done", page.URL.String())
	require.Equal(t, "All done", page.Text())
	require.Same(t, page, b.Page())
}

func TestPress(t *testing.T) {
	w := newWeb(t)
	w.page("GET /{$}", `<form method="post" action="/no"><button>No</button></form>
		<form method="post" action="/yes"><input type="hidden" name="t" value="1"><button type="submit">This is an
		iPhone or iPad</button></form>`)
	w.mux.HandleFunc("POST /yes", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.PostFormValue("t")) })
	b := w.browser()
	_, err := b.Open(t.Context(), "https://mdm.example.com/")
	require.NoError(t, err)
	_, err = b.Press(t.Context(), "Maybe")
	require.ErrorContains(t, err, `no "Maybe"`)
	page, err := b.Press(t.Context(), "This is an iPhone or iPad")
	require.NoError(t, err)
	require.Equal(t, "1", page.Text())
}

func TestStatusOtherThan200IsAnError(t *testing.T) {
	w := newWeb(t)
	w.mux.HandleFunc("/gone", func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusGone)
		fmt.Fprint(rw, "<h1>Too late</h1><style>h1{}</style>")
	})
	b := w.browser()
	page, err := b.Open(t.Context(), "https://mdm.example.com/gone")
	var status *mdmtest.StatusError
	require.ErrorAs(t, err, &status)
	require.Same(t, page, status.Page)
	require.EqualError(t, err, "mdmtest: /gone answered 410: Too late")
	require.Same(t, page, b.Page())
}

func TestLimitsOfTheBrowser(t *testing.T) {
	w := newWeb(t)
	w.mux.HandleFunc("/loop", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/loop", http.StatusFound) })
	w.page("/giant", strings.Repeat("x", 1<<20+1))
	b := w.browser()
	_, err := b.Open(t.Context(), "https://mdm.example.com/loop")
	require.ErrorContains(t, err, "too many redirects")
	_, err = b.Open(t.Context(), "https://mdm.example.com/giant")
	require.ErrorContains(t, err, "too large")
}

// A download leaves the page that it began on, so that it can be repeated.
func TestDownloadLeavesThePage(t *testing.T) {
	w := newWeb(t)
	w.page("/ready", `<a href="/profile">Download</a>`)
	w.mux.HandleFunc("/profile", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-apple-aspen-config")
		fmt.Fprint(rw, "bytes")
	})
	b := w.browser()
	_, err := b.Open(t.Context(), "https://mdm.example.com/ready")
	require.NoError(t, err)
	for range 2 {
		page, err := b.Follow(t.Context(), "/profile")
		require.NoError(t, err)
		require.Equal(t, "bytes", string(page.Body))
	}
	require.Equal(t, "/ready", b.Page().URL.Path)
}

func TestCookiesByTheirPrefix(t *testing.T) {
	for name, c := range map[string]struct {
		cookie string
		kept   bool
	}{
		"plain":                {"a=1", true},
		"__Host-":              {"__Host-a=1; Path=/; Secure", true},
		"__Host- not Secure":   {"__Host-a=1; Path=/", false},
		"__Host- of a path":    {"__Host-a=1; Path=/enroll; Secure", false},
		"__Host- of a domain":  {"__Host-a=1; Path=/; Domain=example.com; Secure", false},
		"__Secure-":            {"__Secure-a=1; Secure", true},
		"__Secure- not Secure": {"__Secure-a=1", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWeb(t)
			w.mux.HandleFunc("/set", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Set-Cookie", c.cookie)
				http.Redirect(rw, r, "/get", http.StatusFound)
			})
			w.mux.HandleFunc("/get", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, len(r.Cookies())) })
			b := w.browser()
			page, err := b.Open(t.Context(), "https://mdm.example.com/set")
			require.NoError(t, err)
			require.Equal(t, map[bool]string{true: "1", false: "0"}[c.kept], page.Text())
		})
	}
}

// What a navigation tells the server: from a page of the same site, and from
// one of another that redirects through a third.
func TestOriginSiteAndSameSite(t *testing.T) {
	w := newWeb(t)
	w.mux.HandleFunc("/set", func(rw http.ResponseWriter, _ *http.Request) {
		for _, c := range []string{"strict=1; SameSite=Strict", "lax=1; SameSite=Lax", "none=1; SameSite=None; Secure"} {
			rw.Header().Add("Set-Cookie", c)
		}
	})
	for _, policy := range []string{"", "no-referrer", "same-origin", "strict-origin-when-cross-origin", "nearer"} {
		w.mux.HandleFunc("/page/"+policy, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Referrer-Policy", policy)
			if policy == "nearer" {
				rw.Header().Set("Referrer-Policy", "no-referrer")
				fmt.Fprint(rw, `<meta name="referrer" content="same-origin">`)
			}
			fmt.Fprint(rw, `<a href="https://mdm.example.com/show">show</a> <a href="https://sso.example.com/hop">hop</a>
				<form method="post" action="https://mdm.example.com/show"><button>Go</button></form>`)
		})
	}
	w.mux.HandleFunc("/hop", func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://mdm.example.com/show", http.StatusFound)
	})
	w.mux.HandleFunc("/show", func(rw http.ResponseWriter, r *http.Request) {
		var cookies []string
		for _, c := range r.Cookies() {
			cookies = append(cookies, c.Name)
		}
		fmt.Fprintf(rw, "%s|%s|%s", r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin"), strings.Join(cookies, " "))
	})

	const ours, sister, strange = "https://mdm.example.com/page/", "https://www.example.com/page/", "https://idp.example.net/page/"
	for _, c := range []struct{ from, do, want string }{
		{"", "open", "none||strict lax none"},
		{ours, "show", "same-origin||strict lax none"},
		{ours, "press", "same-origin|https://mdm.example.com|strict lax none"},
		{ours + "no-referrer", "press", "same-origin|null|strict lax none"},
		{ours + "same-origin", "press", "same-origin|https://mdm.example.com|strict lax none"},
		{ours + "nearer", "press", "same-origin|https://mdm.example.com|strict lax none"},
		{ours, "hop", "same-site||strict lax none"},
		{sister, "show", "same-site||strict lax none"},
		{sister, "press", "same-site|https://www.example.com|strict lax none"},
		{sister + "same-origin", "press", "same-site|null|strict lax none"},
		{strange, "show", "cross-site||lax none"},
		{strange, "hop", "cross-site||lax none"},
		{strange, "press", "cross-site|https://idp.example.net|none"},
		{strange + "strict-origin-when-cross-origin", "press", "cross-site|https://idp.example.net|none"},
	} {
		t.Run(c.from+" "+c.do, func(t *testing.T) {
			b := w.browser()
			_, err := b.Open(t.Context(), "https://mdm.example.com/set")
			require.NoError(t, err)
			if c.from != "" {
				_, err = b.Open(t.Context(), c.from)
				require.NoError(t, err)
			}
			var page *mdmtest.Page
			switch c.do {
			case "open":
				page, err = b.Open(t.Context(), "https://mdm.example.com/show")
			case "press":
				page, err = b.Press(t.Context(), "Go")
			default:
				page, err = b.Follow(t.Context(), "/"+c.do)
			}
			require.NoError(t, err)
			require.Equal(t, c.want, page.Text())
		})
	}
}

func TestReloadAndLostAnswers(t *testing.T) {
	w := newWeb(t)
	served := 0
	w.mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) { served++; fmt.Fprint(rw, served) })
	loss := mdmtest.LoseNothing
	b := w.browser(func(c *mdmtest.Config) { c.Lose = func(*http.Request) mdmtest.Loss { return loss } })
	ctx := t.Context()
	_, err := b.Reload(ctx)
	require.ErrorContains(t, err, "no page")
	_, err = b.Open(ctx, "https://mdm.example.com/")
	require.NoError(t, err)
	for _, c := range []struct {
		loss   mdmtest.Loss
		served int
	}{{mdmtest.LoseRequest, 1}, {mdmtest.LoseAnswer, 2}} {
		loss = c.loss
		_, err = b.Reload(ctx)
		require.ErrorIs(t, err, mdmtest.ErrLost)
		require.Equal(t, c.served, served)
		require.Equal(t, "1", b.Page().Text())
	}
	loss = mdmtest.LoseNothing
	page, err := b.Reload(ctx)
	require.NoError(t, err)
	require.Equal(t, "3", page.Text())
}

// What is reloaded is the redirect that failed, and never a form.
func TestReloadGoesOnWhereItFailed(t *testing.T) {
	w := newWeb(t)
	w.page("GET /{$}", `<form method="post" action="/form"><button>Go</button></form>`)
	w.mux.HandleFunc("POST /form", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/there?a=1", http.StatusSeeOther) })
	w.page("GET /there", "arrived")
	lost := ""
	b := w.browser(func(c *mdmtest.Config) {
		c.Lose = func(r *http.Request) mdmtest.Loss {
			if r.URL.Path == lost {
				return mdmtest.LoseAnswer
			}
			return mdmtest.LoseNothing
		}
	})
	ctx := t.Context()
	_, err := b.Open(ctx, "https://mdm.example.com/")
	require.NoError(t, err)
	lost = "/form"
	_, err = b.Press(ctx, "Go")
	require.ErrorIs(t, err, mdmtest.ErrLost)
	require.Nil(t, b.Failed())
	lost = "/there"
	_, err = b.Press(ctx, "Go")
	require.ErrorIs(t, err, mdmtest.ErrLost)
	require.Equal(t, "https://mdm.example.com/there?a=1", b.Failed().String())
	lost = ""
	page, err := b.Reload(ctx)
	require.NoError(t, err)
	require.Equal(t, "arrived", page.Text())
	require.Nil(t, b.Failed())
}
