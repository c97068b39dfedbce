package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// signIn fills in the provider's form and goes on to the page with the profile.
func (b *tab) signIn(user string) {
	b.t.Helper()
	b.picture("idp-" + user)
	b.quiet("idp")
	b.fill("input[name=username]", user)
	b.fill("input[name=password]", "password")
	require.Equal(b.t, http.StatusOK, b.follow("form button"))
	require.Equal(b.t, b.q.Portal.Path+"/ready", b.path(), b.text())
}

const deviceButton = `form[action$="/device"] button`

// TestPortalInBrowser goes the person's way with taps, and installs what was
// downloaded on the device that shares no code with us.
func TestPortalInBrowser(t *testing.T) {
	q := startQuickstart(t)
	c := startChromium(t, q)
	b := c.open(t, phone)

	require.Equal(t, http.StatusOK, b.visit(q.Portal))
	b.inspect("landing")
	require.Equal(t, http.StatusOK, b.follow(`a[href$="/login"]`))
	b.signIn("alice@example.com")
	b.inspect("ready")

	installing := eval[string](b, "document.querySelector('h1').innerText")
	require.NoError(t, b.press(b.ctx, `a[href$="/profile"]`))
	file := b.file()
	d := foreign(t, "--check", file, "--ca", q.CA, "--work", t.TempDir())
	require.Equal(t, "alice@example.com", d.ManagedAppleAccount)
	require.Equal(t, 1, q.state(t).Tickets[0].Downloads)
	b.awaitPage("the page to tell of the download", "document.querySelector('[data-state]').dataset.state === 'downloaded'")
	b.inspect("downloaded")

	foreign(t, "--profile", file, "--ca", q.CA, "--work", t.TempDir())
	require.Equal(t, "enrolled", q.state(t).Tickets[0].State)
	b.awaitPage("the page to tell of the enrollment", fmt.Sprintf("document.querySelector('h1').innerText !== %q", installing))
	b.inspect("enrolled")
}

// scan reads the code in a picture.
func scan(t *testing.T, png []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "code.png")
	require.NoError(t, os.WriteFile(file, png, 0o600))
	out, err := exec.CommandContext(t.Context(), need(t, "zbarimg"), "--quiet", "--raw", file).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// TestPagesInBrowser looks at each page that a person may be shown instead.
func TestPagesInBrowser(t *testing.T) {
	q := startQuickstart(t)
	c := startChromium(t, q)

	agents := map[string]string{
		"ios18":   "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
		"ios12":   "Mozilla/5.0 (iPhone; CPU iPhone OS 12_5_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1",
		"chrome":  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/128.0.6613.98 Mobile/15E148 Safari/604.1",
		"in-app":  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 345.0.0.29.95",
		"android": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Mobile Safari/537.36",
	}
	says := map[string]string{
		"ios18": "Settings", "ios12": "13.1", "chrome": "Safari", "in-app": "Safari", "android": "iPhone",
	}
	for name, agent := range agents {
		t.Run(name, func(t *testing.T) {
			b := c.open(t, look{agent, 390, 844, true})
			require.Equal(t, http.StatusOK, b.visit(q.Portal))
			require.Contains(t, b.text(), says[name])
			b.inspect(name)
			require.Empty(t, b.files())
		})
	}
	t.Run("desktop", func(t *testing.T) {
		b := c.open(t, desktop)
		require.Equal(t, http.StatusOK, b.visit(q.Portal))
		require.True(t, eval[bool](b, "document.querySelector('.qr').getBoundingClientRect().width >= 120"), "the code to scan is too small")
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			require.Equal(t, q.Portal.String(), scan(t, b.picture("desktop-code")))
		}
		b.inspect("desktop")
		require.Equal(t, http.StatusOK, b.follow(deviceButton))
		b.inspect("desktop-button")
		require.Equal(t, http.StatusOK, b.follow(`a[href$="/login"]`))
		b.signIn("bob@example.com")
		b.inspect("desktop-ready")
		require.NoError(t, b.press(b.ctx, `a[href$="/profile"]`))
		file := b.file()
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotEmpty(t, content)
		require.Equal(t, "bob@example.com", foreign(t, "--check", file, "--ca", q.CA, "--work", t.TempDir()).ManagedAppleAccount)
	})
	t.Run("help", func(t *testing.T) {
		b := c.open(t, phone)
		require.Equal(t, http.StatusOK, b.visit(q.Portal.JoinPath("help")))
		b.inspect("help")
		eval[bool](b, "document.querySelectorAll('details').forEach((d) => { d.open = true }), true")
		b.inspect("help-open")
	})
	t.Run("refused", func(t *testing.T) {
		b := c.open(t, phone)
		b.refused()
		callback := q.Portal.JoinPath("callback")
		callback.RawQuery = "code=stolen&state=guessed"
		require.Equal(t, http.StatusBadRequest, b.visit(callback))
		b.inspect("refused-callback")
		require.Equal(t, http.StatusNotFound, b.visit(q.Portal.JoinPath("nothing")))
		b.inspect("not-found")
	})
	t.Run("wrong password", func(t *testing.T) {
		b := c.open(t, phone)
		b.refused()
		b.visit(q.Portal)
		b.follow(`a[href$="/login"]`)
		b.fill("input[name=username]", "alice@example.com")
		b.fill("input[name=password]", "guess")
		b.follow("form button")
		require.NotContains(t, b.path(), "ready")
		b.picture("idp-refused")
		b.quiet("idp-refused")
	})
}

// TestInspectionBites shows that a page with faults does not pass.
func TestInspectionBites(t *testing.T) {
	b := startChromium(t, startQuickstart(t)).open(t, phone)
	bad := `<!DOCTYPE html><html><head><meta name=viewport content="width=device-width"><style>
		@media (prefers-color-scheme: dark) { p { color: #333 } body { background: #222 } }
		a { display: block; height: 20px } body { margin: 0 } div { width: 500px }</style></head><body>
		<h2></h2><p id=x>text</p><p id=x style="color: #999">faint</p><a href="#">small</a><div>wide</div><button></button>
		<script>console.error("said"); fetch("https://elsewhere.invalid/").catch(() => {})</script></body></html>`
	b.visit(&url.URL{Scheme: "data", Opaque: "text/html," + url.PathEscape(bad)})
	faults := b.faults()
	wide := func(s string) bool {
		return strings.HasPrefix(s, "content is 50") && strings.HasSuffix(s, " wide in 390")
	}
	require.True(t, slices.ContainsFunc(faults, wide), faults)
	require.ElementsMatch(t, []string{
		"html has no lang", "no title", "not one h1", "no main", "id x twice",
		`a "small" is 20 high, less than 44`, `button "" is 6 high, less than 44`, `p "faint" has a contrast of 2.85, less than 4.5`,
	}, slices.DeleteFunc(faults, wide))
	b.scheme("dark")
	require.Contains(t, b.faults(), `p "text" has a contrast of 1.26, less than 4.5`)
	require.Equal(t, []string{"heading", "button"}, b.nameless())
	b.await("the console", func() bool {
		errors, foreign := b.said()
		return strings.Contains(strings.Join(errors, "\n"), "said") && slices.Equal(foreign, []string{"https://elsewhere.invalid/"})
	})
}
