package extension_test

import (
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
)

func ExampleProfile() {
	p, err := extension.Profile(extension.Config{
		Organization: "Example Inc.", Identifier: "com.example.sso.microsoft", DisplayName: "Microsoft sign-in",
	}, extension.Microsoft{
		EnableSSOOnAllManagedApps: true, BrowserSSOInteractionEnabled: true, DisableExplicitAppPrompt: true,
		AppPrefixAllowList: []string{"com.apple."},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	encoded, err := p.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := profile.Claims(encoded)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, claim := range claims {
		fmt.Println(claim)
	}
	// Output:
	// the profile identifier com.example.sso.microsoft
	// the URL https://login.microsoftonline.com
	// the URL https://login.microsoft.com
	// the URL https://sts.windows.net
}

func ExampleOkta() {
	okta := extension.Okta{Hosts: []string{"https://example.okta.com"}, ManagementHint: "from Okta's administration"}
	_, err := extension.Profile(extension.Config{
		Organization: "Example Inc.", Identifier: "com.example.sso.okta", DisplayName: "Okta sign-in",
	}, okta)
	for v := range profile.Violations(err) {
		fmt.Println(v.Path)
	}
	fmt.Println(okta.ManagementHint)
	// Output:
	// com.apple.extensiblesso.Hosts[0]
	// [secret]
}

// A vendor without a preset documents what ExtensionData has to be.
func ExampleParseData() {
	data, err := extension.ParseData([]byte(`<dict>
		<key>tenant</key><string>example</string>
		<key>interactive</key><true/>
	</dict>`))
	fmt.Println(data, err)

	_, err = extension.ParseData([]byte(`<plist version="1.0"><array/></plist>`))
	fmt.Println(errors.Is(err, extension.ErrNotDictionary))
	// Output:
	// [keys interactive tenant] <nil>
	// true
}
