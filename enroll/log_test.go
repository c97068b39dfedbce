package enroll_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
)

// notes is a log that is read afterwards.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

func TestLogsHoldNoSecret(t *testing.T) {
	var log notes
	w := newWorld(t, func(c *enroll.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	devices := newIssuer(t)
	b := w.browser(iPhone17)
	back := b.begin("alice@example.com")
	secrets := []string{b.cookies()[signInCookie]}
	u, err := url.Parse(back)
	require.NoError(t, err)
	secrets = append(secrets, u.Query().Get("code"), u.Query().Get("state"))
	refused(t, w.browser(iPhone17).get(back), http.StatusBadRequest, enroll.CodeSignInUnknown)
	require.Equal(t, http.StatusSeeOther, b.get(back).StatusCode)
	refused(t, b.get(back), http.StatusBadRequest, enroll.CodeSignInUnknown)
	challenge := b.challenge()
	secrets = append(secrets, b.cookies()[sessionCookie], challenge)
	_, err = w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
	require.NoError(t, err)
	_, err = w.portal.Redeem(t.Context(), challenge, key("l"), devices.issue)
	require.Error(t, err)
	b.get("/%0aforged=line")

	for _, s := range secrets {
		require.NotEmpty(t, s)
		require.NotContains(t, log.String(), s)
	}
	require.Contains(t, log.String(), "ticket="+w.state().Tickets[0].Ref, "but what the help desk is told")
	require.Contains(t, log.String(), `path="/enroll/\nforged=line"`, "in one line")
	require.NotContains(t, log.String(), "alice@example.com")
}

// Somebody plants a session of their own in another person's browser.
func TestSessionFixation(t *testing.T) {
	w := newWorld(t)
	attacker, victim := w.browser(iPhone17), w.browser(iPhone17)
	attacker.signIn("bob@example.com")
	planted := attacker.cookies()[sessionCookie]
	u, err := url.Parse(w.url)
	require.NoError(t, err)
	victim.jar.SetCookies(u, []*http.Cookie{{Name: sessionCookie, Value: planted, Path: "/", Secure: true}})
	victim.signIn("alice@example.com")
	require.NotEqual(t, planted, victim.cookies()[sessionCookie], "a new id after the sign-in")
	require.Equal(t, "/enroll", attacker.get("/ready").to(), "the old id is dead")
	require.Equal(t, enroll.TicketIssued, w.state().Tickets[1].State)
	victim.download()
}
