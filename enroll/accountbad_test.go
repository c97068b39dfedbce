package enroll_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// signed is the body of an enrollment POST by a device.
func signed(t testing.TB, d *machineinfotest.Device, info machineinfo.Info) string {
	t.Helper()
	body, err := d.Sign(info)
	require.NoError(t, err)
	return string(body)
}

var phoneInfo = machineinfo.Info{Product: "iPhone17,2", Version: "23B85", OSVersion: "26.1", Language: "en-GB"}

// post is an enrollment POST.
func (a *accountWorld) post(body string, header ...string) answer {
	a.t.Helper()
	return a.send(http.MethodPost, "/account/byod", body, append([]string{"Content-Type", "application/pkcs7-signature", "User-Agent", "DeviceManagementClient/1.0"}, header...)...)
}

// bare demands an answer that no device goes on from: no code, no challenge.
func bare(t testing.TB, a answer, status int) {
	t.Helper()
	require.Equal(t, status, a.StatusCode)
	require.Empty(t, a.body)
	require.Equal(t, "0", a.Header.Get("Content-Length"))
	require.Empty(t, a.Header.Values("WWW-Authenticate"))
	require.Empty(t, a.Header.Get("X-Apple-MDM-ESSO-Developer"))
}

var webChallenge = regexp.MustCompile(`^Bearer method="apple-as-web", url="(https://127\.0\.0\.1:\d+/enroll/account/login/[A-Za-z0-9_-]+)"$`)

// asks demands the challenge, byte for byte, and returns the web session's address.
func asks(t testing.TB, a answer) string {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, a.StatusCode)
	require.Empty(t, a.body)
	require.Equal(t, "0", a.Header.Get("Content-Length"))
	require.Len(t, a.Header.Values("WWW-Authenticate"), 1)
	match := webChallenge.FindStringSubmatch(a.Header.Get("WWW-Authenticate"))
	require.Len(t, match, 2, a.Header.Get("WWW-Authenticate"))
	return match[1]
}

// TestBadMachineInformation: the signature and the pinned CA decide
// before anything else, and a refusal is 400 or 403 without a code, never a
// challenge, whatever bearer comes along.
func TestBadMachineInformation(t *testing.T) {
	a := newAccountWorld(t, account(func(c *enroll.AccountConfig) { c.ESSODeveloper = "https://mdm.example.com/esso" }))
	_, enrolled := a.enrolled(alice)
	good := signed(t, a.builtIn, phoneInfo)
	stranger, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{Bits: 1024, Name: a.apple.Certificate.Subject.CommonName, Expired: true})
	require.NoError(t, err)
	named, err := stranger.Device()
	require.NoError(t, err)
	content := func(text string) string {
		body, err := a.builtIn.SignContent([]byte(text))
		require.NoError(t, err)
		return string(body)
	}
	old, pad, other := phoneInfo, phoneInfo, phoneInfo
	old.OSVersion, old.Version = "14.8", "18H17"
	pad.Product = "Mac14,2"
	other.Product = "Watch7,1"
	changed := []byte(good)
	changed[bytes.Index(changed, []byte("iPhone17,2"))+6] = '8'
	spoiled := []byte(good) // whatever its last byte, which is one of the signature
	spoiled[len(spoiled)-1] ^= 1

	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"empty":                        {"", http.StatusBadRequest},
		"not CMS":                      {"hello", http.StatusBadRequest},
		"a plain property list":        {"<plist><dict/></plist>", http.StatusBadRequest},
		"a form":                       {"grant_type=authorization_code", http.StatusBadRequest},
		"foreign, with the CA's name":  {signed(t, named, phoneInfo), http.StatusForbidden},
		"changed":                      {string(changed), http.StatusForbidden},
		"forged: the signature":        {string(spoiled), http.StatusForbidden},
		"a byte more":                  {good + "\x00", http.StatusBadRequest},
		"a bplist":                     {content("bplist00"), http.StatusBadRequest},
		"without PRODUCT":              {content(`<plist version="1.0"><dict><key>VERSION</key><string>1</string></dict></plist>`), http.StatusBadRequest},
		"an iOS that knows no account": {signed(t, a.builtIn, old), http.StatusForbidden},
		"a Mac":                        {signed(t, a.builtIn, pad), http.StatusForbidden},
		"a watch":                      {signed(t, a.builtIn, other), http.StatusForbidden},
		"33 KiB":                       {strings.Repeat("x", machineinfo.MaxBytes+1), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			a.still(func() {
				bare(t, a.post(c.body), c.status)
				bare(t, a.post(c.body, "Authorization", "Bearer "+enrolled.Tokens.Access), c.status)
				bare(t, a.post(c.body, "Authorization", "Bearer unknown"), c.status)
			})
		})
	}
	t.Run("as a request", func(t *testing.T) {
		a.still(func() {
			var zipped bytes.Buffer
			z := gzip.NewWriter(&zipped)
			_, err := z.Write([]byte(good))
			require.NoError(t, err)
			require.NoError(t, z.Close())
			bare(t, a.post(zipped.String(), "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType)
			bare(t, a.post(good, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden)
			bare(t, a.post(good, "Origin", "https://evil.example"), http.StatusForbidden)
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
				refused := a.send(method, "/account/byod", "")
				bare(t, refused, http.StatusMethodNotAllowed)
				require.Equal(t, http.MethodPost, refused.Header.Get("Allow"))
			}
			bare(t, a.send(http.MethodPost, "/account/byod?a=%zz", good), http.StatusBadRequest)
			bare(t, a.send(http.MethodPost, "/account/byod?a="+strings.Repeat("a", 9<<10), good), http.StatusBadRequest)
			b := a.browser(curl)
			bare(t, b.chunked(http.MethodPost, "/account/byod", machineinfo.MaxBytes+1), http.StatusRequestEntityTooLarge)
			require.Equal(t, http.StatusMisdirectedRequest, b.do(http.MethodPost, "/account/byod", url.Values{"a": {"b"}}, "Host", "evil.example").StatusCode)
		})
	})
	t.Run("legal, though it looks odd", func(t *testing.T) {
		least := machineinfo.Info{Product: "iPhone17,2", Version: "23B85"}
		future := phoneInfo
		future.Product, future.OSVersion = "iThing1,1", "99.1"
		shapes := []machineinfotest.Shape{{}, {SHA256: true}, {NoAttributes: true}, {BER: true}, {BER: true, NoAttributes: true, SHA256: true}}
		vision := phoneInfo
		vision.Product = "RealityDevice14,1"
		require.Equal(t, http.StatusUnauthorized, a.post(signed(t, a.builtIn, vision)).StatusCode)
		for _, shape := range shapes {
			d := *a.builtIn
			d.Shape = shape
			for _, info := range []machineinfo.Info{phoneInfo, least, future} {
				a.still(func() {
					require.Equal(t, http.StatusUnauthorized, a.post(signed(t, &d, info)).StatusCode, "%+v", shape)
				})
			}
		}
		for _, kind := range []string{"application/xml", "application/x-www-form-urlencoded", ""} {
			require.Equal(t, http.StatusUnauthorized, a.send(http.MethodPost, "/account/byod", good, "Content-Type", kind).StatusCode, kind)
		}
	})
	t.Run("an iOS without OAuth 2", func(t *testing.T) {
		a := newAccountWorld(t, account(oauth2))
		fifteen := phoneInfo
		fifteen.OSVersion = "15.8"
		bare(t, a.post(signed(t, a.builtIn, fifteen)), http.StatusForbidden)
	})
}

func TestBadBearerAtTheEnrollmentPOST(t *testing.T) {
	a := newAccountWorld(t, account(func(c *enroll.AccountConfig) { c.TokenLifetime = time.Hour }))
	body := signed(t, a.builtIn, phoneInfo)
	signIn := func(user string) (*mdmtest.Phone, *mdmtest.Account) {
		p := a.phone()
		account, err := p.Discover(t.Context(), user)
		require.NoError(t, err)
		_, err = account.RequestChallenge(t.Context())
		require.NoError(t, err)
		require.NoError(t, account.SignIn(t.Context(), user, "password"))
		return p, account
	}
	_, expired := signIn(alice)
	a.clock.add(time.Hour)
	_, fresh := signIn(alice)
	token := fresh.Tokens.Access
	phone, done := a.enrolled(bob)
	_, revoked := a.enrolled(bob)
	require.NoError(t, a.kept.RevokeTokens(t.Context(), a.all().Enrollments[1].ID))
	sessions := map[string]bool{}
	for name, header := range map[string][]string{
		"none":                          nil,
		"expired":                       {"Bearer " + expired.Tokens.Access},
		"revoked":                       {"Bearer " + revoked.Tokens.Access},
		"unknown":                       {"Bearer unknown"},
		"empty":                         {"Bearer "},
		"padding alone":                 {"Bearer =="},
		"two spaces":                    {"Bearer  " + token},
		"twice":                         {"Bearer " + token, "Bearer " + token},
		"in a list":                     {"Bearer " + token + ", Bearer " + token},
		"of another scheme":             {"Basic " + token},
		"without a scheme":              {token},
		"too long":                      {"Bearer " + strings.Repeat("A", 8<<10+1)},
		"with padding that is not ours": {"Bearer " + token + "="},
		"in the middle":                 {"Bearer " + token[:20] + "=" + token[20:]},
	} {
		t.Run(name, func(t *testing.T) {
			a.still(func() {
				var all []string
				for _, h := range header {
					all = append(all, "Authorization", h)
				}
				session := asks(t, a.post(body, all...))
				require.False(t, sessions[session], "each challenge has a web session of its own")
				sessions[session] = true
			})
		})
	}
	t.Run("in the query", func(t *testing.T) {
		a.still(func() {
			asks(t, a.send(http.MethodPost, "/account/byod?access_token="+token+"&access-token="+token, body))
		})
	})
	t.Run("of an enrollment", func(t *testing.T) {
		a.still(func() {
			bare(t, a.post(body, "Authorization", "Bearer "+done.Tokens.Access), http.StatusForbidden)
		})
		connects(t, phone)
	})
	t.Run("of another way", func(t *testing.T) {
		a.still(func() {
			bare(t, a.send(http.MethodPost, "/account/adde", body, "Authorization", "Bearer "+token), http.StatusForbidden)
		})
	})
	t.Run("of a suspended user", func(t *testing.T) {
		a.suspend(alice, true)
		a.still(func() { bare(t, a.post(body, "Authorization", "Bearer "+token), http.StatusForbidden) })
		a.suspend(alice, false)
		a.still(func() { asks(t, a.post(body, "Authorization", "Bearer "+token)) })
	})
	t.Run("in force", func(t *testing.T) {
		_, again := signIn(alice)
		for _, scheme := range []string{"Bearer ", "bearer "} {
			require.Equal(t, http.StatusOK, a.post(body, "Authorization", scheme+again.Tokens.Access).StatusCode)
		}
	})
}

// TestBadBearerOfAnEnrolledDevice at check-in and connect.
func TestBadBearerOfAnEnrolledDevice(t *testing.T) {
	everywhere(t, func(t *testing.T, a *accountWorld) {
		p, account := a.enrolled(alice)
		_, second := a.enrolled(alice)
		_, colleague := a.enrolled(bob)
		mine := account.Tokens
		for name, token := range map[string]string{
			"of another user": colleague.Tokens.Access, "of another enrollment of that person": second.Tokens.Access, "unknown": "unknown", "none": "",
			"a refresh token": colleague.Tokens.Refresh,
		} {
			t.Run(name, func(t *testing.T) {
				account.Tokens = mdmtest.Tokens{Access: token}
				a.challenged(p)
				require.Error(t, p.TokenUpdate(t.Context()))
				require.Equal(t, http.StatusUnauthorized, a.last("/mdm/checkin").status)
			})
		}
		account.Tokens = mine
		connects(t, p)
	})
}

func TestDiscoveryOfADomainThatIsNotServed(t *testing.T) {
	a := newAccountWorld(t)
	a.still(func() {
		_, err := a.phone().Discover(t.Context(), "alice@example.org")
		var no *mdmtest.RefusedError
		require.ErrorAs(t, err, &no)
		require.Equal(t, []any{"discovery", http.StatusForbidden, "com.apple.well-known.failed"}, []any{no.Step, no.Status, no.Code})
		answer := a.last("/.well-known/")
		require.Equal(t, "application/json", answer.header.Get("Content-Type"))
		require.JSONEq(t, `{"code":"com.apple.well-known.failed","message":"Your organization does not enroll devices here. Check the address that you typed.",
			"description":"the domain of user-identifier is not served"}`, answer.body)
		_, err = a.phone(func(c *mdmtest.Config) { c.Product = "Mac14,2" }).Discover(t.Context(), alice)
		require.ErrorAs(t, err, &no)
		require.Equal(t, http.StatusForbidden, no.Status)
	})
	a.enrolled(alice)
	exists := a.last("/.well-known/")
	_, err := a.phone().Discover(t.Context(), "nobody-at-all@example.com")
	require.NoError(t, err)
	require.Equal(t, exists.body, a.last("/.well-known/").body, "whether a user exists is not told")
}

// TestTheProfilePOSTAfterTheTicketsEnd is refused, and changes nothing.
func TestTheProfilePOSTAfterTheTicketsEnd(t *testing.T) {
	for name, end := range map[string]func(a *accountWorld, p *mdmtest.Phone, account *mdmtest.Account) (status int){
		"it waited too long": func(a *accountWorld, _ *mdmtest.Phone, _ *mdmtest.Account) int {
			a.clock.add(enroll.DefaultWait + time.Second)
			return http.StatusForbidden
		},
		"its time is over": func(a *accountWorld, _ *mdmtest.Phone, account *mdmtest.Account) int {
			require.NoError(a.t, account.RequestProfile(a.t.Context()))
			a.clock.add(enroll.DefaultMaxAge + time.Second)
			return http.StatusForbidden
		},
		"it is spent": func(a *accountWorld, p *mdmtest.Phone, account *mdmtest.Account) int {
			require.NoError(a.t, account.RequestProfile(a.t.Context()))
			require.NoError(a.t, p.Install(a.t.Context()))
			return http.StatusForbidden
		},
		"its device left": func(a *accountWorld, p *mdmtest.Phone, account *mdmtest.Account) int {
			require.NoError(a.t, account.RequestProfile(a.t.Context()))
			require.NoError(a.t, p.Install(a.t.Context()))
			require.NoError(a.t, p.CheckOut(a.t.Context()))
			return http.StatusUnauthorized
		},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, a *accountWorld) {
				p := a.phone()
				account, err := p.Discover(t.Context(), alice)
				require.NoError(t, err)
				_, err = account.RequestChallenge(t.Context())
				require.NoError(t, err)
				require.NoError(t, account.SignIn(t.Context(), alice, "password"))
				require.NoError(t, account.RequestToken(t.Context()))
				status := end(a, p, account)
				a.still(func() {
					var no *mdmtest.RefusedError
					require.ErrorAs(t, account.RequestProfile(t.Context()), &no)
					require.Equal(t, mdmtest.RefusedError{Step: "profile", Status: status}, *no)
					require.Equal(t, status == http.StatusUnauthorized, a.last("/enroll/account/byod").header.Get("WWW-Authenticate") != "")
				})
			}, account(func(c *enroll.AccountConfig) { c.AccessLifetime = 24 * time.Hour }))
		})
	}
}

// TestAHandBackInABrowser: what belongs to a device leads nowhere in a browser.
func TestAHandBackInABrowser(t *testing.T) {
	a := newAccountWorld(t)
	session := asks(t, a.post(signed(t, a.builtIn, phoneInfo)))
	a.still(func() {
		for _, query := range []string{"", "?user-identifier=", "?user-identifier=a&user-identifier=b", "?user-identifier=" + strings.Repeat("a", 300), "?user-identifier=a%00b", "?user-identifier=a%20b", "?user-identifier=%ff", "?other=alice@example.com"} {
			b := a.browser(iPhone26)
			refused(t, b.get(session+query), http.StatusBadRequest, enroll.CodeSettingsOnly)
			require.Empty(t, b.cookies())
		}
		for _, broken := range []string{session + "x", session[:len(session)-4] + "AAAA", a.url + "/account/login/x", a.url + "/account/login/" + strings.Repeat("A", 5000)} {
			refused(t, a.browser(iPhone26).get(broken+"?user-identifier=alice@example.com"), http.StatusBadRequest, enroll.CodeWebSession)
		}
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut} {
			refused := a.browser(iPhone26).do(method, session, nil)
			require.Equal(t, http.StatusMethodNotAllowed, refused.StatusCode)
			require.Equal(t, http.MethodGet, refused.Header.Get("Allow"))
		}
		require.Equal(t, http.StatusNotFound, a.browser(iPhone26).get("/account/login/").StatusCode)
		require.Equal(t, http.StatusNotFound, a.browser(iPhone26).get("/account/authorize/x").StatusCode, "of the other method")
	})
	t.Run("the callback in another browser", func(t *testing.T) {
		b := a.browser(iPhone26)
		began := b.get(session + "?user-identifier=alice@example.com&redirect_uri=https://evil.example&return_to=//evil.example")
		require.Equal(t, http.StatusSeeOther, began.StatusCode)
		require.Equal(t, "no-referrer", began.Header.Get("Referrer-Policy"), "the session's address goes nowhere")
		to, err := url.Parse(began.to())
		require.NoError(t, err)
		require.Equal(t, a.portal.CallbackURL(), to.Query().Get("redirect_uri"))
		require.Equal(t, alice, to.Query().Get("login_hint"))
		back, err := a.idp.SignIn(began.to(), alice, "password")
		require.NoError(t, err)
		a.still(func() {
			refused(t, a.browser(iPhone26).get(back.String()), http.StatusBadRequest, enroll.CodeSignInUnknown)
		})
		// Line 60: the one redirect, whatever a client asks for.
		done := b.get(back.String())
		require.Equal(t, http.StatusPermanentRedirect, done.StatusCode)
		require.Empty(t, done.body)
		require.Equal(t, "0", done.Header.Get("Content-Length"))
		require.Equal(t, "no-store", done.Header.Get("Cache-Control"))
		require.Regexp(t, `^apple-remotemanagement-user-login://authentication-results\?access-token=[A-Za-z0-9_-]{43}$`, done.to())
		a.still(func() {
			refused(t, b.get(back.String()), http.StatusBadRequest, enroll.CodeSignInUnknown)
			again := a.browser(iPhone26)
			began := again.get(session + "?user-identifier=alice@example.com")
			back, err := a.idp.SignIn(began.to(), alice, "password")
			require.NoError(t, err)
			users := a.all().Users
			refused(t, again.get(back.String()), http.StatusBadRequest, enroll.CodeWebSession)
			require.Equal(t, users, a.all().Users)
		})
	})
	t.Run("an address of a plus", func(t *testing.T) {
		b := a.browser(iPhone26)
		session := asks(t, a.post(signed(t, a.builtIn, phoneInfo)))
		for _, typed := range []string{"ada+work@example.com", "ada%2Bwork@example.com", "ada%2bwork%40example.com"} {
			to, err := url.Parse(b.get(session + "?user-identifier=" + typed).to())
			require.NoError(t, err)
			require.Equal(t, "ada+work@example.com", to.Query().Get("login_hint"))
		}
	})
	t.Run("what was typed may be as long as it likes", func(t *testing.T) {
		b := a.browser(iPhone26)
		session := asks(t, a.post(signed(t, a.builtIn, phoneInfo)))
		for _, typed := range []string{strings.Repeat("<", 256), strings.Repeat("é", 128), strings.Repeat("\u2028", 85), strings.Repeat("&", 256)} {
			require.Less(t, b.get(session+"?user-identifier="+url.QueryEscape(typed)).StatusCode, 500)
		}
	})
}

// TestForeignKeysOpenNoSession: a session of another purpose, of another server,
// or of a key that is gone is none.
func TestForeignKeysOpenNoSession(t *testing.T) {
	keep := func(keys ...string) func(*enroll.Config) {
		return func(c *enroll.Config) {
			c.CookieKeys = nil
			for _, k := range keys {
				c.CookieKeys = append(c.CookieKeys, []byte(strings.Repeat(k, enroll.CookieKeySize)))
			}
		}
	}
	store := memory.New()
	first := newAccountWorldOn(t, store, keep("a"))
	session := asks(t, first.post(signed(t, first.builtIn, phoneInfo)))
	sealed := session[strings.LastIndex(session, "/"):]
	open := func(a *accountWorld) answer {
		return a.browser(iPhone26).get("/account/login" + sealed + "?user-identifier=alice@example.com")
	}
	require.Equal(t, http.StatusSeeOther, open(newAccountWorldOn(t, store, keep("b", "a"))).StatusCode, "the key was rotated")
	refused(t, open(newAccountWorldOn(t, store, keep("b"))), http.StatusBadRequest, enroll.CodeWebSession)
	b := first.browser(iPhone26)
	b.get(session + "?user-identifier=alice@example.com")
	refused(t, b.get("/account/login/"+b.cookies()[signInCookie]+"?user-identifier=alice@example.com"), http.StatusBadRequest, enroll.CodeWebSession)
}

// TestAccountLogsHoldNoSecret, and neither does what is stored.
func TestAccountLogsHoldNoSecret(t *testing.T) {
	for _, method := range []enroll.AccountMethod{enroll.MethodWeb, enroll.MethodOAuth2} {
		store := memory.New()
		a := newAccountWorldOn(t, store, account(func(c *enroll.AccountConfig) { c.Method = method; c.AccessLifetime = time.Hour }))
		p, account := a.enrolled(alice)
		secrets := []string{account.Tokens.Access, account.Tokens.Refresh, p.Identity().Profile.SCEP.Challenge}
		connects(t, p)
		require.NoError(t, a.kept.RevokeTokens(t.Context(), p.Identity().ID()))
		a.challenged(p)
		address := account.Challenge.URL + account.Challenge.AuthorizationURL
		sealed := address[strings.LastIndex(address, "/")+1:]
		secrets = append(secrets, sealed)
		b := a.browser(iPhone26)
		for _, path := range []string{"/account/login/" + sealed, "/account/authorize/" + sealed, "/account/login/" + sealed + "/", "/account/x/" + sealed, "/" + sealed, "/account/token/" + sealed} {
			b.get(path)
			b.do(http.MethodPost, path, url.Values{"x": {"y"}})
			b.get(path + "?user-identifier=" + alice)
		}
		require.NoError(t, p.SignInAgain(t.Context(), alice, "password"))
		secrets = append(secrets, account.Tokens.Access, account.Tokens.Refresh)
		connects(t, p)
		a.post(signed(t, a.builtIn, phoneInfo), "Authorization", "Bearer "+account.Tokens.Access)
		a.post("", "Authorization", "Bearer "+account.Tokens.Access)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {account.Tokens.Refresh}, "client_id": {"x"}}.Encode()
		a.send(http.MethodPost, "/account/token", form, "Content-Type", "application/x-www-form-urlencoded")
		a.send(http.MethodPost, "/account/token?"+form, "")

		var stored strings.Builder
		_, err := transfer.Export(t.Context(), &stored, store, transfer.ExportOptions{})
		require.NoError(t, err)
		for _, s := range secrets {
			if s == "" {
				require.Equal(t, enroll.MethodWeb, method, "it has no refresh tokens")
				continue
			}
			require.NotContains(t, a.log.String(), s)
			require.NotContains(t, a.log.String(), s[:20])
			require.NotContains(t, stored.String(), s)
		}
		for _, hardware := range []string{"iPhone17,2", alice} {
			require.NotContains(t, a.log.String(), hardware)
		}
	}
}
