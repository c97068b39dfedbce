package extension

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/profile"
)

// PayloadType is the type of the payloads of this package.
const PayloadType = "com.apple.extensiblesso"

// Type is how an extension signs people in.
type Type string

// The types.
const (
	// Redirect: the extension answers in place of the identity provider's web
	// pages (OpenID Connect, OAuth, SAML).
	TypeRedirect Type = "Redirect"
	// Credential: the extension answers challenges of hosts.
	TypeCredential Type = "Credential"
)

// ScreenLockedBehavior is what becomes of a request while the screen is locked
// (iOS 15 and later).
type ScreenLockedBehavior string

// The behaviors. Without one, devices do as with BehaviorCancel.
const (
	BehaviorCancel      ScreenLockedBehavior = "Cancel"
	BehaviorDoNotHandle ScreenLockedBehavior = "DoNotHandle"
)

// Payload is com.apple.extensiblesso. Type is how the extension signs people
// in; the payload's type is Common.Type.
type Payload struct {
	profile.Common
	ExtensionIdentifier     string
	TeamIdentifier          string `plist:",omitempty"` // iOS reads it with Kerberos only
	Type                    Type
	Realm                   string               `plist:",omitempty"`
	URLs                    []string             `plist:",omitempty"`
	Hosts                   []string             `plist:",omitempty"`
	ScreenLockedBehavior    ScreenLockedBehavior `plist:",omitempty"`
	DeniedBundleIdentifiers []string             `plist:",omitempty"`
	ExtensionData           Data                 `plist:",omitempty"`
}

var _ profile.Payload = Payload{}

const (
	maxText = 256  // runes
	maxURL  = 2048 // bytes
	maxList = 256  // entries of a list
)

// violations gathers what is wrong with a payload.
type violations []error

func (v *violations) add(path, format string, args ...any) {
	*v = append(*v, &profile.Violation{Path: PayloadType + "." + path, Reason: fmt.Sprintf(format, args...)})
}

// Check judges the keys beside Common. The error joins a *profile.Violation or a
// *DataError for each that is wrong.
func (p Payload) Check() error {
	var v violations
	if !bundleID(p.ExtensionIdentifier) {
		v.add("ExtensionIdentifier", "must be the bundle identifier of an app extension")
	}
	switch p.Type {
	case TypeRedirect:
		if len(p.URLs) == 0 {
			v.add("URLs", "is needed with the type Redirect")
		}
		if len(p.Hosts) > 0 {
			v.add("Hosts", "is for the type Credential only")
		}
		if p.Realm != "" {
			v.add("Realm", "is for the type Credential only")
		}
	case TypeCredential:
		if len(p.Hosts) == 0 {
			v.add("Hosts", "is needed with the type Credential")
		}
		if len(p.URLs) > 0 {
			v.add("URLs", "is for the type Redirect only")
		}
	default:
		v.add("Type", "must be Redirect or Credential")
	}
	v.list("URLs", p.URLs, badURL, func(s string) string { return strings.TrimSuffix(s, "/") })
	v.list("Hosts", p.Hosts, badHost, nil)
	v.list("DeniedBundleIdentifiers", p.DeniedBundleIdentifiers, badBundleID, nil)
	if p.Realm != "" {
		v.text("Realm", p.Realm)
	}
	if p.TeamIdentifier != "" {
		v.text("TeamIdentifier", p.TeamIdentifier)
	}
	if b := p.ScreenLockedBehavior; b != "" && b != BehaviorCancel && b != BehaviorDoNotHandle {
		v.add("ScreenLockedBehavior", "must be Cancel or DoNotHandle")
	}
	return errors.Join(errors.Join(v...), p.ExtensionData.Check())
}

// list judges each entry, and that no two are the same as compared by key.
func (v *violations) list(path string, entries []string, bad func(string) string, key func(string) string) {
	if len(entries) > maxList {
		v.add(path, "has more than %d entries", maxList)
		return
	}
	seen := map[string]int{}
	for i, e := range entries {
		at := fmt.Sprintf("%s[%d]", path, i)
		if reason := bad(e); reason != "" {
			v.add(at, "%s", reason)
			continue
		}
		if key != nil {
			e = key(e)
		}
		if first, twice := seen[e]; twice {
			v.add(at, "repeats entry %d", first)
			continue
		}
		seen[e] = i
	}
}

// text judges a text that is shown or compared.
func (v *violations) text(path, s string) {
	switch {
	case s == "":
		v.add(path, "is empty")
	case len([]rune(s)) > maxText:
		v.add(path, "is longer than %d characters", maxText)
	case badString(s) != "" || strings.ContainsAny(s, "\t\r\n"):
		v.add(path, "holds a control character or is not UTF-8")
	case isVariable(s):
		v.add(path, "%s", variable)
	}
}

func badURL(s string) string {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxURL:
		return fmt.Sprintf("is longer than %d bytes", maxURL)
	case err != nil || badString(s) != "":
		return "is not a URL"
	case !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://"):
		return "must begin with https:// or http://"
	case strings.ContainsAny(s, "?#"):
		return "must have neither query nor fragment"
	case u.User != nil || strings.HasPrefix(u.Host, ".") || badHost(u.Hostname()) != "":
		return "must have a host name in lower case, and no user"
	case isVariable(s):
		return variable
	}
	return ""
}

func badHost(s string) string {
	const reason = "must be a host name in lower case without scheme, port or path; a leading dot stands for every host below"
	name := strings.TrimPrefix(s, ".")
	if name == "" || len(name) > 253 {
		return reason
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
			return reason
		}
	}
	return ""
}

func badBundleID(s string) string {
	if !bundleID(s) {
		return "must be a bundle identifier such as com.example.app"
	}
	return ""
}

func bundleID(s string) bool {
	return strings.Contains(s, ".") && len(s) <= 155 && !slices.Contains(strings.Split(s, "."), "") && bundleText(s)
}

func bundleText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
