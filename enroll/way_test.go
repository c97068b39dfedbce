package enroll_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
)

const (
	iPhone14 = "Mozilla/5.0 (iPhone; CPU iPhone OS 14_8_1 like Mac OS X)" + webKit + "Version/14.1.2 Mobile/15E148 Safari/604.1"
	iPhone26 = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X)" + webKit + "Version/26.1 Mobile/15E148 Safari/604.1"
	iPad26   = mac + "Version/26.1 Safari/605.1.15"
	chrome18 = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)" + webKit + "CriOS/138.0.7204.156 Mobile/15E148 Safari/604.1"

	wholePage  = "Before you go on"
	letManage  = "Let the whole iPhone be managed"
	keepApart  = "Keep work apart"
	staysYours = "Your iPhone stays yours"
	isWhole    = "The whole iPhone is managed"
)

// choose chooses a way on the page of the ticket.
func (b *browser) choose(way mdm.Way, header ...string) answer {
	b.w.t.Helper()
	return b.do(http.MethodPost, "/way", url.Values{"way": {string(way)}}, append([]string{"Sec-Fetch-Site", "same-origin"}, header...)...)
}

// TestDeviceEnrollmentIsChosen goes web-based Device Enrollment end to end.
func TestDeviceEnrollmentIsChosen(t *testing.T) {
	for _, os := range []string{"13.1", "17.6.1", "18.6", "26.1"} {
		t.Run(os, func(t *testing.T) {
			a := newAccountWorld(t)
			a.plan = []command.Command{command.DeviceInformation{Queries: []string{"SerialNumber", "OSVersion"}}}
			p := a.devicePhone(func(c *mdmtest.Config) { c.OSVersion = os })
			require.NoError(t, p.SignIn(t.Context(), a.url, "alice@example.com", "password"))
			page := p.Safari.Page()
			require.Contains(t, string(page.Body), "Know your device again, by its serial number and UDID", "what the company sees is on the page of the form")
			require.Equal(t, mdm.WayProfile, a.all().Tickets[0].Way)
			page, err := p.Safari.Press(t.Context(), letManage)
			require.NoError(t, err)
			require.Equal(t, "/enroll/ready", page.URL.Path)
			_, err = p.Download(t.Context())
			require.NoError(t, err, a.log)
			require.Equal(t, int(profile.DefaultAccessRights), p.Waiting().AccessRights)
			require.Empty(t, p.Waiting().ManagedAppleID+p.Waiting().AssignedManagedAppleID+p.Waiting().EnrollmentMode)
			require.NoError(t, p.Install(t.Context()), a.log)
			n, err := p.Connect(t.Context())
			require.NoError(t, err, a.log)
			require.Equal(t, 1, n)

			s := a.all()
			require.Len(t, s.Tickets, 2)
			require.Equal(t, enroll.TicketSuperseded, s.Tickets[0].State)
			require.Equal(t, []any{enroll.TicketEnrolled, mdm.WayDevice, enroll.OwnershipCompany}, []any{s.Tickets[1].State, s.Tickets[1].Way, s.Tickets[1].Ownership})
			require.Equal(t, mdm.WayDevice, s.Enrollments[0].Way)
			require.Equal(t, p.Identity().UDID, s.Enrollments[0].ID)
			done, err := p.Safari.Open(t.Context(), a.url+"/ready")
			require.NoError(t, err)
			require.Contains(t, string(done.Body), "This device is set up")
			require.NotContains(t, string(done.Body), "alice@example.com", "there is no Managed Apple Account")
			require.NoError(t, p.CheckOut(t.Context()))
		})
	}
}

// TestDeviceEnrollmentIsNeverSilent: nothing but the form leads there.
func TestDeviceEnrollmentIsNeverSilent(t *testing.T) {
	a := newAccountWorld(t, func(c *enroll.Config) {
		c.DeviceEnrollment = &enroll.DeviceEnrollment{Groups: []string{"contractors"}, AccessRights: profile.RightErase}
	})
	bob, alice, nobody := a.browser(iPhone17), a.browser(iPhone17), a.browser(iPhone17)
	page := bob.signIn("bob@example.com").body
	require.Contains(t, page, letManage)
	require.Contains(t, page, "Erase it, with everything on it", "as the access rights are here")
	require.NotContains(t, page, "See its model", "which they do not grant")
	require.NotContains(t, alice.signIn("alice@example.com").body, letManage, "she is in another group")
	require.Contains(t, string(bob.download()), "ManagedAppleID")

	a.still(func() {
		refused(t, alice.choose(mdm.WayDevice), http.StatusForbidden, enroll.CodeNotOffered)
		require.Equal(t, "/enroll", nobody.choose(mdm.WayDevice).to(), "without a session")
		require.Equal(t, "/enroll/ready", bob.choose(mdm.WayProfile).to(), "what the ticket is for already")
		for _, way := range []string{"", "account", "adde", "Device", "device ", "\x00"} {
			refused(t, bob.choose(mdm.Way(way)), http.StatusBadRequest, enroll.CodeBadRequest)
		}
		refused(t, bob.do(http.MethodPost, "/way", url.Values{"way": {"device"}}, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, enroll.CodeCrossSite)
		refused(t, bob.do(http.MethodPost, "/way", url.Values{"way": {"device"}}, "Origin", "https://evil.example"), http.StatusForbidden, enroll.CodeCrossSite)
		require.Equal(t, http.StatusMethodNotAllowed, bob.get("/way?way=device").StatusCode, "a link is no choice")
		require.Equal(t, http.StatusMethodNotAllowed, bob.do(http.MethodHead, "/way", nil).StatusCode)
	})
	for range 2 {
		require.Equal(t, "/enroll/ready", bob.choose(mdm.WayDevice).to(), "and again, as after a lost answer")
		require.Len(t, a.all().Tickets, 3)
	}
	page = bob.get("/ready").body
	require.Contains(t, page, keepApart)
	require.NotContains(t, page, "bob@example.com", "no Managed Apple Account is asked for")
	plain := string(bob.download())
	require.NotContains(t, plain, "ManagedAppleID")
	require.Regexp(t, `<key>AccessRights</key>\s*<integer>8</integer>`, plain)
	require.NotContains(t, plain, "on your own device", "nor does the profile say that it is")

	t.Run("and back", func(t *testing.T) {
		require.Equal(t, "/enroll/ready", bob.choose(mdm.WayProfile).to())
		require.Contains(t, string(bob.download()), "ManagedAppleID")
		tickets := a.all().Tickets
		require.Equal(t, []mdm.Way{mdm.WayProfile, mdm.WayProfile, mdm.WayDevice, mdm.WayProfile}, []mdm.Way{tickets[0].Way, tickets[1].Way, tickets[2].Way, tickets[3].Way})
		require.Equal(t, enroll.OwnershipPersonal, tickets[3].Ownership)
	})
}

// TestDeviceEnrollmentNeedsSafari: that a profile is downloaded is the same on
// every iOS, and so is the browser that can.
func TestDeviceEnrollmentNeedsSafari(t *testing.T) {
	a := newAccountWorld(t)
	b := a.browser(chrome18)
	require.Contains(t, b.signIn("alice@example.com").body, accountPage, "Settings is there whatever the browser")
	require.Equal(t, "/enroll/ready", b.choose(mdm.WayDevice).to())
	require.Contains(t, b.get("/ready").body, safariPage)
	require.Equal(t, "/enroll/ready", b.get("/profile").to())
	b.agent = iPhone26
	require.Contains(t, b.get("/ready").body, "Profile Downloaded")
	require.NotContains(t, string(b.download()), "ManagedAppleID")
	b.agent = iPad26 // "Request Desktop Website"
	require.Contains(t, b.get("/ready").body, elsewherePage)
	require.Equal(t, "/enroll/ready", b.do(http.MethodPost, "/device", url.Values{"from": {"ready"}}).to())
	require.Contains(t, b.get("/ready").body, "Profile Downloaded", "the same way as before")
}

// TestAPersonWhoLeftTheGroup has no Device Enrollment any more.
func TestAPersonWhoLeftTheGroup(t *testing.T) {
	groups := []string{"byod"}
	a := newAccountWorld(t, func(c *enroll.Config) { c.DeviceEnrollment = &enroll.DeviceEnrollment{Groups: groups} })
	b := a.browser(iPhone17)
	b.signIn("alice@example.com")
	require.Equal(t, "/enroll/ready", b.choose(mdm.WayDevice).to())
	b.download()
	groups[0] = "others"
	a.still(func() {
		refused(t, b.get("/ready"), http.StatusForbidden, enroll.CodeNotOffered)
		require.Equal(t, "/enroll/ready", b.get("/profile").to())
	})
	require.Equal(t, "/enroll/ready", b.choose(mdm.WayProfile).to())
	require.Contains(t, string(b.download()), "ManagedAppleID")
}

// halting breaks off a choice between its two steps.
type halting struct {
	enroll.TicketStore
	halt *bool
}

// IssueTicket implements enroll.TicketStore.
func (h halting) IssueTicket(ctx context.Context, t enroll.Ticket, previous [32]byte) error {
	if *h.halt {
		return errors.New("halted")
	}
	return h.TicketStore.IssueTicket(ctx, t, previous)
}

func TestAChoiceThatWasBrokenOff(t *testing.T) {
	halt := false
	a := newAccountWorld(t, func(c *enroll.Config) { c.Tickets = halting{c.Tickets, &halt} })
	b := a.browser(iPhone17)
	b.signIn("alice@example.com")
	halt = true
	refused(t, b.choose(mdm.WayDevice), http.StatusServiceUnavailable, enroll.CodeStorage)
	halt = false
	refused(t, b.get("/ready"), http.StatusGone, enroll.CodeTicketUnknown)
	require.Equal(t, "/enroll/ready", b.choose(mdm.WayDevice).to(), "pressed again")
	require.NotContains(t, string(b.download()), "ManagedAppleID")
	require.Equal(t, enroll.TicketSuperseded, a.all().Tickets[0].State)
}

// TestOneWay: a company may force one.
func TestOneWay(t *testing.T) {
	old, tooNew, settings, own := oldPage, "This iOS is too new", accountPage, "download"
	for _, c := range []struct {
		way   mdm.Way
		agent string
		page  string // of who has signed in
		says  string
	}{
		{"", iPhone14, own, ""},
		{"", iPhone17, own, ""},
		{"", iPhone18, settings, staysYours},
		{"", iPhone26, settings, staysYours},
		{"", chrome18, settings, staysYours},
		{mdm.WayProfile, iPhone14, own, ""},
		{mdm.WayProfile, iPhone26, tooNew, "iOS 26.1"},
		{mdm.WayProfile, chrome18, tooNew, "iOS 18.5"},
		{mdm.WayAccount, iPhone14, old, "15.0"},
		{mdm.WayAccount, iPhone17, settings, staysYours},
		{mdm.WayAccount, iPhone26, settings, staysYours},
		{mdm.WayAccountDevice, iPhone14, old, "16.0"},
		{mdm.WayAccountDevice, iPhone17, settings, isWhole},
		{mdm.WayAccountDevice, iPhone26, settings, isWhole},
		{mdm.WayDevice, iPhone14, wholePage, isWhole},
		{mdm.WayDevice, iPhone26, wholePage, isWhole},
		{mdm.WayDevice, chrome18, safariPage, ""},
	} {
		t.Run(string(c.way)+" "+c.agent[13:50], func(t *testing.T) {
			a := newAccountWorld(t, func(cfg *enroll.Config) { cfg.Way = c.way })
			b := a.browser(c.agent)
			first := b.get("").body
			if c.page == old || c.page == tooNew || c.page == safariPage {
				require.Contains(t, first, c.page)
				require.Contains(t, first, c.says)
				require.Contains(t, b.get("/login").body, c.page)
				return
			}
			require.Contains(t, first, "/enroll/login")
			page := b.signIn("alice@example.com").body
			require.Contains(t, page, c.says)
			download := b.get("/profile")
			if c.page != own {
				require.Contains(t, page, c.page)
				require.Equal(t, "/enroll/ready", download.to())
				if c.way == "" || c.way == mdm.WayDevice {
					require.Contains(t, page, letManage)
				} else {
					require.NotContains(t, page, letManage)
					refused(t, b.choose(mdm.WayDevice), http.StatusForbidden, enroll.CodeNotOffered)
				}
			} else {
				require.Contains(t, page, `href="/enroll/profile"`)
				require.Equal(t, http.StatusOK, download.StatusCode)
			}
			if c.way == mdm.WayDevice {
				require.Equal(t, "/enroll/ready", b.choose(mdm.WayDevice).to())
				require.NotContains(t, string(b.download()), "ManagedAppleID")
				require.NotContains(t, b.get("/ready").body, keepApart, "there is no other way here")
				refused(t, b.choose(mdm.WayProfile), http.StatusForbidden, enroll.CodeNotOffered)
			}
		})
	}
	t.Run("who is in none of the groups is told at the sign-in", func(t *testing.T) {
		for _, way := range []mdm.Way{mdm.WayDevice, mdm.WayAccountDevice} {
			a := newAccountWorld(t, func(cfg *enroll.Config) {
				cfg.Way, cfg.DeviceEnrollment = way, &enroll.DeviceEnrollment{Groups: []string{"contractors"}}
			})
			b := a.browser(iPhone17)
			refused(t, b.get(b.begin("alice@example.com")), http.StatusForbidden, enroll.CodeNotOffered)
			require.Empty(t, a.all().Tickets)
		}
	})
	t.Run("an iOS without OAuth 2", func(t *testing.T) {
		a := newAccountWorld(t, account(oauth2), func(cfg *enroll.Config) { cfg.Way = mdm.WayAccount })
		require.Contains(t, a.browser(strings.ReplaceAll(strings.ReplaceAll(iPhone14, "14_8_1", "15_8"), "14.1", "15.6")).get("").body, "16.0 at least")
	})
	t.Run("no device enrolls by another", func(t *testing.T) {
		a := newAccountWorld(t, func(cfg *enroll.Config) { cfg.Way = mdm.WayAccount })
		a.adde()
		p := a.devicePhone()
		account, err := p.Discover(t.Context(), "alice@example.com")
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		var no *mdmtest.RefusedError
		require.ErrorAs(t, err, &no)
		require.Equal(t, mdmtest.RefusedError{Step: "challenge", Status: http.StatusForbidden}, *no)
	})
}

// TestPagesOfDevicesThatDiscoverySendsToDeviceEnrollment tell what it means.
func TestPagesOfDevicesThatDiscoverySendsToDeviceEnrollment(t *testing.T) {
	a := newAccountWorld(t, func(c *enroll.Config) { c.DeviceEnrollment.Families = []string{"iPad"} })
	const iPad = "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X)" + webKit + "Version/26.1 Mobile/15E148 Safari/604.1"
	require.Contains(t, a.browser(iPhone26).get("").body, staysYours)
	require.Contains(t, a.browser(iPad).get("").body, "The whole iPad is managed")
	desktop := a.browser(iPad26)
	require.Equal(t, http.StatusSeeOther, desktop.press().StatusCode)
	require.Contains(t, desktop.get("").body, "The whole device is managed", "it may be an iPad")
}

// TestAccountPage shows the way, the account to copy, and the app that must go.
func TestAccountPage(t *testing.T) {
	a := newAccountWorld(t)
	b := a.browser(iPhone26)
	page := b.get("").body
	require.Contains(t, page, `<a href="/enroll/login">Sign in to see it</a>`)
	page = b.signIn("alice@example.com").body
	for _, text := range []string{
		"This iPhone has iOS 26.1.", `General &gt; VPN &amp; Device Management`, "Sign In to Work or School Account",
		`<code class="account" dir="auto">alice@example.com</code>`, `data-copy="alice@example.com" hidden>Copy</button>`,
	} {
		require.Contains(t, page, text)
	}
	require.NotContains(t, strings.ToLower(page), "prefs:", "no address of Settings is honoured")
	require.NotContains(t, page, "delete it first")
	require.NotContains(t, page, "has not set up this way yet")

	with := newAccountWorld(t, account(func(c *enroll.AccountConfig) { c.ESSO = "https://mdm.example.com/esso" }))
	require.Contains(t, with.browser(iPhone26).get("").body, "delete it first", "an Authenticator of one's own stops Enrollment SSO")
	without := newAccountWorld(t, func(c *enroll.Config) { c.Account = nil })
	require.Contains(t, without.browser(iPhone26).get("").body, "has not set up this way yet")
	require.Equal(t, http.StatusNotFound, without.browser(iPhone26).get("/account/byod").StatusCode)

	t.Run("a browser that tells no version", func(t *testing.T) {
		b := a.browser(mac + "CriOS/126 Version/11.1.1 Safari/605.1.15")
		b.press()
		require.Contains(t, b.get("").body, "Your device has iOS or iPadOS 18 or later?")
		require.Contains(t, b.signIn("alice@example.com").body, "Your device has iOS or iPadOS 18 or later?")
	})
}

func TestConfigOfWays(t *testing.T) {
	none := &enroll.DeviceEnrollment{}
	for name, c := range map[string]struct {
		field string
		edit  func(*enroll.Config)
	}{
		"no way":               {"Way", func(c *enroll.Config) { c.Way = "byod" }},
		"account without":      {"Way", func(c *enroll.Config) { c.Way = mdm.WayAccount }},
		"adde without":         {"Way", func(c *enroll.Config) { c.Way, c.DeviceEnrollment = mdm.WayAccountDevice, none }},
		"device without":       {"Way", func(c *enroll.Config) { c.Way = mdm.WayDevice }},
		"families without":     {"DeviceEnrollment.Families", func(c *enroll.Config) { c.DeviceEnrollment = &enroll.DeviceEnrollment{Families: []string{"iPad"}} }},
		"rights that are none": {"DeviceEnrollment.AccessRights", func(c *enroll.Config) { c.DeviceEnrollment = &enroll.DeviceEnrollment{AccessRights: 2} }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := minimal(t)
			c.edit(&cfg)
			_, err := enroll.New(cfg)
			var bad *enroll.ConfigError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.field, bad.Field)
		})
	}
}

// TestPagesOfDeviceEnrollmentAgreeWithTheGate: what rights grant is told, and
// what they do not is promised. A rule that is misspelt would never hold.
func TestPagesOfDeviceEnrollmentAgreeWithTheGate(t *testing.T) {
	says := func(rights profile.AccessRights) (can, never []string) {
		cfg := minimal(t)
		cfg.DeviceEnrollment = &enroll.DeviceEnrollment{AccessRights: rights}
		p, err := enroll.New(cfg)
		require.NoError(t, err)
		return enroll.PrivacyOf(p, mdm.WayDevice)
	}
	can, never := says(1<<13 - 1)
	require.Len(t, can, len(enroll.WholeCan), "with all rights")
	require.Len(t, never, 2, "messages and the place are out of reach with all rights")
	can, never = says(profile.RightInspectProfiles)
	require.Len(t, can, 1, "with no right to speak of, but for what the device tells at Authenticate")
	require.Len(t, never, len(enroll.WholeNever))
	can, never = says(0)
	require.Contains(t, strings.Join(can, "\n"), "Install profiles")
	require.Contains(t, strings.Join(never, "\n"), "Erase your device")
}
