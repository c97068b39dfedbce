package enroll

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso"
)

// The defaults of a Config.
const (
	DefaultPrefix       = "/enroll"
	DefaultWait         = 15 * time.Minute
	DefaultWindow       = 8 * time.Minute
	DefaultGrace        = 12 * time.Minute
	DefaultMaxDownloads = 10
	DefaultMaxAge       = 60 * time.Minute
	DefaultPollInterval = time.Second
)

// MaxWindow is how long iOS keeps a downloaded profile that nobody installs. A
// page that promised more would lie.
const MaxWindow = 8 * time.Minute

// CookieKeySize is the size of a key of Config.CookieKeys, in bytes.
const CookieKeySize = 32

// Provisioner makes or refreshes the record of who signed in, such as a
// *jit.Provisioner.
type Provisioner interface {
	// SignIn returns the record of the identity; created is true when this call
	// made it. A suspended person is jit.ErrSuspended.
	SignIn(ctx context.Context, id jit.Identity) (u jit.User, created bool, err error)
}

// Users looks people up; every jit.Store does. It is asked at each request of a
// session, so that a suspension holds from the next one on.
type Users interface {
	// User returns the record with this ID, or jit.ErrUnknownUser.
	User(ctx context.Context, id string) (jit.User, error)
}

// AccountVerifier knows which Managed Apple Accounts exist, such as by Apple
// Business Manager's API, so that a person learns before the download that
// theirs does not.
type AccountVerifier interface {
	// VerifyAccount returns an error wrapping ErrAccountUnknown when the account
	// does not exist or is not usable. Any other error is logged and lets the
	// person go on: iOS asks Apple itself.
	VerifyAccount(ctx context.Context, managedAppleAccount string) error
}

// ErrAccountUnknown: Apple does not know the Managed Apple Account (yet).
var ErrAccountUnknown = errors.New("enroll: Managed Apple Account is unknown")

// Config is what a Portal is made of. The fields up to Topic are required.
type Config struct {
	// Tickets is in one database with the mdm.Store; Sessions, States and Users
	// may be elsewhere. An adapter of package storage is all four.
	Tickets  TicketStore
	Sessions SessionStore
	States   sso.StateStore
	Users    Users
	// Provisioner is told who signed in.
	Provisioner Provisioner
	// Authenticator signs people in. It calls back at Portal.CallbackURL.
	Authenticator sso.Authenticator
	// Signer signs profiles.
	Signer *profile.Signer
	// CookieKeys seal what a browser keeps during a sign-in: CookieKeySize
	// random bytes each, the same on every node and after a restart. The first
	// one seals, all open, so that a new key is put in front of the old one.
	CookieKeys [][]byte
	// BaseURL is where browsers and devices reach this server: https, a host,
	// and a port if it is not 443, without a path, such as
	// "https://mdm.example.com". Links and redirects come from it, never from
	// a request, and a request for another host is refused.
	BaseURL string
	// Organization is shown to people, and is in the profile.
	Organization string
	// Identifier is the organization's reverse domain, such as
	// "com.example.enroll"; the identifiers of payloads begin with it. Devices
	// tell profiles apart by it: it must never change.
	Identifier string
	// Topic is that of the push certificate: "com.apple.mgmt." and more.
	Topic string

	// DisplayName and Description are shown by iOS before the profile is
	// installed. They default to a few words made of Organization.
	DisplayName, Description string
	// Support says whom people ask: an e-mail address, an https address, a
	// telephone number ("tel:+1…") or a few words. Empty is the help desk, without
	// saying where.
	Support string
	// Prefix is the path below which the portal is mounted. Defaults to
	// DefaultPrefix.
	Prefix string
	// ServerURL, CheckInURL and SCEPURL are what the profile names. They default
	// to BaseURL with "/mdm/connect", "/mdm/checkin" and "/scep". Devices keep
	// the first two for as long as they are enrolled.
	ServerURL, CheckInURL, SCEPURL string
	// Roots go into the profile: the private anchors of this server's TLS
	// certificate, if it has any.
	Roots []*x509.Certificate
	// Clocks are the three times of a ticket, see the package documentation. The
	// zero Clocks are DefaultWait, DefaultWindow and DefaultGrace; otherwise all
	// three count as they are, Wait and Window must be positive, and Window at
	// most MaxWindow.
	Clocks Clocks
	// MaxDownloads and MaxAge bound a ticket. They default to
	// DefaultMaxDownloads and DefaultMaxAge.
	MaxDownloads int
	MaxAge       time.Duration
	// DeviceLimit is how many enrolled devices a person may have; 0 is no
	// limit. The portal tells when the ticket is asked for; mdm.Config has the
	// same field, which enforces it.
	DeviceLimit int
	// Ownership says whose the device is with which a person enrolls a way; nil
	// is OwnershipPersonal under User Enrollment and OwnershipCompany under
	// Device Enrollment.
	Ownership func(jit.User, mdm.Way) Ownership
	// Accounts checks Managed Apple Accounts before the ticket; nil checks none.
	Accounts AccountVerifier
	// Account serves account-driven enrollment, the only way of User Enrollment
	// from iOS 18 on; nil does not.
	Account *AccountConfig
	// DeviceEnrollment offers Device Enrollment beside User Enrollment; nil does
	// not.
	DeviceEnrollment *DeviceEnrollment
	// Way is the one way by which people enroll here, for a company that wants
	// no other. The account-driven ones need Account, those of Device Enrollment
	// DeviceEnrollment. Empty chooses by the device, see the package documentation.
	Way mdm.Way
	// PollInterval is how often a live page's ticket is looked up. Defaults to
	// DefaultPollInterval.
	PollInterval time.Duration
	// Observer is told what moved; nil tells nobody.
	Observer Observer
	// Logger gets refusals and failures, never a secret; nil discards.
	Logger *slog.Logger
	// Now defaults to time.Now, Random to crypto/rand.Reader, which must be safe
	// for concurrent use.
	Now    func() time.Time
	Random io.Reader

	wholeDescription string // Description under Device Enrollment
}

// ConfigError is one mistake in a Config.
type ConfigError struct {
	// Field is the field at fault, such as "BaseURL" or "Clocks.Window".
	Field  string
	Reason string
}

// Error implements error.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("enroll: Config.%s %s", e.Field, e.Reason)
}

var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// complete returns the configuration with its defaults, or all its mistakes.
func (c Config) complete() (Config, error) {
	var bad []error
	wrong := func(when bool, field, reason string) {
		if when {
			bad = append(bad, &ConfigError{field, reason})
		}
	}
	const required = "is required"
	wrong(c.Tickets == nil, "Tickets", required)
	wrong(c.Sessions == nil, "Sessions", required)
	wrong(c.States == nil, "States", required)
	wrong(c.Users == nil, "Users", required)
	wrong(c.Provisioner == nil, "Provisioner", required)
	wrong(c.Authenticator == nil, "Authenticator", required)
	wrong(c.Signer == nil, "Signer", required)
	wrong(len(c.CookieKeys) == 0, "CookieKeys", required)
	for _, k := range c.CookieKeys {
		wrong(len(k) != CookieKeySize, "CookieKeys", fmt.Sprintf("must be %d bytes each", CookieKeySize))
	}
	c.CookieKeys = slices.Clone(c.CookieKeys)

	base, err := url.Parse(c.BaseURL)
	baseOK := err == nil && base.Scheme == "https" && base.Host != "" && base.User == nil && base.Path == "" && base.RawQuery == "" && base.Fragment == ""
	wrong(!baseOK, "BaseURL", "must be https:// and a host, without a path")
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	wrong(!prefixPattern.MatchString(c.Prefix) || strings.Contains(c.Prefix, "/.") || len(c.Prefix) > 64, "Prefix",
		"must begin with a slash, end without one, hold letters, digits, dots and hyphens, and be at most 64 long")

	c.clocks(wrong)
	if c.MaxDownloads == 0 {
		c.MaxDownloads = DefaultMaxDownloads
	}
	wrong(c.MaxDownloads < 0, "MaxDownloads", "is negative")
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	wrong(c.MaxAge < 0, "MaxAge", "is negative")
	wrong(c.DeviceLimit < 0, "DeviceLimit", "is negative")
	if c.PollInterval == 0 {
		c.PollInterval = DefaultPollInterval
	}
	wrong(c.PollInterval < 0, "PollInterval", "is negative")

	if c.Account != nil {
		account := c.Account.complete(wrong)
		c.Account = &account
	}
	wrong(c.Way != "" && !slices.Contains([]mdm.Way{mdm.WayProfile, mdm.WayAccount, mdm.WayAccountDevice, mdm.WayDevice}, c.Way), "Way", "is no way of package mdm")
	wrong(c.Way.Account() && c.Account == nil, "Way", "is account-driven and needs Account")
	wrong(c.Way.Mode() == mdm.ModeDevice && c.DeviceEnrollment == nil, "Way", "is of Device Enrollment and needs DeviceEnrollment")
	if d := c.DeviceEnrollment; d != nil {
		wrong(len(d.Families) > 0 && c.Account == nil, "DeviceEnrollment.Families", "are for account-driven enrollment and need Account")
		for _, f := range d.Families {
			wrong(f != "iPhone" && f != "iPad", "DeviceEnrollment.Families", "holds another family than iPhone and iPad")
		}
		wrong(d.AccessRights != 0 && d.AccessRights.Validate() != nil, "DeviceEnrollment.AccessRights", "is no sum of access rights that go together")
	}
	c.text()
	wrong(len(c.Support) > 256, "Support", "is longer than 256 bytes")
	if baseOK {
		bad = append(bad, c.profile()...)
	}
	c.quiet()
	return c, errors.Join(bad...)
}

// clocks completes and judges the clocks.
func (c *Config) clocks(wrong func(bool, string, string)) {
	if c.Clocks == (Clocks{}) {
		c.Clocks = Clocks{Wait: DefaultWait, Window: DefaultWindow, Grace: DefaultGrace}
	}
	wrong(c.Clocks.Wait <= 0, "Clocks.Wait", "must be positive")
	wrong(c.Clocks.Window <= 0, "Clocks.Window", "must be positive")
	wrong(c.Clocks.Window > MaxWindow, "Clocks.Window", fmt.Sprintf("is over %v, after which iOS deletes a waiting profile", MaxWindow))
	wrong(c.Clocks.Grace < 0, "Clocks.Grace", "is negative")
}

// text completes the texts and addresses of the profile.
func (c *Config) text() {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	c.wholeDescription = c.Description
	def(&c.wholeDescription, "Lets "+c.Organization+" manage this device as a whole.")
	def(&c.DisplayName, c.Organization+" Enrollment")
	def(&c.Description, "Sets up work accounts and apps of "+c.Organization+" on your own device, apart from what is yours.")
	def(&c.ServerURL, c.BaseURL+"/mdm/connect")
	def(&c.CheckInURL, c.BaseURL+"/mdm/checkin")
	def(&c.SCEPURL, c.BaseURL+"/scep")
}

// fields are the names here of what the profile's builder complains about.
var fields = map[string]string{
	"PayloadOrganization": "Organization", "PayloadDisplayName": "DisplayName", "PayloadDescription": "Description",
	"PayloadIdentifier": "Identifier", "com.apple.mdm.ServerURL": "ServerURL", "com.apple.mdm.CheckInURL": "CheckInURL",
	"com.apple.mdm.Topic": "Topic", "com.apple.security.scep.PayloadContent.URL": "SCEPURL",
}

// profile lets the builder judge what every download will hold.
func (c *Config) profile() (bad []error) {
	for i, r := range c.Roots {
		if r == nil {
			return []error{&ConfigError{fmt.Sprintf("Roots[%d]", i), "is nil"}}
		}
	}
	_, err := profile.UserEnrollment(c.enrollment("person@example.com", "challenge", 0))
	for v := range profile.Violations(err) {
		field := fields[v.Path]
		if field == "" {
			field = v.Path
		}
		bad = append(bad, &ConfigError{field, v.Reason})
	}
	return bad
}

// enrollment is the content of one download.
func (c *Config) enrollment(account, challenge string, targetOS int) profile.EnrollmentConfig {
	e := profile.EnrollmentConfig{
		Organization: c.Organization, Identifier: c.Identifier, DisplayName: c.DisplayName, Description: c.Description,
		ServerURL: c.ServerURL, CheckInURL: c.CheckInURL, Topic: c.Topic, ManagedAppleID: account, TargetOS: targetOS,
		SCEP: &profile.SCEPContent{URL: c.SCEPURL, Name: c.Organization, Challenge: challenge},
	}
	for _, r := range c.Roots {
		e.Roots = append(e.Roots, r.Raw)
	}
	return e
}

// quiet completes what has a silent default.
func (c *Config) quiet() {
	if c.Ownership == nil {
		c.Ownership = func(_ jit.User, way mdm.Way) Ownership {
			if way.Mode() == mdm.ModeDevice {
				return OwnershipCompany
			}
			return OwnershipPersonal
		}
	}
	if c.Observer == nil {
		c.Observer = NopObserver{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
}
