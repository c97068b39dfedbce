package profile

import (
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EnrollmentConfig says what an enrollment profile holds. Nothing in it but
// ManagedAppleID and the challenge concerns the person: iOS compares the rest
// when the profile is renewed, and what it calls immutable must never change.
type EnrollmentConfig struct {
	// Organization is shown to the person before installing.
	Organization string
	// Identifier is the organization's reverse domain, such as
	// com.example.enroll; the payloads' identifiers begin with it.
	Identifier string
	// DisplayName and Description are shown to the person.
	DisplayName, Description string
	// ServerURL and CheckInURL are https addresses without a query. Immutable.
	ServerURL, CheckInURL string
	// Topic is that of the push certificate. Immutable.
	Topic string
	// ManagedAppleID is the Managed Apple Account that iOS asks to sign in to,
	// for every way but DeviceEnrollment, which has none. With the account-driven
	// ways it is immutable.
	ManagedAppleID string
	// AccessRights are for Device Enrollment, where 0 is DefaultAccessRights; a
	// renewed profile must not have more.
	AccessRights AccessRights
	// ServerCapabilities and RequiredAppID are for the account-driven ways:
	// CapabilityToken or nothing, and the number in the App Store of one app that
	// the server may install without asking, or 0. The person is shown that app
	// before enrolling; it is immutable.
	ServerCapabilities []string
	RequiredAppID      int64
	// Identity is how the device gets its certificate; one of the two.
	SCEP   *SCEPContent
	PKCS12 *PKCS12Identity
	// Roots are the private anchors of the server's certificate, if any, in DER.
	Roots [][]byte
	// TargetOS is the major version of iOS on the device when it is known, or 0.
	TargetOS int
}

// PKCS12Identity is an identity made on the server.
type PKCS12Identity struct {
	Data     []byte
	Password string
}

// ErrProfileDrivenRemoved: iOS 18 and later refuse User Enrollment by a
// downloaded profile; the person starts in Settings there.
var ErrProfileDrivenRemoved = errors.New("profile: iOS 18 and later do not accept profile-driven User Enrollment")

// Violation is one mistake in a configuration.
type Violation struct {
	// Path is where, such as PayloadContent[0].ServerURL.
	Path   string
	Reason string
}

// Error implements error.
func (v *Violation) Error() string { return fmt.Sprintf("profile: %s: %s", v.Path, v.Reason) }

// Violations yields every Violation in err.
func Violations(err error) iter.Seq[*Violation] {
	return func(yield func(*Violation) bool) {
		visit(err, yield)
	}
}

func visit(err error, yield func(*Violation) bool) bool {
	if v, ok := err.(*Violation); ok { //nolint:errorlint // the tree is walked by hand
		return yield(v)
	}
	switch e := err.(type) { //nolint:errorlint // the tree is walked by hand
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if !visit(inner, yield) {
				return false
			}
		}
	case interface{ Unwrap() error }:
		return visit(e.Unwrap(), yield)
	}
	return true
}

// UserEnrollment builds the profile of profile-driven User Enrollment (iOS 13.1
// to 17): the MDM payload, one identity, and the private roots, nothing else.
// Every mistake in cfg is reported at once; see Violations.
func UserEnrollment(cfg EnrollmentConfig) (*Profile, error) {
	if cfg.TargetOS >= 18 {
		return nil, ErrProfileDrivenRemoved
	}
	if err := cfg.check(profileDriven); err != nil {
		return nil, err
	}
	return cfg.build(MDM{ManagedAppleID: cfg.ManagedAppleID}), nil
}

// build adds to mdm, which has what makes a way its own, what all ways share. c
// was checked.
func (c EnrollmentConfig) build(mdm MDM) *Profile {
	common := func(kind, name string) Common {
		id := c.Identifier + "." + name
		return Common{Type: kind, Version: 1, Identifier: id, UUID: UUID(c.Organization, id)}
	}
	var content []Payload
	var identity Common
	if c.SCEP != nil {
		payload := SCEP{Common: common("com.apple.security.scep", "identity"), Content: *c.SCEP}
		payload.Content.defaults()
		identity = payload.Common
		content = append(content, payload)
	} else {
		payload := PKCS12{Common: common("com.apple.security.pkcs12", "identity"), Content: c.PKCS12.Data, Password: c.PKCS12.Password}
		identity = payload.Common
		content = append(content, payload)
	}
	for i, der := range c.Roots {
		content = append(content, Root{Common: common("com.apple.security.root", fmt.Sprintf("root%d", i+1)), Content: der})
	}
	mdm.Common = common("com.apple.mdm", "mdm")
	mdm.DisplayName = "Management"
	mdm.CheckInURL, mdm.ServerURL, mdm.Topic = c.CheckInURL, c.ServerURL, c.Topic
	mdm.CheckOutWhenRemoved, mdm.SignMessage = true, true
	mdm.IdentityCertificateUUID = identity.UUID
	top := common("Configuration", "profile")
	top.DisplayName, top.Description, top.Organization = c.DisplayName, c.Description, c.Organization
	return &Profile{Common: top, Content: append(content, mdm)}
}

func (s *SCEPContent) defaults() {
	if s.Keysize == 0 {
		s.Keysize = 2048
	}
	if s.KeyUsage == 0 {
		s.KeyUsage = 5
	}
	s.KeyType = "RSA"
}

// maxText bounds a text that is shown, in runes.
const maxText = 256

func (c EnrollmentConfig) check(w way) error {
	bad := c.checkWay(w)
	wrong := func(path, reason string) { bad = append(bad, &Violation{path, reason}) }
	for _, f := range []struct{ path, value string }{
		{"PayloadOrganization", c.Organization}, {"PayloadDisplayName", c.DisplayName},
		{"PayloadDescription", c.Description},
	} {
		if reason := badText(f.value); reason != "" {
			wrong(f.path, reason)
		}
	}
	if !identifierOK(c.Identifier) {
		wrong("PayloadIdentifier", badIdentifier)
	}
	for _, f := range []struct{ path, value string }{{"com.apple.mdm.ServerURL", c.ServerURL}, {"com.apple.mdm.CheckInURL", c.CheckInURL}} {
		if reason := badURL(f.value); reason != "" {
			wrong(f.path, reason)
		}
	}
	if !strings.HasPrefix(c.Topic, "com.apple.mgmt.") || badText(c.Topic) != "" {
		wrong("com.apple.mdm.Topic", "must begin with com.apple.mgmt.")
	}
	switch {
	case (c.SCEP == nil) == (c.PKCS12 == nil):
		wrong("identity", "one of SCEP and PKCS12 is needed")
	case c.SCEP != nil:
		if reason := badURL(c.SCEP.URL); reason != "" {
			wrong("com.apple.security.scep.PayloadContent.URL", reason)
		}
		if c.SCEP.Challenge == "" || badText(c.SCEP.Challenge) != "" {
			wrong("com.apple.security.scep.PayloadContent.Challenge", "is needed, or iOS asks the person for it")
		}
		if k := c.SCEP.Keysize; k != 0 && k != 2048 && k != 4096 {
			wrong("com.apple.security.scep.PayloadContent.Keysize", "must be 2048 or 4096")
		}
	case len(c.PKCS12.Data) == 0 || c.PKCS12.Password == "":
		wrong("com.apple.security.pkcs12", "data and password are needed")
	}
	for i, der := range c.Roots {
		if _, err := x509.ParseCertificate(der); err != nil {
			wrong(fmt.Sprintf("com.apple.security.root[%d]", i), "is not a certificate in DER")
		}
	}
	return errors.Join(bad...)
}

func badText(s string) string {
	switch {
	case s == "":
		return "is empty"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	case utf8.RuneCountInString(s) > maxText:
		return fmt.Sprintf("is longer than %d characters", maxText)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError || r >= 0xfffe && r <= 0xffff }):
		return "holds a control character"
	}
	return ""
}

func badURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || badText(s) != "" {
		return "must be https:// with a host and without user, query or fragment"
	}
	return ""
}

const badIdentifier = "must be a reverse domain of letters, digits, dots and hyphens"

func identifierOK(s string) bool {
	return s != "" && len(s) <= 128 && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && strings.Contains(s, ".") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
}
