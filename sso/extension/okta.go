package extension

import (
	"errors"
	"strings"
)

// OktaVerifyStoreID is the App Store's number of Okta Verify. The app has to be
// on the device for Okta to have an effect.
const OktaVerifyStoreID = 490179405

// Okta is the extension of Okta Verify on iOS (Okta FastPass). It is of type
// Credential: the Redirect that is often read about is for other devices, and
// an iPhone does nothing with it.
//
// See https://help.okta.com/oie/en-us/content/topics/identity-engine/devices/config-credential-sso-ext-ios.htm.
type Okta struct {
	// Hosts are the domain of the Okta organization, without https://, such as
	// example.okta.com, and its custom domain if it has one.
	Hosts []string
	// ManagementHint is the secret key that Okta's administration shows once,
	// when management of iOS devices is set up there. It tells Okta that the
	// device is managed.
	ManagementHint Secret
	// Extra are further keys for ExtensionData.
	Extra Data
	Options
}

// Payload implements Extension.
func (o Okta) Payload() (Payload, error) {
	var v violations
	if hint := string(o.ManagementHint); hint == "" || strings.TrimSpace(hint) != hint {
		v.add("ExtensionData.managementHint", "is empty or has space around it")
	}
	data := v.merge(Data{"managementHint": o.ManagementHint}, o.Extra)
	return o.payload(Payload{
		ExtensionIdentifier: "com.okta.mobile.auth-service-extension",
		Type:                TypeCredential, Realm: "Okta Device", Hosts: o.Hosts, ExtensionData: data,
	}), errors.Join(v...)
}
