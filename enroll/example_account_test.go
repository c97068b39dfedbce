package enroll_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// identities are a company's authority for devices, and its registration
// authority for SCEP.
func identities() (authority *ca.CA, ra *x509.Certificate, key *rsa.PrivateKey, err error) {
	root, rootKey, err := ca.NewRoot("Example devices", 365*24*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	if authority, err = ca.New(ca.Config{Certificate: root, Key: rootKey}); err != nil {
		return nil, nil, nil, err
	}
	if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, nil, nil, err
	}
	ra, err = authority.IssueRA(key.Public(), "Example RA", 90*24*time.Hour)
	return authority, ra, key, err
}

// Account-driven enrollment: the portal, service discovery, and the device side
// that asks the portal how people sign in again.
func Example_accountDriven() {
	fail := func(err error) { fmt.Println(err) }
	store := memory.New()
	people, err := jit.New(jit.Config{Store: store})
	if err != nil {
		fail(err)
		return
	}
	provider, err := oidc.New(oidc.Config{Issuer: "https://login.example.com", ClientID: "enroll", ClientSecret: "secret"})
	if err != nil {
		fail(err)
		return
	}
	profiles, err := signer()
	if err != nil {
		fail(err)
		return
	}
	// A server reads Apple's device CA by machineinfo.ParseAnchor; this one is of
	// simulated devices.
	apple, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{})
	if err != nil {
		fail(err)
		return
	}
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	const topic = "com.apple.mgmt.External.9f1c2c1e"
	portal, err := enroll.New(enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store,
		Provisioner: people, Authenticator: provider, Signer: profiles,
		CookieKeys: [][]byte{make([]byte, enroll.CookieKeySize)}, // random, from a secret store
		BaseURL:    server.URL, Organization: "Example Inc.", Identifier: "com.example.enroll", Topic: topic,
		Account: &enroll.AccountConfig{Store: store, Anchor: apple.Anchor()},
	})
	if err != nil {
		fail(err)
		return
	}
	authority, ra, raKey, err := identities()
	if err != nil {
		fail(err)
		return
	}
	identity, err := scep.New(scep.Config{Issuer: authority, Redeemer: portal, RA: ra, RAKey: raKey})
	if err != nil {
		fail(err)
		return
	}
	anchors := x509.NewCertPool()
	anchors.AddCert(authority.Chain()[0])
	devices, err := mdm.New(mdm.Config{Store: store, Identity: anchors, Topic: topic, Challenger: portal})
	if err != nil {
		fail(err)
		return
	}
	where, err := discovery.New(discovery.Config{Organizations: []discovery.Organization{{
		Domains: []string{"example.com"}, BYOD: portal.AccountURL(false),
	}}})
	if err != nil {
		fail(err)
		return
	}
	mux.Handle(enroll.DefaultPrefix, portal)
	mux.Handle(enroll.DefaultPrefix+"/", portal)
	mux.Handle("/scep", identity)
	mux.Handle("/mdm/", devices.Handler("/mdm"))
	mux.Handle(discovery.Path, where) // on the host of example.com, too

	// A phone finds the server, and is told to let its owner sign in.
	device, err := apple.Device()
	if err != nil {
		fail(err)
		return
	}
	phone, err := mdmtest.New(mdmtest.Config{
		Transport: server.Client().Transport, OSVersion: "26.1",
		Account: mdmtest.AccountConfig{Device: device, DomainURL: func(string) string { return server.URL }},
	})
	if err != nil {
		fail(err)
		return
	}
	account, err := phone.Discover(context.Background(), "ada@example.com")
	if err != nil {
		fail(err)
		return
	}
	challenge, err := account.RequestChallenge(context.Background())
	if err != nil {
		fail(err)
		return
	}
	fmt.Println(account.Server.Version, challenge.Method)
	// Output: mdm-byod apple-as-web
}
