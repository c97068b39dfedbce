package enroll

import "github.com/enrollkit/enrollkit/mdm"

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

// claims returns the texts of the claims on which the gate agrees.
func claims(list []claim, way mdm.Way, allowed bool) (texts []string) {
	for _, c := range list {
		holds := true
		for _, rule := range c.rules {
			holds = holds && way.Allows(rule) == allowed
		}
		if holds {
			texts = append(texts, c.text)
		}
	}
	return texts
}
