package mdmtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// The owner types an identifier of a domain that serves iPads only.
func ExamplePhone_Discover() {
	mux := http.NewServeMux() // the web site of the mail domain
	mux.HandleFunc("GET /.well-known/com.apple.remotemanagement", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("model-family") == "iPad" {
			fmt.Fprint(w, `{"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.example.com/enroll"}]}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"code":"com.apple.well-known.failed","message":"iPads only, please."}`)
	})
	site := httptest.NewTLSServer(mux)
	defer site.Close()

	ca, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, product := range []string{"iPad14,1", "iPhone17,2"} {
		device, err := ca.Device()
		if err != nil {
			fmt.Println(err)
			return
		}
		phone, err := mdmtest.New(mdmtest.Config{
			Transport: site.Client().Transport, OSVersion: "26.1", Product: product,
			Account: mdmtest.AccountConfig{Device: device, DomainURL: func(string) string { return site.URL }},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		account, err := phone.Discover(context.Background(), "ada@example.com")
		var refused *mdmtest.RefusedError
		if errors.As(err, &refused) {
			fmt.Println(refused.Status, refused.Message)
			continue
		}
		fmt.Println(account.Server.Version, account.Server.BaseURL)
	}
	// Output:
	// mdm-byod https://mdm.example.com/enroll
	// 403 iPads only, please.
}
