package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// Every algorithm on the list that a provider here can sign with is accepted,
// and none that is not.
func TestAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		key crypto.Signer
		ok  bool
	}{"RS256": {rsaKey, true}, "ES256": {p256, true}, "EdDSA": {ed, true}, "ES384": {p384, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil, func(cfg *ssotest.Config) { cfg.Key = c.key })
			id, err := w.signIn()
			if c.ok {
				require.NoError(t, err)
				require.Equal(t, "alice-1", id.Subject)
				w.idp.Break(ssotest.WrongAtHash)
				_, err = w.signIn()
				require.ErrorIs(t, err, sso.ErrCallback, "the hash is by the token's algorithm")
				return
			}
			require.ErrorIs(t, err, sso.ErrUnavailable)
		})
	}
}

// The code is sent once, in the way that the provider supports.
func TestClientAuthentication(t *testing.T) {
	for _, methods := range [][]string{{"client_secret_basic"}, {"client_secret_post"}, {"client_secret_post", "client_secret_basic"}} {
		w := newWorld(t, nil, func(cfg *ssotest.Config) { cfg.AuthMethods = methods })
		_, err := w.signIn()
		require.NoError(t, err, methods)
		require.Equal(t, 1, w.idp.Requests("token"))
	}
}

// hosted is a sign-in at a provider under a well-known address.
func hosted(t *testing.T, preset oidc.Config, who map[string]any) (jit.Identity, string, error) {
	w := &world{t: t, clock: &clock{now: start}, log: nil}
	var err error
	w.idp, err = ssotest.Open(ssotest.Config{
		Issuer: preset.Issuer, Now: w.clock.Now, Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret"}},
		Users: []ssotest.User{{Username: alice, Password: "password", Subject: "g-1", Email: alice, Name: "Alice", Claims: who}},
	})
	require.NoError(t, err)
	preset.ClientID, preset.ClientSecret, preset.HTTPClient, preset.Now = "enrollkit", "secret", w.idp.HTTPClient(), w.clock.Now
	w.rp, err = oidc.New(preset)
	require.NoError(t, err)
	a, err := w.rp.Begin(t.Context(), request())
	require.NoError(t, err)
	id, err := w.signIn()
	return id, a.URL, err
}

// Google has two spellings of its issuer; a person is one person under both.
func TestGoogleIssuers(t *testing.T) {
	for _, iss := range []string{"https://accounts.google.com", "accounts.google.com"} {
		id, begun, err := hosted(t, oidc.Google("example.com"), map[string]any{"iss": iss, "hd": "example.com"})
		require.NoError(t, err, iss)
		require.Equal(t, "https://accounts.google.com", id.Issuer)
		require.Equal(t, "g-1", id.Subject)
		u, err := url.Parse(begun)
		require.NoError(t, err)
		require.Equal(t, "example.com", u.Query().Get("hd"), "a hint, checked afterwards")
	}
	_, _, err := hosted(t, oidc.Google("example.com"), map[string]any{"iss": "http://accounts.google.com", "hd": "example.com"})
	require.ErrorIs(t, err, sso.ErrCallback)

	_, begun, err := hosted(t, oidc.Google("example.com", "example.org"), map[string]any{"hd": "example.org"})
	require.NoError(t, err)
	require.Contains(t, begun, "hd=%2A")
}

func TestOktaAsksForTheSecondFactor(t *testing.T) {
	cfg := oidc.Okta("https://example.okta.com/oauth2/default")
	cfg.RequireMFA = true
	_, begun, err := hosted(t, cfg, map[string]any{"acr": "urn:okta:loa:2fa:any"})
	require.NoError(t, err)
	u, err := url.Parse(begun)
	require.NoError(t, err)
	require.Equal(t, "urn:okta:loa:2fa:any", u.Query().Get("acr_values"))

	_, _, err = hosted(t, cfg, map[string]any{"amr": []string{"mfa"}})
	requireDenied(t, sso.ReasonMFA, err)
}

// A person of Entra ID is tenant and object, whatever the rest of the token says.
func TestEntraIsKeyedByTenantAndObject(t *testing.T) {
	for _, c := range []map[string]any{
		{}, {"sub": "another-app"}, {"email": "boss@example.com", "preferred_username": "boss@example.com", "upn": "boss@example.com"},
		{"tid": "11111111-1111-1111-1111-111111111111", "email_verified": true},
	} {
		who := map[string]any{"tid": tenantA, "oid": objectID}
		for k, v := range c {
			who[k] = v
		}
		id, _, err := hosted(t, oidc.Entra(tenantA), who)
		require.NoError(t, err)
		require.Equal(t, "https://login.microsoftonline.com/"+tenantA+"/v2.0", id.Issuer)
		require.Equal(t, objectID, id.Subject)
	}
}

// App roles do not overflow, and are read although the groups did.
func TestRolesInPlaceOfGroups(t *testing.T) {
	for _, overage := range []map[string]any{
		{}, {"hasgroups": true},
		{"groups": nil, "_claim_names": map[string]string{"groups": "s"}, "_claim_sources": map[string]any{"s": map[string]string{"endpoint": "https://graph"}}},
	} {
		who := map[string]any{"tid": tenantA, "oid": objectID, "roles": []string{"Byod.Enroll"}}
		for k, v := range overage {
			who[k] = v
		}
		cfg := oidc.Entra(tenantA)
		cfg.GroupsClaim, cfg.RequiredGroups = "roles", []string{"Byod.Enroll"}
		id, _, err := hosted(t, cfg, who)
		require.NoError(t, err)
		require.Equal(t, jit.GroupsPresent, id.GroupState)
		require.Equal(t, []string{"Byod.Enroll"}, id.Groups)
	}
	cfg := oidc.Entra(tenantA)
	cfg.GroupsClaim, cfg.RequiredGroups = "roles", []string{"Byod.Enroll"}
	_, _, err := hosted(t, cfg, map[string]any{"tid": tenantA, "oid": objectID, "roles": nil})
	requireDenied(t, sso.ReasonGroupsAbsent, err)
}

// A single group that is a text, and groups that repeat.
func TestGroupsInOtherShapes(t *testing.T) {
	for name, c := range map[string]struct {
		claim any
		want  []string
		state jit.GroupState
	}{
		"one as a text":   {"byod", []string{"byod"}, jit.GroupsPresent},
		"twice the same":  {[]string{"byod", "byod"}, []string{"byod"}, jit.GroupsPresent},
		"a number":        {7, nil, jit.GroupsTruncated},
		"a dictionary":    {map[string]any{"byod": true}, nil, jit.GroupsTruncated},
		"one is too long": {[]string{"byod", string(make([]byte, 2000))}, []string{"byod"}, jit.GroupsTruncated},
		"one is empty":    {[]string{"byod", ""}, []string{"byod"}, jit.GroupsTruncated},
		"false":           {false, nil, jit.GroupsTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := newWorld(t, nil, claims(map[string]any{"groups": c.claim})).signIn()
			require.NoError(t, err)
			require.Equal(t, c.want, id.Groups)
			require.Equal(t, c.state, id.GroupState)
		})
	}
}

func TestMaxAgeBounds(t *testing.T) {
	for age, ok := range map[time.Duration]bool{
		time.Hour: true, time.Hour + time.Minute: true, time.Hour + 3*time.Minute: false, -time.Minute: true, -3 * time.Minute: false,
	} {
		w := newWorld(t, func(c *oidc.Config) { c.MaxAge = time.Hour }, claims(map[string]any{"auth_time": start.Add(-age).Unix()}))
		id, err := w.signIn()
		require.Equal(t, ok, err == nil, "%v: %v", age, err)
		if ok {
			require.True(t, start.Add(-age).Equal(id.AuthTime))
		}
	}
	for _, strange := range []any{"2026-03-01", -1, 1e300, true} {
		w := newWorld(t, func(c *oidc.Config) { c.MaxAge = time.Hour }, claims(map[string]any{"auth_time": strange}))
		_, err := w.signIn()
		require.ErrorIs(t, err, sso.ErrCallback)
	}
}
