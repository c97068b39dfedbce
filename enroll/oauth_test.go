package enroll_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
)

// oauthWorld is a server with the OAuth 2 method, and a client that is told what
// to send.
type oauthWorld struct {
	*accountWorld
}

func newOAuthWorld(t *testing.T, edit ...func(*enroll.Config)) *oauthWorld {
	t.Helper()
	return &oauthWorld{newAccountWorld(t, append([]func(*enroll.Config){account(oauth2)}, edit...)...)}
}

var oauthChallenge = regexp.MustCompile(`^Bearer method="apple-oauth2", authorization-url="(https://[^"]+/enroll/account/authorize/[A-Za-z0-9_-]+)", token-url="(https://[^"]+/enroll/account/token)", redirect-url="apple-remotemanagement-user-login:/oauth2/redirection", client-id="enrollkit", scope="MDM"$`)

// authorization is the address of a new authorization endpoint.
func (o *oauthWorld) authorization() string {
	o.t.Helper()
	a := o.post(signed(o.t, o.builtIn, phoneInfo))
	require.Equal(o.t, http.StatusUnauthorized, a.StatusCode)
	match := oauthChallenge.FindStringSubmatch(a.Header.Get("WWW-Authenticate"))
	require.Len(o.t, match, 3, a.Header.Get("WWW-Authenticate"))
	require.Equal(o.t, o.url+"/account/token", match[2])
	return match[1]
}

// request is an authorization request as a device makes it, with changes: a nil
// value takes a parameter away.
func request(change map[string][]string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"enrollkit"}, "redirect_uri": {enroll.RedirectURI}, "scope": {"MDM"},
		"state": {"4D1C0F2E-6B0B-4B0A-9B8E-0A4E5E0C7B11"}, "login_hint": {alice},
	}
	for name, values := range change {
		if q[name] = values; values == nil {
			q.Del(name)
		}
	}
	return "?" + q.Encode()
}

// code signs alice in and returns the query of the redirect.
func (o *oauthWorld) code(change map[string][]string) url.Values {
	o.t.Helper()
	b := o.browser(iPhone26)
	began := b.get(o.authorization() + request(change))
	require.Equal(o.t, http.StatusSeeOther, began.StatusCode, began.body)
	back, err := o.idp.SignIn(began.to(), alice, "password")
	require.NoError(o.t, err)
	done := b.get(back.String())
	require.Equal(o.t, http.StatusPermanentRedirect, done.StatusCode, done.body)
	require.Equal(o.t, "0", done.Header.Get("Content-Length"))
	return redirected(o.t, done)
}

// redirected is the query with which a browser was sent to the redirect URI.
func redirected(t testing.TB, a answer) url.Values {
	t.Helper()
	rest, ok := strings.CutPrefix(a.to(), enroll.RedirectURI+"?")
	require.True(t, ok, "no other address is redirected to: %q", a.to())
	require.NotContains(t, rest, "+", "a space would be %20: not everybody takes a plus for one")
	q, err := url.ParseQuery(rest)
	require.NoError(t, err)
	return q
}

// tokenRequest sends a form, with changes as in request.
func (o *oauthWorld) tokenRequest(form url.Values, change map[string][]string, header ...string) answer {
	o.t.Helper()
	f := url.Values{}
	for name, values := range form {
		f[name] = values
	}
	for name, values := range change {
		if f[name] = values; values == nil {
			f.Del(name)
		}
	}
	a := o.send(http.MethodPost, "/account/token", f.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
	require.Equal(o.t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(o.t, "no-store", a.Header.Get("Cache-Control"), "RFC 6749 §5.1")
	require.Equal(o.t, "no-cache", a.Header.Get("Pragma"), "RFC 6749 §5.1")
	return a
}

func byCode(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {enroll.RedirectURI}, "client_id": {"enrollkit"}}
}

func byRefresh(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"enrollkit"}}
}

// tokens are those of a successful answer.
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

func granted(t testing.TB, a answer) tokens {
	t.Helper()
	require.Equal(t, http.StatusOK, a.StatusCode, a.body)
	var k tokens
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&k))
	return k
}

// denied demands an error response of RFC 6749 §5.2.
func denied(t testing.TB, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.StatusCode, a.body)
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(a.body), &e), a.body)
	require.Equal(t, code, e["error"], a.body)
	for name, text := range e {
		require.Contains(t, []string{"error", "error_description"}, name)
		require.Regexp(t, `^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`, text, "the characters that §5.2 allows")
	}
}

// bearer reports whether an access token is taken at the enrollment POST.
func (o *oauthWorld) bearer(token string) bool {
	o.t.Helper()
	a := o.post(signed(o.t, o.builtIn, phoneInfo), "Authorization", "Bearer "+token)
	require.Contains(o.t, []int{http.StatusOK, http.StatusUnauthorized}, a.StatusCode)
	return a.StatusCode == http.StatusOK
}
