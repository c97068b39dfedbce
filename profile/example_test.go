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
