package mdmtest_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
)

func TestAccountUserEnrollment(t *testing.T) {
	for _, status := range []int{http.StatusSeeOther, http.StatusPermanentRedirect} {
		a := newAccounts(t)
		a.handBack = status
		p, account := a.enrolled()
		_, err := p.Connect(t.Context())
		require.NoError(t, err)
		require.Equal(t, mdmtest.Server{Version: "mdm-byod", BaseURL: a.server.URL + "/enroll/t1"}, account.Server)

		found := a.find("/.well-known/com.apple.remotemanagement", 0)
		require.Equal(t, "user-identifier=ada+work%40corp.example&model-family=iPhone", found.query, "the plus sign comes as it is")
		require.Equal(t, "DeviceManagementClient/1.0", found.header.Get("User-Agent"))

		first, second := a.find("/enroll/t1", 0), a.find("/enroll/t1", 1)
		for _, post := range []asked{first, second} {
			require.Equal(t, "application/pkcs7-signature", post.header.Get("Content-Type"))
			require.Equal(t, "DeviceManagementClient/1.0", post.header.Get("User-Agent"))
		}
		require.NotContains(t, first.header, "Authorization")
		require.Equal(t, "Bearer Zm9v-1", second.header.Get("Authorization"))
		require.Equal(t, first.body, second.body)

		session := a.find("/session/1", 0)
		require.Equal(t, "user-identifier=ada+work%40corp.example", session.query, "the query of url is lost")
		require.Contains(t, session.header.Get("User-Agent"), "Version/26.1")
		require.Contains(t, session.header.Get("User-Agent"), "iPhone OS 18_6")

		managed := 0
		for _, r := range a.asked {
			switch {
			case strings.HasPrefix(r.path, "/mdm/"):
				managed++
				require.Equal(t, "Bearer Zm9v-1", r.header.Get("Authorization"))
				require.Equal(t, "MDM/1.0", r.header.Get("User-Agent"))
			case r.path == "/scep":
				require.NotContains(t, r.header, "Authorization")
			}
		}
		require.Equal(t, 3, managed)
		keys := func(r received) []string { return slices.Sorted(maps.Keys(r.message)) }
		require.Equal(t, []string{"BuildVersion", "EnrollmentID", "MessageType", "OSVersion", "ProductName", "Topic"}, keys(a.requests[0]))
		require.Equal(t, []string{"AwaitingConfiguration", "EnrollmentID", "MessageType", "PushMagic", "Token", "Topic"}, keys(a.requests[1]))
		require.Equal(t, []string{"EnrollmentID", "Status"}, keys(a.requests[2]))
		require.NotEmpty(t, p.Identity().EnrollmentID)
		require.Empty(t, p.Identity().UDID)
		require.Equal(t, p.Identity().EnrollmentID, p.Identity().ID())

		require.NoError(t, p.CheckOut(t.Context()))
		require.Equal(t, "Bearer Zm9v-1", a.find("/mdm/checkin", 2).header.Get("Authorization"))
		require.Nil(t, p.Identity())
	}
}

func TestAccountOAuth2(t *testing.T) {
	a := newAccounts(t)
	a.method = mdmtest.MethodOAuth2
	_, account := a.enrolled()
	request := a.find("/authorize", 0)
	require.Regexp(t, `^tenant=a%2Fb&response_type=code&client_id=device%20client&redirect_uri=apple-remotemanagement-user-login%3A%2Foauth2%2Fredirection&scope=MDM&state=[0-9A-F-]{36}&login_hint=ada\+work%40corp\.example$`, request.query)
	token := a.find("/token", 0)
	require.Equal(t, "application/x-www-form-urlencoded", token.header.Get("Content-Type"))
	require.NotContains(t, token.header, "Authorization")
	require.Equal(t, "grant_type=authorization_code&code=code%2B1&redirect_uri=apple-remotemanagement-user-login%3A%2Foauth2%2Fredirection&client_id=device+client", token.body)
	require.Equal(t, mdmtest.Tokens{Access: "oauth-token-1", Refresh: "refresh-1"}, account.Tokens)
	require.Equal(t, "Bearer oauth-token-1", a.find("/mdm/checkin", 0).header.Get("Authorization"))
}

func TestAccountOAuth2Responses(t *testing.T) {
	const body = `{"token_type":"Bearer","access_token":"x"}`
	a := newAccounts(t)
	a.method = mdmtest.MethodOAuth2
	for name, c := range map[string]struct {
		status int
		body   string
		code   string
		ok     bool
	}{
		"least":                  {200, body, "", true},
		"type in capitals":       {200, strings.Replace(body, "Bearer", "BEARER", 1), "", true},
		"created":                {201, body, "", false},
		"another type":           {200, strings.Replace(body, "Bearer", "mac", 1), "", false},
		"no type":                {200, `{"access_token":"x"}`, "", false},
		"no token":               {200, `{"token_type":"Bearer"}`, "", false},
		"keys in another case":   {200, `{"Token_Type":"Bearer","Access_Token":"x"}`, "", false},
		"no JSON":                {200, "access_token=x&token_type=bearer", "", false},
		"refused, as RFC 6749":   {400, `{"error":"invalid_grant","error_description":"used"}`, "invalid_grant", false},
		"refused without reason": {500, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			a.replace["/token"] = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			}
			_, account := a.challenged()
			require.Error(t, account.RequestToken(t.Context()), "before the session ended")
			require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
			err := account.RequestToken(t.Context())
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, mdmtest.Tokens{Access: "x"}, account.Tokens)
				return
			}
			require.ErrorIs(t, err, mdmtest.ErrRefused)
			require.Zero(t, account.Tokens)
			var refused *mdmtest.RefusedError
			if errors.As(err, &refused) {
				require.Equal(t, mdmtest.RefusedError{Step: "token", Status: c.status, Code: c.code, Message: refused.Message}, *refused)
			}
		})
	}
}

// Device Enrollment tells the UDID, by whatever way it came about.
func TestDeviceEnrollment(t *testing.T) {
	requireDevice := func(t *testing.T, a *accounts, p *mdmtest.Phone) {
		t.Helper()
		_, err := p.Connect(t.Context())
		require.NoError(t, err)
		id := p.Identity()
		require.Regexp(t, `^[0-9A-F]{8}-[0-9A-F]{16}$`, id.UDID)
		require.Empty(t, id.EnrollmentID)
		require.Equal(t, id.UDID, id.ID())
		for _, r := range a.requests {
			require.Equal(t, id.UDID, r.message["UDID"])
			require.NotContains(t, r.message, "EnrollmentID")
			require.Equal(t, r.message["MessageType"] == "Authenticate", r.message["SerialNumber"] != nil)
		}
		udid := id.UDID
		require.NoError(t, p.CheckOut(t.Context()))
		require.Equal(t, udid, a.last().message["UDID"])
	}
	t.Run("by an account", func(t *testing.T) {
		a := newAccounts(t)
		a.version = "mdm-adde"
		p, _ := a.enrolled()
		require.Equal(t, "ADDE", p.Identity().Profile.EnrollmentMode)
		require.NotZero(t, p.Identity().Profile.AccessRights)
		requireDevice(t, a, p)
	})
	t.Run("by a download", func(t *testing.T) {
		a := newAccounts(t)
		a.bearer = "x"
		a.replace["/mdm/checkin"] = a.device // nobody signs in to it
		a.replace["/mdm/connect"] = a.device
		p := a.phone()
		require.NoError(t, p.Receive(a.marshal(profile.DeviceEnrollment(a.deviceConfig()))))
		require.NoError(t, p.Install(t.Context()))
		requireDevice(t, a, p)
		for _, r := range a.asked {
			require.NotContains(t, r.header, "Authorization")
		}
	})
}

func (a *accounts) deviceConfig() profile.EnrollmentConfig {
	return profile.EnrollmentConfig{
		Organization: "Corp", Identifier: "example.corp.device", DisplayName: "Corp", Description: "Management",
		ServerURL: a.server.URL + "/mdm/connect", CheckInURL: a.server.URL + "/mdm/checkin", Topic: topic,
		SCEP: &profile.SCEPContent{URL: a.server.URL + "/scep", Challenge: "good"},
	}
}

// What the phone sends is what Apple's schema says, on every way and iOS.
func TestAccountsSpeakAsApplesSchemaSays(t *testing.T) {
	for name, c := range map[string]struct {
		os, version, method string
		enrollment          appleschema.Enrollment
	}{
		"iOS 15":           {"15.4", "mdm-byod", mdmtest.MethodWeb, appleschema.UserEnrollment},
		"iOS 17.6":         {"17.6", "mdm-byod", mdmtest.MethodOAuth2, appleschema.UserEnrollment},
		"iOS 18.6":         {"18.6", "mdm-byod", mdmtest.MethodWeb, appleschema.UserEnrollment},
		"iOS 18.6, device": {"18.6", "mdm-adde", mdmtest.MethodOAuth2, appleschema.DeviceEnrollment},
	} {
		t.Run(name, func(t *testing.T) {
			var judge *schematest.Transport
			a := newAccounts(t, func(cfg *mdmtest.Config) {
				judge = &schematest.Transport{T: t, Target: appleschema.Target{OS: c.os, Enrollment: c.enrollment}, Base: cfg.Transport}
				cfg.OSVersion, cfg.Transport = c.os, judge
			})
			a.version, a.method = c.version, c.method
			p, _ := a.enrolled()
			_, err := p.Connect(t.Context())
			require.NoError(t, err)
			require.NoError(t, p.CheckOut(t.Context()))
			require.Equal(t, map[string]int{"discovery": 1, "MachineInfo": 2, "profile": 1, "Authenticate": 1, "TokenUpdate": 1, "report": 1, "CheckOut": 1}, judge.Seen())
		})
	}
}

// Everything but a challenge ends the first POST, a profile too.
func TestFirstPost(t *testing.T) {
	a := newAccounts(t)
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
		code   string
	}{
		"profile at once": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-apple-aspen-config")
			w.Write([]byte("<plist/>"))
		}, mdmtest.ErrRefused, ""},
		"forbidden":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, mdmtest.ErrRefused, ""},
		"bad request": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, mdmtest.ErrRefused, ""},
		"too old": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			w.Write([]byte(`{"code":"com.apple.softwareupdate.required","message":"m"}`))
		}, mdmtest.ErrRefused, "com.apple.softwareupdate.required"},
		"no challenge": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, mdmtest.ErrChallenge, ""},
		"basic": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(401)
		}, mdmtest.ErrChallenge, ""},
		"method of tomorrow": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer method="apple-passkey", url="https://x.example"`)
			w.WriteHeader(401)
		}, mdmtest.ErrChallenge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a.replace["/enroll/t1"] = c.answer
			p := a.phone()
			account, err := p.Discover(t.Context(), identifier)
			require.NoError(t, err)
			_, err = account.RequestChallenge(t.Context())
			require.ErrorIs(t, err, c.want)
			var refused *mdmtest.RefusedError
			if errors.As(err, &refused) {
				require.Equal(t, c.code, refused.Code)
			}
			require.Error(t, account.SignIn(t.Context(), "ada", "password"), "without a challenge")
			require.Error(t, account.RequestProfile(t.Context()), "without a token")
		})
	}
}

func TestMachineInformation(t *testing.T) {
	body := func(edit func(*mdmtest.Config)) (machineinfo.Info, error) {
		a := newAccounts(t, edit)
		_, _ = a.challenged()
		return machineinfo.Verify([]byte(a.find("/enroll/t1", 0).body), a.ca.Anchor())
	}
	info, err := body(func(*mdmtest.Config) {})
	require.NoError(t, err)
	require.Equal(t, machineinfo.Info{Product: "iPhone17,2", Version: "23B85", Language: "en-GB", OSVersion: "26.1", SupplementalBuildVersion: "23B85", SoftwareUpdateDeviceID: "iPhone17,2"}, info)
	info, err = body(func(c *mdmtest.Config) { c.OSVersion = "16.5" })
	require.NoError(t, err)
	require.Equal(t, machineinfo.Info{Product: "iPhone17,2", Version: "20F100", Language: "en-GB"}, info, "before iOS 17 it says less")
	info, err = body(func(c *mdmtest.Config) {
		c.Account.ExtraMachineInfo = map[string]any{"LANGUAGE": nil, "UDID": "00008110-000123456789801E", "MDM_CAN_REQUEST_SOFTWARE_UPDATE": true}
	})
	require.NoError(t, err)
	require.True(t, info.CanRequestSoftwareUpdate)
	require.Empty(t, info.Language)
}

// The phone refuses what iOS refuses of a profile.
func TestAccountProfiles(t *testing.T) {
	a, other := newAccounts(t), newAccounts(t)
	other.stranger()
	unsigned := func(a *accounts) func(profile.EnrollmentConfig) []byte {
		return func(cfg profile.EnrollmentConfig) []byte {
			p, err := profile.AccountUserEnrollment(cfg)
			require.NoError(t, err)
			b, err := p.Marshal()
			require.NoError(t, err)
			return b
		}
	}
	replaced := func(old, with string) func(a *accounts) func(profile.EnrollmentConfig) []byte {
		return func(a *accounts) func(profile.EnrollmentConfig) []byte {
			return func(cfg profile.EnrollmentConfig) []byte {
				b := unsigned(a)(cfg)
				require.Contains(t, string(b), old)
				return []byte(strings.Replace(string(b), old, with, 1))
			}
		}
	}
	for name, c := range map[string]struct {
		build func(a *accounts) func(profile.EnrollmentConfig) []byte
		want  string // in the error; "" accepts
	}{
		"signed":     {func(*accounts) func(profile.EnrollmentConfig) []byte { return nil }, ""},
		"not signed": {unsigned, ""},
		"profile-driven": {func(a *accounts) func(profile.EnrollmentConfig) []byte {
			return func(c profile.EnrollmentConfig) []byte { return a.marshal(profile.UserEnrollment(c)) }
		}, "EnrollmentMode"},
		"of Device Enrollment": {func(a *accounts) func(profile.EnrollmentConfig) []byte {
			return func(c profile.EnrollmentConfig) []byte { return a.marshal(profile.AccountDeviceEnrollment(c)) }
		}, "EnrollmentMode"},
		"with access rights":      {replaced("<key>CheckInURL</key>", "<key>AccessRights</key><integer>0</integer><key>CheckInURL</key>"), "AccessRights"},
		"without the account":     {replaced("<key>AssignedManagedAppleID</key>", "<key>Other</key>"), "AssignedManagedAppleID"},
		"with the former account": {replaced("<key>CheckInURL</key>", "<key>ManagedAppleID</key><string>x</string><key>CheckInURL</key>"), "ManagedAppleID"},
		"with an unknown mode":    {replaced("<string>BYOD</string>", "<string>byod</string>"), "EnrollmentMode"},
		"empty": {func(*accounts) func(profile.EnrollmentConfig) []byte {
			return func(profile.EnrollmentConfig) []byte { return nil }
		}, "no profile"},
		"signed by somebody": {func(*accounts) func(profile.EnrollmentConfig) []byte {
			return func(c profile.EnrollmentConfig) []byte {
				return other.marshal(profile.AccountUserEnrollment(c))
			}
		}, "signature"},
		"no property list": {func(*accounts) func(profile.EnrollmentConfig) []byte {
			return func(profile.EnrollmentConfig) []byte { return []byte("<html>") }
		}, "profile"},
		"without its own identity": {replaced("<key>IdentityCertificateUUID</key>", "<key>Other</key>"), "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			a.build = c.build(a)
			p, account := a.challenged()
			require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
			err := account.RequestProfile(t.Context())
			if c.want == "" {
				require.NoError(t, err)
				require.NotNil(t, p.Waiting())
				return
			}
			require.ErrorContains(t, err, c.want)
			require.Nil(t, p.Waiting())
		})
	}
	t.Run("of another type", func(t *testing.T) {
		a.build = nil
		_, account := a.challenged()
		require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
		for _, status := range []int{http.StatusOK, http.StatusForbidden, http.StatusUnauthorized, http.StatusServiceUnavailable} {
			a.replace["/enroll/t1"] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(status)
				w.Write(a.accountProfile())
			}
			require.ErrorIs(t, account.RequestProfile(t.Context()), mdmtest.ErrRefused)
		}
		delete(a.replace, "/enroll/t1")
		require.NoError(t, account.RequestProfile(t.Context()), "the token is still good")
	})
	t.Run("Device Enrollment without rights", func(t *testing.T) {
		a.version = "mdm-adde"
		a.build = func(c profile.EnrollmentConfig) []byte {
			p, err := profile.AccountDeviceEnrollment(c)
			require.NoError(t, err)
			b, err := p.Marshal()
			require.NoError(t, err)
			return []byte(strings.Replace(string(b), "AccessRights", "Other", 1))
		}
		_, err := a.phone().EnrollAccount(t.Context(), identifier, "ada", "password")
		require.ErrorContains(t, err, "AccessRights")
	})
}

// What is downloaded decides how the phone enrolls, and its iOS whether.
func TestDownloads(t *testing.T) {
	a := newAccounts(t)
	user := func(build func(profile.EnrollmentConfig) (*profile.Profile, error)) []byte {
		cfg := a.deviceConfig()
		cfg.ManagedAppleID = "ada@corp.example"
		return a.marshal(build(cfg))
	}
	neither := a.deviceConfig()
	neither.ManagedAppleID = "ada@corp.example"
	p, err := profile.UserEnrollment(neither)
	require.NoError(t, err)
	b, err := p.Marshal()
	require.NoError(t, err)
	b, err = a.signer.Sign([]byte(strings.Replace(string(b), "<key>ManagedAppleID</key>", "<key>Other</key>", 1)))
	require.NoError(t, err)

	for _, version := range []string{"17.6.1", "18.0", "26.1"} {
		a.config.OSVersion = version
		phone := a.phone()
		err := phone.Receive(user(profile.UserEnrollment))
		if version == "17.6.1" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, mdmtest.ErrProfileDriven)
			require.Nil(t, phone.Waiting())
		}
		require.ErrorContains(t, phone.Receive(user(profile.AccountUserEnrollment)), "EnrollmentMode")
		require.ErrorContains(t, phone.Receive(user(profile.AccountDeviceEnrollment)), "EnrollmentMode")
		require.ErrorContains(t, phone.Receive(b), "neither")
		require.NoError(t, phone.Receive(a.marshal(profile.DeviceEnrollment(a.deviceConfig()))))
		require.False(t, phone.Waiting().UserEnrollment())
	}
}

// After a failed Authenticate nothing is left but the account and its token:
// the second POST is repeated.
func TestRetryAfterAFailedAuthenticate(t *testing.T) {
	a := newAccounts(t)
	status := http.StatusServiceUnavailable
	a.answer = func(received) (int, string) { return status, "" }
	p := a.phone()
	account, err := p.EnrollAccount(t.Context(), identifier, "ada", "password")
	require.ErrorIs(t, err, mdmtest.ErrRefused)
	require.Nil(t, p.Identity())
	require.Nil(t, p.Waiting())
	failed := a.last().message["EnrollmentID"]
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrNoProfile)

	status = http.StatusOK
	require.NoError(t, account.RequestProfile(t.Context()))
	require.NoError(t, p.Install(t.Context()))
	require.NotEqual(t, failed, p.Identity().EnrollmentID, "it is new with each enrollment")
	require.Len(t, a.redeemed, 2, "and so are key and challenge")
	require.Equal(t, "Bearer Zm9v-1", a.asked[len(a.asked)-1].header.Get("Authorization"))
}

// A fetched profile does not wait in Settings.
func TestAFetchedProfileHasNoEightMinutes(t *testing.T) {
	a := newAccounts(t)
	a.config.Now = func() time.Time { return a.now }
	p, account := a.challenged()
	require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
	require.NoError(t, account.RequestProfile(t.Context()))
	a.now = a.now.Add(20 * time.Minute) // the owner types a password
	require.NoError(t, p.Install(t.Context()))
}

func TestConfigFollowsFromTheVersion(t *testing.T) {
	for _, c := range []struct{ os, product, agent string }{
		{"17.6.1", "iPhone15,2", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"},
		{"18.6", "iPhone15,2", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"},
		{"26.1", "iPhone15,2", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"},
		{"26.1", "iPad14,1", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"},
	} {
		a := newAccounts(t, func(cfg *mdmtest.Config) { cfg.OSVersion, cfg.Product = c.os, c.product })
		p := a.phone()
		_, err := p.Safari.Open(t.Context(), a.server.URL+"/session/1")
		require.NoError(t, err)
		require.Equal(t, c.agent, a.find("/session/1", 0).header.Get("User-Agent"))
	}
	_, err := mdmtest.New(mdmtest.Config{Transport: http.DefaultTransport, OSVersion: "eighteen"})
	require.ErrorContains(t, err, "OSVersion")
}
