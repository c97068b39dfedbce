package profile_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/profile"
)

func ExampleUserEnrollment() {
	p, err := profile.UserEnrollment(profile.EnrollmentConfig{
		Organization: "Example Inc.", Identifier: "com.example.enroll",
		DisplayName: "Work", Description: "Work apps and accounts",
		ServerURL: "https://mdm.example.com/mdm/connect", CheckInURL: "https://mdm.example.com/mdm/checkin",
		Topic: "com.apple.mgmt.External.1", ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "once"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, payload := range p.Content {
		fmt.Println(payload.Header().Type)
	}
	// Output:
	// com.apple.security.scep
	// com.apple.mdm
}

func ExampleViolations() {
	_, err := profile.UserEnrollment(profile.EnrollmentConfig{
		Organization: "Example Inc.", Identifier: "com.example.enroll",
		DisplayName: "Work", Description: "Work apps and accounts",
		ServerURL: "http://mdm.example.com", CheckInURL: "https://mdm.example.com/mdm/checkin",
		Topic: "com.example", ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "once"},
	})
	for v := range profile.Violations(err) {
		fmt.Println(v.Path)
	}
	// Output:
	// com.apple.mdm.ServerURL
	// com.apple.mdm.Topic
}

// Two SSO extensions cannot both answer for one host.
func ExampleCheck() {
	sso := func(name, host string) *profile.Profile {
		id := "com.example.sso." + name
		return &profile.Profile{
			Common: profile.Common{Type: "Configuration", Version: 1, Identifier: id, UUID: profile.UUID(id)},
			Content: []profile.Payload{profile.Custom{
				Common: profile.Common{Type: "com.apple.extensiblesso", Version: 1, Identifier: id + ".extension", UUID: profile.UUID(id, "extension")},
				Values: map[string]any{"Type": "Credential", "ExtensionIdentifier": "com.example.app.sso", "Hosts": []string{host}},
			}},
		}
	}
	fmt.Println(profile.Check(sso("old", "id.example.com"), sso("new", "ID.example.com")))
	// Output:
	// profile: "com.example.sso.old" and "com.example.sso.new" both claim the host id.example.com
}
