package command

// DeviceInformation asks for facts about the device. A query that the device
// does not know, or may not answer, is left out of its response without an
// error (https://developer.apple.com/documentation/devicemanagement/device-information-command).
type DeviceInformation struct {
	// Queries are the wanted keys, such as OSVersion; at least one.
	Queries []string
}

// RequestType implements Command.
func (DeviceInformation) RequestType() string { return "DeviceInformation" }

// Parameters implements Command.
func (c DeviceInformation) Parameters() map[string]any {
	return map[string]any{"Queries": c.Queries}
}

// Validate implements Validator.
func (c DeviceInformation) Validate() error {
	return need(c.RequestType(), "Queries", len(c.Queries) > 0)
}

// SecurityInfo asks for the state of security; under User Enrollment the
// device tells less
// (https://developer.apple.com/documentation/devicemanagement/security-info-command).
type SecurityInfo struct{}

// RequestType implements Command.
func (SecurityInfo) RequestType() string { return "SecurityInfo" }

// Parameters implements Command.
func (SecurityInfo) Parameters() map[string]any { return nil }

// ProfileList asks for the installed profiles; under User Enrollment always
// and only those that the server installed
// (https://developer.apple.com/documentation/devicemanagement/profile-list-command).
type ProfileList struct {
	// ManagedOnly leaves out what the person installed.
	ManagedOnly bool
}

// RequestType implements Command.
func (ProfileList) RequestType() string { return "ProfileList" }

// Parameters implements Command.
func (c ProfileList) Parameters() map[string]any {
	p := parameters{}
	p.truth("ManagedOnly", c.ManagedOnly)
	return p
}

// CertificateList asks for the installed certificates; under User Enrollment
// only those that the server installed
// (https://developer.apple.com/documentation/devicemanagement/certificate-list-command).
type CertificateList struct {
	// ManagedOnly leaves out what the person installed.
	ManagedOnly bool
}

// RequestType implements Command.
func (CertificateList) RequestType() string { return "CertificateList" }

// Parameters implements Command.
func (c CertificateList) Parameters() map[string]any {
	p := parameters{}
	p.truth("ManagedOnly", c.ManagedOnly)
	return p
}

// InstalledApplicationList asks for the installed apps; under User Enrollment
// only managed ones
// (https://developer.apple.com/documentation/devicemanagement/installed-application-list-command).
type InstalledApplicationList struct {
	// Identifiers limits the answer to these bundle identifiers.
	Identifiers []string
	// Items limits the answer to these keys; some are slow to compute.
	Items []string
	// ManagedAppsOnly leaves out what the person installed.
	ManagedAppsOnly bool
}

// RequestType implements Command.
func (InstalledApplicationList) RequestType() string { return "InstalledApplicationList" }

// Parameters implements Command.
func (c InstalledApplicationList) Parameters() map[string]any {
	p := parameters{}
	p.list("Identifiers", c.Identifiers)
	p.list("Items", c.Items)
	p.truth("ManagedAppsOnly", c.ManagedAppsOnly)
	return p
}

// ManagedApplicationList asks for the state of managed apps, which is how one
// learns that an InstallApplication came to its end
// (https://developer.apple.com/documentation/devicemanagement/managed-application-list-command).
type ManagedApplicationList struct {
	// Identifiers limits the answer to these bundle identifiers.
	Identifiers []string
}

// RequestType implements Command.
func (ManagedApplicationList) RequestType() string { return "ManagedApplicationList" }

// Parameters implements Command.
func (c ManagedApplicationList) Parameters() map[string]any {
	p := parameters{}
	p.list("Identifiers", c.Identifiers)
	return p
}
