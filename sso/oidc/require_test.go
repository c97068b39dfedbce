package oidc_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
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

func requireDenied(t *testing.T, want sso.Reason, err error) {
	t.Helper()
	var denied *sso.DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, want, denied.Reason)
}

// The four states of the group claim, and what a required group makes of them.
func TestGroupStates(t *testing.T) {
	for _, c := range []struct {
		fault  ssotest.Fault
		preset oidc.Preset
		state  jit.GroupState
		reason sso.Reason // with a required group that alice is in
	}{
		{"", "", jit.GroupsPresent, ""},
		{ssotest.GroupsEmpty, "", jit.GroupsEmpty, sso.ReasonGroup},
		{ssotest.GroupsAbsent, "", jit.GroupsAbsent, sso.ReasonGroupsAbsent},
		{ssotest.GroupsTruncated, "", jit.GroupsTruncated, sso.ReasonGroupsTruncated},
		{ssotest.GroupsHasGroups, "", jit.GroupsTruncated, sso.ReasonGroupsTruncated},
		{ssotest.GroupsMany, "", jit.GroupsTruncated, sso.ReasonGroupsTruncated},
		{ssotest.GroupsMalformed, "", jit.GroupsTruncated, sso.ReasonGroupsTruncated},
		{ssotest.GroupsCut, "", jit.GroupsPresent, ""},
		{ssotest.GroupsCut, oidc.PresetOkta, jit.GroupsTruncated, sso.ReasonGroupsTruncated},
	} {
		t.Run(string(c.fault)+string(c.preset), func(t *testing.T) {
			w := newWorld(t, func(cfg *oidc.Config) { cfg.Preset = c.preset })
			w.idp.Break(c.fault)
			id, err := w.signIn()
			require.NoError(t, err, "without a required group")
			require.Equal(t, c.state, id.GroupState)
			require.LessOrEqual(t, len(id.Groups), 1000)

			w.rp = w.party(oidc.Config{Preset: c.preset, ClientID: "enrollkit", ClientSecret: "secret", RequiredGroups: []string{"byod"}}, nil)
			_, err = w.signIn()
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			requireDenied(t, c.reason, err)
		})
	}
}

func TestEveryRequiredGroup(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) { c.RequiredGroups = []string{"byod", "pilots"} })
	_, err := w.signIn()
	requireDenied(t, sso.ReasonGroup, err)
}

type groupSource func() ([]string, jit.GroupState, error)

func (f groupSource) Groups(context.Context, jit.Identity) ([]string, jit.GroupState, error) {
	return f()
}

func TestGroupSource(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) {
		c.RequiredGroups = []string{"pilots"}
		c.GroupSource = groupSource(func() ([]string, jit.GroupState, error) { return []string{"pilots"}, jit.GroupsPresent, nil })
	})
	id, err := w.signIn()
	require.NoError(t, err)
	require.Equal(t, []string{"pilots"}, id.Groups)

	down := errors.New("directory is down")
	w = newWorld(t, func(c *oidc.Config) {
		c.GroupSource = groupSource(func() ([]string, jit.GroupState, error) { return nil, 0, down })
	})
	_, err = w.signIn()
	require.ErrorIs(t, err, sso.ErrUnavailable)
	require.ErrorIs(t, err, down)
}

func TestDomains(t *testing.T) {
	for name, c := range map[string]struct {
		preset  oidc.Preset
		claims  map[string]any
		fault   ssotest.Fault
		allowed bool
	}{
		"verified e-mail":       {"", nil, "", true},
		"upper case":            {"", map[string]any{"email": "alice@EXAMPLE.com"}, "", true},
		"unverified e-mail":     {"", nil, ssotest.EmailUnverified, false},
		"no email_verified":     {"", map[string]any{"email_verified": nil}, "", false},
		"another domain":        {"", map[string]any{"email": "alice@example.com.evil.example"}, "", false},
		"no e-mail":             {"", map[string]any{"email": nil}, "", false},
		"Google: hd":            {oidc.PresetGoogle, map[string]any{"hd": "example.com"}, "", true},
		"Google: consumer":      {oidc.PresetGoogle, nil, "", false},
		"Google: other company": {oidc.PresetGoogle, map[string]any{"hd": "evil.example"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *oidc.Config) {
				cfg.Preset, cfg.AllowedDomains = c.preset, []string{"Example.com"}
			}, claims(c.claims))
			w.idp.Break(c.fault)
			_, err := w.signIn()
			if c.allowed {
				require.NoError(t, err)
				return
			}
			requireDenied(t, sso.ReasonDomain, err)
		})
	}
}

func TestGoogleDropsUnverifiedEmail(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) {
		c.Preset, c.AllowedDomains = oidc.PresetGoogle, []string{"example.com"}
	}, claims(map[string]any{"hd": "example.com"}))
	w.idp.Break(ssotest.EmailUnverified)
	id, err := w.signIn()
	require.NoError(t, err)
	require.Empty(t, id.Email)
	require.NotContains(t, id.Claims, "email")
	a, err := w.rp.Begin(t.Context(), request())
	require.NoError(t, err)
	require.Contains(t, a.URL, "&hd=example.com&")
}

func TestMFAEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		config  oidc.Config
		claims  map[string]any
		allowed bool
	}{
		"generic: amr":                   {oidc.Config{}, map[string]any{"amr": []string{"pwd", "mfa"}}, true},
		"generic: password only":         {oidc.Config{}, map[string]any{"amr": []string{"pwd"}}, false},
		"generic: nothing":               {oidc.Config{}, nil, false},
		"generic: acr":                   {oidc.Config{ACRValues: []string{"silver", "gold"}}, map[string]any{"acr": "gold"}, true},
		"generic: acr, amr is not asked": {oidc.Config{ACRValues: []string{"gold"}}, map[string]any{"acr": "bronze", "amr": []string{"mfa"}}, false},
		"Okta: acr":                      {oidc.Config{Preset: oidc.PresetOkta}, map[string]any{"acr": "urn:okta:loa:2fa:any"}, true},
		"Okta: if possible":              {oidc.Config{Preset: oidc.PresetOkta}, map[string]any{"acr": "urn:okta:loa:2fa:any:ifpossible"}, false},
		"Okta: one factor":               {oidc.Config{Preset: oidc.PresetOkta}, map[string]any{"acr": "urn:okta:loa:1fa:any"}, false},
		"Entra: acrs":                    {oidc.Config{Preset: oidc.PresetEntra, AllowedTenants: []string{tenantA}}, map[string]any{"acrs": []string{"c1"}}, true},
		"Entra: other context":           {oidc.Config{Preset: oidc.PresetEntra, AllowedTenants: []string{tenantA}}, map[string]any{"acrs": []string{"c2"}}, false},
		"Entra: amr is not promised":     {oidc.Config{Preset: oidc.PresetEntra, AllowedTenants: []string{tenantA}}, map[string]any{"amr": []string{"mfa"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]any{"tid": tenantA, "oid": objectID}
			for k, v := range c.claims {
				all[k] = v
			}
			w := newWorld(t, nil, claims(all))
			c.config.ClientID, c.config.ClientSecret, c.config.RequireMFA = "enrollkit", "secret", true
			w.rp = w.party(c.config, nil)
			_, err := w.signIn()
			if c.allowed {
				require.NoError(t, err)
				return
			}
			requireDenied(t, sso.ReasonMFA, err)
		})
	}
}

// entra is a world of two tenants.
func entra(t *testing.T, who map[string]any) *world {
	w := &world{t: t, clock: &clock{now: start}, log: &bytes.Buffer{}}
	w.idp = ssotest.New(t, claims(who), func(cfg *ssotest.Config) {
		u, err := url.Parse(cfg.Issuer)
		require.NoError(t, err)
		cfg.Issuer, cfg.Now = "https://"+u.Host+"/{tenantid}/v2.0", w.clock.Now
	})
	cfg := oidc.Entra(tenantA, tenantB)
	require.Contains(t, cfg.Issuer, oidc.TenantPlaceholder)
	cfg.ClientID, cfg.ClientSecret = "enrollkit", "secret"
	w.rp = w.party(cfg, nil)
	return w
}

func TestEntra(t *testing.T) {
	for name, c := range map[string]struct {
		claims map[string]any
		fault  ssotest.Fault
		reason sso.Reason
		err    error
	}{
		"tenant A":       {map[string]any{"tid": tenantA, "oid": objectID}, "", "", nil},
		"tenant B":       {map[string]any{"tid": tenantB, "oid": objectID}, "", "", nil},
		"other tenant":   {map[string]any{"tid": "33333333-3333-3333-3333-333333333333", "oid": objectID}, "", sso.ReasonTenant, nil},
		"personal":       {map[string]any{"tid": consumer, "oid": objectID}, "", sso.ReasonTenant, nil},
		"no tid":         {map[string]any{"oid": objectID}, "", "", sso.ErrCallback},
		"tid is a path":  {map[string]any{"tid": "../" + tenantA, "oid": objectID}, "", "", sso.ErrCallback},
		"no oid":         {map[string]any{"tid": tenantA}, "", "", sso.ErrCallback},
		"issuer differs": {map[string]any{"tid": tenantA, "oid": objectID}, ssotest.WrongTenant, "", sso.ErrCallback},
		"wrong issuer":   {map[string]any{"tid": tenantA, "oid": objectID}, ssotest.WrongIssuer, "", sso.ErrCallback},
	} {
		t.Run(name, func(t *testing.T) {
			w := entra(t, c.claims)
			w.idp.Break(c.fault)
			id, err := w.signIn()
			switch {
			case c.reason != "":
				requireDenied(t, c.reason, err)
			case c.err != nil:
				require.ErrorIs(t, err, c.err)
			default:
				require.NoError(t, err)
				require.Equal(t, objectID, id.Subject)
				require.Contains(t, id.Issuer, c.claims["tid"])
			}
		})
	}
}

func TestEntraAsksForTheAuthenticationContext(t *testing.T) {
	w := newWorld(t, func(c *oidc.Config) {
		c.Preset, c.AllowedTenants, c.RequireMFA, c.AuthContext = oidc.PresetEntra, []string{tenantA}, true, "c7"
	})
	a, err := w.rp.Begin(t.Context(), request())
	require.NoError(t, err)
	u, err := url.Parse(a.URL)
	require.NoError(t, err)
	require.JSONEq(t, `{"id_token":{"acrs":{"essential":true,"values":["c7"]}}}`, u.Query().Get("claims"))
}

func TestNewRefuses(t *testing.T) {
	good := oidc.Config{Issuer: "https://idp.example.com", ClientID: "id"}
	_, err := oidc.New(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*oidc.Config){
		"no client":              func(c *oidc.Config) { c.ClientID = "" },
		"no issuer":              func(c *oidc.Config) { c.Issuer = "" },
		"plain issuer":           func(c *oidc.Config) { c.Issuer = "http://idp.example.com" },
		"issuer with query":      func(c *oidc.Config) { c.Issuer += "?a=b" },
		"template, not Entra":    func(c *oidc.Config) { c.Issuer += "/" + oidc.TenantPlaceholder },
		"long timeout":           func(c *oidc.Config) { c.Timeout = time.Minute },
		"fraction of a second":   func(c *oidc.Config) { c.MaxAge = time.Millisecond },
		"tenants, not Entra":     func(c *oidc.Config) { c.AllowedTenants = []string{tenantA} },
		"Entra without tenants":  func(c *oidc.Config) { c.Preset = oidc.PresetEntra },
		"Entra, consumers":       func(c *oidc.Config) { c.Preset, c.AllowedTenants = oidc.PresetEntra, []string{consumer} },
		"Entra, tenant by name":  func(c *oidc.Config) { c.Preset, c.AllowedTenants = oidc.PresetEntra, []string{"example.com"} },
		"Google without domains": func(c *oidc.Config) { c.Preset = oidc.PresetGoogle },
		"Okta, if possible":      func(c *oidc.Config) { c.RequireMFA, c.ACRValues = true, []string{"urn:okta:loa:2fa:any:ifpossible"} },
		"evidence, not required": func(c *oidc.Config) { c.ACRValues = []string{"gold"} },
		"issuer with a user":     func(c *oidc.Config) { c.Issuer = "https://a@idp.example.com" },
		"issuer with a fragment": func(c *oidc.Config) { c.Issuer += "#a" },
		"relative issuer":        func(c *oidc.Config) { c.Issuer = "/idp" },
		"issuer of a kilobyte":   func(c *oidc.Config) { c.Issuer += "/" + strings.Repeat("a", 1000) },
		"client and roots":       func(c *oidc.Config) { c.HTTPClient, c.RootCAs = &http.Client{}, x509.NewCertPool() },
		"negative timeout":       func(c *oidc.Config) { c.Timeout = -1 },
		"negative age":           func(c *oidc.Config) { c.MaxAge = -time.Second },
		"2000 groups":            func(c *oidc.Config) { c.GroupsLimit = 2000 },
		"empty domain":           func(c *oidc.Config) { c.AllowedDomains = []string{""} },
		"empty group":            func(c *oidc.Config) { c.RequiredGroups = []string{""} },
		"acr with a space":       func(c *oidc.Config) { c.RequireMFA, c.ACRValues = true, []string{"a b"} },
		"empty amr":              func(c *oidc.Config) { c.RequireMFA, c.AMRValues = true, []string{""} },
		"context, not Entra":     func(c *oidc.Config) { c.RequireMFA, c.AuthContext = true, "c1" },
		"unknown preset":         func(c *oidc.Config) { c.Preset = "x" },
		"Google with MFA":        func(c *oidc.Config) { *c = oidc.Google("example.com"); c.ClientID, c.RequireMFA = "id", true },
		"Google with a group": func(c *oidc.Config) {
			*c = oidc.Google("example.com")
			c.ClientID, c.RequiredGroups = "id", []string{"g"}
		},
		"Entra with domains": func(c *oidc.Config) {
			*c = oidc.Entra(tenantA)
			c.ClientID, c.AllowedDomains = "id", []string{"example.com"}
		},
		"several tenants, one is": func(c *oidc.Config) {
			*c = oidc.Entra(tenantA)
			c.ClientID, c.AllowedTenants = "id", []string{tenantA, tenantB}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			_, err := oidc.New(c)
			require.Error(t, err)
		})
	}
	_, err = oidc.New(oidc.Config{Preset: oidc.PresetEntra, Timeout: time.Hour})
	for _, all := range []string{"ClientID", "Issuer", "Timeout", "AllowedTenants"} {
		require.ErrorContains(t, err, all, "all that is wrong is told")
	}
	for _, c := range []oidc.Config{oidc.Entra(tenantA), oidc.Entra(tenantA, tenantB), oidc.Okta("https://example.okta.com"), oidc.Google("example.com")} {
		c.ClientID = "id"
		_, err := oidc.New(c)
		require.NoError(t, err)
	}
}
