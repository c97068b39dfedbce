package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/enrollkit/enrollkit/sso/oidc"
)

// presets are the providers whose ways are known.
var presets = map[string]func(s signInConfig) (oidc.Config, error){
	"generic": func(s signInConfig) (oidc.Config, error) {
		return oidc.Config{Issuer: s.Issuer, AllowedDomains: s.Domains}, needIssuer(s)
	},
	"okta": func(s signInConfig) (oidc.Config, error) {
		c := oidc.Okta(s.Issuer)
		c.AllowedDomains = s.Domains
		return c, needIssuer(s)
	},
	"entra": func(s signInConfig) (oidc.Config, error) {
		c := oidc.Entra(s.Tenants...)
		c.AllowedDomains = s.Domains
		return c, noIssuer(s)
	},
	"google": func(s signInConfig) (oidc.Config, error) { return oidc.Google(s.Domains...), noIssuer(s) },
}

func needIssuer(s signInConfig) error {
	if s.Issuer == "" {
		return fmt.Errorf("the preset %s needs an issuer", s.Preset)
	}
	return nil
}

func noIssuer(s signInConfig) error {
	if s.Issuer != "" {
		return fmt.Errorf("the preset %s has an issuer of its own", s.Preset)
	}
	return nil
}

// loadSignIn makes our side of the identity provider, which is asked when
// somebody signs in and not before.
func (p *parts) loadSignIn(f files) {
	s := f.c.SignIn
	if f.unknown("sign_in.preset") {
		return // what else is needed goes by it
	}
	preset, ok := presets[s.Preset]
	if !ok {
		f.add("sign_in.preset", fmt.Errorf("%q is none of generic, entra, okta and google", s.Preset))
		return
	}
	c, err := preset(s)
	f.add("sign_in.issuer", err)
	if len(s.Tenants) > 0 && s.Preset != "entra" {
		f.add("sign_in.tenants", errors.New("is for the preset entra"))
	}
	c.ClientID, c.ClientSecret, c.GroupsClaim = s.ClientID, s.ClientSecret, s.GroupsClaim
	c.RequireMFA, c.RequiredGroups = s.RequireMFA, s.RequiredGroups
	c.RootCAs = f.roots("sign_in.roots", s.Roots)
	if s.ClientSecretFile != "" {
		if s.ClientSecret != "" {
			f.add("sign_in.client_secret_file", errors.New("and client_secret are both set"))
		}
		c.ClientSecret = strings.TrimSpace(string(f.read("sign_in.client_secret_file", s.ClientSecretFile)))
	}
	if err != nil || s.ClientID == "" {
		return // noted, and the provider would only say so again
	}
	p.authenticator = make1(f, "sign_in", func() (*oidc.Provider, error) { return oidc.New(c) })
}
