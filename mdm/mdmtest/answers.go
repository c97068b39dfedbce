package mdmtest

// answer is what the phone tells when it is asked by a command, beside the
// status: itself, what the server installed, and no app.
func (p *Phone) answer(requestType string) map[string]any {
	switch requestType {
	case "DeviceInformation":
		return map[string]any{"QueryResponses": map[string]any{"OSVersion": p.cfg.OSVersion, "ProductName": p.cfg.Product}}
	case "SecurityInfo":
		return map[string]any{"SecurityInfo": map[string]any{"HardwareEncryptionCaps": 3, "PasscodeCompliant": true}}
	case "ProfileList":
		list := []any{}
		for _, i := range p.Installed() {
			list = append(list, map[string]any{"PayloadIdentifier": i.Identifier, "PayloadUUID": i.UUID, "IsManaged": true})
		}
		return map[string]any{"ProfileList": list}
	case "CertificateList":
		return map[string]any{"CertificateList": []any{map[string]any{
			"CommonName": p.identity.Certificate.Subject.CommonName, "IsIdentity": true, "Data": p.identity.Certificate.Raw,
		}}}
	case "InstalledApplicationList":
		return map[string]any{"InstalledApplicationList": []any{}}
	case "ManagedApplicationList":
		return map[string]any{"ManagedApplicationList": map[string]any{}}
	}
	return nil
}
