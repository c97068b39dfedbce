package mdm_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

func ExampleNew() {
	server, err := mdm.New(mdm.Config{
		Store:    newStore(),         // one of package storage
		Identity: x509.NewCertPool(), // the CA of device identities
		Topic:    "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/mdm/", server.Handler("/mdm"))

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/mdm/checkin", nil))
	fmt.Println("without an identity:", answer.Code)
	// Output: without an identity: 403
}

func ExampleServer_Enqueue() {
	store := newStore()
	store.Enrollments["9B7E"] = &record{Enrollment: mdm.Enrollment{ID: "9B7E", Way: mdm.WayProfile, State: mdm.StateEnrolled}}
	server, err := mdm.New(mdm.Config{Store: store, Identity: x509.NewCertPool(), Topic: "com.apple.mgmt.External.1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = server.Enqueue(context.Background(), "9B7E", command.DeviceInformation{Queries: []string{"OSVersion"}})
	fmt.Println(err, store.Queue[0].RequestType)

	_, err = server.Enqueue(context.Background(), "9B7E", command.DeviceInformation{Queries: []string{"SerialNumber"}})
	fmt.Println(errors.Is(err, mdm.ErrForbidden))
	// Output:
	// <nil> DeviceInformation
	// true
}

func ExampleAllowed() {
	fmt.Println(mdm.Allowed(mdm.WayProfile, command.Raw{Type: "EraseDevice"}))
	fmt.Println(mdm.Allowed(mdm.WayDevice, command.Raw{Type: "EraseDevice"}))
	// Output:
	// mdm: command EraseDevice is forbidden in User Enrollment: Apple does not list it for User Enrollment on iOS
	// mdm: command EraseDevice is forbidden in Device Enrollment: it needs the access right 8 (erase), which the enrollment does not grant
}
