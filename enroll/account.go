package enroll

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
)

// AccountMethod is how a device signs a person in during account-driven
// enrollment, in Apple's words.
type AccountMethod string

// The methods.
const (
	// MethodWeb is simple authentication, from iOS 15 on
	// (https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow).
	MethodWeb AccountMethod = "apple-as-web"
	// MethodOAuth2 is OAuth 2 with refresh tokens, from iOS 16 on
	// (https://developer.apple.com/documentation/devicemanagement/implementing-the-oauth2-authentication-account-driven-enrollment-flow).
	MethodOAuth2 AccountMethod = "apple-oauth2"
)

// The defaults of an AccountConfig.
const (
	DefaultAccountSession = 5 * time.Minute
	DefaultAccessLifetime = time.Hour
	DefaultClientID       = "enrollkit"
)

// The addresses at which a device ends a web sign-in. No app but Settings has
// the scheme.
const (
	handBackScheme = "apple-remotemanagement-user-login"
	handBackWeb    = handBackScheme + "://authentication-results"
	// RedirectURI is what the OAuth 2 method redirects to.
	RedirectURI = handBackScheme + ":/oauth2/redirection"
	// Scope is what the OAuth 2 method asks for.
	Scope = "MDM"
)

// AccountConfig is what account-driven enrollment needs beside the portal. Store
// and Anchor are required.
type AccountConfig struct {
	// Store is in one database with the TicketStore.
	Store AccountStore
	// Anchor says whose machine information is believed: Apple's device CA.
	Anchor machineinfo.Anchor
	// Method defaults to MethodWeb.
	Method AccountMethod
	// External points MethodOAuth2 at the company's own authorization server;
	// nil makes the portal one, in front of the Authenticator.
	External *ExternalOAuth
	// SessionTime is how long a device may take from a challenge to the opening
	// of its web session. Defaults to DefaultAccountSession.
	SessionTime time.Duration
	// TokenLifetime is how long a token of MethodWeb lives: after it the person
	// signs in again. 0 is as long as the enrollment.
	TokenLifetime time.Duration
	// AccessLifetime and RefreshLifetime are those of MethodOAuth2's tokens.
	// They default to DefaultAccessLifetime, and to as long as the enrollment.
	AccessLifetime, RefreshLifetime time.Duration
	// ClientID is the device's with MethodOAuth2. Defaults to DefaultClientID.
	ClientID string
	// ESSO and ESSODeveloper are the https addresses of the documents of
	// Enrollment SSO (package esso); empty is none.
	ESSO, ESSODeveloper string
	// RequiredAppID is the App Store's number of an app that is installed
	// without asking, and told before the enrollment; 0 is none.
	RequiredAppID int64
}

// DeviceEnrollment offers Device Enrollment beside User Enrollment: by a
// download from the portal, and account-driven where Account is set. A person
// chooses it, and is told what the company sees then; nothing falls back to it.
type DeviceEnrollment struct {
	// Groups are those to whose people it is offered; empty is everybody.
	Groups []string
	// Families are the kinds of device, "iPhone" and "iPad", that service
	// discovery sends to account-driven Device Enrollment (mdm-adde): on these
	// the portal tells what the company sees then. Package discovery has to be
	// told the same.
	Families []string
	// AccessRights are named in the profile; 0 is profile.DefaultAccessRights.
	// mdm.Config has the same field, which is to have the same value.
	AccessRights profile.AccessRights
}

// offered reports whether a person may choose Device Enrollment.
func (d *DeviceEnrollment) offered(u jit.User) bool {
	return d != nil && (len(d.Groups) == 0 || slices.ContainsFunc(u.Groups, func(g string) bool { return slices.Contains(d.Groups, g) }))
}

// complete returns the configuration with its defaults, and reports its mistakes.
func (c AccountConfig) complete(wrong func(bool, string, string)) AccountConfig {
	const required = "is required"
	wrong(c.Store == nil, "Account.Store", required)
	wrong(len(c.Anchor.DeviceCAs) == 0 && !c.Anchor.InsecureAnySigner, "Account.Anchor", "names no device CA: every device would be refused")
	if c.Method == "" {
		c.Method = MethodWeb
	}
	wrong(c.Method != MethodWeb && c.Method != MethodOAuth2, "Account.Method", "is neither MethodWeb nor MethodOAuth2")
	if c.SessionTime == 0 {
		c.SessionTime = DefaultAccountSession
	}
	wrong(c.SessionTime < 0 || c.SessionTime > signInTime, "Account.SessionTime", "is negative or over 10 minutes")
	if c.AccessLifetime == 0 {
		c.AccessLifetime = DefaultAccessLifetime
	}
	wrong(c.TokenLifetime < 0, "Account.TokenLifetime", "is negative")
	wrong(c.AccessLifetime < time.Second, "Account.AccessLifetime", "is under a second")
	wrong(c.RefreshLifetime < 0, "Account.RefreshLifetime", "is negative")
	if c.ClientID == "" {
		c.ClientID = DefaultClientID
	}
	wrong(!plainToken(c.ClientID), "Account.ClientID", "may hold letters, digits and -._~ only")
	wrong(c.ESSO != "" && !secureURL(c.ESSO), "Account.ESSO", "must be https")
	wrong(c.ESSODeveloper != "" && !secureURL(c.ESSODeveloper), "Account.ESSODeveloper", "must be https")
	wrong(c.RequiredAppID < 0, "Account.RequiredAppID", "is negative")
	if c.External == nil {
		return c
	}
	x := *c.External
	wrong(c.Method != MethodOAuth2, "Account.External", "is for MethodOAuth2")
	wrong(!secureURL(x.AuthorizationURL), "Account.External.AuthorizationURL", "must be https")
	wrong(!secureURL(x.TokenURL), "Account.External.TokenURL", "must be https")
	wrong(!plainToken(x.ClientID), "Account.External.ClientID", "is required, and may hold letters, digits and -._~ only")
	wrong(x.Tokens == nil, "Account.External.Tokens", required)
	if x.Scope == "" {
		x.Scope = Scope
	}
	wrong(strings.ContainsFunc(x.Scope, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }), "Account.External.Scope", "is not a scope")
	c.External = &x
	return c
}

// secureURL reports whether an address is https and fits into a quoted string.
func secureURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" && len(s) <= 1024 && !strings.ContainsAny(s, "\"\\ \t\r\n,")
}

func plainToken(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}

// The ways that have an enrollment POST, by the last part of its path.
var accountWays = map[string]mdm.Way{"byod": mdm.WayAccount, "adde": mdm.WayAccountDevice}

// AccountURL is the BaseURL that service discovery names for account-driven User
// Enrollment (mdm-byod), or, for device, for account-driven Device Enrollment
// (mdm-adde).
func (p *Portal) AccountURL(device bool) string {
	if device {
		return p.URL() + "/account/adde"
	}
	return p.URL() + "/account/byod"
}

// errNoAccount is a request for what is not configured.
var errNoAccount = errors.New("enroll: account-driven enrollment is not configured")
