package extension

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MicrosoftAuthenticatorStoreID is the App Store's number of Microsoft
// Authenticator. The app has to be on the device for Microsoft to have an
// effect.
const MicrosoftAuthenticatorStoreID = 983156458

// Cloud is one of Microsoft's separate clouds.
type Cloud string

// The clouds.
const (
	// CloudPublic is the cloud of nearly every tenant.
	CloudPublic Cloud = "public"
	// CloudChina is operated by 21Vianet.
	CloudChina Cloud = "china"
	// CloudUSGovernment is Azure Government.
	CloudUSGovernment Cloud = "us-government"
)

func (c Cloud) urls() []string {
	switch c {
	case CloudPublic:
		return []string{"https://login.microsoftonline.com", "https://login.microsoft.com", "https://sts.windows.net"}
	case CloudChina:
		return []string{"https://login.partner.microsoftonline.cn", "https://login.chinacloudapi.cn"}
	case CloudUSGovernment:
		return []string{"https://login.microsoftonline.us", "https://login-us.microsoftonline.com"}
	}
	return nil
}

// Microsoft is the extension of Microsoft Authenticator (Microsoft Enterprise
// SSO plug-in, type Redirect), for Entra ID. Apps with Microsoft's own library
// use it without further ado; the fields say which others may. The three
// switches are always sent, as the integers that the extension wants.
//
// See https://learn.microsoft.com/entra/identity-platform/apple-sso-plugin.
type Microsoft struct {
	// Clouds are whose addresses it answers for. None is CloudPublic.
	Clouds []Cloud
	// EnableSSOOnAllManagedApps serves every managed app that is not blocked.
	EnableSSOOnAllManagedApps bool
	// AppAllowList and AppBlockList are bundle identifiers.
	AppAllowList, AppBlockList []string
	// AppPrefixAllowList are beginnings of bundle identifiers: "com.apple."
	// serves Safari, among others.
	AppPrefixAllowList []string
	// AppCookieSSOAllowList are bundle identifiers, or beginnings of them, of
	// apps with which the network part of the extension gets along only by
	// cookies.
	AppCookieSSOAllowList []string
	// BrowserSSOInteractionEnabled lets the first sign-in happen in Safari or an
	// allowed app. Microsoft recommends it.
	BrowserSSOInteractionEnabled bool
	// DisableExplicitAppPrompt keeps apps from asking for the password again.
	// Microsoft recommends it.
	DisableExplicitAppPrompt bool
	// Extra are further keys for ExtensionData.
	Extra Data
	Options
}

// Payload implements Extension.
func (m Microsoft) Payload() (Payload, error) {
	var v violations
	clouds := m.Clouds
	if len(clouds) == 0 {
		clouds = []Cloud{CloudPublic}
	}
	var urls []string
	for i, c := range clouds {
		if c.urls() == nil {
			v.add(fmt.Sprintf("Clouds[%d]", i), "is not a cloud of Microsoft's")
		} else if slices.Contains(clouds[:i], c) {
			v.add(fmt.Sprintf("Clouds[%d]", i), "repeats a cloud")
		}
		urls = append(urls, c.urls()...)
	}
	data := Data{
		"Enable_SSO_On_All_ManagedApps":   integer(m.EnableSSOOnAllManagedApps),
		"browser_sso_interaction_enabled": integer(m.BrowserSSOInteractionEnabled),
		"disable_explicit_app_prompt":     integer(m.DisableExplicitAppPrompt),
	}
	for _, l := range []struct {
		key     string
		entries []string
		bad     func(string) string
	}{
		{"AppAllowList", m.AppAllowList, badBundleID},
		{"AppBlockList", m.AppBlockList, badBundleID},
		{"AppPrefixAllowList", m.AppPrefixAllowList, badPrefix},
		{"AppCookieSSOAllowList", m.AppCookieSSOAllowList, badPrefix},
	} {
		v.list("ExtensionData."+l.key, l.entries, l.bad, nil)
		if len(l.entries) > 0 {
			data[l.key] = strings.Join(l.entries, ",")
		}
	}
	for i, app := range m.AppBlockList {
		if slices.Contains(m.AppAllowList, app) {
			v.add(fmt.Sprintf("ExtensionData.AppBlockList[%d]", i), "is in AppAllowList too")
		}
	}
	data = v.merge(data, m.Extra)
	return m.payload(Payload{
		ExtensionIdentifier: "com.microsoft.azureauthenticator.ssoextension",
		Type:                TypeRedirect, URLs: urls, ExtensionData: data,
	}), errors.Join(v...)
}

// integer is how the extension wants its switches: a boolean is ignored.
func integer(on bool) int {
	if on {
		return 1
	}
	return 0
}

func badPrefix(s string) string {
	if s == "" || s == "." || len(s) > 155 || !bundleText(s) {
		return "must be a bundle identifier or the beginning of one, such as com.example."
	}
	return ""
}
