package enroll_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/sso/ssotest"
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

// TestTokenEndpoint walks what RFC 6749 and RFC 9700 ask of it; line 61.
func TestTokenEndpoint(t *testing.T) {
	o := newOAuthWorld(t)
	t.Run("RFC 6749 §5.1: the answer", func(t *testing.T) {
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		require.Equal(t, tokens{k.AccessToken, "Bearer", 3600, k.RefreshToken, "MDM"}, k)
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, k.AccessToken)
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, k.RefreshToken)
		require.NotEqual(t, k.AccessToken, k.RefreshToken)
		require.True(t, o.bearer(k.AccessToken))
		require.False(t, o.bearer(k.RefreshToken), "a refresh token is no access token")
	})
	code := o.code(nil).Get("code")
	good := byCode(code)
	first := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
	refresh := byRefresh(first.RefreshToken)
	both := map[string]url.Values{"code": good, "refresh token": refresh}

	t.Run("RFC 6749 §3.2: POST only", func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead, http.MethodOptions} {
			a := o.send(method, "/account/token", "")
			require.Equal(t, http.StatusMethodNotAllowed, a.StatusCode)
			require.Equal(t, http.MethodPost, a.Header.Get("Allow"))
			require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"), "RFC 9700 §4.17: no script of another site reads it")
		}
		denied(t, o.send(http.MethodGet, "/account/token?"+good.Encode(), ""), http.StatusMethodNotAllowed, "invalid_request")
	})
	t.Run("RFC 6749 §3.2: parameters are in the body alone", func(t *testing.T) {
		for name, form := range both {
			a := o.send(http.MethodPost, "/account/token?"+form.Encode(), form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
			denied(t, a, http.StatusBadRequest, "invalid_request")
			require.NotEmpty(t, name)
		}
	})
	t.Run("RFC 6749 §3.2: of one type", func(t *testing.T) {
		for _, kind := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x"} {
			a := o.send(http.MethodPost, "/account/token", good.Encode(), "Content-Type", kind)
			require.GreaterOrEqual(t, a.StatusCode, 400)
			denied(t, a, a.StatusCode, "invalid_request")
		}
		for _, body := range []string{"a=%zz", "a=1;b=2", strings.Repeat("a", 5<<10)} {
			a := o.send(http.MethodPost, "/account/token", body, "Content-Type", "application/x-www-form-urlencoded")
			require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, a.StatusCode)
			denied(t, a, a.StatusCode, "invalid_request")
		}
	})
	t.Run("RFC 6749 §3.2: a parameter without a value was not sent", func(t *testing.T) {
		for name, code := range map[string]string{"grant_type": "invalid_request", "code": "invalid_request", "redirect_uri": "invalid_request", "client_id": "invalid_request"} {
			denied(t, o.tokenRequest(good, map[string][]string{name: {""}}), http.StatusBadRequest, code)
			denied(t, o.tokenRequest(good, map[string][]string{name: nil}), http.StatusBadRequest, code)
		}
		denied(t, o.tokenRequest(refresh, map[string][]string{"refresh_token": {""}}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("RFC 6749 §3.2: a parameter that is there twice", func(t *testing.T) {
		for _, form := range both {
			for name, values := range form {
				denied(t, o.tokenRequest(form, map[string][]string{name: append([]string{"x"}, values...)}), http.StatusBadRequest, "invalid_request")
			}
			denied(t, o.tokenRequest(form, map[string][]string{"x": {"1", "1"}}), http.StatusBadRequest, "invalid_request")
		}
		denied(t, o.tokenRequest(good, map[string][]string{"grant_type": nil, "grant_type[]": {"authorization_code"}}), http.StatusBadRequest, "invalid_request")
	})
	t.Run("RFC 6749 §4.3, §4.4, §4.5, RFC 9700 §2.4: no other grant", func(t *testing.T) {
		for _, grant := range []string{"password", "client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer", "Authorization_Code", "code"} {
			denied(t, o.tokenRequest(good, map[string][]string{"grant_type": {grant}, "username": {alice}, "password": {"password"}}), http.StatusBadRequest, "unsupported_grant_type")
		}
	})
	t.Run("RFC 6749 §3.2.1, §4.1.3: the client identifies itself", func(t *testing.T) {
		for _, form := range both {
			for _, id := range []string{"another", "Enrollkit", "enrollkit "} {
				denied(t, o.tokenRequest(form, map[string][]string{"client_id": {id}}), http.StatusBadRequest, "invalid_client")
			}
		}
	})
	t.Run("RFC 6749 §2.3, §5.2: a public client does not authenticate", func(t *testing.T) {
		for _, form := range both {
			for _, header := range []string{"Basic ZW5yb2xsa2l0OnNlY3JldA==", "Basic ZW5yb2xsa2l0Og==", "Bearer x"} {
				a := o.tokenRequest(form, nil, "Authorization", header)
				denied(t, a, http.StatusUnauthorized, "invalid_client")
				require.Equal(t, `Basic realm="token"`, a.Header.Get("WWW-Authenticate"))
			}
			denied(t, o.tokenRequest(form, map[string][]string{"client_secret": {"secret"}}), http.StatusBadRequest, "invalid_client")
		}
	})
	t.Run("RFC 6749 §4.1.3: the redirect URI is that of the request", func(t *testing.T) {
		for _, uri := range []string{"https://evil.example/", enroll.RedirectURI + "/", enroll.RedirectURI + "?"} {
			denied(t, o.tokenRequest(good, map[string][]string{"redirect_uri": {uri}}), http.StatusBadRequest, "invalid_grant")
		}
	})
	t.Run("RFC 6749 §5.2: a code that was never given out", func(t *testing.T) {
		for _, c := range []string{"x", code + "x", code[1:], strings.ToUpper(code), first.AccessToken, first.RefreshToken} {
			denied(t, o.tokenRequest(good, map[string][]string{"code": {c}}), http.StatusBadRequest, "invalid_grant")
		}
		denied(t, o.tokenRequest(good, map[string][]string{"code": {strings.Repeat("c", 1<<20)}}), http.StatusRequestEntityTooLarge, "invalid_request")
	})
	t.Run("RFC 6749 §6: another scope", func(t *testing.T) {
		denied(t, o.tokenRequest(refresh, map[string][]string{"scope": {"MDM openid"}}), http.StatusBadRequest, "invalid_scope")
	})
	t.Run("RFC 6749 §3.2: an unrecognized or empty parameter is ignored", func(t *testing.T) {
		k := granted(t, o.tokenRequest(good, map[string][]string{"x": {"y"}, "code_verifier": {""}, "client_secret": {""}, "scope": {""}}))
		require.True(t, o.bearer(k.AccessToken), "and none of the refusals above used the code up")
		granted(t, o.tokenRequest(refresh, map[string][]string{"x": {"y"}, "client_secret": {""}, "scope": {""}}))
	})
	t.Run("RFC 6749 §4.1.2, §10.5: a code that comes again ends what it gave", func(t *testing.T) {
		again := byCode(o.code(nil).Get("code"))
		k := granted(t, o.tokenRequest(again, nil))
		require.True(t, o.bearer(k.AccessToken))
		denied(t, o.tokenRequest(again, nil), http.StatusBadRequest, "invalid_grant")
		require.False(t, o.bearer(k.AccessToken))
		denied(t, o.tokenRequest(byRefresh(k.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
		denied(t, o.tokenRequest(again, nil), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("RFC 6749 §10.5: a code is redeemed by one of a hundred", func(t *testing.T) {
		form := byCode(o.code(nil).Get("code")).Encode()
		var mu sync.Mutex
		statuses := map[int]int{}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.url+"/account/token", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := o.server.Client().Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err = errors.Join(err, resp.Body.Close()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[resp.StatusCode]++
			})
		}
		all.Wait()
		require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusBadRequest: 99}, statuses)
	})
	t.Run("RFC 6749 §4.1.2: a code lives a minute", func(t *testing.T) {
		late := byCode(o.code(nil).Get("code"))
		o.clock.add(time.Minute)
		denied(t, o.tokenRequest(late, nil), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("RFC 7636 §4.6, RFC 9700 §4.8: who sent a challenge must know its verifier, and who did not must send none", func(t *testing.T) {
		verifier := strings.Repeat("v", 43)
		sum := sha256.Sum256([]byte(verifier))
		with := map[string][]string{"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
		bound := byCode(o.code(with).Get("code"))
		for _, v := range [][]string{nil, {""}, {strings.Repeat("w", 43)}, {verifier + "v"}, {verifier[1:]}, {strings.Repeat("v", 42)}, {strings.Repeat("v", 129)}, {verifier[1:] + "!"}, with["code_challenge"]} {
			denied(t, o.tokenRequest(bound, map[string][]string{"code_verifier": v}), http.StatusBadRequest, "invalid_grant")
		}
		granted(t, o.tokenRequest(bound, map[string][]string{"code_verifier": {verifier}}))
		denied(t, o.tokenRequest(byCode(o.code(nil).Get("code")), map[string][]string{"code_verifier": {verifier}}), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("RFC 6749 §6, RFC 9700 §4.14.2: refresh tokens are rotated", func(t *testing.T) {
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		next := granted(t, o.tokenRequest(byRefresh(k.RefreshToken), nil))
		require.NotEqual(t, k.AccessToken, next.AccessToken)
		require.NotEqual(t, k.RefreshToken, next.RefreshToken)
		require.NotEmpty(t, next.RefreshToken, "a device forgets the former one, with it or without")
		require.True(t, o.bearer(k.AccessToken), "until one of the new ones came")
		require.True(t, o.bearer(next.AccessToken))
		require.False(t, o.bearer(k.AccessToken))
	})
	t.Run("a refresh whose answer was lost is repeated", func(t *testing.T) {
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		lost := granted(t, o.tokenRequest(byRefresh(k.RefreshToken), nil))
		next := granted(t, o.tokenRequest(byRefresh(k.RefreshToken), nil))
		require.False(t, o.bearer(lost.AccessToken))
		denied(t, o.tokenRequest(byRefresh(lost.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
		require.True(t, o.bearer(next.AccessToken))
	})
	t.Run("RFC 6749 §10.4, RFC 9700 §4.14.2: a refresh token that comes again revokes its family", func(t *testing.T) {
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		next := granted(t, o.tokenRequest(byRefresh(k.RefreshToken), nil))
		require.True(t, o.bearer(next.AccessToken))
		denied(t, o.tokenRequest(byRefresh(k.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
		require.False(t, o.bearer(next.AccessToken))
		denied(t, o.tokenRequest(byRefresh(next.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("RFC 6749 §10.4: a refresh token that was never given out", func(t *testing.T) {
		for _, token := range []string{"x", first.AccessToken, strings.Repeat("r", 3000)} {
			denied(t, o.tokenRequest(byRefresh(token), nil), http.StatusBadRequest, "invalid_grant")
		}
	})
	t.Run("RFC 9700 §2.2.2: a suspended person's end", func(t *testing.T) {
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		open := byCode(o.code(nil).Get("code"))
		for _, suspended := range []bool{true, false} {
			o.suspend(alice, suspended)
			denied(t, o.tokenRequest(byRefresh(k.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
			denied(t, o.tokenRequest(open, nil), http.StatusBadRequest, "invalid_grant")
		}
	})
	t.Run("RFC 9700 §4.14.2: they may be let expire", func(t *testing.T) {
		o := newOAuthWorld(t, account(func(c *enroll.AccountConfig) { c.RefreshLifetime, c.AccessLifetime = time.Hour, time.Minute }))
		k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
		require.Equal(t, 60, k.ExpiresIn)
		o.clock.add(time.Hour)
		denied(t, o.tokenRequest(byRefresh(k.RefreshToken), nil), http.StatusBadRequest, "invalid_grant")
	})
	t.Run("a store that is broken is not the client's fault", func(t *testing.T) {
		o := newOAuthWorld(t, account(func(c *enroll.AccountConfig) { c.Store = brokenGrants{c.Store} }))
		a := o.tokenRequest(byCode("x"), nil)
		denied(t, a, http.StatusServiceUnavailable, "temporarily_unavailable")
		require.NotEmpty(t, a.Header.Get("Retry-After"))
		require.NotContains(t, a.body, "secret detail")
	})
}

// TestBearerUse walks what RFC 6750 and RFC 9700 ask of the resource.
func TestBearerUse(t *testing.T) {
	o := newOAuthWorld(t)
	body := signed(t, o.builtIn, phoneInfo)
	k := granted(t, o.tokenRequest(byCode(o.code(nil).Get("code")), nil))
	challenged := func(t *testing.T, a answer) {
		t.Helper()
		require.Equal(t, http.StatusUnauthorized, a.StatusCode)
		require.Len(t, a.Header.Values("WWW-Authenticate"), 1)
		require.Regexp(t, oauthChallenge, a.Header.Get("WWW-Authenticate"))
		require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	}
	t.Run("RFC 6750 §2.1: in the header, in one spelling or the other", func(t *testing.T) {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
			require.Equal(t, http.StatusOK, o.post(body, "Authorization", scheme+k.AccessToken).StatusCode, "RFC 9110 §11.1")
		}
	})
	t.Run("RFC 6750 §2.2, §2.3, RFC 9700 §4.3.2: neither in a form nor in the address", func(t *testing.T) {
		challenged(t, o.send(http.MethodPost, "/account/byod?access_token="+k.AccessToken, body))
		bare(t, o.send(http.MethodPost, "/account/byod", "access_token="+k.AccessToken, "Content-Type", "application/x-www-form-urlencoded"), http.StatusBadRequest)
	})
	t.Run("RFC 6750 §3: a challenge of the scheme Bearer, without an error code", func(t *testing.T) {
		// §3.1 would have error="invalid_token" with a token that is not in force.
		// Apple documents the parameters of its challenge, and no other.
		challenged(t, o.post(body))
		challenged(t, o.post(body, "Authorization", "Bearer unknown"))
		challenged(t, o.post(body, "Authorization", "Bearer "+k.RefreshToken))
	})
	t.Run("RFC 6750 §2: one method, once", func(t *testing.T) {
		challenged(t, o.post(body, "Authorization", "Bearer "+k.AccessToken, "Authorization", "Bearer "+k.AccessToken))
	})
	t.Run("RFC 6750 §3.1, RFC 9700 §2.3: what the token is not for is forbidden", func(t *testing.T) {
		bare(t, o.send(http.MethodPost, "/account/adde", body, "Authorization", "Bearer "+k.AccessToken), http.StatusForbidden)
	})
	t.Run("RFC 6750 §5.3: an hour, and no longer", func(t *testing.T) {
		require.Equal(t, 3600, k.ExpiresIn)
		o.clock.add(time.Hour - time.Second)
		require.True(t, o.bearer(k.AccessToken))
		o.clock.add(time.Second)
		challenged(t, o.post(body, "Authorization", "Bearer "+k.AccessToken))
	})
	t.Run("RFC 9700 §2.2.1: from Authenticate on it is nothing without the device's certificate", func(t *testing.T) {
		p, account := o.enrolled(alice)
		thief, theirs := o.enrolled(bob)
		mine := theirs.Tokens
		theirs.Tokens = mdmtest.Tokens{Access: account.Tokens.Access}
		o.challenged(thief)
		theirs.Tokens = mine
		connects(t, p)
		connects(t, thief)
		require.Equal(t, http.StatusForbidden, o.send(http.MethodPut, o.server.URL+"/mdm/connect", "<plist/>",
			"Content-Type", "application/x-apple-aspen-mdm", "Authorization", "Bearer "+account.Tokens.Access).StatusCode)
	})
}

// brokenGrants redeems nothing.
type brokenGrants struct{ enroll.AccountStore }

// RedeemCode implements enroll.AccountStore.
func (brokenGrants) RedeemCode(context.Context, enroll.CodeStep) error {
	return errors.New("secret detail")
}
