package mdmtest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// EnrollmentProfile is what the phone reads from a profile before it asks its
// owner to install it.
type EnrollmentProfile struct {
	Identifier     string
	Organization   string
	ManagedAppleID string
	// EnrollmentMode and AssignedManagedAppleID are of the account-driven ways.
	EnrollmentMode, AssignedManagedAppleID string
	// AccessRights are of Device Enrollment; 0 for none.
	AccessRights int
	Topic        string
	ServerURL    string
	CheckInURL   string
	SignMessage  bool
	SCEP         SCEP
	// The keys of the MDM payload and of the top level are sorted; the types of
	// all payloads are in their order.
	MDMPayloadKeys, TopLevelKeys, PayloadTypes []string
	IdentityCertUUID                           string
}

// SCEP is what the profile says about the identity.
type SCEP struct {
	URL, Name, Challenge string
	Keysize              int
}

var profileLimits = plist.Limits{Bytes: 1 << 20, Depth: 16, Elements: 5000}

// UserEnrollment reports whether it is one of User Enrollment, in which the
// device does not tell its UDID.
func (p *EnrollmentProfile) UserEnrollment() bool {
	return p.ManagedAppleID != "" || p.EnrollmentMode == modeBYOD
}

// The values of EnrollmentMode.
const (
	modeBYOD = "BYOD"
	modeADDE = "ADDE"
)

// ErrProfileDriven: iOS 18 and later have no profile-driven User Enrollment.
var ErrProfileDriven = errors.New("mdmtest: this iOS does not take a downloaded profile for User Enrollment")

// judgeDownload refuses what iOS refuses of a downloaded profile.
func (p *EnrollmentProfile) judgeDownload(profileDriven bool) error {
	switch {
	case p.EnrollmentMode != "" || p.AssignedManagedAppleID != "":
		return errors.New("mdmtest: a profile with EnrollmentMode was downloaded, and not fetched by an account")
	case p.ManagedAppleID != "" && !profileDriven:
		return ErrProfileDriven
	case p.ManagedAppleID == "" && p.AccessRights == 0:
		return errors.New("mdmtest: neither ManagedAppleID nor AccessRights in the profile")
	}
	return nil
}

// judgeAccount refuses what iOS refuses of a profile that an account fetched
// for the version that discovery named.
func (p *EnrollmentProfile) judgeAccount(version string) error {
	mode, rights := modeBYOD, false
	if version == VersionADDE {
		mode, rights = modeADDE, true
	}
	switch {
	case p.EnrollmentMode != mode:
		return fmt.Errorf("mdmtest: EnrollmentMode is %q and not %s", p.EnrollmentMode, mode)
	case p.AssignedManagedAppleID == "":
		return errors.New("mdmtest: AssignedManagedAppleID is missing")
	case p.ManagedAppleID != "":
		return errors.New("mdmtest: ManagedAppleID in an account-driven profile")
	case rights != slices.Contains(p.MDMPayloadKeys, "AccessRights"):
		return fmt.Errorf("mdmtest: AccessRights must be there in Device Enrollment only, and EnrollmentMode is %s", mode)
	}
	return nil
}

// ParseEnrollmentProfile reads a profile's property list and refuses what no
// iOS takes.
func ParseEnrollmentProfile(content []byte) (*EnrollmentProfile, error) {
	var top map[string]any
	if err := plist.Unmarshal(content, profileLimits, &top); err != nil {
		return nil, fmt.Errorf("mdmtest: profile: %w", err)
	}
	p := &EnrollmentProfile{Identifier: text(top, "PayloadIdentifier"), Organization: text(top, "PayloadOrganization")}
	p.TopLevelKeys = slices.Sorted(maps.Keys(top))
	if text(top, "PayloadType") != "Configuration" {
		return nil, errors.New("mdmtest: PayloadType of the profile is not Configuration")
	}
	identities := map[string]bool{}
	for _, payload := range payloads(top) {
		kind := text(payload, "PayloadType")
		p.PayloadTypes = append(p.PayloadTypes, kind)
		switch kind {
		case "com.apple.mdm":
			p.MDMPayloadKeys = slices.Sorted(maps.Keys(payload))
			p.ManagedAppleID = text(payload, "ManagedAppleID")
			p.EnrollmentMode = text(payload, "EnrollmentMode")
			p.AssignedManagedAppleID = text(payload, "AssignedManagedAppleID")
			p.AccessRights = number(payload, "AccessRights", 0)
			p.Topic = text(payload, "Topic")
			p.ServerURL = text(payload, "ServerURL")
			p.CheckInURL = text(payload, "CheckInURL")
			p.SignMessage, _ = payload["SignMessage"].(bool)
			p.IdentityCertUUID = text(payload, "IdentityCertificateUUID")
			if _, ok := payload["AccessRights"]; ok && p.ManagedAppleID != "" {
				return nil, errors.New("mdmtest: AccessRights in a User Enrollment profile")
			}
		case "com.apple.security.scep":
			identities[text(payload, "PayloadUUID")] = true
			inner, _ := payload["PayloadContent"].(map[string]any)
			p.SCEP = SCEP{URL: text(inner, "URL"), Name: text(inner, "Name"), Challenge: text(inner, "Challenge"), Keysize: number(inner, "Keysize", 1024)}
		}
	}
	if p.CheckInURL == "" {
		p.CheckInURL = p.ServerURL
	}
	if p.Topic == "" || p.ServerURL == "" || !identities[p.IdentityCertUUID] {
		return nil, errors.New("mdmtest: the profile lacks Topic, ServerURL or the identity it names")
	}
	if p.AccessRights < 0 {
		return nil, errors.New("mdmtest: AccessRights is out of range")
	}
	if !slices.Contains([]int{1024, 2048, 4096}, p.SCEP.Keysize) {
		return nil, fmt.Errorf("mdmtest: Keysize %d is not 1024, 2048 or 4096", p.SCEP.Keysize)
	}
	return p, nil
}

// parseInstalled reads a profile that a command installs.
func parseInstalled(content []byte) (Installed, error) {
	var top map[string]any
	if err := plist.Unmarshal(content, profileLimits, &top); err != nil {
		return Installed{}, fmt.Errorf("the profile is invalid: %w", err)
	}
	installed := Installed{Identifier: text(top, "PayloadIdentifier"), UUID: text(top, "PayloadUUID"), Payloads: payloads(top)}
	if installed.Identifier == "" || len(installed.Payloads) == 0 {
		return Installed{}, errors.New("the profile has no identifier or no payload")
	}
	return installed, nil
}

func payloads(top map[string]any) []map[string]any {
	list, _ := top["PayloadContent"].([]any)
	var out []map[string]any
	for _, item := range list {
		if payload, ok := item.(map[string]any); ok {
			out = append(out, payload)
		}
	}
	return out
}

func text(dict map[string]any, key string) string {
	s, _ := dict[key].(string)
	return s
}

// number is an integer from 0 to 2³¹-1, or -1 for another one.
func number(dict map[string]any, key string, missing int) int {
	switch n := dict[key].(type) {
	case uint64:
		if n <= math.MaxInt32 {
			return int(n)
		}
		return -1
	case int64:
		return -1 // negative, or it would be of the other type
	}
	return missing
}
