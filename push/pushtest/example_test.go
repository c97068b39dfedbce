package pushtest_test

import (
	"fmt"

	"github.com/enrollkit/enrollkit/push/pushtest"
)

// Without a test, as in a demonstration. In a test it is pushtest.New(t).
func ExampleOpen() {
	apns, err := pushtest.Open(pushtest.Config{
		Topic:   "com.apple.mgmt.External.demo",
		Deliver: func(p pushtest.Push) { fmt.Printf("woken: %x\n", p.Token) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer apns.Close()
	certPEM, keyPEM := apns.PushCertificate()
	fmt.Println(apns.Topic(), len(certPEM) > 0, len(keyPEM) > 0)
	// Output: com.apple.mgmt.External.demo true true
}

func ExampleServer_Script() {
	apns, err := pushtest.Open(pushtest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer apns.Close()
	apns.Script(func(p pushtest.Push) pushtest.Reply {
		if p.Magic == "busy" {
			return pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "3600"}
		}
		return pushtest.Reply{} // accepted
	})
	fmt.Println(len(apns.Pushes()), apns.Requests(), apns.Connections())
	// Output: 0 0 0
}
