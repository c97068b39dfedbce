package push_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// A stand-in takes the place of APNs, so Host and RootCAs are set.
func ExampleClient() {
	apns, err := pushtest.Open(pushtest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer apns.Close()

	certificate, err := push.ParseCertificate(apns.PushCertificate())
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := push.NewClient(push.ClientConfig{Certificate: certificate, Host: apns.URL(), RootCAs: apns.RootCAs()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	target := push.Target{Topic: certificate.Topic(), Token: []byte("opaque to us"), Magic: "0F1E2D3C"}
	answer, err := client.Push(context.Background(), target)
	fmt.Println(answer, answer.Verdict(), err)

	apns.Reject(410, "Unregistered", time.Now())
	answer, err = client.Push(context.Background(), target)
	fmt.Println(answer, answer.Verdict(), err)

	apns.Reject(403, "BadCertificate", time.Time{})
	_, err = client.Push(context.Background(), target)
	fmt.Println(err)
	// Output:
	// status 200 accepted <nil>
	// status 410, Unregistered dead <nil>
	// push: APNs refuses this server; look at the push certificate: status 403, BadCertificate
}

func ExampleWorker() {
	delivered := make(chan pushtest.Push)
	apns, err := pushtest.Open(pushtest.Config{Deliver: func(p pushtest.Push) { delivered <- p }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer apns.Close()
	certificate, err := push.ParseCertificate(apns.PushCertificate())
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := push.NewClient(push.ClientConfig{Certificate: certificate, Host: apns.URL(), RootCAs: apns.RootCAs()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	store := &store{} // one of package storage
	worker, err := push.NewWorker(push.WorkerConfig{Store: store, Pusher: client, Drain: time.Minute})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()

	// mdm.Server does this when a command is queued.
	store.want(push.Target{EnrollmentID: "9B7E", Topic: certificate.Topic(), Token: []byte{1, 2, 3}, Magic: "0F1E2D3C"})
	worker.Kick()
	fmt.Println("woken:", (<-delivered).Magic)

	cancel()
	fmt.Println(<-ended, store.pending())
	// Output:
	// woken: 0F1E2D3C
	// <nil> []
}

// A certificate that was created anew instead of renewed would reach no device.
func ExampleClient_Replace() {
	apns, err := pushtest.Open(pushtest.Config{Topic: "com.apple.mgmt.External.first"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer apns.Close()
	certificate, err := push.ParseCertificate(apns.PushCertificate())
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := push.NewClient(push.ClientConfig{Certificate: certificate, Host: apns.URL(), RootCAs: apns.RootCAs()})
	if err != nil {
		fmt.Println(err)
		return
	}

	certPEM, keyPEM, err := apns.Issue("com.apple.mgmt.External.second", time.Now(), time.Now().AddDate(1, 0, 0))
	if err != nil {
		fmt.Println(err)
		return
	}
	created, err := push.ParseCertificate(certPEM, keyPEM)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.Replace(created)
	topic, ok := errors.AsType[*push.TopicError](err)
	fmt.Println(ok, topic.Certificate, topic.Enrolled)
	fmt.Println(client.Certificate().Topic())
	// Output:
	// true com.apple.mgmt.External.second com.apple.mgmt.External.first
	// com.apple.mgmt.External.first
}
