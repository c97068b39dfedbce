package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// Only people of one tenant, who are in a group and proved a second factor.
func ExampleNew() {
	cfg := oidc.Entra("11111111-2222-3333-4444-555555555555")
	cfg.ClientID, cfg.ClientSecret = "enroll", "from a vault"
	cfg.GroupsClaim = "roles" // app roles do not overflow as groups do
	cfg.RequiredGroups = []string{"Enroll.BYOD"}
	cfg.RequireMFA = true // a Conditional Access policy ties c1 to it
	provider, err := oidc.New(cfg)
	fmt.Println(provider != nil, err)
	// Output: true <nil>
}

// Everything that is wrong with a configuration is told at once, before the
// provider is asked.
func ExampleNew_mistakes() {
	cfg := oidc.Google()
	cfg.RequireMFA = true
	_, err := oidc.New(cfg)
	fmt.Println(err)
	// Output:
	// oidc: Config.ClientID is required
	// oidc: Config.AllowedDomains is required with Google
	// oidc: Google's tokens hold no evidence of a second factor, require it by Workspace policy
}

// A whole sign-in, at a provider that runs in the same process.
func ExampleProvider() {
	const users = "https://idp.example.com"
	idp, err := ssotest.Open(ssotest.Config{
		Issuer: users, Clients: []ssotest.Client{{ID: "enroll", Secret: "secret"}},
		Users: []ssotest.User{{Username: "alice@example.com", Password: "password", Groups: []string{"byod"}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	provider, err := oidc.New(oidc.Config{Issuer: users, ClientID: "enroll", ClientSecret: "secret", HTTPClient: idp.HTTPClient()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, request := context.Background(), sso.Request{RedirectURL: "https://mdm.example.com/enroll/callback"}
	attempt, err := provider.Begin(ctx, request) // redirect the browser to attempt.URL
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := idp.SignIn(attempt.URL, "alice@example.com", "password") // what the person does
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := provider.Finish(ctx, request, attempt.Secret, back.Query())
	fmt.Println(id.PreferredUsername, id.Groups, err)
	// Output: alice@example.com [byod] <nil>
}

// What a page says to a person follows from the error, and never repeats it.
func ExampleProvider_Finish() {
	provider, err := oidc.New(oidc.Config{Issuer: "https://idp.example.com", ClientID: "enroll", HTTPClient: &http.Client{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = provider.Finish(context.Background(), sso.Request{}, []byte("another browser's"), nil)
	var denied *sso.DeniedError
	switch {
	case errors.Is(err, sso.ErrUnavailable):
		fmt.Println("try again in a minute")
	case errors.As(err, &denied):
		fmt.Println("you may not enroll:", denied.Reason)
	case errors.Is(err, sso.ErrCallback):
		fmt.Println("start again from the portal")
	}
	// Output: start again from the portal
}
