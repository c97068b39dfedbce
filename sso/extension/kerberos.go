package extension

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CredentialUseMode is how other apps use the Kerberos credential.
type CredentialUseMode string

// The modes. Without one, devices do as with UseAlways.
const (
	UseAlways           CredentialUseMode = "always"
	UseWhenNotSpecified CredentialUseMode = "whenNotSpecified"
	UseKerberosDefault  CredentialUseMode = "kerberosDefault"
)

// Kerberos is the extension that iOS itself brings, for Active Directory and
// other Kerberos realms. No app is needed. The fields bear the names of Apple's
// keys; a pointer that is nil leaves the decision to the device.
//
// See https://developer.apple.com/documentation/devicemanagement/extensiblesinglesignonkerberos.
type Kerberos struct {
	// Realm is in upper case, such as EXAMPLE.COM.
	Realm string
	// Hosts are names in lower case; a leading dot stands for every host below.
	Hosts []string

	// AllowAutomaticLogin lets people keep the password in the keychain, which
	// they may when it is nil.
	AllowAutomaticLogin *bool
	// CertificateUUID is the PayloadUUID of an identity for PKINIT.
	CertificateUUID string
	// CredentialBundleIDACL are the apps that may use the credential.
	CredentialBundleIDACL []string
	// CredentialUseMode is for iOS 14 and later.
	CredentialUseMode CredentialUseMode
	// CustomUsernameLabel is shown in place of "Username".
	CustomUsernameLabel string
	// DomainRealmMapping maps realms to the DNS suffixes of their hosts.
	DomainRealmMapping map[string][]string
	// HelpText is shown below the login window.
	HelpText string
	// IncludeManagedAppsInBundleIDACL lets managed apps use the credential.
	IncludeManagedAppsInBundleIDACL bool
	// IsDefaultRealm marks the realm among several.
	IsDefaultRealm bool
	// PerformKerberosOnly leaves password expiry and changes alone (iOS 16).
	PerformKerberosOnly bool
	// PreferredKDCs are tried first, in the form [protocol/]host[:port][/path]
	// (iOS 15).
	PreferredKDCs []string
	// RequireTLSForLDAP is for iOS 14 and later.
	RequireTLSForLDAP bool
	// RequireUserPresence asks for Face ID, Touch ID or the passcode.
	RequireUserPresence bool
	// SiteCode is the site of Active Directory.
	SiteCode string
	// UseSiteAutoDiscovery finds the site, also when it is nil.
	UseSiteAutoDiscovery *bool
	// Extra are further keys for ExtensionData. principalName belongs there: a
	// configuration that names a person is not one for a group.
	Extra Data
}

// Payload implements Extension.
func (k Kerberos) Payload() (Payload, error) {
	var v violations
	if k.Realm == "" || k.Realm != strings.ToUpper(k.Realm) {
		v.add("Realm", "is needed, in upper case")
	}
	data := Data{}
	for key, on := range map[string]bool{
		"includeManagedAppsInBundleIdACL": k.IncludeManagedAppsInBundleIDACL, "isDefaultRealm": k.IsDefaultRealm,
		"performKerberosOnly": k.PerformKerberosOnly, "requireTLSForLDAP": k.RequireTLSForLDAP,
		"requireUserPresence": k.RequireUserPresence,
	} {
		if on {
			data[key] = true
		}
	}
	for key, on := range map[string]*bool{"allowAutomaticLogin": k.AllowAutomaticLogin, "useSiteAutoDiscovery": k.UseSiteAutoDiscovery} {
		if on != nil {
			data[key] = *on
		}
	}
	for _, t := range []struct{ key, value string }{
		{"certificateUUID", k.CertificateUUID}, {"credentialUseMode", string(k.CredentialUseMode)},
		{"customUsernameLabel", k.CustomUsernameLabel}, {"helpText", k.HelpText}, {"siteCode", k.SiteCode},
	} {
		if t.value != "" {
			data[t.key] = t.value
		}
	}
	switch k.CredentialUseMode {
	case "", UseAlways, UseWhenNotSpecified, UseKerberosDefault:
	default:
		v.add("ExtensionData.credentialUseMode", "must be always, whenNotSpecified or kerberosDefault")
	}
	v.list("ExtensionData.credentialBundleIdACL", k.CredentialBundleIDACL, badBundleID, nil)
	v.list("ExtensionData.preferredKDCs", k.PreferredKDCs, badKDC, nil)
	for key, list := range map[string][]string{"credentialBundleIdACL": k.CredentialBundleIDACL, "preferredKDCs": k.PreferredKDCs} {
		if len(list) > 0 {
			data[key] = list
		}
	}
	mapping := map[string]any{}
	for _, realm := range slices.Sorted(maps.Keys(k.DomainRealmMapping)) {
		path := fmt.Sprintf("ExtensionData.domainRealmMapping.%s", realm)
		if v.text(path, realm); len(k.DomainRealmMapping[realm]) == 0 {
			v.add(path, "has no domain")
		}
		v.list(path, k.DomainRealmMapping[realm], badHost, nil)
		mapping[realm] = k.DomainRealmMapping[realm]
	}
	if len(mapping) > 0 {
		data["domainRealmMapping"] = mapping
	}
	data = v.merge(data, k.Extra)
	return Payload{
		ExtensionIdentifier: "com.apple.AppSSOKerberos.KerberosExtension",
		TeamIdentifier:      "apple", Type: TypeCredential, Realm: k.Realm, Hosts: k.Hosts, ExtensionData: data,
	}, errors.Join(v...)
}

func badKDC(s string) string {
	if s == "" || len(s) > maxURL || badString(s) != "" || strings.ContainsAny(s, " \t\r\n") {
		return "must have the form [protocol/]host[:port][/path]"
	}
	return ""
}
