package main

import (
	"crypto/rand"
	"log/slog"
	"net/http"

	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
)

// password is everybody's.
const password = "password"

// users can sign in.
var users = []ssotest.User{
	{Username: "alice@example.com", Password: password, Subject: "u-alice", Email: "alice@example.com", Name: "Alice Example", Groups: []string{"byod", "engineering"}},
	{Username: "bob@example.com", Password: password, Subject: "u-bob", Email: "bob@example.com", Name: "Bob Example", Groups: []string{"contractors"}},
}

// openProvider makes the identity provider, to be mounted at the path of its
// issuer, and our side of it, which finds it by discovery as it would find any
// other: when somebody signs in. The client trusts the development CA.
func openProvider(dir, issuer, callback string, client *http.Client, logger *slog.Logger) (*ssotest.Provider, *oidc.Provider, error) {
	key, err := signingKey(dir, "idp.key")
	if err != nil {
		return nil, nil, err
	}
	const id = "quickstart"
	secret := rand.Text()
	provider, err := ssotest.Open(ssotest.Config{
		Issuer: issuer, Users: users, Key: key,
		Clients: []ssotest.Client{{ID: id, Secret: secret, RedirectURIs: []string{callback}}},
	})
	if err != nil {
		return nil, nil, err
	}
	authenticator, err := oidc.New(oidc.Config{Issuer: issuer, ClientID: id, ClientSecret: secret, HTTPClient: client, Logger: logger})
	return provider, authenticator, err
}
