package esso

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
)

// Declaration is one declaration, as it stands in a document and as the device
// fetches it later (https://developer.apple.com/documentation/devicemanagement/declarationbase).
type Declaration struct {
	Type, Identifier, ServerToken string
	Payload                       json.RawMessage
}

// The types of declarations that a document holds, beside assets.
const (
	activationType = "com.apple.activation.simple"
	managedType    = "com.apple.configuration.app.managed"
	legacyType     = "com.apple.configuration.legacy"
	assetPrefix    = "com.apple.asset."
)

// App is the app that signs in, as a declaration installs it.
type App struct {
	// ITunesStoreID is for standard mode, BundleID for developer mode: one of
	// the two.
	ITunesStoreID int64
	BundleID      string
	// AssociatedDomains and AssociatedDomainsEnableDirectDownloads are as in
	// Document, of which devices ignore them beside declarations.
	AssociatedDomains                      []string
	AssociatedDomainsEnableDirectDownloads bool
}

// Declare makes the declarations of an app and of the profiles at https
// addresses: one activation, one managed app, one legacy configuration for each
// profile. Identifiers begin with prefix, a reverse domain such as
// com.example.esso. The same input gives the same declarations, so they can be
// made again where declarative management serves them.
//
// The app's licence is assigned to the user, as User Enrollment demands. That
// the profiles behind the addresses hold what they may is said by CheckProfile;
// whether the rest is right, by Document.Check.
func Declare(prefix string, app App, profileURLs ...string) ([]Declaration, error) {
	install := map[string]any{"Install": "Required"}
	managed := map[string]any{"InstallBehavior": install}
	if app.BundleID != "" {
		managed["BundleID"] = app.BundleID
	}
	if app.ITunesStoreID != 0 {
		managed["AppStoreID"] = strconv.FormatInt(app.ITunesStoreID, 10)
		install["License"] = map[string]any{"Assignment": "User"}
	}
	if len(app.AssociatedDomains) > 0 {
		attributes := map[string]any{"AssociatedDomains": app.AssociatedDomains}
		if app.AssociatedDomainsEnableDirectDownloads {
			attributes["AssociatedDomainsEnableDirectDownloads"] = true
		}
		managed["Attributes"] = attributes
	}
	configurations := []string{prefix + ".app"}
	var list []Declaration
	add := func(kind, identifier string, payload any) error {
		b, err := json.Marshal(payload) // keys in order, so the token is stable
		if err != nil {
			return fmt.Errorf("esso: %s: %w", identifier, err)
		}
		token := sha256.Sum256(append([]byte(kind+"\n"+identifier+"\n"), b...))
		list = append(list, Declaration{kind, identifier, base64.RawURLEncoding.EncodeToString(token[:]), b})
		return nil
	}
	if err := add(managedType, prefix+".app", managed); err != nil {
		return nil, err
	}
	for i, address := range profileURLs {
		identifier := fmt.Sprintf("%s.profile%d", prefix, i+1)
		if err := add(legacyType, identifier, map[string]any{"ProfileURL": address}); err != nil {
			return nil, err
		}
		configurations = append(configurations, identifier)
	}
	if err := add(activationType, prefix+".activation", map[string]any{"StandardConfigurations": configurations}); err != nil {
		return nil, err
	}
	return list, nil
}
