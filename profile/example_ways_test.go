package profile_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/profile"
)

func ExampleAccountUserEnrollment() {
	p, err := profile.AccountUserEnrollment(profile.EnrollmentConfig{
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
	mdm := p.Content[len(p.Content)-1].(profile.MDM)
	fmt.Println(mdm.EnrollmentMode, mdm.AssignedManagedAppleID)
	// Output: BYOD alice@example.com
}

func ExampleAccountDeviceEnrollment() {
	p, err := profile.AccountDeviceEnrollment(profile.EnrollmentConfig{
		Organization: "Example Inc.", Identifier: "com.example.enroll",
		DisplayName: "Work", Description: "Work apps and accounts",
		ServerURL: "https://mdm.example.com/mdm/connect", CheckInURL: "https://mdm.example.com/mdm/checkin",
		Topic: "com.apple.mgmt.External.1", ManagedAppleID: "alice@example.com",
		AccessRights: profile.DefaultAccessRights | profile.RightLockAndClearPasscode,
		SCEP:         &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "once"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mdm := p.Content[len(p.Content)-1].(profile.MDM)
	fmt.Println(mdm.EnrollmentMode, mdm.AccessRights.Has(profile.RightErase))
	// Output: ADDE false
}

func ExampleDeviceEnrollment() {
	p, err := profile.DeviceEnrollment(profile.EnrollmentConfig{
		Organization: "Example Inc.", Identifier: "com.example.enroll",
		DisplayName: "Work", Description: "Work apps and accounts",
		ServerURL: "https://mdm.example.com/mdm/connect", CheckInURL: "https://mdm.example.com/mdm/checkin",
		Topic: "com.apple.mgmt.External.1",
		SCEP:  &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "once"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Content[len(p.Content)-1].(profile.MDM).AccessRights)
	// Output: inspect profiles, install profiles, query device, query security, change settings, manage apps
}
