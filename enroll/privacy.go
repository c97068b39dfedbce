package enroll

import (
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
)

// claim is one thing that a page says about what the organization can see or do.
// It is shown as long as the gate agrees with every rule behind it.
type claim struct {
	text  string
	rules []string // in the words of mdm.Way.Allows
}

// never is what the gate refuses, in words; each rule is one that it enforces.
var never = []claim{
	{"See a number that names your device: serial number, IMEI, UDID", []string{
		"query SerialNumber", "query UDID", "query IMEI", "query MEID", "query EASDeviceIdentifier", "query SoftwareUpdateDeviceID",
	}},
	{"See your phone number, SIM, carrier or roaming", []string{
		"query PhoneNumber", "query ICCID", "query ServiceSubscriptions", "query CurrentCarrierNetwork", "query SIMCarrierNetwork", "query SubscriberCarrierNetwork",
		"query CarrierSettingsVersion", "query ModemFirmwareVersion", "query CurrentMCC", "query CurrentMNC", "query SubscriberMCC", "query SubscriberMNC",
		"query IsRoaming", "query DataRoamingEnabled", "query VoiceRoamingEnabled", "query PersonalHotspotEnabled",
	}},
	{"See where your device is", []string{"command DeviceLocation", "command EnableLostMode", "command PlayLostModeSound", "query IsMDMLostModeEnabled"}},
	{"See your Apple Account, your iCloud backups or your purchases", []string{
		"query iTunesStoreAccountHash", "query iTunesStoreAccountIsActive", "query IsCloudBackupEnabled", "query LastCloudBackupDate", "query IsActivationLockEnabled",
	}},
	{"See whether you have a passcode, use a Focus or accessibility settings", []string{"query PasscodePresent", "query IsDoNotDisturbInEffect", "query AccessibilitySettings"}},
	{"See the addresses of your Wi-Fi and Bluetooth hardware", []string{"query WiFiMAC", "query BluetoothMAC"}},
	{"Erase, restart or switch off your device", []string{"command EraseDevice", "command RestartDevice", "command ShutDownDevice"}},
	{"Remove or change your passcode, or hold the device back from you", []string{"command ClearPasscode", "command ActivationLockBypassCode"}},
	{"Route your private traffic through the organization", []string{"payload com.apple.vpn.managed", "payload com.apple.proxy.http.global"}},
}

// can is what the gate lets pass, in words.
var can = []claim{
	{"See its name, model, iOS version and storage", []string{"query DeviceName", "query ProductName", "query OSVersion", "query DeviceCapacity"}},
	{"See, install and remove work apps, accounts and profiles", []string{"command ManagedApplicationList", "command InstallApplication", "command RemoveApplication", "command ProfileList", "command InstallProfile", "command RemoveProfile"}},
	{"Ask for a passcode of six digits, and lock the screen", []string{"payload com.apple.mobiledevice.passwordpolicy", "command DeviceLock"}},
}

// The same under Device Enrollment, as far as the access rights allow it. A claim
// without rules holds for every enrollment of that kind: it is in the protocol.
var wholeCan = []claim{
	{"Know your device again, by its serial number and UDID", nil},
	{"See its model, iOS version, storage, battery and time zone", []string{"query ModelName", "query OSVersion", "query DeviceCapacity", "query BatteryLevel", "query TimeZone"}},
	{"See your phone number, SIM, carrier and network addresses", []string{"query PhoneNumber", "query ICCID", "query CurrentCarrierNetwork", "query WiFiMAC", "query BluetoothMAC"}},
	{"See whether it has a passcode and is encrypted", []string{"command SecurityInfo"}},
	{"See every app on it, yours included", []string{"command InstalledApplicationList"}},
	{"Install profiles, certificates and restrictions for the whole device", []string{"command InstallProfile", "command ProfileList"}},
	{"Route all traffic of the device through the organization", []string{"command InstallProfile", "payload com.apple.vpn.managed"}},
	{"See, install and remove work apps", []string{"command ManagedApplicationList", "command InstallApplication", "command RemoveApplication"}},
	{"Change settings, such as data roaming", []string{"command Settings"}},
	{"Lock it, and take its passcode away", []string{"command DeviceLock", "command ClearPasscode"}},
	{"Erase it, with everything on it", []string{"command EraseDevice"}},
}

var wholeNever = []claim{
	{"Read your messages and mail, or see your photos and what you browse", nil},
	{"See where your device is", []string{"command DeviceLocation", "command EnableLostMode", "command PlayLostModeSound"}},
	{"See your phone number, SIM or carrier", []string{"query PhoneNumber", "query ICCID", "query CurrentCarrierNetwork", "query SIMCarrierNetwork", "query SubscriberCarrierNetwork", "query ServiceSubscriptions"}},
	{"See which apps you installed yourself", []string{"command InstalledApplicationList"}},
	{"Lock your device, or take its passcode away", []string{"command DeviceLock", "command ClearPasscode"}},
	{"Erase your device", []string{"command EraseDevice"}},
}

// privacy is what a page says about what the organization can see and do.
type privacy struct {
	Org, Device string
	// Whole: of the whole device, under Device Enrollment.
	Whole               bool
	Never, Can, Queries []string
}

// privacy is that of a way, under the access rights of this server.
func (p *Portal) privacy(way mdm.Way, device string) *privacy {
	out := &privacy{Org: p.cfg.Organization, Device: device, Whole: way.Mode() == mdm.ModeDevice}
	if !out.Whole {
		out.Never, out.Can, out.Queries = claims(never, way.Allows, false), claims(can, way.Allows, true), way.RefusedQueries()
		return out
	}
	rights := profile.DefaultAccessRights
	if d := p.cfg.DeviceEnrollment; d != nil && d.AccessRights != 0 {
		rights = d.AccessRights
	}
	allows := func(what string) bool { return way.AllowsWith(rights, what) }
	out.Never, out.Can = claims(wholeNever, allows, false), claims(wholeCan, allows, true)
	return out
}

// claims returns the texts of the claims on which the gate agrees.
func claims(list []claim, allows func(what string) bool, allowed bool) (texts []string) {
	for _, c := range list {
		holds := true
		for _, rule := range c.rules {
			holds = holds && allows(rule) == allowed
		}
		if holds {
			texts = append(texts, c.text)
		}
	}
	return texts
}
