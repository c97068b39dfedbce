package extension

import (
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/profile"
)

// An Extension is one SSO extension and its settings: Redirect, Credential,
// Kerberos, Microsoft or Okta.
type Extension interface {
	// Payload returns the settings as a payload without the keys of
	// profile.Common. The error joins a *profile.Violation for each setting
	// that cannot be expressed; Profile judges the payload itself.
	Payload() (Payload, error)
}

// Config says how a configuration is named. All but Description is needed.
type Config struct {
	// Organization is shown to the person.
	Organization string
	// Identifier is a reverse domain, such as com.example.sso.microsoft, that no
	// other configuration has: a device replaces the former one of the same
	// identifier.
	Identifier string
	// DisplayName and Description are shown to the person.
	DisplayName, Description string
}

// Profile makes the configuration profile of one extension. Identifiers and
// UUIDs follow from Organization and Identifier alone, so that a changed setting
// replaces the configuration in place. The error joins a *profile.Violation or a
// *DataError for each mistake; none repeats a value.
func Profile(cfg Config, e Extension) (*profile.Profile, error) {
	payload, err := e.Payload()
	common := func(kind, id string) profile.Common {
		return profile.Common{Type: kind, Version: 1, Identifier: id, UUID: profile.UUID(cfg.Organization, id)}
	}
	top := common("Configuration", cfg.Identifier)
	top.DisplayName, top.Description, top.Organization = cfg.DisplayName, cfg.Description, cfg.Organization
	payload.Common = common(PayloadType, cfg.Identifier+".extension")
	payload.DisplayName = cfg.DisplayName

	errs := []error{top.Check(), err, payload.Check()}
	for _, f := range []struct{ path, value string }{{"PayloadDisplayName", cfg.DisplayName}, {"PayloadOrganization", cfg.Organization}} {
		if f.value == "" {
			errs = append(errs, &profile.Violation{Path: f.path, Reason: "is empty"})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("extension: %w", err)
	}
	return &profile.Profile{Common: top, Content: []profile.Payload{payload}}, nil
}

// Options are settings that devices, not extensions, act on (iOS 15 and later).
type Options struct {
	ScreenLockedBehavior ScreenLockedBehavior
	// DeniedBundleIdentifiers are apps that the extension does not serve.
	DeniedBundleIdentifiers []string
}

func (o Options) payload(p Payload) Payload {
	p.ScreenLockedBehavior, p.DeniedBundleIdentifiers = o.ScreenLockedBehavior, o.DeniedBundleIdentifiers
	return p
}

// Redirect is an extension that answers in place of web pages of an identity
// provider, for vendors without a preset here.
type Redirect struct {
	// ExtensionIdentifier is the bundle identifier of the extension, not of the
	// app that it is in.
	ExtensionIdentifier string
	// URLs are prefixes of addresses of the identity provider, https:// or
	// http://, without query and fragment.
	URLs []string
	// ExtensionData is handed to the extension; ParseData reads it from a
	// property list.
	ExtensionData Data
	Options
}

// Payload implements Extension.
func (r Redirect) Payload() (Payload, error) {
	return r.payload(Payload{ExtensionIdentifier: r.ExtensionIdentifier, Type: TypeRedirect, URLs: r.URLs, ExtensionData: r.ExtensionData}), nil
}

// Credential is an extension that answers the challenges of hosts, for vendors
// without a preset here.
type Credential struct {
	// ExtensionIdentifier is the bundle identifier of the extension, not of the
	// app that it is in.
	ExtensionIdentifier string
	// Hosts are names in lower case; a leading dot stands for every host below.
	Hosts []string
	// Realm of the challenge, as the vendor writes it; optional.
	Realm string
	// ExtensionData is handed to the extension; ParseData reads it from a
	// property list.
	ExtensionData Data
	Options
}

// Payload implements Extension.
func (c Credential) Payload() (Payload, error) {
	return c.payload(Payload{ExtensionIdentifier: c.ExtensionIdentifier, Type: TypeCredential, Hosts: c.Hosts, Realm: c.Realm, ExtensionData: c.ExtensionData}), nil
}
