package ssotest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// An application has to notice each thing that a provider may do wrong.
func ExampleProvider_Break() {
	idp, err := ssotest.Open(ssotest.Config{ // in a test: ssotest.New(t)
		Issuer: "https://idp.example.com", Clients: []ssotest.Client{{ID: "enroll", Secret: "secret"}},
		Users: []ssotest.User{{Username: "alice@example.com", Password: "password"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signIn := func() error {
		provider, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: "enroll", ClientSecret: "secret", HTTPClient: idp.HTTPClient()})
		if err != nil {
			return err
		}
		ctx, r := context.Background(), sso.Request{RedirectURL: "https://app.example.com/callback"}
		attempt, err := provider.Begin(ctx, r)
		if err != nil {
			return err
		}
		back, err := idp.SignIn(attempt.URL, "alice@example.com", "password")
		if err != nil {
			return err
		}
		_, err = provider.Finish(ctx, r, attempt.Secret, back.Query())
		return err
	}
	fmt.Println("honest:", signIn())
	for _, fault := range []ssotest.Fault{ssotest.WrongNonce, ssotest.AlgNone, ssotest.KeysDown} {
		idp.Break(fault)
		err := signIn()
		fmt.Printf("%s: refused %t, unavailable %t\n", fault, errors.Is(err, sso.ErrCallback), errors.Is(err, sso.ErrUnavailable))
		idp.Repair()
	}
	// Output:
	// honest: <nil>
	// wrong nonce: refused true, unavailable false
	// alg none: refused true, unavailable false
	// keys down: refused false, unavailable true
}

// For a demonstration, a provider is a handler of the server that it is for.
func ExampleOpen() {
	idp, err := ssotest.Open(ssotest.Config{
		Issuer:  "https://demo.example.com/idp",
		Clients: []ssotest.Client{{ID: "enroll", Secret: "secret", RedirectURIs: []string{"https://demo.example.com/enroll/callback"}}},
		Users: []ssotest.User{{
			Username: "alice@example.com", Password: "password", Groups: []string{"byod"},
			Claims: map[string]any{"amr": []string{"pwd", "mfa"}},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/idp/", idp)

	resp, err := idp.HTTPClient().Get("https://demo.example.com/idp/.well-known/openid-configuration")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, resp.Header.Get("Content-Type"))
	// Output: 200 application/json
}
