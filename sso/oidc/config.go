// Package oidc signs people in with OpenID Connect: the authorization code flow
// with PKCE, at Microsoft Entra ID, Okta, Google Workspace or any provider with
// discovery. It implements sso.Authenticator.
//
// The provider is looked up lazily, so a server starts while its provider is
// down and recovers when it is back. Every answer of the provider is bounded in
// size and time, and every check that an ID token needs is made here: signature,
// issuer, audience and authorized party, times, nonce, access token hash, the
// age of the authentication, evidence of a second factor, groups. Group
// membership that the provider did not tell in full grants nothing.
//
// Start from a preset, [Entra], [Okta] or [Google], or from a plain Config:
//
//	cfg := oidc.Entra("11111111-2222-3333-4444-555555555555")
//	cfg.ClientID, cfg.ClientSecret = id, secret
//	provider, err := oidc.New(cfg)
package oidc

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/jit"
)

// Preset names a provider whose ways differ from the specification's.
type Preset string

// The presets.
const (
	// PresetGeneric keeps to OpenID Connect Core 1.0.
	PresetGeneric Preset = ""
	// PresetEntra: a person is keyed by tenant and object id (claims tid and
	// oid), the issuer belongs to the tenant, a second factor is proven by an
	// authentication context (acrs), and e-mail addresses prove nothing.
	PresetEntra Preset = "entra"
	// PresetOkta: a second factor is asked for by acr_values and proven by the
	// returned acr; a list of 100 groups counts as cut.
	PresetOkta Preset = "okta"
	// PresetGoogle: the Workspace domain is the claim hd, which consumer
	// accounts lack; there are no groups and there is no evidence of a second
	// factor in the token (require it by Workspace policy).
	PresetGoogle Preset = "google"
)

// TenantPlaceholder in Config.Issuer stands for the tenant, in the form in which
// Entra ID's own discovery document for several tenants has it.
const TenantPlaceholder = "{tenantid}"

// consumerTenant is the tenant of Microsoft's personal accounts.
const consumerTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// GroupSource looks up the groups of a person somewhere else than in the token,
// for providers that do not put them there. It returns what it knows: a partial
// list belongs to state jit.GroupsTruncated. An error makes the sign-in fail
// with sso.ErrUnavailable.
type GroupSource interface {
	// Groups returns the groups of who has just signed in, and how far the list
	// is to be relied on.
	Groups(ctx context.Context, id jit.Identity) ([]string, jit.GroupState, error)
}

// Config configures a Provider. Issuer and ClientID are required.
type Config struct {
	// Preset is set by Entra, Okta and Google.
	Preset Preset
	// Issuer is the provider's address, exactly as its discovery document has
	// it: https, or http on a loopback host.
	Issuer string
	// ClientID and ClientSecret are the registration at the provider. Without a
	// secret the client is a public one, proven by PKCE alone.
	ClientID, ClientSecret string
	// Scopes are asked for, openid is added. The default is openid, profile and
	// email.
	Scopes []string
	// HTTPClient talks to the provider. It is copied; timeouts, limits and the
	// handling of redirects are ours. The default uses the proxy of the
	// environment.
	HTTPClient *http.Client
	// RootCAs replaces the system's roots in the default client.
	RootCAs *x509.CertPool
	// Timeout bounds each Begin, Finish and Ready, waiting included. The
	// default, and the most, is 10 seconds.
	Timeout time.Duration

	// AllowedDomains, when not empty, lets in only people of these domains: by
	// hd at Google, otherwise by an e-mail address that the provider calls
	// verified. Not with Entra, where addresses prove nothing.
	AllowedDomains []string
	// AllowedTenants are the tenant ids (GUIDs) that are let in. Entra only, and
	// required there.
	AllowedTenants []string
	// RequireMFA asks the provider for a second factor and lets nobody in whose
	// token does not prove it. Not with Google, whose tokens prove nothing.
	RequireMFA bool
	// ACRValues are asked for, and one of them has to come back as acr, when
	// RequireMFA is set. The default for Okta is "urn:okta:loa:2fa:any".
	ACRValues []string
	// AMRValues: one of them has to be in amr when RequireMFA is set. The
	// default is "mfa" for a generic provider without ACRValues.
	AMRValues []string
	// AuthContext is Entra's authentication context that stands for a second
	// factor when RequireMFA is set; a Conditional Access policy has to require
	// it. The default is "c1".
	AuthContext string
	// RequiredGroups: a person has to be a member of every one of them. When the
	// membership was not told in full, nobody gets in.
	RequiredGroups []string
	// GroupsClaim holds the groups, by default "groups". App roles ("roles") are
	// the better choice at Entra, they do not overflow.
	GroupsClaim string
	// GroupsLimit is the length at which a list of groups counts as truncated.
	// The default is 100 for Okta, else 1000; the most is 1000.
	GroupsLimit int
	// GroupSource replaces GroupsClaim.
	GroupSource GroupSource
	// MaxAge, when positive, asks for an authentication no older than this and
	// refuses a token that does not prove it. Whole seconds.
	MaxAge time.Duration

	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Random makes state, nonce and code verifier, by default
	// crypto/rand.Reader. It must be safe for concurrent use.
	Random io.Reader
	// Logger is silent by default. Tokens, codes and secrets are never logged.
	Logger *slog.Logger
}

// Entra returns the configuration for Microsoft Entra ID and these tenants, by
// their ids (GUIDs). ClientID and ClientSecret are to be added.
func Entra(tenantIDs ...string) Config {
	tenant := TenantPlaceholder
	if len(tenantIDs) == 1 {
		tenant = strings.ToLower(tenantIDs[0])
	}
	return Config{
		Preset:         PresetEntra,
		Issuer:         "https://login.microsoftonline.com/" + tenant + "/v2.0",
		AllowedTenants: slices.Clone(tenantIDs),
	}
}

// Okta returns the configuration for an Okta authorization server, such as
// "https://example.okta.com" or "https://example.okta.com/oauth2/default".
// ClientID and ClientSecret are to be added.
func Okta(issuer string) Config { return Config{Preset: PresetOkta, Issuer: issuer} }

// Google returns the configuration for Google Workspace and people of these
// domains, of which one is required. ClientID and ClientSecret are to be added.
func Google(domains ...string) Config {
	return Config{
		Preset:         PresetGoogle,
		Issuer:         "https://accounts.google.com",
		AllowedDomains: slices.Clone(domains),
	}
}

const (
	maxTimeout = 10 * time.Second
	maxGroups  = 1000
)

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// complete returns the configuration with its defaults, or all that is wrong.
func (c Config) complete() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oidc: "+format, args...)) }

	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Timeout == 0 {
		c.Timeout = maxTimeout
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		bad("Config.Timeout must be positive and at most %v", maxTimeout)
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	if c.GroupsLimit == 0 {
		c.GroupsLimit = maxGroups
		if c.Preset == PresetOkta {
			c.GroupsLimit = 100
		}
	}
	if c.GroupsLimit < 0 || c.GroupsLimit > maxGroups {
		bad("Config.GroupsLimit must be positive and at most %d", maxGroups)
	}
	if c.MaxAge < 0 || c.MaxAge%time.Second != 0 {
		bad("Config.MaxAge must be whole seconds and not negative")
	}
	if c.ClientID == "" {
		bad("Config.ClientID is required")
	}
	if c.HTTPClient != nil && c.RootCAs != nil {
		bad("Config.HTTPClient and Config.RootCAs exclude each other")
	}
	if err := checkIssuer(c.Issuer, c.Preset); err != nil {
		errs = append(errs, err)
	}
	c.Scopes = scopes(c.Scopes)
	c.AllowedDomains = lower(c.AllowedDomains)
	c.AllowedTenants = lower(c.AllowedTenants)
	c.RequiredGroups = slices.Clone(c.RequiredGroups)
	if slices.Contains(c.AllowedDomains, "") || slices.Contains(c.RequiredGroups, "") {
		bad("an allowed domain or required group is empty")
	}
	switch c.Preset {
	case PresetEntra:
		if len(c.AllowedTenants) == 0 {
			bad("Config.AllowedTenants is required with Entra ID")
		}
		for _, t := range c.AllowedTenants {
			if !guid.MatchString(t) || t == consumerTenant {
				bad("tenant %q is not the id of an organization", t)
			}
		}
		if len(c.AllowedTenants) > 1 && !strings.Contains(c.Issuer, TenantPlaceholder) {
			bad("several tenants need %s in Config.Issuer", TenantPlaceholder)
		}
		if len(c.AllowedDomains) > 0 {
			bad("Config.AllowedDomains proves nothing with Entra ID, use AllowedTenants")
		}
	case PresetGoogle:
		if len(c.AllowedDomains) == 0 {
			bad("Config.AllowedDomains is required with Google")
		}
		if c.RequireMFA {
			bad("Google's tokens hold no evidence of a second factor, require it by Workspace policy")
		}
		if len(c.RequiredGroups) > 0 && c.GroupSource == nil {
			bad("Google's tokens hold no groups, Config.RequiredGroups needs a GroupSource")
		}
	case PresetGeneric, PresetOkta:
	default:
		bad("unknown preset %q", c.Preset)
	}
	if c.Preset != PresetEntra && len(c.AllowedTenants) > 0 {
		bad("Config.AllowedTenants is for Entra ID only")
	}
	if err := c.completeMFA(); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

func (c *Config) completeMFA() error {
	c.ACRValues, c.AMRValues = slices.Clone(c.ACRValues), slices.Clone(c.AMRValues)
	if !c.RequireMFA {
		if len(c.ACRValues) > 0 || len(c.AMRValues) > 0 || c.AuthContext != "" {
			return errors.New("oidc: Config.ACRValues, AMRValues and AuthContext need RequireMFA")
		}
		return nil
	}
	for _, v := range slices.Concat(c.ACRValues, c.AMRValues) {
		if v == "" || strings.ContainsAny(v, " \t\r\n") {
			return fmt.Errorf("oidc: acr or amr value %q is empty or holds space", v)
		}
		if strings.HasSuffix(v, ":ifpossible") {
			return fmt.Errorf("oidc: acr value %q proves nothing", v)
		}
	}
	switch c.Preset {
	case PresetEntra:
		if c.AuthContext == "" {
			c.AuthContext = "c1"
		}
	case PresetOkta:
		if len(c.ACRValues) == 0 {
			c.ACRValues = []string{"urn:okta:loa:2fa:any"}
		}
	default:
		if len(c.ACRValues) == 0 && len(c.AMRValues) == 0 {
			c.AMRValues = []string{"mfa"}
		}
	}
	if c.AuthContext != "" && c.Preset != PresetEntra {
		return errors.New("oidc: Config.AuthContext is for Entra ID only")
	}
	return nil
}

func checkIssuer(issuer string, preset Preset) error {
	if strings.Contains(issuer, TenantPlaceholder) && preset != PresetEntra {
		return fmt.Errorf("oidc: Config.Issuer may hold %s with Entra ID only", TenantPlaceholder)
	}
	u, err := url.Parse(strings.ReplaceAll(issuer, TenantPlaceholder, "tenant"))
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return errors.New("oidc: Config.Issuer must be an absolute URL")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return errors.New("oidc: Config.Issuer must have neither query nor fragment")
	case !allowedScheme(u):
		return errors.New("oidc: Config.Issuer must be https, or http on a loopback host")
	case len(issuer) > 512:
		return errors.New("oidc: Config.Issuer is too long")
	}
	return nil
}

// allowedScheme is true for https, and for http on a loopback host.
func allowedScheme(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

func scopes(list []string) []string {
	if len(list) == 0 {
		return []string{"openid", "profile", "email"}
	}
	list = slices.Clone(list)
	if !slices.Contains(list, "openid") {
		list = append(list, "openid")
	}
	return list
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}
