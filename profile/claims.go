package profile

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// exclusive names the keys, by type of payload, whose texts belong to one
// payload of a device alone: iOS refuses the second payload that has one
// (https://developer.apple.com/documentation/devicemanagement/extensiblesinglesignon).
var exclusive = map[string][]struct {
	key, noun string
	same      func(string) string
}{
	"com.apple.extensiblesso": {
		{"URLs", "URL", sameURL},
		{"Hosts", "host", strings.ToLower},
	},
}

// sameURL is u as devices compare it: scheme and host without regard to case.
func sameURL(u string) string {
	parsed, err := url.Parse(u)
	if err != nil {
		return u
	}
	parsed.Scheme, parsed.Host = strings.ToLower(parsed.Scheme), strings.ToLower(parsed.Host)
	if parsed.Path == "/" {
		parsed.Path, parsed.RawPath = "", ""
	}
	return parsed.String()
}

var (
	// ErrMalformed is what is not a configuration profile.
	ErrMalformed = errors.New("profile: not a configuration profile")
	// ErrClash is every two that cannot be on one device.
	ErrClash = errors.New("profile: configurations clash")
)

// ClashError is two profiles, or two payloads, that claim the same.
type ClashError struct {
	// First and Second name them: identifiers, or the names in a policy.
	First, Second string
	// Claim is what both want, such as "the host example.okta.com".
	Claim string
}

// Error implements error.
func (e *ClashError) Error() string {
	return fmt.Sprintf("profile: %q and %q both claim %s", e.First, e.Second, e.Claim)
}

// Is reports whether target is ErrClash.
func (e *ClashError) Is(target error) bool { return target == ErrClash }

// limits of a profile that is read back.
var limits = plist.Limits{Bytes: 2 << 20, Depth: 32, Elements: 50_000}

// Claims returns what an encoded profile, without its signature, needs on a
// device for itself alone: its PayloadIdentifier (a second profile of the same
// identifier replaces the first), and what its payloads claim, such as the URLs
// and hosts of SSO extensions. A claim is a text for people; two profiles clash
// when they have one in common.
//
// Errors are ErrMalformed, or a *ClashError between two payloads of the profile.
func Claims(encoded []byte) ([]string, error) {
	var top map[string]any
	if err := plist.Unmarshal(encoded, limits, &top); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	identifier, _ := top["PayloadIdentifier"].(string)
	if identifier == "" {
		return nil, fmt.Errorf("%w: it has no PayloadIdentifier", ErrMalformed)
	}
	payloads, ok := top["PayloadContent"].([]any)
	if !ok {
		return nil, fmt.Errorf("%w: PayloadContent is not a list", ErrMalformed)
	}
	claims := []string{"the profile identifier " + identifier}
	owner := map[string]string{}
	for i, item := range payloads {
		payload, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%w: PayloadContent[%d] is not a dictionary", ErrMalformed, i)
		}
		name, _ := payload["PayloadIdentifier"].(string)
		for _, claim := range payloadClaims(payload) {
			if first, taken := owner[claim]; taken {
				return nil, &ClashError{First: first, Second: name, Claim: claim}
			}
			owner[claim] = name
			claims = append(claims, claim)
		}
	}
	return claims, nil
}

func payloadClaims(payload map[string]any) []string {
	kind, _ := payload["PayloadType"].(string)
	var claims []string
	for _, e := range exclusive[kind] {
		list, _ := payload[e.key].([]any)
		for _, item := range list {
			if s, ok := item.(string); ok {
				claims = append(claims, fmt.Sprintf("the %s %s", e.noun, e.same(s)))
			}
		}
	}
	return claims
}

// Check finds out whether these profiles can be on one device together. The
// error joins a *ClashError for every two that claim the same.
func Check(profiles ...*Profile) error {
	var errs []error
	owner := map[string]string{}
	for _, p := range profiles {
		encoded, err := p.Marshal()
		if err != nil {
			return err
		}
		claims, err := Claims(encoded)
		if err != nil {
			errs = append(errs, fmt.Errorf("profile %s: %w", p.Identifier, err))
		}
		for _, claim := range claims {
			if first, taken := owner[claim]; taken {
				errs = append(errs, &ClashError{First: first, Second: p.Identifier, Claim: claim})
				continue
			}
			owner[claim] = p.Identifier
		}
	}
	return errors.Join(errs...)
}
