package sso_test

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// begin is the handler behind "sign in": it returns where the browser goes and
// what it keeps, encrypted, until it is back.
func begin(ctx context.Context, a sso.Authenticator, states sso.StateStore, r sso.Request, now time.Time) (string, []byte, error) {
	attempt, err := a.Begin(ctx, r)
	if err != nil {
		return "", nil, err
	}
	if err := states.OpenState(ctx, attempt.Key, now.Add(10*time.Minute)); err != nil {
		return "", nil, err
	}
	return attempt.URL, attempt.Secret, nil
}

// callback is the handler of the redirect address. The attempt is ended before
// the code is sent, so that a callback works once on any number of nodes.
func callback(ctx context.Context, a sso.Authenticator, states sso.StateStore, r sso.Request, secret []byte, query url.Values, now time.Time) (jit.Identity, error) {
	key, err := a.State(secret, query)
	if err != nil {
		return jit.Identity{}, err
	}
	if err := states.ConsumeState(ctx, key, now); err != nil {
		return jit.Identity{}, err
	}
	return a.Finish(ctx, r, secret, query)
}

func ExampleAuthenticator() {
	idp, err := ssotest.Open(ssotest.Config{
		Issuer: "https://idp.example.com", Clients: []ssotest.Client{{ID: "enroll", Secret: "secret"}},
		Users: []ssotest.User{{Username: "alice@example.com", Password: "password"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	provider, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: "enroll", ClientSecret: "secret", HTTPClient: idp.HTTPClient()})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, now, states := context.Background(), time.Now(), memory.New()
	r := sso.Request{RedirectURL: "https://mdm.example.com/enroll/callback", LoginHint: "alice@example.com"}
	address, secret, err := begin(ctx, provider, states, r, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := idp.SignIn(address, "alice@example.com", "password")
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		id, err := callback(ctx, provider, states, r, secret, back.Query(), now)
		fmt.Printf("%q %v\n", id.PreferredUsername, err)
	}
	// Output:
	// "alice@example.com" <nil>
	// "" sso: sign-in is unknown, expired or already used
}
