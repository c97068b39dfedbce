package enroll_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

func TestStory(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)

	landing := b.get("")
	require.Equal(t, http.StatusOK, landing.StatusCode)
	require.Contains(t, landing.body, `<a class="button" href="/enroll/login">`)
	require.Contains(t, landing.body, "Set up work on this iPhone")
	require.Contains(t, landing.body, "iOS 17.6")

	back := b.begin("alice@example.com")
	require.Empty(t, w.state().Users, "nobody is made before the callback")
	a := b.get(back)
	require.Equal(t, http.StatusSeeOther, a.StatusCode, a.body)
	s := w.state()
	require.Len(t, s.Users, 1)
	require.Equal(t, "alice@example.com", s.Users[0].ManagedAppleAccount)
	require.Len(t, s.Tickets, 1)
	ticket := s.Tickets[0]
	require.Equal(t, enroll.TicketIssued, ticket.State)
	require.Equal(t, enroll.OwnershipPersonal, ticket.Ownership)
	require.Equal(t, mdm.WayProfile, ticket.Way)
	require.Regexp(t, `^[0-9A-HJKMNP-TV-Z]{8}$`, ticket.Ref)
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, ticket.ID)
	require.Equal(t, s.Users[0].ID, ticket.UserID)
	require.Equal(t, ticket, <-w.seen.moved)

	ready := b.get("/ready")
	require.Equal(t, http.StatusOK, ready.StatusCode)
	require.Contains(t, ready.body, `<a class="button" href="/enroll/profile">`)
	require.Contains(t, ready.body, ticket.Ref)
	require.Contains(t, ready.body, ">alice@example.com</code>")
	require.Contains(t, ready.body, "VPN &amp; Device Management")

	var top struct {
		PayloadContent []struct {
			PayloadType    string
			ManagedAppleID string `plist:",omitempty"`
			ServerURL      string `plist:",omitempty"`
		}
	}
	require.NoError(t, plist.Unmarshal(b.download(), plist.Limits{Bytes: 1 << 20, Depth: 16, Elements: 5000}, &top))
	require.Len(t, top.PayloadContent, 2)
	require.Equal(t, "alice@example.com", top.PayloadContent[1].ManagedAppleID)
	require.Equal(t, w.server.URL+"/mdm/connect", top.PayloadContent[1].ServerURL)
	moved := <-w.seen.moved
	require.Equal(t, enroll.TicketDownloaded, moved.State)
	require.Equal(t, 1, moved.Downloads)
	require.Equal(t, []enroll.Ticket{moved}, w.state().Tickets)
}

func TestStoryOfTheSimulatedPerson(t *testing.T) {
	w := newWorld(t)
	phone, err := mdmtest.New(mdmtest.Config{Transport: w.transport(), Roots: w.roots, Now: w.clock.Now})
	require.NoError(t, err)
	require.NoError(t, phone.SignIn(t.Context(), w.url, "alice@example.com", "password"))
	_, err = phone.Download(t.Context())
	require.NoError(t, err)
	_, err = phone.Download(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, w.state().Tickets[0].Downloads)
}

func TestTheButtonGoesOnWithAnyAgent(t *testing.T) {
	for _, agent := range []string{curl, "", iPad17, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"} {
		for _, from := range []string{"", "/login", "/ready"} {
			t.Run(agent+from, func(t *testing.T) {
				w := newWorld(t)
				b := w.browser(agent)
				w.unchanged(func() {
					a := b.get(from)
					require.Equal(t, http.StatusOK, a.StatusCode)
					require.Contains(t, a.body, "This is an iPhone or iPad</button>")
					require.Contains(t, a.body, `action="/enroll/device"`)
					require.Contains(t, a.body, `<svg class="qr"`)
					a = b.do(http.MethodPost, "/device", url.Values{"from": {from}})
					require.Equal(t, http.StatusSeeOther, a.StatusCode)
				})
				require.Contains(t, b.get("").body, `href="/enroll/login"`)
				require.Contains(t, b.signIn("alice@example.com").body, `href="/enroll/profile"`)
				b.download()
			})
		}
	}
}

func TestTheButtonOfASignedInDesktopLeadsBack(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	b.agent = iPad17 // "Request Desktop Website"
	require.Contains(t, b.get("/ready").body, `name="from" value="ready"`)
	require.Equal(t, "/enroll/ready", b.get("/profile").to())
	a := b.do(http.MethodPost, "/device", url.Values{"from": {"ready"}})
	require.Equal(t, "/enroll/ready", a.to())
	b.download()
}

func TestSigningInAgain(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	first := b.cookies()
	b.download()

	t.Run("another browser has a ticket of its own", func(t *testing.T) {
		other := w.browser(iPhone17)
		other.signIn("alice@example.com")
		tickets := w.state().Tickets
		require.Len(t, tickets, 2)
		require.Equal(t, enroll.TicketDownloaded, tickets[0].State)
		require.Equal(t, enroll.TicketIssued, tickets[1].State)
		require.Len(t, w.state().Users, 1, "the user is found and not made")
	})
	t.Run("the same browser's open ticket is superseded", func(t *testing.T) {
		b.signIn("bob@example.com")
		tickets := w.state().Tickets
		require.Len(t, tickets, 3)
		require.Equal(t, enroll.TicketSuperseded, tickets[0].State)
		require.Equal(t, enroll.TicketIssued, tickets[1].State, "not the other browser's")
		require.NotEqual(t, first, b.cookies())
	})
	t.Run("hostile 15: the old session is dead", func(t *testing.T) {
		old := w.browser(iPhone17)
		a := old.get("/profile", "Cookie", sessionCookie+"="+first[sessionCookie])
		require.Equal(t, http.StatusSeeOther, a.StatusCode)
		require.Equal(t, "/enroll", a.to())
	})
}

const (
	sessionCookie = "__Host-enroll-session"
	signInCookie  = "__Host-enroll-signin"
)

// A sign-in whose answer got lost was committed all the same: the next one in
// that browser supersedes what the browser never heard of.
func TestSigningInAgainAfterALostAnswer(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	back := b.begin("alice@example.com")
	kept := b.cookies()
	lost := w.browser(iPhone17) // shares the request's cookies, keeps those of the answer for itself
	a := lost.get(back, "Cookie", sessionCookie+"="+kept[sessionCookie]+"; "+signInCookie+"="+kept[signInCookie])
	require.Equal(t, http.StatusSeeOther, a.StatusCode)

	refused(t, b.get(back), http.StatusBadRequest, enroll.CodeSignInUsed)
	b.signIn("alice@example.com")
	var states []enroll.TicketState
	for _, ticket := range w.state().Tickets {
		states = append(states, ticket.State)
	}
	require.Equal(t, []enroll.TicketState{enroll.TicketSuperseded, enroll.TicketSuperseded, enroll.TicketIssued}, states)
}

func TestLogout(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	tab := b.cookies()[sessionCookie]
	a := b.do(http.MethodPost, "/logout", url.Values{}, "Sec-Fetch-Site", "same-origin")
	require.Equal(t, "/enroll", a.to())
	require.Empty(t, b.cookies())
	other := w.browser(iPhone17)
	require.Equal(t, "/enroll", other.get("/ready", "Cookie", sessionCookie+"="+tab).to(), "in all tabs")
	require.Equal(t, "/enroll", b.do(http.MethodPost, "/logout", url.Values{}).to(), "again, without a session")
}

func TestDeviceLimitIsToldWhenTheTicketIsAskedFor(t *testing.T) {
	w := newWorld(t, func(c *enroll.Config) {
		c.DeviceLimit = 2
		c.Tickets = crowded{c.Tickets, 2}
	})
	b := w.browser(iPhone17)
	refused(t, b.get(b.begin("alice@example.com")), http.StatusForbidden, enroll.CodeDeviceLimit)
	require.Empty(t, w.state().Tickets)
	require.Equal(t, "/enroll", b.get("/ready").to())
}

// crowded says that everybody has n devices.
type crowded struct {
	enroll.TicketStore
	n int
}

func TestSessionOutlastsItsTicket(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	w.clock.add(90 * time.Minute)
	refused(t, b.get("/ready"), http.StatusGone, enroll.CodeTicketExpired)
	w.clock.add(40 * time.Minute)
	require.Equal(t, "/enroll", b.get("/ready").to())
}
