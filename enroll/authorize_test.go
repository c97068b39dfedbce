package enroll_test

import (
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// TestAuthorizationEndpoint walks what RFC 6749 and RFC 9700 ask of it.
func TestAuthorizationEndpoint(t *testing.T) {
	o := newOAuthWorld(t)
	open := func(change map[string][]string) answer {
		return o.browser(iPhone26).get(o.authorization() + request(change))
	}
	page := func(t *testing.T, a answer, code enroll.Code) {
		t.Helper()
		require.Empty(t, a.to(), "what may not come from the client is never redirected")
		refused(t, a, http.StatusBadRequest, code)
	}
	t.Run("RFC 6749 §3.1: GET is served, and nothing else", func(t *testing.T) {
		for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut} {
			require.Equal(t, http.StatusMethodNotAllowed, o.browser(iPhone26).do(method, o.authorization()+request(nil), nil).StatusCode)
		}
	})
	t.Run("RFC 6749 §3.1: a parameter without a value was not sent", func(t *testing.T) {
		for _, name := range []string{"scope", "state", "login_hint", "code_challenge", "code_challenge_method"} {
			require.Equal(t, http.StatusSeeOther, open(map[string][]string{name: {""}}).StatusCode, name)
		}
		require.Equal(t, "invalid_request", redirected(t, open(map[string][]string{"response_type": {""}})).Get("error"))
	})
	t.Run("RFC 6749 §3.1: an unrecognized parameter is ignored", func(t *testing.T) {
		require.Equal(t, http.StatusSeeOther, open(map[string][]string{"prompt": {"none"}, "x": {"y"}}).StatusCode)
	})
	t.Run("RFC 6749 §3.1: a parameter that is there twice", func(t *testing.T) {
		for name, values := range map[string][]string{"scope": {"MDM", "MDM"}, "login_hint": {alice, bob}, "x": {"1", "2"}, "response_type": {"code", "code"}} {
			require.Equal(t, "invalid_request", redirected(t, open(map[string][]string{name: values})).Get("error"), name)
		}
		q := redirected(t, open(map[string][]string{"state": {"a", "b"}}))
		require.Equal(t, url.Values{"error": {"invalid_request"}}, q, "which of the states is the client's is not known")
	})
	t.Run("RFC 6749 §3.1.2.4, RFC 9700 §4.1: an invalid redirect URI is told to the person", func(t *testing.T) {
		for _, uri := range [][]string{
			nil, {""}, {"https://evil.example/"}, {enroll.RedirectURI + "/"}, {enroll.RedirectURI + "?a=b"}, {enroll.RedirectURI + "#f"},
			{"apple-remotemanagement-user-login:/oauth2/Redirection"}, {"apple-remotemanagement-user-login://oauth2/redirection"},
			{enroll.RedirectURI, "https://evil.example/"}, {enroll.RedirectURI + "%2e"}, {"javascript:alert(1)"},
		} {
			o.still(func() { page(t, open(map[string][]string{"redirect_uri": uri}), enroll.CodeClient) })
		}
	})
	t.Run("RFC 6749 §4.1.2.1: an unknown client is told to the person", func(t *testing.T) {
		for _, id := range [][]string{nil, {""}, {"another"}, {"Enrollkit"}, {"enrollkit", "enrollkit"}} {
			o.still(func() { page(t, open(map[string][]string{"client_id": id}), enroll.CodeClient) })
		}
	})
	t.Run("RFC 6749 §3.1.1, RFC 9700 §2.1.2: no other response type, nor a token from here", func(t *testing.T) {
		for kind, code := range map[string]string{"token": "unsupported_response_type", "code token": "unsupported_response_type", "id_token": "unsupported_response_type", "CODE": "unsupported_response_type", "": "invalid_request"} {
			q := redirected(t, open(map[string][]string{"response_type": {kind}}))
			require.Equal(t, url.Values{"error": {code}, "state": {"4D1C0F2E-6B0B-4B0A-9B8E-0A4E5E0C7B11"}}, q, kind)
		}
	})
	t.Run("RFC 6749 §3.3: another scope", func(t *testing.T) {
		for _, scope := range []string{"mdm", "MDM openid", "*"} {
			require.Equal(t, "invalid_scope", redirected(t, open(map[string][]string{"scope": {scope}})).Get("error"))
		}
	})
	t.Run("RFC 6749 appendix A.5: state", func(t *testing.T) {
		for _, state := range []string{"a\x00b", "a\r\nb", "é", strings.Repeat("s", 129)} {
			q := redirected(t, open(map[string][]string{"state": {state}}))
			require.Equal(t, url.Values{"error": {"invalid_request"}}, q, "what is no state is not sent back")
		}
		for _, state := range []string{`!"#$%&'()*,-./:;<=>?@[\]^_` + "`{|}~", "a b", strings.Repeat(`"`, 128)} {
			require.Equal(t, []string{state}, o.code(map[string][]string{"state": {state}})["state"], "RFC 6749 §4.1.2: as it came")
		}
		require.NotContains(t, o.code(map[string][]string{"state": nil}), "state")
	})
	t.Run("a hint that nobody typed", func(t *testing.T) {
		for _, hint := range []string{"a\nb", "a\x00", strings.Repeat("a", 257)} {
			require.Equal(t, "invalid_request", redirected(t, open(map[string][]string{"login_hint": {hint}})).Get("error"))
		}
		b := o.browser(iPhone26)
		to, err := url.Parse(b.get(o.authorization() + strings.Replace(request(nil), url.QueryEscape(alice), "ada+work@example.com", 1)).to())
		require.NoError(t, err)
		require.Equal(t, "ada+work@example.com", to.Query().Get("login_hint"), "a plus is one")
	})
	t.Run("RFC 6749 §4.1.2.1: who is denied is shown why, and tells the device", func(t *testing.T) {
		b := o.browser(iPhone26)
		began := b.get(o.authorization() + request(nil))
		back, err := o.idp.SignIn(began.to(), bob, "password")
		require.NoError(t, err)
		a := b.get(back.String())
		refused(t, a, http.StatusForbidden, enroll.CodeOtherPerson)
		link := regexp.MustCompile(`href="(apple-remotemanagement-user-login:[^"]+)"`).FindStringSubmatch(a.body)
		require.Len(t, link, 2)
		require.Equal(t, enroll.RedirectURI+"?error=access_denied&state=4D1C0F2E-6B0B-4B0A-9B8E-0A4E5E0C7B11", html.UnescapeString(link[1]))

		o.idp.Break(ssotest.TokenDown)
		began = b.get(o.authorization() + request(nil))
		back, err = o.idp.SignIn(began.to(), alice, "password")
		require.NoError(t, err)
		require.Contains(t, b.get(back.String()).body, "error=temporarily_unavailable")
		o.idp.Repair()
	})
	t.Run("RFC 9700 §2.1.1, RFC 7636 §4.3: a challenge of another method than S256 is refused", func(t *testing.T) {
		challenge := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
		for _, c := range []map[string][]string{
			{"code_challenge": {challenge}}, {"code_challenge": {challenge}, "code_challenge_method": {"plain"}},
			{"code_challenge": {challenge[1:]}, "code_challenge_method": {"S256"}}, {"code_challenge": {challenge + "A"}, "code_challenge_method": {"S256"}},
			{"code_challenge": {challenge[1:] + "="}, "code_challenge_method": {"S256"}}, {"code_challenge_method": {"S256"}},
			{"code_challenge": {challenge}, "code_challenge_method": {"s256"}},
		} {
			require.Equal(t, "invalid_request", redirected(t, open(c)).Get("error"), c)
		}
	})
	t.Run("RFC 9700 §4.2.4: no address of ours is told by a referrer", func(t *testing.T) {
		require.Equal(t, "no-referrer", open(nil).Header.Get("Referrer-Policy"))
	})
	t.Run("RFC 9700 §4.11, §4.12: redirects are 303 and 308, after a GET, and go nowhere else", func(t *testing.T) {
		a := open(map[string][]string{"return_to": {"https://evil.example"}})
		require.Equal(t, http.StatusSeeOther, a.StatusCode)
		require.True(t, strings.HasPrefix(a.to(), o.idp.Issuer()+"/"))
	})
	t.Run("RFC 9700 §4.16: nobody frames it", func(t *testing.T) {
		for _, a := range []answer{open(nil), open(map[string][]string{"client_id": {"x"}})} {
			require.Contains(t, a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		}
	})
	t.Run("RFC 9700 §4.7: the sign-in belongs to the browser that began it", func(t *testing.T) {
		began := o.browser(iPhone26).get(o.authorization() + request(nil))
		back, err := o.idp.SignIn(began.to(), alice, "password")
		require.NoError(t, err)
		o.still(func() {
			refused(t, o.browser(iPhone26).get(back.String()), http.StatusBadRequest, enroll.CodeSignInUnknown)
		})
	})
}
