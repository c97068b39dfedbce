package mdm

import (
	"strings"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// The tables below are iOS's side of User Enrollment as Apple's schema of
// iOS 18.1 has it (https://github.com/apple/device-management), with the
// errata since. A command, payload or restriction that is not listed is
// refused: the device would refuse it too, or nobody has judged it.

// set reads names separated by white space.
func set(names string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(names) {
		m[n] = true
	}
	return m
}

var userCommands = set(`
	CertificateList DeclarativeManagement DeviceInformation DeviceLock
	InstallApplication InstallMedia InstallProfile InstallProvisioningProfile
	InstalledApplicationList ManagedApplicationAttributes
	ManagedApplicationConfiguration ManagedApplicationFeedback
	ManagedApplicationList ManagedMediaList ProfileList
	ProvisioningProfileList RemoveApplication RemoveMedia RemoveProfile
	RemoveProvisioningProfile RequestMirroring SecurityInfo Settings
	ValidateApplications`)

// notUserQueries are refused queries of DeviceInformation; they name the
// hardware, the line, or the person's own use.
var notUserQueries = set(`
	AccessibilitySettings AwaitingConfiguration BluetoothMAC
	CarrierSettingsVersion CurrentCarrierNetwork CurrentMCC CurrentMNC
	DataRoamingEnabled EASDeviceIdentifier EstimatedResidentUsers EthernetMAC
	EthernetMACs ICCID IMEI IsActivationLockEnabled IsCloudBackupEnabled
	IsDoNotDisturbInEffect IsMDMLostModeEnabled IsRoaming LastCloudBackupDate
	MEID ManagedAppleIDDefaultDomains MaximumResidentUsers
	ModemFirmwareVersion OnlineAuthenticationGracePeriod
	PersonalHotspotEnabled PhoneNumber ProvisioningUDID PushToken QuotaSize
	ResidentUsers SIMCarrierNetwork SerialNumber ServiceSubscriptions
	SkipLanguageAndLocaleSetupForNewUsers SoftwareUpdateDeviceID
	SoftwareUpdateSettings SubscriberCarrierNetwork SubscriberMCC
	SubscriberMNC TemporarySessionOnly TemporarySessionTimeout UDID
	UserSessionTimeout VoiceRoamingEnabled WiFiMAC iTunesStoreAccountHash
	iTunesStoreAccountIsActive`)

// notUserSecurity are the keys of SecurityInfo that a device does not tell.
var notUserSecurity = set(`
	AutoLockTime PasscodeCompliantWithProfiles PasscodeLockGracePeriod
	PasscodeLockGracePeriodEnforced PasscodePresent`)

var userSettings = set(`
	ApplicationAttributes ApplicationConfiguration MDMOptions
	OrganizationInfo`)

var userPayloads = set(`
	com.apple.airplay com.apple.airprint com.apple.applicationaccess
	com.apple.caldav.account com.apple.carddav.account
	com.apple.dnsProxy.managed com.apple.eas.account com.apple.education
	com.apple.extensiblesso com.apple.font com.apple.globalethernet.managed
	com.apple.google-oauth com.apple.ldap.account com.apple.mail.managed
	com.apple.mdm com.apple.mobiledevice.passwordpolicy
	com.apple.relay.managed com.apple.security.acme
	com.apple.security.certificaterevocation
	com.apple.security.certificatetransparency com.apple.security.pem
	com.apple.security.pkcs1 com.apple.security.pkcs12
	com.apple.security.root com.apple.security.scep com.apple.sso
	com.apple.subscribedcalendar.account com.apple.vpn.managed.applayer
	com.apple.webClip.managed com.apple.webcontent-filter
	com.apple.wifi.managed`)

// notUserKeys are refused keys of payloads that are otherwise allowed.
var notUserKeys = map[string]map[string]bool{
	"com.apple.airplay": set(`AllowList Whitelist`),
	"com.apple.mdm":     set(`AccessRights`),
	"com.apple.wifi.managed": set(`
		DisableAssociationMACRandomization ProxyPACFallbackAllowed ProxyPACURL
		ProxyPassword ProxyServer ProxyServerPort ProxyType ProxyUsername`),
}

// userRestrictions are the only keys of com.apple.applicationaccess, beside
// the common ones, that a device honours.
var userRestrictions = set(`
	allowAssistant allowAssistantWhileLocked allowDiagnosticSubmission
	allowEnterpriseBookBackup allowEnterpriseBookMetadataSync
	allowExternalIntelligenceIntegrations
	allowExternalIntelligenceIntegrationsSignIn allowLockScreenControlCenter
	allowLockScreenNotificationsView allowLockScreenTodayView
	allowManagedAppsCloudSync allowOpenFromManagedToUnmanaged
	allowOpenFromUnmanagedToManaged allowRemoteScreenObservation
	allowScreenShot allowUnmanagedToReadManagedContacts forceAirDropUnmanaged
	forceAirPlayOutgoingRequestsPairingPassword forceEncryptedBackup
	forceOnDeviceOnlyDictation forceOnDeviceOnlyTranslation
	forceWatchWristDetection ratingRegion requireManagedPasteboard
	safariForceFraudWarning`)

const (
	notListed = "Apple does not list it for User Enrollment on iOS"
	apples    = "Apple forbids it on a device that belongs to the person"
)

func commandAllowed(c command.Raw) error {
	if !userCommands[c.Type] {
		return forbidden(notListed, "command %s", c.Type)
	}
	switch c.Type {
	case "DeviceInformation":
		queries, ok := c.Values["Queries"].([]any)
		if !ok {
			return forbidden("the gate cannot read them", "queries of DeviceInformation")
		}
		for _, q := range queries {
			name, _ := q.(string)
			if rule, listed := appleschema.Query(c.Type, name); !listed || rule.User == appleschema.Forbidden || notUserQueries[name] {
				return forbidden(apples, "query %v", q)
			}
		}
	case "InstallApplication":
		if _, there := c.Values["ChangeManagementState"]; there {
			return forbidden("an app that the person installed cannot be taken over", "key ChangeManagementState of InstallApplication")
		}
	case "Settings":
		items, ok := c.Values["Settings"].([]any)
		if !ok {
			return forbidden("the gate cannot read them", "items of Settings")
		}
		for _, i := range items {
			item, _ := i.(map[string]any)
			if name, _ := item["Item"].(string); !userSettings[name] {
				return forbidden(apples, "setting %q", name)
			}
		}
	}
	return nil
}

func payloadAllowed(kind string, payload map[string]any) error {
	if !userPayloads[kind] {
		return forbidden(notListed, "payload %s", kind)
	}
	for key := range payload {
		restricted := kind == "com.apple.applicationaccess" && !strings.HasPrefix(key, "Payload") && !userRestrictions[key]
		if restricted || notUserKeys[kind][key] {
			return forbidden(apples, "key %s of payload %s", key, kind)
		}
	}
	return nil
}

// withoutForbidden removes from a report what a device of this mode must not
// be asked for, in case that it told, and reports whether there was any.
func withoutForbidden(report map[string]any) (removed bool) {
	for section, names := range map[string]map[string]bool{"QueryResponses": notUserQueries, "SecurityInfo": notUserSecurity} {
		answers, _ := report[section].(map[string]any)
		for key := range answers {
			if names[key] {
				delete(answers, key)
				removed = true
			}
		}
	}
	return removed
}
