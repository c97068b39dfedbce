// Package mdm speaks Apple's MDM protocol with enrolled devices: check-in,
// commands, the durable queue, and the gate that refuses what Apple forbids
// under User Enrollment
// (https://developer.apple.com/documentation/devicemanagement/implementing-device-management).
//
// [Server] is two handlers over a [Store]. A device is its certificate: each
// request is bound to the identity that was issued for that enrollment, proven
// by the Mdm-Signature header or by TLS. A request costs one verified
// signature, one parse and one step of the store, and a 200 follows the commit.
//
// # What devices are answered
//
//	no, unverifiable, unknown, foreign or replaced identity;
//	another EnrollmentID than the bound one; suspended user     403, empty
//	account-driven: no bearer token of this enrollment in force 401, challenge
//	not PUT                                                     405, Allow
//	a check-in over 64 KiB, a connect over 1 MiB                413
//	Content-Encoding, or another content type                   415
//	not an XML property list, a key missing or out of bounds,
//	another topic, an iOS before 13.1, a message not served,
//	a UDID under User Enrollment, an EnrollmentID under the
//	other                                                       400, empty
//	a message of a user of a shared device                      410, empty
//	connect after the end, profile-driven                       401, no challenge
//	connect after the end, account-driven                       403, JSON
//	the store or the planner broke                              503, Retry-After
//
// Identity is looked at before the body, and the bearer token last. A refused
// request changes nothing. A 401 with a challenge makes a device sign in again,
// see [Challenger]; one without makes a device leave that was not enrolled by an
// account.
//
// # Ways
//
// An enrollment has the [Way] of its ticket for as long as it lives; nothing that
// a device sends changes it. User Enrollment is gated by what Apple allows there.
// Device Enrollment is gated by the access rights that its profile named, see
// [Config].
//
// # Privacy
//
// The messages that this package reads have no field for a hardware
// identifier, so a UDID, SerialNumber, IMEI or MEID that comes beside an
// EnrollmentID is dropped before anything is stored or logged. Results of
// commands are stored without such keys, see [Store]. Under Device Enrollment the
// UDID is the device's name, no other identifier comes unasked, and a result is
// stored as the device answered what it was asked.
package mdm
