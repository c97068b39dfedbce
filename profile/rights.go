package profile

import (
	"fmt"
	"strings"
)

// AccessRights is what a server may ask of a device under Device Enrollment: a
// sum of rights, which iOS shows to the person before installing
// (https://developer.apple.com/documentation/devicemanagement/mdm). Under User
// Enrollment the system fixes them, and a profile names none.
type AccessRights int

// The rights.
const (
	RightInspectProfiles AccessRights = 1 << iota
	// RightInstallProfiles needs RightInspectProfiles.
	RightInstallProfiles
	// RightLockAndClearPasscode locks the device and takes its passcode away.
	RightLockAndClearPasscode
	RightErase
	// RightQueryDevice asks for the device's capacity, serial number and the like.
	RightQueryDevice
	// RightQueryNetwork asks for phone numbers, carriers and addresses of network
	// interfaces.
	RightQueryNetwork
	RightInspectProvisioning
	// RightInstallProvisioning needs RightInspectProvisioning.
	RightInstallProvisioning
	// RightListApps asks for all apps, the person's own included.
	RightListApps
	RightQueryRestrictions
	RightQuerySecurity
	RightChangeSettings
	RightManageApps

	allRights = 1<<iota - 1
)

// DefaultAccessRights are what this module's own work needs: to install and
// list profiles, to read the device's state, and to manage settings and apps.
// Erasing, locking, clearing the passcode, the line and the person's own apps
// are not among them.
const DefaultAccessRights = RightInspectProfiles | RightInstallProfiles | RightQueryDevice |
	RightQuerySecurity | RightChangeSettings | RightManageApps

// rightNames are in the order of the bits.
var rightNames = [...]string{
	"inspect profiles", "install profiles", "lock and clear passcode", "erase", "query device", "query network",
	"inspect provisioning", "install provisioning", "list apps", "query restrictions", "query security",
	"change settings", "manage apps",
}

// Has reports whether all of want are among r.
func (r AccessRights) Has(want AccessRights) bool { return r&want == want }

// String names the rights, such as "inspect profiles, erase".
func (r AccessRights) String() string {
	var names []string
	for i, name := range rightNames {
		if r.Has(1 << i) {
			names = append(names, name)
		}
	}
	if rest := r &^ allRights; rest != 0 || r == 0 {
		names = append(names, fmt.Sprintf("%#x", int(rest)))
	}
	return strings.Join(names, ", ")
}

// Validate returns a *Violation when iOS would refuse a profile with these rights.
func (r AccessRights) Validate() error {
	reason := ""
	switch {
	case r == 0:
		reason = "must not be 0: a server without rights manages nothing"
	case r&^allRights != 0:
		reason = fmt.Sprintf("has bits that are no right: %#x", int(r&^allRights))
	case r.Has(RightInstallProfiles) && !r.Has(RightInspectProfiles):
		reason = "installs profiles (2) and cannot inspect them (1)"
	case r.Has(RightInstallProvisioning) && !r.Has(RightInspectProvisioning):
		reason = "installs provisioning profiles (128) and cannot inspect them (64)"
	default:
		return nil
	}
	return &Violation{Path: "com.apple.mdm.AccessRights", Reason: reason}
}
