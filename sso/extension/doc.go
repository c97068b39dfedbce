// Package extension makes the configurations of Extensible Single Sign-On:
// com.apple.extensiblesso payloads of type Redirect and Credential, Apple's
// Kerberos extension, and presets for the apps that identity providers ship.
//
//	p, err := extension.Profile(extension.Config{
//		Organization: "Example Inc.", Identifier: "com.example.sso.microsoft", DisplayName: "Microsoft sign-in",
//	}, extension.Microsoft{EnableSSOOnAllManagedApps: true})
//
// A person cannot install such a profile by hand, so it is not part of the
// profile that a device enrolls with: a server pushes it afterwards
// (policy.Assign gives it to a group).
//
// # The app has to be there
//
// An extension lives inside an app ("broker"), which has to be on the device.
// Until then the configuration does nothing. On a person's own device the app
// comes as a managed app with a licence assigned to the person, or the person
// installs it; MicrosoftAuthenticatorStoreID and OktaVerifyStoreID are where.
//
// # What clashes
//
// No two configurations on one device may have a URL or a host in common.
// profile.Claims lists what a configuration claims, profile.Check and mdm/policy
// find the two that clash.
//
// # Secrets
//
// ExtensionData may hold a secret, such as Okta's managementHint. Secret keeps
// one out of logs; no error of this package repeats a value. The encoded profile
// holds it in the clear, as the device needs it.
//
// It follows
// https://developer.apple.com/documentation/devicemanagement/extensiblesinglesignon
// and, for Kerberos,
// https://developer.apple.com/documentation/devicemanagement/extensiblesinglesignonkerberos.
package extension
