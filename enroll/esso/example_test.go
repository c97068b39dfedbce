package esso_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/enrollkit/enrollkit/enroll/esso"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
)

func ExampleNewHandler() {
	p, err := extension.Profile(
		extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Work sign-in"},
		extension.Redirect{ExtensionIdentifier: "com.example.authenticator.sso", URLs: []string{"https://login.example.com/"}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	content, err := p.Marshal()
	if err != nil {
		fmt.Println(err)
		return
	}
	declarations, err := esso.Declare("com.example.esso", esso.App{ITunesStoreID: 123456789}, "https://mdm.example.com/esso/profile")
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := esso.NewHandler(esso.Document{
		ITunesStoreID:        123456789,
		AssociatedDomains:    []string{"login.example.com"},
		ConfigurationProfile: content,
		Declarations:         declarations, // serve the very same by declarative management
	}, esso.Standard)
	if err != nil {
		fmt.Println(err)
		return
	}

	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/enroll/account/esso", nil))
	d, err := esso.Parse(answer.Body.Bytes(), esso.Standard)
	fmt.Println(d.ITunesStoreID, len(d.Declarations), err)
	// Output: 123456789 3 <nil>
}

// A device refuses a profile with anything but extensions and certificates.
func ExampleDocument_Check() {
	err := esso.Document{ITunesStoreID: 123456789, AppIDs: []string{"ABCDE12345.com.example.app"}}.Check(esso.Standard)
	for v := range profile.Violations(err) {
		fmt.Println(v.Path, v.Reason)
	}
	// Output:
	// AppIDs must be absent in standard mode
	// ConfigurationProfile is needed where there are no Declarations
}
