package command

import "maps"

// InstallProfile installs a configuration profile, or replaces the one with
// the same identifier
// (https://developer.apple.com/documentation/devicemanagement/install-profile-command).
type InstallProfile struct {
	// Payload is the profile: an XML property list, or one in a CMS signature.
	Payload []byte
}

// RequestType implements Command.
func (InstallProfile) RequestType() string { return "InstallProfile" }

// Parameters implements Command.
func (c InstallProfile) Parameters() map[string]any {
	return map[string]any{"Payload": c.Payload}
}

// Validate implements Validator.
func (c InstallProfile) Validate() error {
	return need(c.RequestType(), "Payload", len(c.Payload) > 0)
}

// RemoveProfile removes a profile that the server installed. The enrollment
// profile may be removed too, which ends the enrollment and takes every
// managed app and account with it
// (https://developer.apple.com/documentation/devicemanagement/remove-profile-command).
type RemoveProfile struct {
	// Identifier is the profile's PayloadIdentifier.
	Identifier string
}

// RequestType implements Command.
func (RemoveProfile) RequestType() string { return "RemoveProfile" }

// Parameters implements Command.
func (c RemoveProfile) Parameters() map[string]any {
	return map[string]any{"Identifier": c.Identifier}
}

// Validate implements Validator.
func (c RemoveProfile) Validate() error {
	return need(c.RequestType(), "Identifier", c.Identifier != "")
}

// The flags of InstallApplication.ManagementFlags.
const (
	// RemoveWithProfile removes the app when the enrollment ends.
	RemoveWithProfile = 1
	// NoBackup keeps the app's data out of backups.
	NoBackup = 4
)

// InstallApplication installs a managed app. Exactly one of ITunesStoreID,
// Identifier and ManifestURL names it. Acknowledged means accepted, not
// installed: ManagedApplicationList tells the rest
// (https://developer.apple.com/documentation/devicemanagement/install-application-command).
type InstallApplication struct {
	ITunesStoreID int64
	Identifier    string // bundle identifier
	ManifestURL   string // https
	// PurchaseMethod 1 takes a licence assigned to the person, which User
	// Enrollment needs for apps of the App Store; 0 leaves it out.
	PurchaseMethod int
	// ManagementFlags is a sum of RemoveWithProfile and NoBackup.
	ManagementFlags int
	// Configuration is the managed app configuration.
	Configuration map[string]any
	// Attributes are Apple's attributes of the app, such as VPNUUID.
	Attributes map[string]any
}

// RequestType implements Command.
func (InstallApplication) RequestType() string { return "InstallApplication" }

// Parameters implements Command.
func (c InstallApplication) Parameters() map[string]any {
	p := parameters{}
	if c.ITunesStoreID != 0 {
		p["iTunesStoreID"] = c.ITunesStoreID
	}
	p.text("Identifier", c.Identifier)
	p.text("ManifestURL", c.ManifestURL)
	if c.PurchaseMethod != 0 {
		p["Options"] = map[string]any{"PurchaseMethod": c.PurchaseMethod}
	}
	if c.ManagementFlags != 0 {
		p["ManagementFlags"] = c.ManagementFlags
	}
	if len(c.Configuration) > 0 {
		p["Configuration"] = c.Configuration
	}
	if len(c.Attributes) > 0 {
		p["Attributes"] = c.Attributes
	}
	return p
}

// Validate implements Validator.
func (c InstallApplication) Validate() error {
	names := 0
	for _, set := range []bool{c.ITunesStoreID != 0, c.Identifier != "", c.ManifestURL != ""} {
		if set {
			names++
		}
	}
	if names != 1 {
		return &InvalidError{RequestType: c.RequestType(), Reason: "needs exactly one of iTunesStoreID, Identifier and ManifestURL"}
	}
	return nil
}

// RemoveApplication removes a managed app and its data
// (https://developer.apple.com/documentation/devicemanagement/remove-application-command).
type RemoveApplication struct {
	Identifier string // bundle identifier
}

// RequestType implements Command.
func (RemoveApplication) RequestType() string { return "RemoveApplication" }

// Parameters implements Command.
func (c RemoveApplication) Parameters() map[string]any {
	return map[string]any{"Identifier": c.Identifier}
}

// Validate implements Validator.
func (c RemoveApplication) Validate() error {
	return need(c.RequestType(), "Identifier", c.Identifier != "")
}

// DeviceLock locks the screen at once
// (https://developer.apple.com/documentation/devicemanagement/device-lock-command).
type DeviceLock struct {
	// Message and PhoneNumber are shown on the locked screen; may be empty.
	Message, PhoneNumber string
}

// RequestType implements Command.
func (DeviceLock) RequestType() string { return "DeviceLock" }

// Parameters implements Command.
func (c DeviceLock) Parameters() map[string]any {
	p := parameters{}
	p.text("Message", c.Message)
	p.text("PhoneNumber", c.PhoneNumber)
	return p
}

// Setting is one item of Settings.
type Setting interface {
	// Item is Apple's name of the setting.
	Item() string
	// Values are the keys beside Item, nil for none.
	Values() map[string]any
}

// Settings changes settings of the device, in order
// (https://developer.apple.com/documentation/devicemanagement/settings-command).
type Settings struct {
	Settings []Setting // at least one
}

// RequestType implements Command.
func (Settings) RequestType() string { return "Settings" }

// Parameters implements Command.
func (c Settings) Parameters() map[string]any {
	items := make([]any, 0, len(c.Settings))
	for _, s := range c.Settings {
		item := maps.Clone(s.Values())
		if item == nil {
			item = map[string]any{}
		}
		item["Item"] = s.Item()
		items = append(items, item)
	}
	return map[string]any{"Settings": items}
}

// Validate implements Validator.
func (c Settings) Validate() error {
	for _, s := range c.Settings {
		if v, ok := s.(Validator); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
	}
	return need(c.RequestType(), "Settings", len(c.Settings) > 0)
}

// OrganizationInfo names the organization in what iOS shows the person, such
// as the prompt of an app's installation: send it first.
type OrganizationInfo struct {
	Name string // required
	// ShortName is one word or an abbreviation.
	ShortName             string
	Address, Phone, Email string
	// Magic tells the services of one organization apart.
	Magic string
}

// Item implements Setting.
func (OrganizationInfo) Item() string { return "OrganizationInfo" }

// Values implements Setting.
func (s OrganizationInfo) Values() map[string]any {
	p := parameters{"OrganizationName": s.Name}
	p.text("OrganizationShortName", s.ShortName)
	p.text("OrganizationAddress", s.Address)
	p.text("OrganizationPhone", s.Phone)
	p.text("OrganizationEmail", s.Email)
	p.text("OrganizationMagic", s.Magic)
	return map[string]any{"OrganizationInfo": map[string]any(p)}
}

// Validate implements Validator.
func (s OrganizationInfo) Validate() error {
	return need("Settings", "OrganizationName", s.Name != "")
}

// RawSetting is a setting that this package has no type for.
type RawSetting struct {
	Name string
	Keys map[string]any
}

// Item implements Setting.
func (s RawSetting) Item() string { return s.Name }

// Values implements Setting.
func (s RawSetting) Values() map[string]any { return s.Keys }
