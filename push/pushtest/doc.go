// Package pushtest is a stand-in for the Apple Push Notification service
// (https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns):
// HTTP/2 over TLS, with a client certificate, for tests of servers that wake
// devices and for the quickstart.
//
// It makes a certificate authority of its own, which issues its server
// certificate and push certificates, and judges each request as APNs does. In a
// test, [New] starts one that ends with the test. For a demonstration, [Open]
// starts one without a test.
//
//	apns := pushtest.New(t)
//	certPEM, keyPEM := apns.PushCertificate()
//	certificate, err := push.ParseCertificate(certPEM, keyPEM)
//	…
//	client, err := push.NewClient(push.ClientConfig{
//		Certificate: certificate,
//		Host:        apns.URL(),
//		RootCAs:     apns.RootCAs(),
//	})
//	…
//	fmt.Println(apns.Pushes())
//
// # What goes wrong
//
// [Server.Reject] and [Server.Script] make it refuse, be slow or misbehave;
// [Server.BlackHole] and [Server.Drop] are about its connections;
// [Server.Issue] makes push certificates that are expired or of another topic.
//
// # Where it is stricter than APNs
//
// The stand-in knows no devices: it takes every token for one that belongs to its
// topic. It insists on the headers that MDM should send and that APNs can do
// without, and on a body that is exactly {"mdm":"…"}; APNs passes any other on,
// and the device ignores it.
package pushtest
