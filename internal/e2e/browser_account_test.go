package e2e

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/stretchr/testify/require"
)

// handBack is the scheme of the addresses that end a web session of Settings.
const handBack = "apple-remotemanagement-user-login"

// Agents of Safari. From iOS 26 on only its own version moves, and an iPad, or
// whoever asks for desktop websites, says that it is a Mac.
const (
	safari18  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
	safari26  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"
	safariMac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"
)

// webSession is where Settings opens the web session of a new challenge.
func (q *quickstart) webSession(t *testing.T, user string) *url.URL {
	t.Helper()
	body, err := os.Open(q.machineInformation(t))
	require.NoError(t, err)
	defer body.Close()
	r, err := q.client.Post(q.Portal.JoinPath("account", "byod").String(), "application/pkcs7-signature", body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusUnauthorized, r.StatusCode)
	found := regexp.MustCompile(`url="([^"]+)"`).FindStringSubmatch(r.Header.Get("WWW-Authenticate"))
	require.NotNil(t, found, r.Header)
	u, err := url.Parse(found[1])
	require.NoError(t, err)
	u.RawQuery = url.Values{"user-identifier": {user}}.Encode()
	return u
}

// handedBack are the addresses that the tab was led to in the end.
func (b *tab) handedBack() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.handed...)
}

// TestAccountPageInBrowser goes the person's way on an iPhone that starts in
// Settings: to the Managed Apple Account to copy.
func TestAccountPageInBrowser(t *testing.T) {
	q := startQuickstart(t)
	c := startChromium(t, q)
	for name, l := range map[string]look{
		"ios18": {safari18, 390, 844, true}, "ios26": {safari26, 390, 844, true}, "small": {safari26, 320, 568, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := c.open(t, l)
			require.Equal(t, http.StatusOK, b.visit(q.Portal))
			require.Contains(t, b.text(), "Sign In to Work or School Account")
			b.inspect("account-" + name)
			require.Equal(t, http.StatusOK, b.follow(`.steps a[href$="/login"]`))
			b.signIn("bob@example.com")
			require.Contains(t, b.text(), "bob@example.com")
			require.Contains(t, b.text(), "VPN & Device Management")
			b.inspect("account-ready-" + name)
			require.Empty(t, b.files())
		})
	}
	mac := func(t *testing.T, l look) *tab {
		b := c.open(t, l)
		call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: l.agent, AcceptLanguage: "en", Platform: "MacIntel"})
		return b
	}
	// The page notices the touch screen, and presses the button itself.
	t.Run("iPad that says it is a Mac", func(t *testing.T) {
		b := mac(t, look{safariMac, 820, 1180, true})
		require.Equal(t, http.StatusOK, b.visit(q.Portal))
		b.awaitText("Sign In to Work or School Account")
		b.inspect("account-ipad")
		require.Equal(t, http.StatusOK, b.follow(`.steps a[href$="/login"]`))
		b.signIn("bob@example.com")
		require.Contains(t, b.text(), "bob@example.com")
		b.inspect("account-ready-ipad")
	})
	t.Run("Mac", func(t *testing.T) {
		b := mac(t, look{safariMac, 1280, 800, false})
		require.Equal(t, http.StatusOK, b.visit(q.Portal))
		require.Contains(t, b.text(), "Continue on your iPhone or iPad")
		require.Equal(t, http.StatusOK, b.follow(deviceButton))
		require.Contains(t, b.text(), "Sign In to Work or School Account")
	})
}

// TestDeviceEnrollmentInBrowser: it is chosen, by who is in the group, after
// reading what the company sees then.
func TestDeviceEnrollmentInBrowser(t *testing.T) {
	q := startQuickstart(t)
	c := startChromium(t, q)
	for name, l := range map[string]look{"ios17": phone, "ios26": {safari26, 390, 844, true}} {
		t.Run(name, func(t *testing.T) {
			b := c.open(t, l)
			require.Equal(t, http.StatusOK, b.visit(q.Portal))
			require.Equal(t, http.StatusOK, b.follow(`a[href$="/login"]`))
			b.signIn("alice@example.com")
			require.NoError(t, b.press(b.ctx, `details:has(form[action$="/way"]) summary`))
			b.awaitText("managed as a whole") // the tap comes after the touch
			b.inspect("choice-" + name)
			require.Equal(t, http.StatusOK, b.follow(`form[action$="/way"] button`))
			require.Equal(t, q.Portal.Path+"/ready", b.path())
			b.inspect("device-ready-" + name)
			require.NoError(t, b.press(b.ctx, `a[href$="/profile"]`))
			content, err := os.ReadFile(b.file())
			require.NoError(t, err)
			require.Contains(t, string(content), "<key>AccessRights</key>")
			require.NotContains(t, string(content), "ManagedAppleID")
			state := q.state(t)
			last := state.Tickets[len(state.Tickets)-1]
			require.Equal(t, "company", last.Ownership)
			require.Equal(t, "downloaded", last.State)
			require.Equal(t, "superseded", state.Tickets[len(state.Tickets)-2].State)
		})
	}
	t.Run("not offered", func(t *testing.T) {
		b := c.open(t, phone)
		b.visit(q.Portal)
		b.follow(`a[href$="/login"]`)
		b.signIn("bob@example.com")
		require.Zero(t, eval[int](b, `document.querySelectorAll('form[action$="/way"]').length`))
	})
}

// TestWebSessionInBrowser goes through the web session that Settings opens, up to
// the address that only Settings takes.
func TestWebSessionInBrowser(t *testing.T) {
	q := startQuickstart(t)
	c := startChromium(t, q)
	settings := look{safari26, 390, 844, true}
	signIn := func(b *tab, user string) {
		b.fill("input[name=username]", user)
		b.fill("input[name=password]", "password")
	}

	b := c.open(t, settings)
	session := q.webSession(t, "alice@example.com")
	require.Equal(t, http.StatusOK, b.visit(session))
	require.Equal(t, "alice@example.com", eval[string](b, "document.querySelector('input[name=username]').value"))
	b.picture("session-idp")
	b.fill("input[name=password]", "password")
	require.NoError(t, b.press(b.ctx, "form button"))
	b.await("the hand-back", func() bool { return len(b.handedBack()) > 0 })
	end, err := url.Parse(b.handedBack()[0])
	require.NoError(t, err)
	require.Equal(t, "authentication-results", end.Host)
	require.NotEmpty(t, end.Query().Get("access-token"))
	require.Equal(t, "issued", q.state(t).Tickets[0].State)
	b.quiet("session")

	t.Run("used", func(t *testing.T) {
		b := c.open(t, settings)
		b.refused()
		require.Equal(t, http.StatusOK, b.visit(session))
		signIn(b, "alice@example.com")
		require.Equal(t, 4, b.follow("form button")/100)
		b.inspect("session-used")
	})
	t.Run("another person", func(t *testing.T) {
		b := c.open(t, settings)
		b.refused()
		require.Equal(t, http.StatusOK, b.visit(q.webSession(t, "alice@example.com")))
		signIn(b, "bob@example.com")
		require.Equal(t, http.StatusForbidden, b.follow("form button"))
		b.inspect("session-other-person")
	})
	t.Run("opened in a browser", func(t *testing.T) {
		b := c.open(t, settings)
		b.refused()
		bare := *q.webSession(t, "alice@example.com")
		bare.RawQuery = ""
		require.Equal(t, 4, b.visit(&bare)/100)
		b.inspect("session-not-settings")
	})
	t.Run("forged", func(t *testing.T) {
		b := c.open(t, settings)
		b.refused()
		forged := *session
		forged.Path = strings.TrimSuffix(forged.Path, forged.Path[len(forged.Path)-4:]) + "AAAA"
		require.Equal(t, 4, b.visit(&forged)/100)
		b.inspect("session-forged")
	})
}
