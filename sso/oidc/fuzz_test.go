package oidc_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// sevens is randomness that is the same in every process, as seeds need it.
type sevens struct{}

func (sevens) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

// fuzzed is a relying party of a provider in process.
func fuzzed(t testing.TB, change func(*oidc.Config)) (*oidc.Provider, *ssotest.Provider) {
	now := func() time.Time { return start }
	idp, err := ssotest.Open(ssotest.Config{
		Issuer: "https://idp.example.com/idp", Now: now, Clients: []ssotest.Client{{ID: "enrollkit"}},
		Users: []ssotest.User{{Username: alice, Password: "password", Subject: "alice-1"}},
	})
	require.NoError(t, err)
	cfg := oidc.Config{Issuer: idp.Issuer(), ClientID: "enrollkit", HTTPClient: idp.HTTPClient(), Now: now, Random: sevens{}}
	if change != nil {
		change(&cfg)
	}
	rp, err := oidc.New(cfg)
	require.NoError(t, err)
	return rp, idp
}

// Only a query with exactly the attempt's state belongs to it, and only such a
// one with the right issuer and without an error makes the code be sent.
func FuzzCallback(f *testing.F) {
	rp, idp := fuzzed(f, nil)
	a, err := rp.Begin(f.Context(), sso.Request{RedirectURL: callback})
	require.NoError(f, err)
	begun, err := url.Parse(a.URL)
	require.NoError(f, err)
	state, issuer := begun.Query().Get("state"), idp.Issuer()
	for _, q := range []url.Values{
		{"state": {state}, "iss": {issuer}, "code": {"c"}}, {"state": {state}, "iss": {issuer}, "error": {"access_denied"}},
		{"state": {state}, "code": {"c"}}, {"state": {state, state}, "iss": {issuer}}, {"state": {"x"}}, {"iss": {issuer}, "code": {"c"}},
	} {
		f.Add(q.Encode())
	}
	f.Add("state=%zz;&code")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return // the portal refuses it
		}
		key, err := rp.State(a.Secret, q)
		ours := len(q["state"]) == 1 && q.Get("state") == state
		if err != nil {
			require.ErrorIs(t, err, sso.ErrCallback)
			require.Zero(t, key)
		} else {
			require.True(t, ours)
			require.Equal(t, sha256.Sum256([]byte(state)), key)
		}
		before := idp.Requests("token")
		id, err2 := rp.Finish(t.Context(), sso.Request{RedirectURL: callback}, a.Secret, q)
		require.Error(t, err2, "no code of this provider can be guessed")
		require.Zero(t, id)
		require.True(t, typed(err2), err2)
		sent := idp.Requests("token") - before
		allowed := err == nil && q.Get("iss") == issuer && !q.Has("error") && q.Get("code") != ""
		require.Equal(t, allowed, sent == 1, "code sent %d times", sent)
	})
}

func typed(err error) bool {
	var denied *sso.DeniedError
	return errors.Is(err, sso.ErrCallback) || errors.Is(err, sso.ErrUnavailable) || errors.As(err, &denied)
}

// Claims that are accepted name a person who can be stored, with groups that
// say what they are worth, and say the same after they were written anew.
func FuzzClaims(f *testing.F) {
	generic, _ := fuzzed(f, nil)
	entra, _ := fuzzed(f, func(c *oidc.Config) {
		c.Preset, c.AllowedTenants, c.Issuer = oidc.PresetEntra, []string{tenantA, tenantB}, "https://idp.example.com/{tenantid}/v2.0"
	})
	base := map[string]any{"iss": "https://idp.example.com/idp", "sub": "s", "aud": "enrollkit", "nonce": "n", "iat": start.Unix(), "exp": start.Unix() + 60}
	for _, change := range []map[string]any{
		{}, {"groups": []any{"a", "a", "b"}}, {"groups": []any{}}, {"groups": []any{1}}, {"groups": "a", "hasgroups": true}, {"sub": ""}, {"nonce": "x"},
		{"aud": []string{"enrollkit", "x"}}, {"azp": "x"}, {"email_verified": "true"}, {"iss": "https://idp.example.com/" + tenantA + "/v2.0", "tid": tenantA, "oid": "o"},
		{"at_hash": "x"}, {"auth_time": 1.5, "name": "\u202e"}, {"iat": 1},
	} {
		c := map[string]any{}
		for _, m := range []map[string]any{base, change} {
			for k, v := range m {
				c[k] = v
			}
		}
		b, err := json.Marshal(c)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`null`))
	f.Add([]byte(`{"NONCE":"n","nonce":"x"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, rp := range []*oidc.Provider{generic, entra} {
			id, err := rp.Judge(t.Context(), payload, "access", "n")
			if err != nil {
				require.Zero(t, id)
				require.True(t, typed(err), err)
				require.NotErrorIs(t, err, sso.ErrUnavailable)
				continue
			}
			require.NotEmpty(t, id.Subject)
			require.LessOrEqual(t, len(id.Subject), 255)
			require.NotContains(t, id.Subject, "\x00")
			require.True(t, strings.HasPrefix(id.Issuer, "https://idp.example.com/"))
			require.Equal(t, "n", id.Claims["nonce"])
			require.LessOrEqual(t, len(id.Groups), 1000)
			switch id.GroupState {
			case jit.GroupsPresent:
				require.NotEmpty(t, id.Groups)
			case jit.GroupsEmpty, jit.GroupsAbsent:
				require.Empty(t, id.Groups)
			case jit.GroupsTruncated:
			default:
				t.Fatalf("state %d", id.GroupState)
			}
			again, err := json.Marshal(id.Claims)
			require.NoError(t, err)
			same, err := rp.Judge(t.Context(), again, "access", "n")
			require.NoError(t, err)
			require.Equal(t, id, same)
		}
	})
}

// Keys that are taken over are public ones for signatures, and stay so when they
// are written anew.
func FuzzKeys(f *testing.F) {
	for _, fault := range []ssotest.Fault{"", ssotest.AlgUnlisted, ssotest.AlgUnadvertised, ssotest.WeakKey, ssotest.ManyKeys, ssotest.KeysEmpty} {
		_, idp := fuzzed(f, nil)
		idp.Break(fault)
		resp, err := idp.HTTPClient().Get(idp.Issuer() + "/jwks")
		require.NoError(f, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"},{"kty":"oct","k":"AA"},7]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := oidc.ParseKeys(body)
		if err != nil {
			require.Empty(t, keys)
			return
		}
		require.NotEmpty(t, keys)
		require.LessOrEqual(t, len(keys), 100)
		for _, k := range keys {
			require.True(t, k.IsPublic())
			require.True(t, k.Valid())
		}
		again, err := json.Marshal(map[string]any{"keys": keys})
		require.NoError(t, err)
		same, err := oidc.ParseKeys(again)
		require.NoError(t, err)
		require.Len(t, same, len(keys))
		for i := range keys {
			require.Equal(t, keys[i].Key, same[i].Key)
			require.Equal(t, keys[i].KeyID, same[i].KeyID)
		}
	})
}

// document is a transport that answers one discovery document, and keys for
// anything else.
type document struct {
	body []byte
	keys http.RoundTripper
}

func (d document) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: -1,
			Body: io.NopCloser(strings.NewReader(string(d.body))), Request: r,
		}, nil
	}
	r = r.Clone(r.Context())
	r.URL.Path = "/idp/jwks"
	return d.keys.RoundTrip(r)
}

// A discovery document that is believed is that of the issuer, and sends people
// to an address with TLS or on a loopback host.
func FuzzDiscovery(f *testing.F) {
	_, idp := fuzzed(f, nil)
	for _, fault := range []ssotest.Fault{"", ssotest.DiscoveryIssuerMismatch, ssotest.DiscoveryPlainEndpoints, ssotest.DiscoveryPlainPKCE, ssotest.DiscoveryWeakAlgs, ssotest.DiscoveryNoEndpoints} {
		idp.Repair()
		idp.Break(fault)
		resp, err := idp.HTTPClient().Get(idp.Issuer() + "/.well-known/openid-configuration")
		require.NoError(f, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(f, err)
		f.Add(b)
	}
	idp.Repair()
	resp, err := idp.HTTPClient().Get(idp.Issuer() + "/.well-known/openid-configuration")
	require.NoError(f, err)
	honest, err := io.ReadAll(resp.Body)
	require.NoError(f, err)
	for _, more := range []string{"#fragment", "#", "?nonce=ours", "?state=%zz", "?tenant=1"} {
		f.Add(bytes.Replace(honest, []byte(`/authorize"`), []byte(`/authorize`+more+`"`), 1))
	}
	f.Add([]byte(`{"issuer":7}`))
	f.Add([]byte(`<!DOCTYPE html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		rp, err := oidc.New(oidc.Config{
			Issuer: idp.Issuer(), ClientID: "enrollkit", Now: func() time.Time { return start },
			HTTPClient: &http.Client{Transport: document{body, idp.HTTPClient().Transport}},
		})
		require.NoError(t, err)
		a, err := rp.Begin(t.Context(), sso.Request{RedirectURL: callback})
		if err != nil {
			require.ErrorIs(t, err, sso.ErrUnavailable)
			require.Zero(t, a)
			return
		}
		var said struct{ Issuer string }
		require.NoError(t, json.Unmarshal(body, &said))
		require.Equal(t, idp.Issuer(), said.Issuer)
		u, err := url.Parse(a.URL)
		require.NoError(t, err)
		require.True(t, u.Scheme == "https" || u.Scheme == "http" && u.Hostname() != "idp.example.com", a.URL)
		require.Empty(t, u.User)
		require.Empty(t, u.Fragment)
		require.Equal(t, oidc.Nonce(a.Secret), u.Query().Get("nonce"))
		require.Equal(t, "S256", u.Query().Get("code_challenge_method"))
	})
}
