package esso

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/enrollkit/enrollkit/profile"
)

// The bounds of a document, in number and in bytes.
const (
	maxList       = 64
	maxIdentifier = 64 // of a declaration, and of its ServerToken
)

var (
	appIDPattern = regexp.MustCompile(`^[A-Z0-9]{10}\.[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	// domainPattern also takes a service before the domain, as managed apps do.
	domainPattern     = regexp.MustCompile(`^([a-z]+:)?(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$`)
	identifierPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
)

// report collects violations.
type report struct{ bad []error }

func (r *report) wrong(path, format string, args ...any) {
	r.bad = append(r.bad, &profile.Violation{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// Check reports what devices of the mode would refuse, and what would not work
// later. The error joins a *profile.Violation for each mistake.
func (d Document) Check(mode Mode) error {
	r := &report{}
	switch {
	case mode == Standard && d.ITunesStoreID <= 0:
		r.wrong("iTunesStoreID", "is needed in standard mode")
	case d.ITunesStoreID < 0:
		r.wrong("iTunesStoreID", "is negative")
	}
	switch {
	case mode == Standard && len(d.AppIDs) > 0:
		r.wrong("AppIDs", "must be absent in standard mode")
	case mode == Developer && len(d.AppIDs) == 0:
		r.wrong("AppIDs", "needs at least one app in developer mode")
	case len(d.AppIDs) > maxList:
		r.wrong("AppIDs", "has more than %d entries", maxList)
	}
	for i, id := range d.AppIDs {
		if !appIDPattern.MatchString(id) {
			r.wrong(fmt.Sprintf("AppIDs[%d]", i), "is not TEAMID.bundle.id")
		}
	}
	if len(d.AssociatedDomains) > maxList {
		r.wrong("AssociatedDomains", "has more than %d entries", maxList)
	}
	for i, domain := range d.AssociatedDomains {
		if !domainPattern.MatchString(domain) {
			r.wrong(fmt.Sprintf("AssociatedDomains[%d]", i), "is not a domain")
		}
	}
	if len(d.ConfigurationProfile) == 0 && len(d.Declarations) == 0 {
		r.wrong("ConfigurationProfile", "is needed where there are no Declarations")
	}
	if len(d.ConfigurationProfile) > 0 {
		r.profile("ConfigurationProfile.", d.ConfigurationProfile)
	}
	if len(d.Declarations) > 0 {
		d.checkDeclarations(r, mode)
	}
	return errors.Join(r.bad...)
}

// payload is what is looked at in the declarations' payloads.
type payload struct {
	// of an activation
	StandardConfigurations []string
	// of a managed app
	AppStoreID, BundleID, ManifestURL string
	// of a legacy configuration
	ProfileURL, ProfileAssetReference string
}

func (d Document) checkDeclarations(r *report, mode Mode) {
	if len(d.Declarations) > maxList {
		r.wrong("Declarations", "has more than %d entries", maxList)
		return
	}
	var activated, configurations, assets []string
	count := map[string]int{}
	named := map[string]bool{}
	for i, one := range d.Declarations {
		at := fmt.Sprintf("Declarations[%d]", i)
		one.checkBase(r, at)
		if named[one.Identifier] {
			r.wrong(at+".Identifier", "is there twice")
		}
		named[one.Identifier] = true
		count[one.Type]++
		if one.Type == managedType || one.Type == legacyType {
			configurations = append(configurations, one.Identifier)
		}
		var p payload
		if err := object(one.Payload, map[string]any{
			"StandardConfigurations": &p.StandardConfigurations,
			"AppStoreID":             &p.AppStoreID, "BundleID": &p.BundleID, "ManifestURL": &p.ManifestURL,
			"ProfileURL": &p.ProfileURL, "ProfileAssetReference": &p.ProfileAssetReference,
		}); err != nil {
			r.wrong(at+".Payload", "is not an object, or a key of it has another type")
			continue
		}
		switch {
		case one.Type == activationType:
			activated = p.StandardConfigurations
		case one.Type == managedType:
			d.checkApp(r, at+".Payload", p, mode)
		case one.Type == legacyType:
			if (p.ProfileURL == "") == (p.ProfileAssetReference == "") {
				r.wrong(at+".Payload", "needs one of ProfileURL and ProfileAssetReference")
			} else if p.ProfileURL != "" && !httpsOK(p.ProfileURL) {
				r.wrong(at+".Payload.ProfileURL", "is not an https address")
			}
		case strings.HasPrefix(one.Type, assetPrefix):
			assets = append(assets, one.Identifier)
		default:
			r.wrong(at+".Type", "%q is not allowed here", one.Type)
		}
	}
	if count[activationType] != 1 {
		r.wrong("Declarations", "has %d of %s, not one", count[activationType], activationType)
	}
	if n := count[managedType]; n == 0 || n > 1 && mode == Standard {
		r.wrong("Declarations", "has %d of %s, not one", n, managedType)
	}
	if count[legacyType] == 0 {
		r.wrong("Declarations", "has none of %s", legacyType)
	}
	slices.Sort(configurations)
	if activated = slices.Sorted(slices.Values(activated)); !slices.Equal(activated, configurations) {
		r.wrong("Declarations", "the activation lists %q and must list all configurations: %q", activated, configurations)
	}
	for _, asset := range assets {
		if !d.refersTo(asset) {
			r.wrong("Declarations", "no configuration refers to the asset %s", asset)
		}
	}
}

func (one Declaration) checkBase(r *report, at string) {
	for _, f := range []struct{ name, value string }{{"Identifier", one.Identifier}, {"ServerToken", one.ServerToken}} {
		if f.value == "" || len(f.value) > maxIdentifier {
			r.wrong(at+"."+f.name, "must have 1 to %d bytes", maxIdentifier)
		}
	}
	if one.Identifier != "" && !identifierPattern.MatchString(one.Identifier) {
		r.wrong(at+".Identifier", "may hold letters, digits, dots, hyphens and underscores")
	}
}

// checkApp compares a managed app with the one that the document names.
func (d Document) checkApp(r *report, at string, p payload, mode Mode) {
	if mode == Developer {
		known := slices.ContainsFunc(d.AppIDs, func(id string) bool {
			_, bundle, _ := strings.Cut(id, ".")
			return bundle == p.BundleID
		})
		if !known || p.AppStoreID != "" || p.ManifestURL != "" {
			r.wrong(at, "must name one of AppIDs by BundleID alone")
		}
		return
	}
	if p.AppStoreID != strconv.FormatInt(d.ITunesStoreID, 10) || p.BundleID != "" || p.ManifestURL != "" {
		r.wrong(at, "must name the app of iTunesStoreID by AppStoreID alone, as a string")
	}
}

// refersTo reports whether a configuration holds the identifier as a value.
func (d Document) refersTo(identifier string) bool {
	for _, one := range d.Declarations {
		var value any
		if strings.HasPrefix(one.Type, assetPrefix) || one.Type == activationType || json.Unmarshal(one.Payload, &value) != nil {
			continue
		}
		if holds(value, identifier) {
			return true
		}
	}
	return false
}

func holds(value any, text string) bool {
	switch v := value.(type) {
	case string:
		return v == text
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return holds(item, text) })
	case map[string]any:
		for _, item := range v {
			if holds(item, text) {
				return true
			}
		}
	}
	return false
}

func httpsOK(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == ""
}
