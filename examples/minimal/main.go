// Command minimal is an integrator's main: OpenID Connect, APNs, SQLite, PEM files.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso/extension"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

func main() {
	ctx, env, mux := context.Background(), os.Getenv, http.NewServeMux()
	store := must(sqlite.Open(ctx, "enrollkit.db", sqlite.Options{Keys: [][]byte{must(os.ReadFile("storage.key"))}}))
	account := enroll.AccountConfig{Store: store, Anchor: must(machineinfo.ParseAnchor(must(os.ReadFile("apple-device-ca.pem"))))}
	signing, devices, ra, apns := load("signing"), load("identity-ca"), load("scep-ra"), must(push.LoadCertificate("push.pem", "push.key"))
	worker := must(push.NewWorker(push.WorkerConfig{Store: store, Pusher: must(push.NewClient(push.ClientConfig{Certificate: apns}))}))
	portal := must(enroll.New(enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store, Account: &account, CookieKeys: [][]byte{must(os.ReadFile("cookie.key"))},
		Provisioner: must(jit.New(jit.Config{Store: store})), Authenticator: must(oidc.New(oidc.Config{Issuer: env("OIDC_ISSUER"), ClientID: env("OIDC_CLIENT"), ClientSecret: env("OIDC_SECRET")})),
		Signer:  must(profile.NewSigner(signing.PrivateKey.(scep.RAKey), []*x509.Certificate{signing.Leaf})),
		BaseURL: env("BASE_URL"), Organization: "Example Inc.", Identifier: "com.example.enroll", Topic: apns.Topic()}))
	authority, identities := ca.Config{Certificate: devices.Leaf, Key: devices.PrivateKey.(scep.RAKey)}, x509.NewCertPool()
	identities.AddCert(devices.Leaf)
	login := must(extension.Profile(extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Sign-in"}, extension.Microsoft{}))
	planner := must(policy.New(policy.Config{Users: store, Assignments: []policy.Assignment{must(policy.Assign("", login))}}))
	mux.Handle("/enroll", portal)
	mux.Handle("/enroll/", portal)
	mux.Handle(discovery.Path, must(discovery.New(discovery.Config{Organizations: []discovery.Organization{{Domains: []string{env("DOMAIN")}, BYOD: portal.AccountURL(false)}}})))
	mux.Handle("/scep", must(scep.New(scep.Config{Issuer: must(ca.New(authority)), Redeemer: portal, RA: ra.Leaf, RAKey: ra.PrivateKey.(scep.RAKey)})))
	mux.Handle("/mdm/", must(mdm.New(mdm.Config{Store: store, Identity: identities, Topic: apns.Topic(), Planner: planner, Kick: worker.Kick, Challenger: portal})).Handler("/mdm"))
	go func() { log.Fatal(worker.Run(ctx)) }()
	go func() { log.Fatal(storage.Retention{Store: store}.Run(ctx)) }()
	log.Fatal((&http.Server{Addr: env("LISTEN"), Handler: mux, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second}).ListenAndServeTLS("tls.pem", "tls.key"))
}
func load(name string) tls.Certificate { return must(tls.LoadX509KeyPair(name+".pem", name+".key")) }
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
