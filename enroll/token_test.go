package enroll_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
)

// TestTokenEndpoint walks what RFC 6749 and RFC 9700 ask of it.
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
		denied(t, o.tokenRequest(good, map[string][]string{"code": {strings.Repeat("c", 64<<10)}}), http.StatusRequestEntityTooLarge, "invalid_request")
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

// brokenGrants redeems nothing.
type brokenGrants struct{ enroll.AccountStore }

// RedeemCode implements enroll.AccountStore.
func (brokenGrants) RedeemCode(context.Context, enroll.CodeStep) error {
	return errors.New("secret detail")
}
