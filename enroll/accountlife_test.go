package enroll_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/esso"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

const alice, bob = "alice@example.com", "bob@example.com"

// everywhere runs a test by both methods.
func everywhere(t *testing.T, f func(t *testing.T, a *accountWorld), edit ...func(*enroll.Config)) {
	for _, method := range []enroll.AccountMethod{enroll.MethodWeb, enroll.MethodOAuth2} {
		t.Run(string(method), func(t *testing.T) {
			set := account(func(c *enroll.AccountConfig) { c.Method = method })
			f(t, newAccountWorld(t, append([]func(*enroll.Config){set}, edit...)...))
		})
	}
}

// connects demands that a phone is served.
func connects(t *testing.T, p *mdmtest.Phone) {
	t.Helper()
	_, err := p.Connect(t.Context())
	if err != nil {
		t.Log(err)
	}
	require.NoError(t, err)
}

// forbidden demands that a phone is refused by an empty 403, and stays enrolled.
func (a *accountWorld) forbidden(p *mdmtest.Phone) {
	a.t.Helper()
	before := a.all()
	_, err := p.Connect(a.t.Context())
	require.ErrorIs(a.t, err, mdmtest.ErrRefused)
	require.NotNil(a.t, p.Identity(), "nothing makes it leave")
	answer := a.last("/mdm/")
	require.Equal(a.t, []any{http.StatusForbidden, "", "0", ""}, []any{answer.status, answer.body, answer.header.Get("Content-Length"), answer.header.Get("Www-Authenticate")})
	require.Equal(a.t, before, a.all())
}

// challenged demands that a phone is told to let its owner sign in.
func (a *accountWorld) challenged(p *mdmtest.Phone) {
	a.t.Helper()
	before := a.all()
	_, err := p.Connect(a.t.Context())
	require.ErrorIs(a.t, err, mdmtest.ErrSignIn)
	require.NotNil(a.t, p.Identity(), "for these enrollments 401 is not the order to leave")
	require.Equal(a.t, http.StatusUnauthorized, a.last("/mdm/").status)
	require.Equal(a.t, before, a.all())
}

func TestASecondDeviceBesideTheFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		first, _ := a.enrolled(alice)
		second, _ := a.enrolled(alice)
		s := a.all()
		require.Len(t, s.Users, 1)
		require.Len(t, s.Tickets, 2)
		require.Len(t, s.Enrollments, 2)
		connects(t, first)
		connects(t, second)
		require.NoError(t, first.CheckOut(t.Context()))
		connects(t, second)
	})
}

// TestSuspension: locked out at the next request, and healed when it is lifted.
func TestSuspension(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p, account := a.enrolled(alice)
		other, _ := a.enrolled(bob)
		id, tokens := p.Identity(), account.Tokens
		a.suspend(alice, true)
		for range 2 {
			a.forbidden(p)
		}
		connects(t, other)

		late := a.phone()
		fresh, err := late.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = fresh.RequestChallenge(t.Context())
		require.NoError(t, err, "who will sign in is not known yet")
		a.still(func() {
			require.Error(t, fresh.SignIn(t.Context(), alice, "password"))
			page := fresh.Session.Page()
			require.Equal(t, http.StatusForbidden, page.Status)
			require.Contains(t, string(page.Body), "Your account is suspended")
		})

		a.suspend(alice, false)
		a.challenged(p)
		require.Equal(t, tokens, account.Tokens, "the former tokens were tried and are revoked for good")
		require.NoError(t, p.SignInAgain(t.Context(), alice, "password"))
		require.NotEqual(t, tokens, account.Tokens)
		connects(t, p)
		require.Same(t, id, p.Identity(), "the same enrollment works on")
		require.Len(t, a.all().Tickets, 2, "and no ticket was issued for that")
		require.Equal(t, mdm.StateEnrolled, a.all().Enrollments[0].State)
	})
}

// TestSigningInAgainForAnEnrollment: the web session of a challenge from check-in
// or connect belongs to the enrollment.
func TestSigningInAgainForAnEnrollment(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p, account := a.enrolled(alice)
		require.NoError(t, a.kept.RevokeTokens(t.Context(), p.Identity().ID()))
		a.challenged(p)
		tickets := a.all().Tickets

		require.Error(t, p.SignInAgain(t.Context(), bob, "password"), "another person")
		page := account.Session.Page()
		require.Equal(t, http.StatusForbidden, page.Status)
		require.Contains(t, string(page.Body), "This device is somebody else")
		require.Contains(t, string(page.Body), "Sign in with the account that this device was set up with.")
		require.Equal(t, tickets, a.all().Tickets)
		a.challenged(p)

		before := account.Tokens
		require.NoError(t, p.SignInAgain(t.Context(), alice, "password"))
		connects(t, p)
		require.NotEqual(t, before, account.Tokens)
		require.Equal(t, tickets, a.all().Tickets, "a new token, and no new ticket")
		require.Nil(t, p.Pending())
	})
}

// TestTheFormerTokenEndsAtTheFirstUseOfTheNewOne, and not before: the answer may
// have been lost.
func TestTheFormerTokenEndsAtTheFirstUseOfTheNewOne(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p, account := a.enrolled(alice)
		former := account.Tokens
		e, err := a.kept.Enrollment(t.Context(), p.Identity().ID())
		require.NoError(t, err)
		h, err := a.portal.Challenge(t.Context(), e)
		require.NoError(t, err)
		account.Challenge, err = mdmtest.ParseChallenge(h.Get("WWW-Authenticate"))
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), alice, "password"))
		require.NoError(t, account.RequestToken(t.Context()))
		next := account.Tokens
		require.NotEqual(t, former, next)

		account.Tokens = former
		connects(t, p)
		account.Tokens = next
		connects(t, p)
		account.Tokens = mdmtest.Tokens{Access: former.Access}
		a.challenged(p)
		account.Tokens = next
		connects(t, p)
	})
}

func TestTokensExpire(t *testing.T) {
	t.Run("web: the person signs in again", func(t *testing.T) {
		a := newAccountWorld(t, account(func(c *enroll.AccountConfig) { c.TokenLifetime = 24 * time.Hour }))
		p, _ := a.enrolled(alice)
		a.clock.add(24*time.Hour - time.Second)
		connects(t, p)
		a.clock.add(time.Second)
		a.challenged(p)
		require.NoError(t, p.SignInAgain(t.Context(), alice, "password"))
		connects(t, p)
	})
	t.Run("OAuth 2: the device refreshes by itself", func(t *testing.T) {
		var lose bool
		a := newAccountWorld(t, account(oauth2))
		p, account := a.enrolled(alice, func(c *mdmtest.Config) {
			c.Lose = func(r *http.Request) mdmtest.Loss {
				if lose && strings.HasSuffix(r.URL.Path, "/account/token") {
					lose = false
					return mdmtest.LoseAnswer
				}
				return mdmtest.LoseNothing
			}
		})
		for range 3 {
			former := account.Tokens
			a.clock.add(time.Hour + time.Second)
			connects(t, p)
			require.NotEqual(t, former.Access, account.Tokens.Access)
			require.NotEqual(t, former.Refresh, account.Tokens.Refresh, "rotated")
		}
		a.clock.add(2 * time.Hour)
		lose = true
		former := account.Tokens
		_, err := p.Connect(t.Context())
		require.ErrorIs(t, err, mdmtest.ErrLost)
		require.Equal(t, former, account.Tokens)
		connects(t, p)
		require.NotEqual(t, former, account.Tokens, "the refresh token was good once more")
		require.Len(t, a.all().Tickets, 1)
	})
	t.Run("OAuth 2: when the refresh token ends the person signs in again", func(t *testing.T) {
		a := newAccountWorld(t, account(func(c *enroll.AccountConfig) { oauth2(c); c.RefreshLifetime = 24 * time.Hour }))
		p, _ := a.enrolled(alice)
		a.clock.add(24 * time.Hour)
		a.challenged(p)
		require.NoError(t, p.SignInAgain(t.Context(), alice, "password"))
		connects(t, p)
	})
}

// TestStartingOverAfterAFailedAuthenticate: nothing stays on the phone, and the
// second POST is repeated with its bearer: same ticket, fresh challenge.
func TestStartingOverAfterAFailedAuthenticate(t *testing.T) {
	for name, lost := range map[string]mdmtest.Loss{"request lost": mdmtest.LoseRequest, "answer lost": mdmtest.LoseAnswer} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, a *accountWorld) {
				failing := true
				p := a.phone(func(c *mdmtest.Config) {
					c.Lose = func(r *http.Request) mdmtest.Loss {
						if failing && r.URL.Path == "/mdm/checkin" {
							return lost
						}
						return mdmtest.LoseNothing
					}
				})
				account, err := p.EnrollAccount(t.Context(), alice, alice, "password")
				require.ErrorIs(t, err, mdmtest.ErrLost)
				failing = false
				require.NoError(t, account.RequestProfile(t.Context()), "the same token, again")
				require.NoError(t, p.Install(t.Context()))
				connects(t, p)
				s := a.all()
				require.Len(t, s.Tickets, 1)
				require.Equal(t, []any{enroll.TicketEnrolled, 2}, []any{s.Tickets[0].State, s.Tickets[0].Downloads})
				last := s.Enrollments[len(s.Enrollments)-1]
				require.Equal(t, []any{mdm.StateEnrolled, p.Identity().ID()}, []any{last.State, last.ID})
				if lost == mdmtest.LoseAnswer {
					require.Equal(t, mdm.StateReplaced, s.Enrollments[0].State)
				}
			})
		})
	}
}

// TestTheProfilePostIsRepeated with its bearer, as often as one sign-in allows.
func TestTheProfilePostIsRepeated(t *testing.T) {
	a := newAccountWorld(t, func(c *enroll.Config) { c.MaxDownloads = 3 })
	p := a.phone()
	account, err := p.Discover(t.Context(), alice)
	require.NoError(t, err)
	_, err = account.RequestChallenge(t.Context())
	require.NoError(t, err)
	require.NoError(t, account.SignIn(t.Context(), alice, "password"))
	challenges := map[string]bool{}
	for range 3 {
		require.NoError(t, account.RequestProfile(t.Context()))
		challenges[p.Waiting().SCEP.Challenge] = true
	}
	require.Len(t, challenges, 3, "a fresh challenge each time")
	require.Len(t, a.all().Tickets, 1, "for the same ticket")
	a.still(func() {
		var no *mdmtest.RefusedError
		require.ErrorAs(t, account.RequestProfile(t.Context()), &no)
		require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: http.StatusForbidden}, *no, "as often as one sign-in allows")
	})
	require.NoError(t, p.Install(t.Context()))
}

// TestAWebSessionHandsBackOnce, and is over after a while.
func TestAWebSessionHandsBackOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p := a.phone()
		account, err := p.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), alice, "password"))
		tickets := a.all().Tickets
		require.Len(t, tickets, 1)
		again := *account
		again.Session = nil
		require.Error(t, again.SignIn(t.Context(), alice, "password"))
		page := again.Session.Page()
		require.Equal(t, http.StatusBadRequest, page.Status)
		require.Contains(t, string(page.Body), "This sign-in from Settings is over")
		require.NotContains(t, string(page.Body), "/enroll/login", "the portal's sign-in leads nowhere here")
		require.Equal(t, tickets, a.all().Tickets)

		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		account.Session = nil
		a.clock.add(enroll.DefaultAccountSession)
		a.still(func() {
			_, err := account.OpenSession(t.Context())
			require.Error(t, err)
			require.Contains(t, string(account.Session.Page().Body), "This sign-in from Settings is over")
		})
	})
}

// TestSomebodyElseThanWasTyped is told what to do.
func TestSomebodyElseThanWasTyped(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p := a.phone()
		account, err := p.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.Error(t, account.SignIn(t.Context(), bob, "password"))
		page := account.Session.Page()
		require.Equal(t, http.StatusForbidden, page.Status)
		for _, text := range []string{"You signed in as somebody else", "Close this page and begin again in Settings.", "<code>other_person</code>"} {
			require.Contains(t, string(page.Body), text)
		}
		require.Empty(t, a.all().Tickets)

		account.Session = nil
		require.NoError(t, account.SignIn(t.Context(), alice, "password"), "the web session did not hand back yet")
		other := a.phone()
		typed, err := other.Discover(t.Context(), "ALICE@Example.COM")
		require.NoError(t, err)
		_, err = typed.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, typed.SignIn(t.Context(), alice, "password"), "whatever the case")
	})
}

// TestAFailedSignInIsRepeatedInTheSession: the page's button leads back into the
// web session, and not to the portal.
func TestAFailedSignInIsRepeatedInTheSession(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p := a.phone()
		account, err := p.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		a.idp.Break(ssotest.WrongNonce)
		require.Error(t, account.SignIn(t.Context(), alice, "password"))
		page := string(account.Session.Page().Body)
		require.Contains(t, page, "Sign-in could not be checked")
		require.Contains(t, page, ">Sign in again</a>")
		require.NotContains(t, page, "To the first page")
		a.idp.Repair()
		_, again, _ := strings.Cut(page, `<a class="button" href="`)
		again, _, _ = strings.Cut(again, `"`)
		require.Contains(t, again, "/enroll/account/")
		_, err = account.Session.Open(t.Context(), a.server.URL+strings.ReplaceAll(again, "&amp;", "&"))
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), alice, "password"))
		require.NoError(t, account.RequestToken(t.Context()))
		require.NoError(t, account.RequestProfile(t.Context()))
	})
}

// TestLeaving: an enrollment that ended is told so, and is signed in to no more.
func TestLeaving(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p, account := a.enrolled(alice)
		require.NoError(t, a.kept.RevokeTokens(t.Context(), p.Identity().ID()))
		a.challenged(p)
		require.NoError(t, a.mdm.Unenroll(t.Context(), p.Identity().ID()))
		require.Error(t, p.SignInAgain(t.Context(), alice, "password"))
		require.Contains(t, string(account.Session.Page().Body), "This device is not managed any more")
		_, err := p.Connect(t.Context())
		require.ErrorIs(t, err, mdmtest.ErrLeft)
		answer := a.last("/mdm/")
		require.Equal(t, []any{http.StatusForbidden, `{"code":"com.apple.unrecognized.device"}`}, []any{answer.status, answer.body})
	})
}

// TestTheLimitOfDevices is told at the sign-in, and before a device makes room
// for work.
func TestTheLimitOfDevices(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		waiting := a.phone()
		account, err := waiting.Discover(t.Context(), alice)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), alice, "password"))
		require.NoError(t, account.RequestToken(t.Context()))
		a.enrolled(alice)
		tickets := a.all().Tickets
		var no *mdmtest.RefusedError
		require.ErrorAs(t, account.RequestProfile(t.Context()), &no)
		require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: http.StatusForbidden}, *no)

		third := a.phone()
		late, err := third.EnrollAccount(t.Context(), alice, alice, "password")
		require.Error(t, err)
		require.Contains(t, string(late.Session.Page().Body), "You have as many devices as allowed")
		require.Equal(t, tickets, a.all().Tickets)
	}, func(c *enroll.Config) { c.DeviceLimit = 1 })
}

// TestTheGroupsOfDeviceEnrollment hold for the account-driven one too, and not for
// signing in again.
func TestTheGroupsOfDeviceEnrollment(t *testing.T) {
	groups := []string{"contractors"}
	a := newAccountWorld(t, func(c *enroll.Config) { c.DeviceEnrollment = &enroll.DeviceEnrollment{Groups: groups} })
	a.adde()
	p := a.devicePhone()
	account, err := p.EnrollAccount(t.Context(), alice, alice, "password")
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, account.Session.Page().Status)
	require.Contains(t, string(account.Session.Page().Body), "That kind of management is not for you")
	require.Empty(t, a.all().Tickets, "and it does not become User Enrollment either")

	t.Run("who leaves the group between sign-in and profile", func(t *testing.T) {
		late, err := a.devicePhone().Discover(t.Context(), bob)
		require.NoError(t, err)
		_, err = late.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, late.SignIn(t.Context(), bob, "password"))
		groups[0] = "others"
		a.still(func() {
			var no *mdmtest.RefusedError
			require.ErrorAs(t, late.RequestProfile(t.Context()), &no)
			require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: http.StatusForbidden}, *no)
		})
		groups[0] = "contractors"
		require.NoError(t, late.RequestProfile(t.Context()))
	})
	mine := a.devicePhone()
	_, err = mine.EnrollAccount(t.Context(), bob, bob, "password")
	require.NoError(t, err, a.log)
	groups[0] = "others"
	require.NoError(t, a.kept.RevokeTokens(t.Context(), mine.Identity().ID()))
	a.challenged(mine)
	require.NoError(t, mine.SignInAgain(t.Context(), bob, "password"), "the device is enrolled, and stays so")
	connects(t, mine)
}

// TestEnrollmentSSO: the challenge names the documents, and a phone that has the
// app already stops.
func TestEnrollmentSSO(t *testing.T) {
	p, err := extension.Profile(
		extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Work sign-in"},
		extension.Redirect{ExtensionIdentifier: "com.example.authenticator.sso", URLs: []string{"https://login.example.com/"}},
	)
	require.NoError(t, err)
	content, err := p.Marshal()
	require.NoError(t, err)
	everywhere(t, func(t *testing.T, a *accountWorld) {
		standard, err := esso.NewHandler(esso.Document{ITunesStoreID: 123456789, ConfigurationProfile: content}, esso.Standard)
		require.NoError(t, err)
		developer, err := esso.NewHandler(esso.Document{AppIDs: []string{"ABCDE12345.com.example.authenticator"}, ConfigurationProfile: content}, esso.Developer)
		require.NoError(t, err)
		a.mux.Handle("/sso", standard)
		a.mux.Handle("/sso/developer", developer)
		phone, account := a.enrolled(alice)
		require.EqualValues(t, 123456789, account.SSO.ITunesStoreID)
		require.Equal(t, content, account.SSO.ConfigurationProfile)
		connects(t, phone)
		_, account = a.enrolled(alice, func(c *mdmtest.Config) { c.Account.DeveloperMode = true })
		require.Equal(t, []string{"ABCDE12345.com.example.authenticator"}, account.SSO.AppIDs)
		has := a.phone(func(c *mdmtest.Config) { c.Account.Apps = []int64{123456789} })
		a.still(func() {
			_, err = has.EnrollAccount(t.Context(), alice, alice, "password")
			require.ErrorIs(t, err, mdmtest.ErrAppInstalled)
		})
		require.NoError(t, a.kept.RevokeTokens(t.Context(), phone.Identity().ID()))
		a.challenged(phone)
		require.NotEmpty(t, a.last("/mdm/").header.Get("X-Apple-MDM-ESSO"), "also of an enrolled device")
	}, func(c *enroll.Config) {
		c.Account.ESSO, c.Account.ESSODeveloper = c.BaseURL+"/sso", c.BaseURL+"/sso/developer"
	})
}

// TestWhatTheProfileHolds of what is configured.
func TestWhatTheProfileHolds(t *testing.T) {
	a := newAccountWorld(t, func(c *enroll.Config) {
		c.Account.RequiredAppID = 987654321
		c.DeviceEnrollment.AccessRights = profile.RightErase
	})
	p, account := a.enrolled(alice)
	require.Contains(t, p.Identity().Profile.MDMPayloadKeys, "RequiredAppIDForMDM")
	require.NotContains(t, p.Identity().Profile.MDMPayloadKeys, "AccessRights")
	require.Equal(t, "mdm-byod", account.Server.Version)
	a.adde()
	d := a.devicePhone()
	_, err := d.EnrollAccount(t.Context(), alice, alice, "password")
	require.NoError(t, err)
	require.Equal(t, int(profile.RightErase), d.Identity().Profile.AccessRights)
}

// TestAnAccountTicketLeavesTheBrowserAlone: Settings may share Safari's cookies.
func TestAnAccountTicketLeavesTheBrowserAlone(t *testing.T) {
	for _, private := range []bool{false, true} {
		a := newAccountWorld(t)
		p := a.phone(func(c *mdmtest.Config) { c.Account.PrivateSession = private })
		require.NoError(t, p.SignIn(t.Context(), a.url, alice, "password"))
		before := a.all().Tickets[0]
		_, err := p.EnrollAccount(t.Context(), alice, alice, "password")
		require.NoError(t, err)
		require.Equal(t, before, a.all().Tickets[0], "the portal's ticket is as it was")
		page, err := p.Safari.Open(t.Context(), a.url+"/ready")
		require.NoError(t, err)
		require.Contains(t, string(page.Body), alice)
	}
}
