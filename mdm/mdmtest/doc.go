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
// # By an account
//
// With a device identity from package machineinfotest the phone enrolls by a work
// account as well, from iOS 15 on: by User Enrollment or Device Enrollment, with
// both ways of authentication, as discovery and challenge say.
//
//	phone, err := mdmtest.New(mdmtest.Config{
//		Transport: transport, Roots: roots, OSVersion: "26.1",
//		Account: mdmtest.AccountConfig{Device: device},
//	})
//	…
//	account, err := phone.EnrollAccount(ctx, "ada@example.com", "ada", "password")
//	_, err = phone.Connect(ctx) // ErrSignIn: phone.SignInAgain
//
// [Phone.EnrollAccount] goes through [Phone.Discover], [Account.RequestChallenge],
// [Account.SignIn], [Account.RequestToken], [Account.RequestProfile] and
// [Phone.Install], which a test may call one by one. What is downloaded in Safari
// is judged by the iOS too: from 18 on it is Device Enrollment or nothing.
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
