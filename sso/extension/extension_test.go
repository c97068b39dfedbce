package extension_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
)

var update = flag.Bool("update", false, "write the golden files anew")

func config() extension.Config {
	return extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Work sign-in", Description: "Signs you in to work apps"}
}

// golden are the configurations that testdata holds as property lists.
var golden = map[string]extension.Extension{
	"microsoft": extension.Microsoft{},
	"microsoft-all": extension.Microsoft{
		Clouds:                    []extension.Cloud{extension.CloudPublic, extension.CloudChina, extension.CloudUSGovernment},
		EnableSSOOnAllManagedApps: true, BrowserSSOInteractionEnabled: true, DisableExplicitAppPrompt: true,
		AppAllowList: []string{"com.example.one", "com.example.two"}, AppBlockList: []string{"com.example.three"},
		AppPrefixAllowList: []string{"com.apple.", "com.example."}, AppCookieSSOAllowList: []string{"com.example.four"},
		Options: extension.Options{ScreenLockedBehavior: extension.BehaviorDoNotHandle, DeniedBundleIdentifiers: []string{"com.example.five"}},
	},
	"okta":          extension.Okta{Hosts: []string{"example.okta.com", "id.example.com"}, ManagementHint: "not-a-real-hint"},
	"kerberos":      extension.Kerberos{Realm: "EXAMPLE.COM", Hosts: []string{".example.com", "example.com"}},
	"kerberos-full": fullKerberos(),
	"redirect": extension.Redirect{
		ExtensionIdentifier: "com.example.app.sso", URLs: []string{"https://id.example.com/oauth2", "http://old.example.com:8080"},
		ExtensionData: extension.Data{"apps": []string{"a", "b"}, "level": 2, "deep": map[string]any{"on": true}},
	},
	"credential": extension.Credential{ExtensionIdentifier: "com.example.app.sso", Hosts: []string{"id.example.com"}, Realm: "Example"},
}

func fullKerberos() extension.Kerberos {
	return extension.Kerberos{
		Realm: "EXAMPLE.COM", Hosts: []string{".example.com"},
		AllowAutomaticLogin: new(false), CertificateUUID: "9F3D0C5E-0000-8000-8000-000000000000",
		CredentialBundleIDACL: []string{"com.example.app"}, CredentialUseMode: extension.UseWhenNotSpecified,
		CustomUsernameLabel: "Company ID", DomainRealmMapping: map[string][]string{"EXAMPLE.COM": {".corp.example"}},
		HelpText: "Ask the help desk", IncludeManagedAppsInBundleIDACL: true, IsDefaultRealm: true,
		PerformKerberosOnly: true, PreferredKDCs: []string{"tcp/dc.example.com:88"}, RequireTLSForLDAP: true,
		RequireUserPresence: true, SiteCode: "HQ", UseSiteAutoDiscovery: new(false),
	}
}

func encode(t testing.TB, e extension.Extension) []byte {
	t.Helper()
	p, err := extension.Profile(config(), e)
	require.NoError(t, err)
	b, err := p.Marshal()
	require.NoError(t, err)
	return b
}

// payload is the payload as a device reads it.
func payload(t *testing.T, e extension.Extension) map[string]any {
	t.Helper()
	var top map[string]any
	require.NoError(t, plist.Unmarshal(encode(t, e), plist.Limits{}, &top))
	list := top["PayloadContent"].([]any)
	require.Len(t, list, 1)
	return list[0].(map[string]any)
}

func TestGolden(t *testing.T) {
	for name, e := range golden {
		t.Run(name, func(t *testing.T) {
			got := encode(t, e)
			path := filepath.Join("testdata", name+".plist")
			if *update {
				require.NoError(t, os.WriteFile(path, got, 0o600))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestMicrosoft(t *testing.T) {
	p := payload(t, extension.Microsoft{})
	require.Equal(t, "Redirect", p["Type"])
	require.Equal(t, "com.microsoft.azureauthenticator.ssoextension", p["ExtensionIdentifier"])
	require.Equal(t, []any{"https://login.microsoftonline.com", "https://login.microsoft.com", "https://sts.windows.net"}, p["URLs"])
	require.Equal(t, map[string]any{
		"Enable_SSO_On_All_ManagedApps": uint64(0), "browser_sso_interaction_enabled": uint64(0), "disable_explicit_app_prompt": uint64(0),
	}, p["ExtensionData"], "integers, and nothing that was not asked for")

	p = payload(t, golden["microsoft-all"])
	require.Equal(t, []any{
		"https://login.microsoftonline.com", "https://login.microsoft.com", "https://sts.windows.net",
		"https://login.partner.microsoftonline.cn", "https://login.chinacloudapi.cn",
		"https://login.microsoftonline.us", "https://login-us.microsoftonline.com",
	}, p["URLs"])
	require.Equal(t, map[string]any{
		"Enable_SSO_On_All_ManagedApps": uint64(1), "browser_sso_interaction_enabled": uint64(1), "disable_explicit_app_prompt": uint64(1),
		"AppAllowList": "com.example.one,com.example.two", "AppBlockList": "com.example.three",
		"AppPrefixAllowList": "com.apple.,com.example.", "AppCookieSSOAllowList": "com.example.four",
	}, p["ExtensionData"], "lists are one text each")
}

func TestOktaIsACredentialOnIOS(t *testing.T) {
	p := payload(t, golden["okta"])
	require.Equal(t, "Credential", p["Type"])
	require.Equal(t, "com.okta.mobile.auth-service-extension", p["ExtensionIdentifier"])
	require.Equal(t, "Okta Device", p["Realm"])
	require.Equal(t, []any{"example.okta.com", "id.example.com"}, p["Hosts"])
	require.Equal(t, map[string]any{"managementHint": "not-a-real-hint"}, p["ExtensionData"])
	require.NotContains(t, p, "URLs")
}

func TestKerberosNamesApplesTeam(t *testing.T) {
	p := payload(t, golden["kerberos"])
	require.Equal(t, "apple", p["TeamIdentifier"])
	require.Equal(t, "EXAMPLE.COM", p["Realm"])
	require.NotContains(t, p, "ExtensionData", "what was not set is left to the device")
}

func TestStoreIDs(t *testing.T) {
	require.Equal(t, 983156458, extension.MicrosoftAuthenticatorStoreID)
	require.Equal(t, 490179405, extension.OktaVerifyStoreID)
}

func TestIdentifiersAreStable(t *testing.T) {
	one, err := extension.Profile(config(), extension.Microsoft{})
	require.NoError(t, err)
	two, err := extension.Profile(config(), golden["okta"])
	require.NoError(t, err)
	require.Equal(t, one.Common, two.Common, "they follow from the configuration's name, not from what it says")
	require.Equal(t, one.Content[0].Header(), two.Content[0].Header())
	require.NotEqual(t, one.UUID, one.Content[0].Header().UUID)

	other := config()
	other.Organization = "Another Inc."
	three, err := extension.Profile(other, extension.Microsoft{})
	require.NoError(t, err)
	require.NotEqual(t, one.UUID, three.UUID)
}

func TestClashesAreNamed(t *testing.T) {
	make := func(name string, e extension.Extension) *profile.Profile {
		cfg := config()
		cfg.Identifier += "." + name
		p, err := extension.Profile(cfg, e)
		require.NoError(t, err)
		return p
	}
	microsoft := make("microsoft", extension.Microsoft{})
	require.NoError(t, profile.Check(microsoft, make("china", extension.Microsoft{Clouds: []extension.Cloud{extension.CloudChina}}), make("okta", golden["okta"]), make("kerberos", golden["kerberos"])))

	var clash *profile.ClashError
	err := profile.Check(microsoft, make("own", extension.Redirect{ExtensionIdentifier: "com.example.app.sso", URLs: []string{"https://sts.windows.net/"}}))
	require.ErrorAs(t, err, &clash)
	require.Equal(t, profile.ClashError{First: "com.example.sso.microsoft", Second: "com.example.sso.own", Claim: "the URL https://sts.windows.net"}, *clash)
	err = profile.Check(make("okta", golden["okta"]), make("own", extension.Credential{ExtensionIdentifier: "com.example.app.sso", Hosts: []string{"id.example.com"}}))
	require.ErrorAs(t, err, &clash)
	require.Equal(t, "the host id.example.com", clash.Claim)
}

func TestProfileRefuses(t *testing.T) {
	redirect := func(urls ...string) extension.Extension {
		return extension.Redirect{ExtensionIdentifier: "com.example.app.sso", URLs: urls}
	}
	credential := func(hosts ...string) extension.Extension {
		return extension.Credential{ExtensionIdentifier: "com.example.app.sso", Hosts: hosts}
	}
	const urls0, hosts0 = "com.apple.extensiblesso.URLs[0]", "com.apple.extensiblesso.Hosts[0]"
	for name, c := range map[string]struct {
		e    extension.Extension
		path string
	}{
		"no URL":                  {redirect(), "com.apple.extensiblesso.URLs"},
		"another scheme":          {redirect("ftp://id.example.com"), urls0},
		"upper-case scheme":       {redirect("HTTPS://id.example.com"), urls0},
		"no scheme":               {redirect("id.example.com"), urls0},
		"no host":                 {redirect("https:///path"), urls0},
		"upper-case host":         {redirect("https://ID.example.com"), urls0},
		"a query":                 {redirect("https://id.example.com/?a=b"), urls0},
		"an empty query":          {redirect("https://id.example.com/?"), urls0},
		"a fragment":              {redirect("https://id.example.com/#a"), urls0},
		"an empty fragment":       {redirect("https://id.example.com/#"), urls0},
		"a user":                  {redirect("https://user@id.example.com"), urls0},
		"a port that is none":     {redirect("https://id.example.com:x"), urls0},
		"a wildcard":              {redirect("https://*.example.com"), urls0},
		"a suffix as URL":         {redirect("https://.example.com"), urls0},
		"control character":       {redirect("https://id.example.com/\x01"), urls0},
		"a URL of 3 KiB":          {redirect("https://id.example.com/" + strings.Repeat("x", 3000)), urls0},
		"Intune's variable":       {redirect("https://id.example.com/{{deviceRegistration}}"), urls0},
		"a URL twice":             {redirect("https://id.example.com", "https://id.example.com/"), "com.apple.extensiblesso.URLs[1]"},
		"300 URLs":                {redirect(many("https://h%d.example.com", 300)...), "com.apple.extensiblesso.URLs"},
		"no hosts":                {credential(), "com.apple.extensiblesso.Hosts"},
		"a scheme":                {credential("https://example.okta.com"), hosts0},
		"a port":                  {credential("example.okta.com:443"), hosts0},
		"a path":                  {credential("example.okta.com/"), hosts0},
		"upper case":              {credential("Example.okta.com"), hosts0},
		"a star":                  {credential("*.example.com"), hosts0},
		"only a dot":              {credential("."), hosts0},
		"two dots":                {credential("..example.com"), hosts0},
		"an underscore":           {credential("a_b.example.com"), hosts0},
		"a hyphen at the end":     {credential("a-.example.com"), hosts0},
		"empty host":              {credential(""), hosts0},
		"a host twice":            {credential("a.example", "a.example"), "com.apple.extensiblesso.Hosts[1]"},
		"a long realm":            {extension.Credential{ExtensionIdentifier: "com.example.app.sso", Hosts: []string{"h"}, Realm: strings.Repeat("x", 300)}, "com.apple.extensiblesso.Realm"},
		"a realm of two lines":    {extension.Credential{ExtensionIdentifier: "com.example.app.sso", Hosts: []string{"h"}, Realm: "a\nb"}, "com.apple.extensiblesso.Realm"},
		"no extension":            {extension.Redirect{URLs: []string{"https://h"}}, "com.apple.extensiblesso.ExtensionIdentifier"},
		"no bundle identifier":    {extension.Redirect{ExtensionIdentifier: "com..example", URLs: []string{"https://h"}}, "com.apple.extensiblesso.ExtensionIdentifier"},
		"strange behavior":        {extension.Microsoft{Options: extension.Options{ScreenLockedBehavior: "Ask"}}, "com.apple.extensiblesso.ScreenLockedBehavior"},
		"denied app":              {extension.Microsoft{Options: extension.Options{DeniedBundleIdentifiers: []string{"app"}}}, "com.apple.extensiblesso.DeniedBundleIdentifiers[0]"},
		"unknown cloud":           {extension.Microsoft{Clouds: []extension.Cloud{extension.CloudPublic, "moon"}}, "com.apple.extensiblesso.Clouds[1]"},
		"comma in an app":         {extension.Microsoft{AppAllowList: []string{"com.a,com.b"}}, "com.apple.extensiblesso.ExtensionData.AppAllowList[0]"},
		"prefix with a star":      {extension.Microsoft{AppPrefixAllowList: []string{"com.apple.*"}}, "com.apple.extensiblesso.ExtensionData.AppPrefixAllowList[0]"},
		"allowed and blocked":     {extension.Microsoft{AppAllowList: []string{"com.a"}, AppBlockList: []string{"com.b", "com.a"}}, "com.apple.extensiblesso.ExtensionData.AppBlockList[1]"},
		"preset's key as extra":   {extension.Microsoft{Extra: extension.Data{"disable_explicit_app_prompt": true}}, "com.apple.extensiblesso.ExtensionData.disable_explicit_app_prompt"},
		"variable as extra":       {extension.Microsoft{Extra: extension.Data{"device_registration": "{{DEVICEREGISTRATION}}"}}, "com.apple.extensiblesso.ExtensionData.device_registration"},
		"no hint":                 {extension.Okta{Hosts: []string{"example.okta.com"}}, "com.apple.extensiblesso.ExtensionData.managementHint"},
		"hint with a line break":  {extension.Okta{Hosts: []string{"example.okta.com"}, ManagementHint: "hint\n"}, "com.apple.extensiblesso.ExtensionData.managementHint"},
		"no organization of Okta": {extension.Okta{ManagementHint: "hint"}, "com.apple.extensiblesso.Hosts"},
		"no realm":                {extension.Kerberos{Hosts: []string{"h"}}, "com.apple.extensiblesso.Realm"},
		"realm in lower case":     {extension.Kerberos{Hosts: []string{"h"}, Realm: "Example.com"}, "com.apple.extensiblesso.Realm"},
		"strange use mode":        {extension.Kerberos{Hosts: []string{"h"}, Realm: "R", CredentialUseMode: "never"}, "com.apple.extensiblesso.ExtensionData.credentialUseMode"},
		"mapping to nothing":      {extension.Kerberos{Hosts: []string{"h"}, Realm: "R", DomainRealmMapping: map[string][]string{"R": nil}}, "com.apple.extensiblesso.ExtensionData.domainRealmMapping.R"},
		"KDC with a space":        {extension.Kerberos{Hosts: []string{"h"}, Realm: "R", PreferredKDCs: []string{"a b"}}, "com.apple.extensiblesso.ExtensionData.preferredKDCs[0]"},
		"another type":            {of(extension.Payload{ExtensionIdentifier: "com.example.app.sso", Type: "Guess"}), "com.apple.extensiblesso.Type"},
		"realm of a redirect":     {of(extension.Payload{ExtensionIdentifier: "com.example.app.sso", Type: "Redirect", URLs: []string{"https://h"}, Realm: "R"}), "com.apple.extensiblesso.Realm"},
		"hosts of a redirect":     {of(extension.Payload{ExtensionIdentifier: "com.example.app.sso", Type: "Redirect", URLs: []string{"https://h"}, Hosts: []string{"h"}}), "com.apple.extensiblesso.Hosts"},
		"URLs of a credential":    {of(extension.Payload{ExtensionIdentifier: "com.example.app.sso", Type: "Credential", URLs: []string{"https://h"}, Hosts: []string{"h"}}), "com.apple.extensiblesso.URLs"},
		"an empty team":           {of(extension.Payload{ExtensionIdentifier: "com.example.app.sso", Type: "Credential", TeamIdentifier: "\x00", Hosts: []string{"h"}}), "com.apple.extensiblesso.TeamIdentifier"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := extension.Profile(config(), c.e)
			require.Nil(t, p)
			require.Equal(t, []string{c.path}, paths(err))
		})
	}
}

// of is an extension that is written by hand.
type of extension.Payload

func (o of) Payload() (extension.Payload, error) { return extension.Payload(o), nil }

func many(format string, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}

func paths(err error) []string {
	var list []string
	for v := range profile.Violations(err) {
		list = append(list, v.Path)
	}
	return list
}

func TestEveryMistakeIsTold(t *testing.T) {
	_, err := extension.Profile(extension.Config{Identifier: "sso", DisplayName: "a\x00"}, extension.Okta{Hosts: []string{"https://h", "H"}})
	require.Equal(t, []string{
		"PayloadDisplayName", "PayloadIdentifier", "com.apple.extensiblesso.ExtensionData.managementHint",
		"com.apple.extensiblesso.Hosts[0]", "com.apple.extensiblesso.Hosts[1]", "PayloadOrganization",
	}, paths(err))
}

func TestSecretsAreNotTold(t *testing.T) {
	const secret = "do-not-tell"
	okta := extension.Okta{Hosts: []string{"example.okta.com"}, ManagementHint: secret}
	p, err := okta.Payload()
	require.NoError(t, err)
	parsed, err := extension.ParseData([]byte(`<dict><key>managementHint</key><string>` + secret + `</string></dict>`))
	require.NoError(t, err)
	var said strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil)} {
		slog.New(h).Error("x", "okta", okta, "payload", p, "hint", okta.ManagementHint, "data", parsed)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&said, verb+verb+verb+verb, okta, p, parsed, okta.ManagementHint)
	}
	fmt.Fprint(&said, okta.ManagementHint.String())
	_, err = json.Marshal(okta)
	require.Error(t, err)
	okta.ManagementHint += "\x01"
	_, err = extension.Profile(config(), okta)
	require.Error(t, err)
	said.WriteString(err.Error())
	require.NotContains(t, said.String(), secret)
	require.NotContains(t, said.String(), fmt.Sprintf("%x", secret))
	require.Contains(t, said.String(), "managementHint")
	require.Contains(t, string(encode(t, golden["okta"])), "<string>not-a-real-hint</string>", "the device gets it")
}

func TestNothingEmitsIntunesVariable(t *testing.T) {
	for name, e := range golden {
		require.NotContains(t, string(encode(t, e)), "{{", name)
	}
}

func TestExtensionsAreValues(t *testing.T) {
	extra := extension.Data{"more": 1}
	m := extension.Microsoft{Extra: extra}
	require.Equal(t, encode(t, m), encode(t, m))
	require.Len(t, extra, 1, "what was handed in is left alone")
	p, err := m.Payload()
	require.NoError(t, err)
	require.True(t, slices.Contains(p.URLs, "https://sts.windows.net"))
	require.True(t, errors.Is(p.Check(), nil))
}
