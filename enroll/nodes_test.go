package enroll_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/scep"
)

// Line 70: every request goes to another node than the one before. The nodes have
// the store and the cookie keys in common, and nothing else.
func TestAnyNodeGoesOn(t *testing.T) {
	var cfg enroll.Config
	w := newWorld(t, func(c *enroll.Config) { cfg = *c })
	other, err := enroll.New(cfg)
	require.NoError(t, err)
	t.Cleanup(other.Close)
	swap := func() { w.portal, other = other, w.portal }
	devices := newIssuer(t)
	b := w.browser(iPhone17)

	back := b.begin("alice@example.com")
	swap()
	require.Equal(t, "/enroll/ready", b.get(back).to())
	swap()
	w.unchanged(func() { refused(t, b.get(back), http.StatusBadRequest, enroll.CodeSignInUnknown) })
	challenge := b.challenge()
	swap()
	first, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
	require.NoError(t, err)
	swap()
	again, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
	require.NoError(t, err)
	require.True(t, first.Equal(again))
	_, err = w.portal.Redeem(t.Context(), challenge, key("l"), devices.issue)
	require.ErrorIs(t, err, scep.ErrRefused)
	require.Equal(t, http.StatusSeeOther, b.do(http.MethodPost, "/logout", nil).StatusCode)
	swap()
	require.Equal(t, "/enroll", b.get("/ready").to(), "signed out everywhere")
	require.Len(t, w.state().Users, 1)
	require.Len(t, w.state().Tickets, 1)
}

// Line 70: the server's clock is put right in the middle of a session.
func TestTheClockJumps(t *testing.T) {
	devices := newIssuer(t)
	t.Run("back", func(t *testing.T) {
		w := newWorld(t)
		w.clock.add(4 * time.Hour) // the signing certificate is older than what follows
		b := w.browser(iPhone17)
		back := b.begin("alice@example.com")
		w.clock.add(-time.Hour)
		require.Equal(t, "/enroll/ready", b.get(back).to())
		w.clock.add(-time.Hour)
		challenge := b.challenge()
		w.clock.add(-time.Hour)
		_, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
		require.NoError(t, err)
		require.Len(t, w.state().Tickets, 1)
	})
	t.Run("on", func(t *testing.T) {
		w := newWorld(t)
		b := w.browser(iPhone17)
		b.signIn("alice@example.com")
		challenge := b.challenge()
		w.clock.add(time.Hour)
		w.unchanged(func() {
			_, err := w.portal.Redeem(t.Context(), challenge, key("k"), devices.issue)
			require.ErrorIs(t, err, scep.ErrRefused)
		})
		_, err := w.portal.Redeem(t.Context(), b.challenge(), key("k"), devices.issue)
		require.NoError(t, err, "the next download goes on")
		require.Len(t, w.state().Tickets, 1)
		require.Equal(t, enroll.TicketIdentified, w.state().Tickets[0].State)
	})
}
