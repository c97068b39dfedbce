// Package ssotest is an OpenID provider in process, with discovery, keys, the
// authorization code flow with PKCE and a plain login form. It is honest, or
// hostile by name: [Provider.Break] makes it do one thing wrong.
//
// In a test, [New] starts one on a loopback port. For a demonstration, [Open]
// makes one that is mounted into a server at the path of its issuer; its
// [Provider.HTTPClient] needs no server at all, also in a bubble of
// testing/synctest. It is no provider for production: its users and their
// passwords stand in a configuration.
package ssotest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tenantPlaceholder in an issuer is replaced by the claim tid of the person, as
// Entra ID does for several tenants. The endpoints are then those of the path
// "organizations", and callbacks name no issuer.
const tenantPlaceholder = "{tenantid}"

func (p *Provider) templated() bool { return strings.Contains(p.cfg.Issuer, tenantPlaceholder) }

// User can sign in.
type User struct {
	// Username and Password are typed into the form. Username is the claim
	// preferred_username.
	Username, Password string
	// Subject is the claim sub, by default Username.
	Subject string
	// Email and Name are left out when empty; Email counts as verified.
	Email, Name string
	// Groups is the claim groups.
	Groups []string
	// Claims are added to the token and replace what would be there, also
	// evidence of a second factor such as acr, amr and acrs. A nil value removes
	// a claim.
	Claims map[string]any
}

// Client is an application that signs people in here.
type Client struct {
	// ID is its client_id. A client without Secret is a public one.
	ID, Secret string
	// RedirectURIs are compared as they are. Empty, which is for tests, allows
	// any http or https address.
	RedirectURIs []string
}

// Config configures a Provider. Issuer, Users and Clients are required.
type Config struct {
	// Issuer is the absolute URL at whose path the Provider is mounted, without
	// a slash at its end.
	Issuer string
	// Users can sign in.
	Users []User
	// Clients can send people here.
	Clients []Client
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Random makes codes and tokens, by default crypto/rand.Reader. It must be
	// safe for concurrent use.
	Random io.Reader
	// AuthMethods are the ways in which clients with a secret may authenticate:
	// client_secret_basic, client_secret_post, by default both. Public clients
	// need none.
	AuthMethods []string
	// Key signs: *ecdsa.PrivateKey on P-256 or P-384, *rsa.PrivateKey or
	// ed25519.PrivateKey. By default it is made new.
	Key crypto.Signer
}

// Provider is an OpenID provider and an http.Handler. It keeps codes in memory.
// It is safe for concurrent use.
type Provider struct {
	cfg    Config
	path   string // of the issuer
	base   string // of the endpoints
	extra  struct{ es384, eddsa, stranger key }
	mux    *http.ServeMux
	server *httptest.Server

	mu       sync.Mutex // guards what follows
	signing  key
	faults   map[Fault]bool
	grants   map[string]grant
	requests map[string]int
}

// key is a signing key as the JOSE library wants it.
type key struct {
	private jose.JSONWebKey
	alg     jose.SignatureAlgorithm
}

func (k key) public() jose.JSONWebKey { return k.private.Public() }

// Option changes the configuration that New starts from.
type Option func(*Config)

// New starts a provider for a test on a loopback port, with TLS. Its users are
// alice@example.com (groups byod and engineering) and bob@example.com (group
// contractors), both with the password "password"; its client is "enrollkit"
// with the secret "secret". It ends with the test.
func New(t testing.TB, opts ...Option) *Provider {
	t.Helper()
	var p *Provider
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	cfg := Config{
		Issuer: server.URL + "/idp",
		Users: []User{
			{Username: "alice@example.com", Password: "password", Subject: "alice-1", Email: "alice@example.com", Name: "Alice Example", Groups: []string{"byod", "engineering"}},
			{Username: "bob@example.com", Password: "password", Subject: "bob-2", Email: "bob@example.com", Name: "Bob Example", Groups: []string{"contractors"}},
		},
		Clients: []Client{{ID: "enrollkit", Secret: "secret"}},
	}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	if p, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	p.server = server
	return p
}

// Open makes a provider without a test and without a listener: mount it as a
// handler at the path of its issuer, which must not be stripped.
func Open(c Config) (*Provider, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	u, err := url.Parse(strings.ReplaceAll(c.Issuer, tenantPlaceholder, "organizations"))
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(c.Issuer, "/"):
		return nil, errors.New("ssotest: Config.Issuer must be an absolute URL without query and without a slash at its end")
	case len(c.Users) == 0 || len(c.Clients) == 0:
		return nil, errors.New("ssotest: Config.Users and Config.Clients are required")
	}
	if len(c.AuthMethods) == 0 {
		c.AuthMethods = []string{"client_secret_basic", "client_secret_post"}
	}
	c.Users = slices.Clone(c.Users)
	for i := range c.Users {
		if c.Users[i].Subject == "" {
			c.Users[i].Subject = c.Users[i].Username
		}
	}
	p := &Provider{
		cfg: c, path: u.EscapedPath(), base: u.String(),
		faults: map[Fault]bool{}, grants: map[string]grant{}, requests: map[string]int{},
	}
	if err := p.makeKeys(); err != nil {
		return nil, err
	}
	p.mux = http.NewServeMux()
	p.mux.HandleFunc("GET "+p.path+"/.well-known/openid-configuration", p.discovery)
	p.mux.HandleFunc("GET "+p.path+"/jwks", p.keys)
	p.mux.HandleFunc("GET "+p.path+"/authorize", p.authorize)
	p.mux.HandleFunc("POST "+p.path+"/login", p.login)
	p.mux.HandleFunc("POST "+p.path+"/token", p.token)
	return p, nil
}

func (p *Provider) makeKeys() error {
	if p.cfg.Key == nil {
		k, err := ecdsa.GenerateKey(elliptic.P256(), p.cfg.Random)
		if err != nil {
			return fmt.Errorf("ssotest: signing key: %w", err)
		}
		p.cfg.Key = k
	}
	stranger, err1 := ecdsa.GenerateKey(elliptic.P256(), p.cfg.Random)
	p384, err2 := ecdsa.GenerateKey(elliptic.P384(), p.cfg.Random)
	_, ed, err3 := ed25519.GenerateKey(p.cfg.Random)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("ssotest: keys: %w", err)
	}
	for _, k := range []struct {
		from crypto.Signer
		to   *key
	}{{p.cfg.Key, &p.signing}, {stranger, &p.extra.stranger}, {p384, &p.extra.es384}, {ed, &p.extra.eddsa}} {
		var err error
		if *k.to, err = newKey(k.from); err != nil {
			return err
		}
	}
	return nil
}

// newKey derives the key id from the key, so that it survives a restart.
func newKey(s crypto.Signer) (key, error) {
	var alg jose.SignatureAlgorithm
	switch k := s.(type) {
	case *rsa.PrivateKey:
		alg = jose.RS256
	case ed25519.PrivateKey:
		alg = jose.EdDSA
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			alg = jose.ES256
		case elliptic.P384():
			alg = jose.ES384
		default:
			return key{}, errors.New("ssotest: a key on this curve cannot sign here")
		}
	default:
		return key{}, fmt.Errorf("ssotest: a key of type %T cannot sign here", s)
	}
	jwk := jose.JSONWebKey{Key: s, Algorithm: string(alg), Use: "sig"}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return key{}, fmt.Errorf("ssotest: key: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	return key{private: jwk, alg: alg}, nil
}

// Rotate signs with another key from now on, and publishes the former one no
// longer. The key is one that Config.Key may be.
func (p *Provider) Rotate(s crypto.Signer) error {
	k, err := newKey(s)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signing = k
	return nil
}

// current is the key that signs.
func (p *Provider) current() key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signing
}

// Issuer is the issuer's address.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// HTTPClient returns a client for the provider: after New one that trusts its
// server, after Open one that asks the provider in process, whatever the address,
// and without a network.
func (p *Provider) HTTPClient() *http.Client {
	if p.server == nil {
		return &http.Client{Transport: inProcess{p}}
	}
	return p.server.Client()
}

// RootCAs are the roots that the server of New is trusted by. They are nil after
// Open.
func (p *Provider) RootCAs() *x509.CertPool {
	if p.server == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(p.server.Certificate())
	return pool
}

// Requests returns how often an endpoint was asked, by the last part of its
// path: "openid-configuration", "jwks", "authorize", "login" or "token".
func (p *Provider) Requests(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[endpoint]
}

// SignIn does what a browser and the person in front of it do: it opens the
// address that an application sends people to, types user name and password into
// the form, and returns the address of the application that the provider sends
// the browser back to, which is not opened.
func (p *Provider) SignIn(authURL, username, password string) (*url.URL, error) {
	u, err := url.Parse(authURL)
	if err != nil {
		return nil, fmt.Errorf("ssotest: address: %w", err)
	}
	if at := p.base + "/authorize"; !strings.HasPrefix(authURL, at+"?") {
		return nil, fmt.Errorf("ssotest: the address is not %s", at)
	}
	page := httptest.NewRecorder()
	p.ServeHTTP(page, httptest.NewRequestWithContext(context.Background(), http.MethodGet, u.RequestURI(), nil))
	if page.Code == http.StatusOK {
		form := url.Values{"username": {username}, "password": {password}, "request": {u.RawQuery}}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, p.path+"/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		page = httptest.NewRecorder()
		p.ServeHTTP(page, r)
	}
	location := page.Result().Header.Get("Location")
	if location == "" {
		return nil, fmt.Errorf("ssotest: sign-in refused with status %d", page.Code)
	}
	return url.Parse(location)
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if _, pattern := p.mux.Handler(r); pattern != "" {
		p.requests[pattern[strings.LastIndexByte(pattern, '/')+1:]]++
	}
	p.mu.Unlock()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p.mux.ServeHTTP(w, r)
}
