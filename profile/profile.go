// Package profile builds, validates and signs configuration profiles
// (https://developer.apple.com/documentation/devicemanagement/configuring-multiple-devices-using-profiles).
//
// UserEnrollment and AccountUserEnrollment make the profile with which a
// person's own device enrolls, the one downloaded, the other fetched by Settings;
// AccountDeviceEnrollment and DeviceEnrollment are their counterparts with access
// rights. A Signer signs any profile so that devices show who it comes from. Check
// and Claims find out which profiles cannot be on one device together.
package profile

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/internal/plist"
)

// ContentType is how a profile is served to Safari.
const ContentType = "application/x-apple-aspen-config"

// Common are the keys that every payload has. PayloadVersion is always 1.
type Common struct {
	Type         string `plist:"PayloadType"`
	Version      int    `plist:"PayloadVersion"`
	Identifier   string `plist:"PayloadIdentifier"`
	UUID         string `plist:"PayloadUUID"`
	DisplayName  string `plist:"PayloadDisplayName,omitempty"`
	Description  string `plist:"PayloadDescription,omitempty"`
	Organization string `plist:"PayloadOrganization,omitempty"`
}

// Payload is one payload of a profile: a struct that embeds Common, or Custom.
type Payload interface {
	// Header are the payload's common keys.
	Header() Common
}

// Profile is a configuration profile.
type Profile struct {
	Common
	Content []Payload
}

// Header implements Payload.
func (c Common) Header() Common { return c }

// Check judges the keys. The error joins a *Violation for each that is wrong.
func (c Common) Check() error {
	var bad []error
	wrong := func(path, reason string) { bad = append(bad, &Violation{path, reason}) }
	for _, f := range []struct {
		path, value string
		optional    bool
	}{
		{"PayloadType", c.Type, false}, {"PayloadUUID", c.UUID, false}, {"PayloadDisplayName", c.DisplayName, true},
		{"PayloadDescription", c.Description, true}, {"PayloadOrganization", c.Organization, true},
	} {
		if reason := badText(f.value); reason != "" && (f.value != "" || !f.optional) {
			wrong(f.path, reason)
		}
	}
	if c.Version != 1 {
		wrong("PayloadVersion", "must be 1")
	}
	if !identifierOK(c.Identifier) {
		wrong("PayloadIdentifier", badIdentifier)
	}
	return errors.Join(bad...)
}

// Marshal encodes the profile as an XML property list.
func (p *Profile) Marshal() ([]byte, error) {
	content := make([]any, len(p.Content)) // what the encoder follows
	for i, payload := range p.Content {
		content[i] = payload
	}
	b, err := plist.Marshal(struct {
		Common
		Content []any `plist:"PayloadContent"`
	}{p.Common, content})
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", p.Identifier, err)
	}
	return b, nil
}

// MDM is com.apple.mdm
// (https://developer.apple.com/documentation/devicemanagement/mdm).
type MDM struct {
	Common
	// AccessRights are of Device Enrollment.
	AccessRights AccessRights `plist:",omitempty"`
	// AssignedManagedAppleID and EnrollmentMode (BYOD or ADDE) are of the
	// account-driven ways, ManagedAppleID of profile-driven User Enrollment.
	AssignedManagedAppleID  string `plist:",omitempty"`
	CheckInURL              string
	CheckOutWhenRemoved     bool
	EnrollmentMode          string `plist:",omitempty"`
	IdentityCertificateUUID string
	ManagedAppleID          string   `plist:",omitempty"`
	RequiredAppIDForMDM     int64    `plist:",omitempty"`
	ServerCapabilities      []string `plist:",omitempty"`
	ServerURL               string
	SignMessage             bool
	Topic                   string
}

// SCEP is com.apple.security.scep
// (https://developer.apple.com/documentation/devicemanagement/scep).
type SCEP struct {
	Common
	Content SCEPContent `plist:"PayloadContent"`
}

// SCEPContent is the inner dictionary of SCEP. Device identities are RSA.
type SCEPContent struct {
	URL       string
	Name      string `plist:",omitempty"`
	Challenge string
	Keysize   int    // bits; 2048 or 4096
	KeyType   string `plist:"Key Type"`
	KeyUsage  int    `plist:"Key Usage"` // 1 signing, 4 encryption
}

// Root is com.apple.security.root, an anchor of trust; Content is DER.
type Root struct {
	Common
	Content []byte `plist:"PayloadContent"`
}

// Intermediate is com.apple.security.pkcs1, a certificate that completes a
// chain without being trusted by itself; Content is DER.
type Intermediate struct {
	Common
	Content []byte `plist:"PayloadContent"`
}

// PKCS12 is com.apple.security.pkcs12, an identity with its password.
type PKCS12 struct {
	Common
	Content  []byte `plist:"PayloadContent"`
	Password string
}

// UUID derives an identifier from names, in the form of a version 8 UUID
// (RFC 9562): equal names give equal UUIDs, so that a renewed profile replaces
// the former one.
func UUID(names ...string) string {
	h := sha256.New()
	for _, n := range names {
		fmt.Fprintf(h, "%d:%s", len(n), n)
	}
	b := h.Sum(nil)[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
