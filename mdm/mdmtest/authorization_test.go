package mdmtest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// A 401 is not the order to leave for an account-driven enrollment: its owner
// signs in again, and what the server did not take comes with the new token.
func TestSignInAgain(t *testing.T) {
	for name, method := range map[string]string{"web": mdmtest.MethodWeb, "OAuth 2, no refresh token": mdmtest.MethodOAuth2} {
		t.Run(name, func(t *testing.T) {
			a := newAccounts(t)
			a.method, a.refresh = method, ""
			p, account := a.enrolled()
			first := account.Tokens.Access
			a.commands(map[string]any{"RequestType": "DeviceInformation", "Queries": []string{"OSVersion"}})
			answer := a.answer
			a.answer = func(r received) (int, string) {
				a.bearer = "" // revoked, once the command is out
				return answer(r)
			}
			_, err := p.Connect(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrSignIn)
			require.Same(t, account, p.Pending())
			require.NotNil(t, p.Identity(), "the profile stays")
			_, err = p.Connect(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrSignIn, "and the next request says so again")

			identity := p.Identity()
			a.answer = nil
			require.NoError(t, p.SignInAgain(t.Context(), "ada", "password"))
			require.Nil(t, p.Pending())
			require.NotEqual(t, first, account.Tokens.Access)
			_, err = p.Connect(t.Context())
			require.NoError(t, err)
			require.Equal(t, "Acknowledged", a.last().message["Status"], "the report was kept")
			require.Same(t, identity, p.Identity(), "neither EnrollmentID nor identity change")
			require.Error(t, p.SignInAgain(t.Context(), "ada", "password"), "nobody has to")
		})
	}
}

func TestSignInAgainIsRepeatedUntilItSucceeds(t *testing.T) {
	a := newAccounts(t)
	p, account := a.enrolled()
	a.bearer = ""
	_, err := p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn)
	require.Error(t, p.SignInAgain(t.Context(), "ada", "wrong"))
	require.Same(t, account, p.Pending())
	require.NoError(t, p.SignInAgain(t.Context(), "ada", "password"))
	require.NoError(t, p.TokenUpdate(t.Context()))
}

// With a refresh token the phone helps itself, and repeats the request at once.
func TestSilentRefresh(t *testing.T) {
	a := newAccounts(t)
	a.method = mdmtest.MethodOAuth2
	p, account := a.enrolled()
	require.Len(t, a.requests, 2)
	a.bearer, a.refresh = "expired", "refresh-2"
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Nil(t, p.Pending())
	require.Equal(t, "grant_type=refresh_token&refresh_token=refresh-1&client_id=device+client", a.find("/token", 1).body)
	require.Equal(t, mdmtest.Tokens{Access: "oauth-token-2", Refresh: "refresh-2"}, account.Tokens)
	require.Len(t, a.requests, 3)

	a.bearer, a.refresh = "expired", ""
	require.NoError(t, p.TokenUpdate(t.Context()), "at a check-in too")
	require.Equal(t, mdmtest.Tokens{Access: "oauth-token-3"}, account.Tokens, "a refresh token that is not repeated is forgotten")
	a.bearer = "expired"
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn)
	require.Equal(t, 3, a.tokens)
}

func TestRefreshFails(t *testing.T) {
	lose := mdmtest.LoseNothing
	a := newAccounts(t, func(c *mdmtest.Config) {
		c.Lose = func(r *http.Request) mdmtest.Loss {
			if r.URL.Path == "/token" {
				return lose
			}
			return mdmtest.LoseNothing
		}
	})
	a.method = mdmtest.MethodOAuth2
	p, account := a.enrolled()

	a.bearer, lose = "expired", mdmtest.LoseAnswer
	_, err := p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrLost)
	require.Nil(t, p.Pending())
	require.Equal(t, "refresh-1", account.Tokens.Refresh, "it is tried again")
	lose = mdmtest.LoseNothing
	_, err = p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, a.find("/token", 1).body, a.find("/token", 2).body)

	a.bearer = "expired"
	a.replace["/token"] = typed(400, "application/json", `{"error":"invalid_grant"}`)
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn)
	require.Same(t, account, p.Pending())

	delete(a.replace, "/token")
	a.replace["/mdm/connect"] = func(w http.ResponseWriter, _ *http.Request) { a.challenge(w) }
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn, "refreshed, and refused all the same")
}

// What a device cannot read as a challenge is an error like any other.
func TestUnusableChallengesChangeNothing(t *testing.T) {
	a := newAccounts(t)
	p, _ := a.enrolled()
	for _, header := range []string{"", `Basic realm="x"`, `Bearer method="apple-as-web"`, `bearer method="apple-as-web", url="https://x.example"`} {
		a.replace["/mdm/connect"] = func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set("WWW-Authenticate", header)
			}
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, err := p.Connect(t.Context())
		require.ErrorIs(t, err, mdmtest.ErrRefused)
		require.ErrorIs(t, err, mdmtest.ErrChallenge)
		require.NotErrorIs(t, err, mdmtest.ErrLeft)
		require.Nil(t, p.Pending())
		require.NotNil(t, p.Identity())
	}
	delete(a.replace, "/mdm/connect")
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
}

// What the system asks beside gets the 401 as an error and nobody signs in.
func TestQuestionsBesideDoNotSignIn(t *testing.T) {
	a := newAccounts(t)
	p, _ := a.enrolled()
	a.bearer = ""
	for _, message := range []map[string]any{
		{"MessageType": "DeclarativeManagement", "Endpoint": "tokens"},
		{"MessageType": "GetToken", "TokenServiceType": "com.apple.maid"},
	} {
		err := p.CheckIn(t.Context(), message)
		require.ErrorIs(t, err, mdmtest.ErrRefused)
		require.NotErrorIs(t, err, mdmtest.ErrSignIn)
		require.Nil(t, p.Pending())
	}
}

func TestUnrecognizedDevicesLeave(t *testing.T) {
	a := newAccounts(t)
	p, _ := a.enrolled()
	a.replace["/mdm/connect"] = typed(403, "application/json", "")
	_, err := p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrRefused, "a bare 403 is retried")
	require.NotNil(t, p.Identity())
	a.bearer = ""
	delete(a.replace, "/mdm/connect")
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrSignIn)
	a.replace["/mdm/connect"] = typed(403, "application/json", `{"code":"com.apple.unrecognized.device"}`)
	_, err = p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrLeft)
	require.Nil(t, p.Identity())
	require.Nil(t, p.Pending(), "and nobody has to sign in any more")
}

// At Authenticate a 401 fails the installation, with a challenge or without.
func TestChallengedAtAuthenticate(t *testing.T) {
	a := newAccounts(t)
	p, account := a.challenged()
	require.NoError(t, account.SignIn(t.Context(), "ada", "password"))
	require.NoError(t, account.RequestProfile(t.Context()))
	a.bearer = ""
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrSignIn)
	require.Nil(t, p.Identity())
	require.Nil(t, p.Pending())
	require.NoError(t, account.SignIn(t.Context(), "ada", "password"), "its owner begins anew")
	require.NoError(t, account.RequestProfile(t.Context()))
	require.NoError(t, p.Install(t.Context()))
}

// A challenge that comes in two header lines is read as one.
func TestChallengeInTwoLines(t *testing.T) {
	a := newAccounts(t)
	a.replace["/enroll/t1"] = func(w http.ResponseWriter, _ *http.Request) {
		method, rest, _ := strings.Cut(webChallenge, ", ")
		w.Header()["Www-Authenticate"] = []string{method, rest}
		w.WriteHeader(http.StatusUnauthorized)
	}
	account, err := a.phone().Discover(t.Context(), identifier)
	require.NoError(t, err)
	c, err := account.RequestChallenge(t.Context())
	require.NoError(t, err)
	require.Equal(t, "https://mdm.corp.example/enroll/t1/login/3fZ0", c.URL)
}
