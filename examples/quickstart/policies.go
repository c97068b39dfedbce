package main

import (
	"errors"
	"log/slog"

	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/sso/extension"
)

const (
	organization = "Example Inc."
	// identifier is the reverse domain that the identifiers of profiles begin with.
	identifier = "com.example.quickstart"
)

// contractorSettings are what the vendor of an extension prints in its manual.
var contractorSettings = []byte(`<dict>
	<key>tenant</key> <string>contractors</string>
	<key>scopes</key> <array><string>openid</string><string>profile</string></array>
	<key>ask_again_after_days</key> <integer>7</integer>
</dict>`)

// openPolicy says what each group's devices must have. It is queued in the same
// step as a device's first TokenUpdate; nobody has to call anything.
func openPolicy(users policy.Users, logger *slog.Logger) (*policy.Policy, error) {
	settings, err := extension.ParseData(contractorSettings)
	if err != nil {
		return nil, err
	}
	microsoft, err1 := assign("byod", "microsoft", "Microsoft sign-in", extension.Microsoft{
		AppPrefixAllowList:           []string{"com.apple.", "com.microsoft."},
		BrowserSSOInteractionEnabled: true,
		DisableExplicitAppPrompt:     true,
	})
	custom, err2 := assign("contractors", "contractors", "Contractor sign-in", extension.Redirect{
		ExtensionIdentifier: "com.example.authenticator.sso",
		URLs:                []string{"https://sso.example.com/contractors"},
		ExtensionData:       settings,
	})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return policy.New(policy.Config{Users: users, Logger: logger, Assignments: []policy.Assignment{microsoft, custom}})
}

func assign(group, name, displayName string, e extension.Extension) (policy.Assignment, error) {
	p, err := extension.Profile(extension.Config{
		Organization: organization, Identifier: identifier + ".sso." + name, DisplayName: displayName,
	}, e)
	if err != nil {
		return policy.Assignment{}, err
	}
	return policy.Assign(group, p)
}
