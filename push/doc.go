// Package push wakes devices through the Apple Push Notification service (APNs). A
// device that is woken connects and asks for its commands; the push itself says
// nothing but that.
//
//	certificate, err := push.LoadCertificate("push.pem", "push.key")
//	…
//	client, err := push.NewClient(push.ClientConfig{Certificate: certificate})
//	…
//	worker, err := push.NewWorker(push.WorkerConfig{Store: store, Pusher: client})
//	…
//	go worker.Run(ctx) // and worker.Kick when there is something new
//
// A [Worker] takes from its [Store] which devices are to be woken and records what
// came of it. A [Client] makes one attempt, over one connection that it keeps.
//
// # What becomes of a push
//
//	200                                       done
//	410 Unregistered, ExpiredToken            the token is forgotten, unless it is
//	                                          newer than APNs's news of its end; the
//	                                          enrollment stays, the request waits for
//	                                          the next TokenUpdate
//	400 BadDeviceToken,                       the same; but after ten in a row with
//	    DeviceTokenNotForTopic                nothing good between them the host or the
//	                                          certificate is suspected: pause, ErrTokens
//	429                                       again later, this device only
//	500, 503, other status, no answer,        again later; after ten in a row with
//	GOAWAY, no connection                     nothing good between them: pause
//	403; 400, 404, 405, 413 for a reason      pause, RefusedError
//	that is ours; the certificate refused
//	in TLS or by GOAWAY
//	the device's topic is another one         not sent; again later, this device only
//
// Later is by [WorkerConfig] RetryMin and RetryMax, or Retry-After when that is
// longer. In a pause nothing is sent; after it one push at a time is, until one
// goes well. No device is given up and no request is lost, whatever happens.
//
// # The push certificate
//
// Devices hear only from the topic that they enrolled with, for as long as they are
// enrolled, and a push certificate lasts a year. So it has to be renewed and not
// created anew, see [TopicError], [Certificate.DaysLeft] and [Client.Replace].
//
// # What is never logged
//
// Push tokens and magics. They are in no error of this package either.
//
// This package follows
// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns,
// https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns and
// https://developer.apple.com/documentation/devicemanagement/sending-mdm-push-notifications-to-devices.
package push
