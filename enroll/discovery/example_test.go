package discovery_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/enrollkit/enrollkit/enroll/discovery"
)

func ExampleNew() {
	h, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{{
		Domains: []string{"example.com", "example.org"},
		BYOD:    "https://mdm.example.com/enroll/account/byod",
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle(discovery.Path, h)

	for _, identifier := range []string{"ada%40example.com", "ada%40example.net"} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, discovery.Path+"?user-identifier="+identifier+"&model-family=iPhone", nil))
		fmt.Println(answer.Code, answer.Body)
	}
	// Output:
	// 200 {"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.example.com/enroll/account/byod"}]}
	// 403 {"code":"com.apple.well-known.failed","message":"Your organization does not enroll devices here. Check the address that you typed.","description":"the domain of user-identifier is not served"}
}

// A company enrolls its own iPads and its people's iPhones.
func ExampleOrganization_families() {
	h, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{{
		Domains: []string{"example.com"},
		BYOD:    "https://mdm.example.com/enroll/account/byod",
		ADDE:    "https://mdm.example.com/enroll/account/adde",
		Families: map[discovery.Family]discovery.Version{
			discovery.IPhone: discovery.BYOD,
			discovery.IPad:   discovery.ADDE,
		},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = h.StaticFile("example.com")
	fmt.Println(err)
	// Output: discovery: the families of this domain get different versions, so it needs a redirect and not a file: "example.com"
}

func ExampleHandler_StaticFile() {
	h, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{{
		Domains: []string{"example.com"}, BYOD: "https://mdm.example.com/enroll/account/byod",
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := h.StaticFile("example.com")
	fmt.Println(string(file), err)
	// Output: {"Servers":[{"Version":"mdm-byod","BaseURL":"https://mdm.example.com/enroll/account/byod"}]} <nil>
}
