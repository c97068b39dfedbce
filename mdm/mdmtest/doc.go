// Package mdmtest is a simulated iPhone and the person who holds it, for tests
// of servers that enroll devices and for the quickstart.
//
// The phone has a real key, obtains its certificate by real SCEP, signs with
// real CMS and keeps one waiting profile for 8 minutes, as iOS does; the
// person follows the links and forms of the portal in the phone's browser.
//
//	phone, err := mdmtest.New(mdmtest.Config{Transport: transport, Roots: roots})
//	…
//	err = phone.SignIn(ctx, "https://mdm.example.com/enroll", "alice@example.com", "password")
//	_, err = phone.Download(ctx)
//	err = phone.Install(ctx)
//	err = phone.AwaitPush(ctx) // the push service calls Wake
//	_, err = phone.Connect(ctx)
//
// # What goes wrong
//
// [Config] has a knob for each way in which devices, people and networks differ
// from the straight way: another browser or iOS, both shapes of Mdm-Signature,
// the identity in TLS, requests and answers that get lost, commands that are
// answered NotNow or Error, keys that do not belong into a message, a clock that
// is off. What a phone does again after a failure, it does when the same method
// is called again, see the methods.
package mdmtest
