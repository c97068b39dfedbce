// Package discovery answers the question with which account-driven enrollment
// starts: a person types user@domain in Settings, and the device asks that
// domain where to enroll.
//
//	GET https://<domain>/.well-known/com.apple.remotemanagement?user-identifier=<typed>&model-family=iPhone
//
// The Handler serves several domains of several organizations. It looks at the
// domain of the identifier, at the model family and at its configuration, and
// at nothing else: whether the user exists makes no difference in what it
// answers or in how long it takes. It does not look at the host either, so the
// same Handler is mounted on the server's own host and on the host of a mail
// domain:
//
//	h, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{{
//		Domains: []string{"example.com"},
//		BYOD:    "https://mdm.example.com/enroll/account/byod",
//	}}})
//	…
//	mux.Handle(discovery.Path, h)
//
// # Which devices
//
// Unless Organization.Families says otherwise, iPhone and iPad get mdm-byod,
// account-driven User Enrollment, and every other family is refused. Vision
// Pro (RealityDevice) knows account-driven User Enrollment as well and is served
// where it is listed. mdm-adde, account-driven Device Enrollment, is never
// reached but by being listed. Apple documents model-family for every request;
// one without it is served what iPhone and iPad both get, if that is mdm-byod,
// since devices that might leave it out know no other version.
//
// # When the domain's web site is another's
//
// Devices ask the domain itself, by HTTPS with a certificate that they trust
// without any profile. Most often a company's web site is there and not this
// server. Three ways lead from there to here:
//
//   - Redirect. The device follows redirects, and does not add its query again,
//     so that whoever redirects must copy it. The folder snippets has the lines
//     for nginx and Apache, as nginx-redirect.conf and apache-redirect.conf.
//   - A static file, whose content is Handler.StaticFile. It must be served
//     with status 200 and the type application/json, at exactly Path; see
//     nginx-file.conf and apache-file.conf in snippets. A file says the same to
//     every device and every user: the enrollment address behind it refuses
//     what it does not take.
//   - Apple. From iOS 18.2 on a device that gets no usable answer from the
//     domain asks Apple, which redirects it to an address that the organization
//     set, if the identifier is a Managed Apple Account of that organization.
//     The server sets that address in Apple Business or School Manager, with
//     the session that it has for device assignment: POST
//     {"mdm_service_discovery_url":"https://mdm.example.com/.well-known/com.apple.remotemanagement"}
//     to https://mdmenrollment.apple.com/account-driven-enrollment/profile; GET
//     reads it and DELETE removes it. The device expects the very document that
//     a Handler sends there, and anybody can read it.
//
// Since any failure at the domain leads a device on to Apple's fallback, the
// text of a refusal may never be shown, and a refusal here does not keep the
// organization's devices from a server that is set there.
//
// # Answers
//
//	200  the document with one server, as application/json and nothing else
//	400  the identifier or the query is malformed
//	403  com.apple.well-known.failed: the domain or the family is not served
//	405  another method than GET and HEAD
//
// It never redirects. It keeps no state and logs no part of an identifier but
// the domain. A ServeMux cleans a path by a redirect, so mount it at Path itself.
//
// See https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow,
// https://developer.apple.com/documentation/devicemanagement/errorwellknownfailed and
// https://developer.apple.com/documentation/devicemanagement/assign-account-driven-enrollment-profile.
package discovery
