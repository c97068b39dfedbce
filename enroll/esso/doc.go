// Package esso makes the document of Enrollment single sign-on: it tells a
// device which app signs its owner in during account-driven enrollment, and how
// that app is set up before it is.
//
//	h, err := esso.NewHandler(esso.Document{
//		ITunesStoreID:        123456789, // the app that signs people in
//		AssociatedDomains:    []string{"login.example.com"},
//		ConfigurationProfile: profile,   // com.apple.extensiblesso
//	}, esso.Standard)
//	…
//	mux.Handle("GET /enroll/account/esso", h)
//
// The challenge of the enrollment POST names the document's address in a header,
// see SetHeaders. The device fetches it, asks its owner to let the app be
// downloaded, makes the separate volume, installs the app and the profile or the
// declarations, and goes on with the sign-in, whose web requests the app's
// extension then answers. Whoever cancels loses all of that again.
//
// # What the app must be
//
// It is in the App Store, holds a single sign-on extension, and has the
// entitlement com.apple.developer.enrollment-sso-capable, which Apple grants on
// request. Devices take part from iOS and iPadOS 16 and visionOS 2 on, with both
// ways of authentication; Apple prefers OAuth 2 here.
//
// # When the app is on the phone already
//
// Enrollment single sign-on installs the app as a managed one, and under User
// Enrollment an app that its owner installed cannot become managed. So an
// Authenticator that is already on the phone stops this way of enrolling: its
// owner has to delete it first, and with it the accounts in it, or enrolls
// without. Since the header is what starts it, leave the header out for people
// who may have the app, and say so where they are told how to enroll.
//
// # Declarations
//
// From iOS 18.4 on a document may hold declarations, which the device prefers to
// the profile. They switch declarative management on, and it synchronizes as soon
// as the device is enrolled: the server must then serve the very same
// declarations, with the same identifiers and server tokens, or the device
// removes app and profile again. Declare makes them, always the same for the
// same input, for the document and for the synchronization. Devices before 18.4
// need ConfigurationProfile; give both.
//
// # Two documents
//
// The standard one names the app by ITunesStoreID. That of developer mode, for
// devices on which Settings > Developer > Enrollment SSO is on, names apps that
// are installed by other means by AppIDs. Each has its own header, and a device
// reads only the one of its mode.
//
// Anybody can fetch the document, so it must hold nothing that is secret.
//
// See https://developer.apple.com/documentation/devicemanagement/implementing-the-enrollment-sso-flow and
// https://developer.apple.com/documentation/devicemanagement/enrollmentssodocument.
package esso
