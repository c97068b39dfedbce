package ssotest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/sso/ssotest"
)

const (
	redirect = "https://app.example.com/callback?keep=this"
	verifier = "a-code-verifier-that-is-long-enough-for-pkce"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// browser asks the provider without following redirects.
type browser struct {
	t   *testing.T
	idp *ssotest.Provider
}

func (b browser) do(method, address string, form url.Values) (status int, header http.Header, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := *b.idp.HTTPClient()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return resp.StatusCode, resp.Header, string(all)
}

// query is a right authorization request.
func query() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {"enrollkit"}, "redirect_uri": {redirect}, "scope": {"openid email"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
		"login_hint": {"alice@example.com"},
	}
}

func (b browser) code() string {
	b.t.Helper()
	back, err := b.idp.SignIn(b.idp.Issuer()+"/authorize?"+query().Encode(), "alice@example.com", "password")
	require.NoError(b.t, err)
	return back.Query().Get("code")
}

// redemption is a right token request.
func redemption(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier},
		"client_id": {"enrollkit"}, "client_secret": {"secret"},
	}
}

func (b browser) redeem(form url.Values) (status int, answer map[string]any) {
	b.t.Helper()
	status, header, body := b.do(http.MethodPost, b.idp.Issuer()+"/token", form)
	require.Equal(b.t, "no-store", header.Get("Cache-Control"))
	require.NoError(b.t, json.Unmarshal([]byte(body), &answer))
	return status, answer
}

// open verifies an ID token with the published keys.
func (b browser) open(token string) ([]byte, error) {
	b.t.Helper()
	_, _, body := b.do(http.MethodGet, b.idp.Issuer()+"/jwks", nil)
	var set jose.JSONWebKeySet
	require.NoError(b.t, json.Unmarshal([]byte(body), &set))
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	require.NoError(b.t, err)
	key := set.Key(jws.Signatures[0].Header.KeyID)
	require.Len(b.t, key, 1)
	return jws.Verify(key[0])
}

func (b browser) verify(token string) error {
	_, err := b.open(token)
	return err
}

func (b browser) claims(token string) map[string]any {
	b.t.Helper()
	payload, err := b.open(token)
	require.NoError(b.t, err)
	var c map[string]any
	require.NoError(b.t, json.Unmarshal(payload, &c))
	return c
}

func newBrowser(t *testing.T, opts ...ssotest.Option) browser {
	return browser{t, ssotest.New(t, append([]ssotest.Option{func(c *ssotest.Config) { c.Now = func() time.Time { return start } }}, opts...)...)}
}

// What a browser and a person do, with nothing of this package's help.
func TestTheWholeWay(t *testing.T) {
	b := newBrowser(t)
	_, _, body := b.do(http.MethodGet, b.idp.Issuer()+"/.well-known/openid-configuration", nil)
	var doc map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &doc))
	require.Equal(t, b.idp.Issuer(), doc["issuer"])
	require.Equal(t, []any{"S256"}, doc["code_challenge_methods_supported"])

	status, header, page := b.do(http.MethodGet, doc["authorization_endpoint"].(string)+"?"+query().Encode(), nil)
	require.Equal(t, http.StatusOK, status)
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Type": "text/html; charset=utf-8"} {
		require.Equal(t, want, header.Get(name))
	}
	require.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.NotContains(t, header.Get("Content-Security-Policy"), "form-action", "the application leads on to where it likes")
	require.Equal(t, 1, strings.Count(page, "<form"))
	require.NotContains(t, page, "script")
	form, action := filled(page)
	require.Equal(t, "alice@example.com", form.Get("username"), "prefilled from login_hint")
	require.True(t, form.Has("password"))
	form.Set("password", "password")
	form.Set("username", " Alice@Example.com ")
	u, err := url.Parse(b.idp.Issuer())
	require.NoError(t, err)
	u.Path = action

	status, header, _ = b.do(http.MethodPost, u.String(), form)
	require.Equal(t, http.StatusSeeOther, status)
	back, err := url.Parse(header.Get("Location"))
	require.NoError(t, err)
	require.Equal(t, "app.example.com", back.Host)
	require.Equal(t, "this", back.Query().Get("keep"))
	require.Equal(t, "the state", back.Query().Get("state"))
	require.Equal(t, b.idp.Issuer(), back.Query().Get("iss"))

	status, answer := b.redeem(redemption(back.Query().Get("code")))
	require.Equal(t, http.StatusOK, status)
	access := answer["access_token"].(string)
	sum := sha256.Sum256([]byte(access))
	require.Equal(t, map[string]any{
		"iss": b.idp.Issuer(), "sub": "alice-1", "aud": "enrollkit", "nonce": "the nonce",
		"iat": float64(start.Unix()), "exp": float64(start.Add(5 * time.Minute).Unix()), "auth_time": float64(start.Unix()),
		"at_hash":            base64.RawURLEncoding.EncodeToString(sum[:16]),
		"preferred_username": "alice@example.com", "email": "alice@example.com", "email_verified": true, "name": "Alice Example",
		"groups": []any{"byod", "engineering"},
	}, b.claims(answer["id_token"].(string)))
	for endpoint, n := range map[string]int{"openid-configuration": 1, "authorize": 1, "login": 1, "token": 1, "jwks": 1, "userinfo": 0} {
		require.Equal(t, n, b.idp.Requests(endpoint), endpoint)
	}
}

var (
	input = regexp.MustCompile(`<input type="[a-z]+" name="([a-z]+)"(?: value="([^"]*)")?`)
	post  = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

// filled reads a form as a browser does.
func filled(page string) (form url.Values, action string) {
	form = url.Values{}
	for _, m := range input.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#43;", "+", "&lt;", "<", "&gt;", ">").Replace(m[2]))
	}
	return form, post.FindStringSubmatch(page)[1]
}

func TestWrongPassword(t *testing.T) {
	b := newBrowser(t)
	for name, c := range map[string]struct{ user, password string }{
		"wrong password": {"alice@example.com", "Password"}, "no password": {"alice@example.com", ""},
		"another's": {"nobody@example.com", "password"}, "script": {`"><script>alert(1)</script>`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"request": {query().Encode()}, "username": {c.user}, "password": {c.password}}
			status, _, page := b.do(http.MethodPost, b.idp.Issuer()+"/login", form)
			require.Equal(t, http.StatusUnauthorized, status)
			require.Contains(t, page, `role="alert"`)
			require.NotContains(t, page, "<script")
			again, _ := filled(page)
			require.Equal(t, c.user, again.Get("username"))
			_, err := b.idp.SignIn(b.idp.Issuer()+"/authorize?"+query().Encode(), c.user, c.password)
			require.ErrorContains(t, err, "401")
		})
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	b := newBrowser(t, func(c *ssotest.Config) { c.Clients[0].RedirectURIs = []string{redirect} })
	for name, c := range map[string]struct {
		key, value string
		status     int
		code       string
	}{
		"right":            {"scope", "openid", http.StatusOK, ""},
		"unknown client":   {"client_id", "x", http.StatusBadRequest, ""},
		"foreign redirect": {"redirect_uri", "https://evil.example", http.StatusBadRequest, ""},
		"longer redirect":  {"redirect_uri", redirect + "/x", http.StatusBadRequest, ""},
		"script":           {"redirect_uri", "javascript:alert(1)", http.StatusBadRequest, ""},
		"implicit flow":    {"response_type", "id_token", http.StatusSeeOther, "unsupported_response_type"},
		"no openid":        {"scope", "email", http.StatusSeeOther, "invalid_scope"},
		"plain PKCE":       {"code_challenge_method", "plain", http.StatusSeeOther, "invalid_request"},
		"no PKCE":          {"code_challenge", "", http.StatusSeeOther, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			q := query()
			q.Set(c.key, c.value)
			status, header, _ := b.do(http.MethodGet, b.idp.Issuer()+"/authorize?"+q.Encode(), nil)
			require.Equal(t, c.status, status)
			if c.code != "" {
				u, err := url.Parse(header.Get("Location"))
				require.NoError(t, err)
				require.Equal(t, c.code, u.Query().Get("error"))
				require.Equal(t, "the state", u.Query().Get("state"))
			}
			if c.status != http.StatusOK {
				form := url.Values{"request": {q.Encode()}, "username": {"alice@example.com"}, "password": {"password"}}
				status, header, _ := b.do(http.MethodPost, b.idp.Issuer()+"/login", form)
				require.Equal(t, http.StatusBadRequest, status, "the form of a request that was refused")
				require.Empty(t, header.Get("Location"))
			}
		})
	}
	status, _, _ := b.do(http.MethodPost, b.idp.Issuer()+"/login", url.Values{"password": {strings.Repeat("x", 100<<10)}})
	require.Equal(t, http.StatusBadRequest, status, "a body beyond 64 KiB")
}

func TestTokenRefuses(t *testing.T) {
	now := start
	b := newBrowser(t, func(c *ssotest.Config) {
		c.Now = func() time.Time { return now }
		c.Clients = append(c.Clients, ssotest.Client{ID: "other", Secret: "secret"}, ssotest.Client{ID: "public"})
	})
	for name, c := range map[string]struct {
		key, value string
		status     int
		code       string
		spent      bool
	}{
		"another code":     {"code", "x", http.StatusBadRequest, "invalid_grant", false},
		"another verifier": {"code_verifier", "x", http.StatusBadRequest, "invalid_grant", true},
		"another redirect": {"redirect_uri", "https://evil.example", http.StatusBadRequest, "invalid_grant", true},
		"another client":   {"client_id", "other", http.StatusBadRequest, "invalid_grant", true},
		"wrong secret":     {"client_secret", "x", http.StatusUnauthorized, "invalid_client", false},
		"no secret":        {"client_secret", "", http.StatusUnauthorized, "invalid_client", false},
		"unknown client":   {"client_id", "x", http.StatusUnauthorized, "invalid_client", false},
		"another grant":    {"grant_type", "password", http.StatusBadRequest, "unsupported_grant_type", false},
	} {
		t.Run(name, func(t *testing.T) {
			form := redemption(b.code())
			right := form.Get(c.key)
			form.Set(c.key, c.value)
			status, answer := b.redeem(form)
			require.Equal(t, c.status, status)
			require.Equal(t, map[string]any{"error": c.code}, answer)
			form.Set(c.key, right)
			status, _ = b.redeem(form)
			require.Equal(t, c.spent, status != http.StatusOK)
		})
	}
	form := redemption(b.code())
	now = now.Add(61 * time.Second)
	status, answer := b.redeem(form)
	require.Equal(t, http.StatusBadRequest, status, "a code lives a minute")
	require.Equal(t, "invalid_grant", answer["error"])

	form = redemption(b.code())
	var in atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if status, _ := b.redeem(form); status == http.StatusOK {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, in.Load(), "a code is redeemed once")
}

func TestOpenRefuses(t *testing.T) {
	good := ssotest.Config{Issuer: "https://idp.example.com/idp", Users: []ssotest.User{{Username: "a"}}, Clients: []ssotest.Client{{ID: "c"}}}
	_, err := ssotest.Open(good)
	require.NoError(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	for name, change := range map[string]func(*ssotest.Config){
		"no issuer":          func(c *ssotest.Config) { c.Issuer = "" },
		"a slash at its end": func(c *ssotest.Config) { c.Issuer += "/" },
		"a query":            func(c *ssotest.Config) { c.Issuer += "?a" },
		"no users":           func(c *ssotest.Config) { c.Users = nil },
		"no clients":         func(c *ssotest.Config) { c.Clients = nil },
		"a small curve":      func(c *ssotest.Config) { c.Key = p224 },
		"no randomness":      func(c *ssotest.Config) { c.Random = strings.NewReader("") },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			p, err := ssotest.Open(c)
			require.Error(t, err)
			require.Nil(t, p)
		})
	}
}

// A key that is handed in keeps its id over a restart, and Rotate replaces it.
func TestKeys(t *testing.T) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	published := func(b browser) string {
		_, _, body := b.do(http.MethodGet, b.idp.Issuer()+"/jwks", nil)
		return body
	}
	withKey := func(c *ssotest.Config) { c.Key = k }
	one, two := newBrowser(t, withKey), newBrowser(t, withKey)
	before := published(one)
	require.Equal(t, before, published(two))
	require.NotContains(t, before, `"d"`, "nothing private")

	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	require.NoError(t, one.idp.Rotate(next))
	require.NotEqual(t, before, published(one))
	status, answer := one.redeem(redemption(one.code()))
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "alice-1", one.claims(answer["id_token"].(string))["sub"])
	require.Error(t, one.idp.Rotate(nil))
}

func TestUsersAreCopied(t *testing.T) {
	users := []ssotest.User{{Username: "a", Password: "b"}}
	p, err := ssotest.Open(ssotest.Config{Issuer: "https://idp.example.com", Users: users, Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret"}}})
	require.NoError(t, err)
	users[0].Password = "changed"
	_, err = p.SignIn("https://idp.example.com/authorize?"+query().Encode(), "a", "b")
	require.NoError(t, err)
	_, err = p.SignIn("https://evil.example/authorize?"+query().Encode(), "a", "b")
	require.ErrorContains(t, err, "https://idp.example.com/authorize")
	require.Nil(t, p.RootCAs())
}
