package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// signIn fills in the provider's form and goes on to the page with the profile.
func (b *tab) signIn(user string) {
	b.t.Helper()
	b.inspect("idp")
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

	require.NoError(t, b.press(b.ctx, `a[href$="/profile"]`))
	file := b.file()
	d := foreign(t, "--check", file, "--ca", q.CA, "--work", t.TempDir())
	require.Equal(t, "alice@example.com", d.ManagedAppleAccount)
	require.Equal(t, 1, q.state(t).Tickets[0].Downloads)
	b.await("the page to tell of the download", func() bool { return strings.Contains(b.text(), "Settings") })
	b.inspect("downloaded")

	foreign(t, "--profile", file, "--ca", q.CA, "--work", t.TempDir())
	require.Equal(t, "enrolled", q.state(t).Tickets[0].State)
	before := b.text()
	b.await("the page to tell of the enrollment", func() bool { return b.text() != before && b.state() == "enrolled" })
	b.inspect("enrolled")
}

// state is the ticket's state as the page shows it.
func (b *tab) state() string {
	return eval[string](b, "document.querySelector('[data-state]')?.dataset.state ?? ''")
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
			require.Empty(t, b.files)
		})
	}
	t.Run("desktop", func(t *testing.T) {
		b := c.open(t, desktop)
		require.Equal(t, http.StatusOK, b.visit(q.Portal))
		require.True(t, eval[bool](b, "document.querySelector('svg').getBoundingClientRect().width >= 120"), "the code to scan is too small")
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
	})
	t.Run("refused", func(t *testing.T) {
		b := c.open(t, phone)
		b.refusals = true
		callback := q.Portal.JoinPath("callback")
		callback.RawQuery = "code=stolen&state=guessed"
		require.Equal(t, http.StatusBadRequest, b.visit(callback))
		b.inspect("refused-callback")
		require.Equal(t, http.StatusNotFound, b.visit(q.Portal.JoinPath("nothing")))
		b.inspect("not-found")
	})
	t.Run("wrong password", func(t *testing.T) {
		b := c.open(t, phone)
		b.refusals = true
		b.visit(q.Portal)
		b.follow(`a[href$="/login"]`)
		b.fill("input[name=username]", "alice@example.com")
		b.fill("input[name=password]", "guess")
		b.follow("form button")
		require.NotContains(t, b.path(), "ready")
		b.inspect("idp-refused")
	})
}
