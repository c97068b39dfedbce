package profile

import "slices"

// CapabilityToken says that the server answers GetToken
// (https://developer.apple.com/documentation/devicemanagement/get-token).
const CapabilityToken = "com.apple.mdm.token"

// way is what the profile of one way of enrolling holds beside the rest.
type way struct {
	account string // the key of the Managed Apple Account, "" for none
	driven  bool   // by an account
	rights  bool   // access rights, as under Device Enrollment
}

var (
	profileDriven = way{account: "ManagedAppleID"}
	accountUser   = way{account: "AssignedManagedAppleID", driven: true}
	accountDevice = way{account: "AssignedManagedAppleID", driven: true, rights: true}
	webDevice     = way{rights: true}
)

// AccountUserEnrollment builds the profile of account-driven User Enrollment
// (iOS 15 and later), which the device fetches itself
// (https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow):
// as UserEnrollment, with EnrollmentMode BYOD and AssignedManagedAppleID. Every
// mistake in cfg is reported at once; see Violations.
func AccountUserEnrollment(cfg EnrollmentConfig) (*Profile, error) {
	if err := cfg.check(accountUser); err != nil {
		return nil, err
	}
	return cfg.build(cfg.driven(MDM{EnrollmentMode: "BYOD"})), nil
}

// AccountDeviceEnrollment builds the profile of account-driven Device Enrollment:
// EnrollmentMode ADDE, AssignedManagedAppleID and AccessRights. Every mistake in
// cfg is reported at once; see Violations.
func AccountDeviceEnrollment(cfg EnrollmentConfig) (*Profile, error) {
	if err := cfg.check(accountDevice); err != nil {
		return nil, err
	}
	return cfg.build(cfg.driven(MDM{EnrollmentMode: "ADDE", AccessRights: cfg.rights()})), nil
}

// DeviceEnrollment builds the profile of Device Enrollment by download: no
// Managed Apple Account, and AccessRights. The device tells its UDID and serial
// number. Every mistake in cfg is reported at once; see Violations.
func DeviceEnrollment(cfg EnrollmentConfig) (*Profile, error) {
	if err := cfg.check(webDevice); err != nil {
		return nil, err
	}
	return cfg.build(MDM{AccessRights: cfg.rights()}), nil
}

// driven adds what the account-driven ways share.
func (c EnrollmentConfig) driven(mdm MDM) MDM {
	mdm.AssignedManagedAppleID = c.ManagedAppleID
	mdm.ServerCapabilities, mdm.RequiredAppIDForMDM = slices.Clone(c.ServerCapabilities), c.RequiredAppID
	return mdm
}

func (c EnrollmentConfig) rights() AccessRights {
	if c.AccessRights == 0 {
		return DefaultAccessRights
	}
	return c.AccessRights
}

// checkWay judges what fits one way only: a key that the way must not have makes
// iOS cancel, or enroll otherwise than was meant.
func (c EnrollmentConfig) checkWay(w way) (bad []error) {
	wrong := func(when bool, key, reason string) {
		if when {
			bad = append(bad, &Violation{"com.apple.mdm." + key, reason})
		}
	}
	if w.account == "" {
		wrong(c.ManagedAppleID != "", "ManagedAppleID", "must be empty: Device Enrollment by download has no Managed Apple Account")
	} else {
		reason := badText(c.ManagedAppleID)
		wrong(reason != "", w.account, reason)
	}
	if w.rights {
		if err := c.rights().Validate(); err != nil {
			bad = append(bad, err)
		}
	} else {
		wrong(c.AccessRights != 0, "AccessRights", "must be 0: the system fixes them under User Enrollment")
	}
	if !w.driven {
		wrong(len(c.ServerCapabilities) > 0, "ServerCapabilities", "is for account-driven ways")
		wrong(c.RequiredAppID != 0, "RequiredAppIDForMDM", "is for account-driven ways")
		return bad
	}
	wrong(len(c.ServerCapabilities) > 1 || len(c.ServerCapabilities) == 1 && c.ServerCapabilities[0] != CapabilityToken,
		"ServerCapabilities", "may be "+CapabilityToken+" alone: a phone has one channel and no bootstrap token")
	wrong(c.RequiredAppID < 0, "RequiredAppIDForMDM", "is negative")
	wrong(c.TargetOS != 0 && c.TargetOS < 15, "EnrollmentMode", "needs iOS 15")
	return bad
}
