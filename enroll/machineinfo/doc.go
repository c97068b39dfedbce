// Package machineinfo reads what a device says of itself when it asks to enroll
// by an account: a property list, signed with the identity that is built into
// the device, as the body of the enrollment POST.
//
//	anchor, err := machineinfo.ParseAnchor(pem) // Apple's device CA
//	…
//	info, err := machineinfo.Verify(body, anchor)
//	if err != nil {
//		http.Error(w, "", machineinfo.Status(err))
//	}
//	if os, ok := info.OS(); ok && os.Before(17, 0) { … }
//
// # What the signature proves
//
// That the message was signed by a key that Apple's device CA certified, and
// nothing of who holds the device, when, or that it is this device: there is no
// nonce, the message can be replayed, and device keys can be extracted. So the
// result is a hint with which to choose and refuse. The right to enroll comes
// from the person's sign-in.
//
// Real devices sign under "Apple iPhone Device CA", whose certificate ended in
// 2014, with SHA-1 and RSA; the dates of that certificate and of the device's
// are therefore not judged, and SHA-1 is accepted, here and nowhere else. What
// decides is the key in Anchor: a certificate of the same name has another one.
// Apple prints the certificate in its documentation of over-the-air enrollment
// (https://developer.apple.com/library/archive/documentation/NetworkingInternet/Conceptual/iPhoneOTAConfiguration/).
// Tests and the simulated iPhone have an anchor of their own, from package
// machineinfotest.
//
// # What is never kept
//
// An Info has no field for a UDID, a serial number, an IMEI or a MEID, which
// Apple forbids under User Enrollment: a device that sends one all the same
// loses it here. The device's certificate is not returned either, since it is
// the same at every enrollment.
//
// See https://developer.apple.com/documentation/devicemanagement/machineinfo and
// https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow.
package machineinfo
