package enroll_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// signer is the profile signer of a company, here with a new authority.
func signer() (*profile.Signer, error) {
	root, rootKey, err := ca.NewRoot("Example Inc.", 365*24*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority, err := ca.New(ca.Config{Certificate: root, Key: rootKey})
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := authority.IssueSigning(key.Public(), "Example Inc.", 90*24*time.Hour)
	if err != nil {
		return nil, err
	}
	return profile.NewSigner(key, []*x509.Certificate{leaf, root})
}

func Example() {
	store := memory.New()
	people, err := jit.New(jit.Config{Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	login := oidc.Okta("https://example.okta.com")
	login.ClientID, login.ClientSecret = "0oa1", "secret"
	provider, err := oidc.New(login)
	if err != nil {
		fmt.Println(err)
		return
	}
	profiles, err := signer()
	if err != nil {
		fmt.Println(err)
		return
	}
	portal, err := enroll.New(enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store,
		Provisioner: people, Authenticator: provider, Signer: profiles,
		CookieKeys:   [][]byte{make([]byte, enroll.CookieKeySize)}, // random, from a secret store
		BaseURL:      "https://mdm.example.com",
		Organization: "Example Inc.",
		Identifier:   "com.example.enroll",
		Topic:        "com.apple.mgmt.External.9f1c2c1e",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle(enroll.DefaultPrefix, portal)
	mux.Handle(enroll.DefaultPrefix+"/", portal)

	r := httptest.NewRequest(http.MethodGet, portal.URL(), nil)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, r)
	fmt.Println(answer.Code, "register", portal.CallbackURL(), "with the provider")
	// Output: 200 register https://mdm.example.com/enroll/callback with the provider
}
