package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/enrollkit/enrollkit/sso"
)

// refreshAfter is how long a discovery document and its keys are believed.
const refreshAfter = 24 * time.Hour

// remote is what is known about the provider.
type remote struct {
	endpoint oauth2.Endpoint
	keys     *keySet
	algs     []string
	issParam bool // RFC 9207: callbacks carry iss
	at       time.Time
}

// lookup coalesces the search for the provider: one at a time, and those who
// waited meanwhile share its outcome.
type lookup struct {
	busy  chan struct{} // capacity 1: guards what follows
	known *remote
	err   error
}

// provider returns what is known, asking the provider when nothing is, or when
// it is a day old. Errors wrap sso.ErrUnavailable.
func (p *Provider) provider(ctx context.Context) (*remote, error) {
	before := p.round.Load()
	select {
	case p.find.busy <- struct{}{}:
		defer func() { <-p.find.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("oidc: discovery: %w: %w", sso.ErrUnavailable, ctx.Err())
	}
	now := p.cfg.Now()
	if k := p.find.known; k != nil && now.Sub(k.at).Abs() < refreshAfter {
		return k, nil
	}
	if p.round.Load() != before && p.find.err != nil {
		return nil, p.find.err
	}
	r, err := p.discover(ctx, now)
	if err != nil {
		p.cfg.Logger.ErrorContext(ctx, "identity provider is not usable", "issuer", p.cfg.Issuer, "error", err)
		if !errors.Is(ctx.Err(), context.Canceled) { // else it is the caller who went away
			p.find.err = err
			p.round.Add(1)
		}
		return nil, err
	}
	p.find.known, p.find.err = r, nil
	return r, nil
}

// discover asks for the discovery document and the keys.
func (p *Provider) discover(ctx context.Context, now time.Time) (*remote, error) {
	fail := func(format string, args ...any) (*remote, error) {
		return nil, fmt.Errorf("oidc: discovery: %w: %s", sso.ErrUnavailable, fmt.Sprintf(format, args...))
	}
	address := p.cfg.Issuer
	dctx := goidc.ClientContext(ctx, p.client)
	if p.templated() {
		address = strings.ReplaceAll(address, TenantPlaceholder, "organizations")
		dctx = goidc.InsecureIssuerURLContext(dctx, p.cfg.Issuer) // compared below
	}
	doc, err := goidc.NewProvider(dctx, address)
	if err != nil {
		return fail("%s", cause(err))
	}
	var meta struct {
		Issuer   string   `json:"issuer"`
		Auth     string   `json:"authorization_endpoint"`
		Token    string   `json:"token_endpoint"`
		JWKS     string   `json:"jwks_uri"`
		Algs     []string `json:"id_token_signing_alg_values_supported"`
		Methods  []string `json:"token_endpoint_auth_methods_supported"`
		PKCE     []string `json:"code_challenge_methods_supported"`
		IssParam bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := doc.Claims(&meta); err != nil {
		return fail("document is malformed")
	}
	if meta.Issuer != p.cfg.Issuer {
		return fail("document is of another issuer")
	}
	for _, e := range []string{meta.Auth, meta.Token, meta.JWKS} {
		if !usableEndpoint(e) {
			return fail("document lacks a usable endpoint")
		}
	}
	if len(meta.PKCE) > 0 && !slices.Contains(meta.PKCE, "S256") {
		return fail("provider does not support PKCE with S256")
	}
	algs := accepted(meta.Algs)
	if len(algs) == 0 {
		return fail("provider signs with no accepted algorithm")
	}
	r := &remote{
		endpoint: oauth2.Endpoint{AuthURL: meta.Auth, TokenURL: meta.Token, AuthStyle: authStyle(p.cfg.ClientSecret, meta.Methods)},
		keys:     newKeySet(p.client, meta.JWKS, algs, p.cfg.Now),
		issParam: meta.IssParam,
		at:       now,
	}
	for _, a := range algs {
		r.algs = append(r.algs, string(a))
	}
	if err := r.keys.fetch(ctx); err != nil {
		return nil, fmt.Errorf("oidc: discovery: %w", err)
	}
	return r, nil
}

// parameters are those of an authorization request, of which each must be there
// once (RFC 6749, section 3.1).
var parameters = []string{
	"client_id", "response_type", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method",
	"login_hint", "max_age", "acr_values", "claims", "hd",
}

// usableEndpoint judges an endpoint's address. It may have a query, which is
// kept, but no fragment, behind which everything would get lost.
func usableEndpoint(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || !allowedScheme(u) || strings.Contains(address, "#") {
		return false
	}
	query, err := url.ParseQuery(u.RawQuery)
	return err == nil && !slices.ContainsFunc(parameters, query.Has)
}

// authStyle decides how the client authenticates, since trying out both ways
// would send the code twice. The default is client_secret_basic, OpenID Connect
// Discovery 1.0, section 3.
func authStyle(secret string, methods []string) oauth2.AuthStyle {
	basic := len(methods) == 0 || slices.Contains(methods, "client_secret_basic")
	if secret == "" || !basic {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// cause says why a request failed without repeating any of the answer.
func cause(err error) string {
	var mismatch *goidc.IssuerMismatchError
	var request *url.Error
	switch {
	case errors.As(err, &mismatch):
		return "document is of another issuer"
	case errors.Is(err, errTooLarge) || strings.Contains(err.Error(), errTooLarge.Error()):
		return errTooLarge.Error()
	case errors.Is(err, errRedirect):
		return errRedirect.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &request):
		return short(request.Err.Error())
	default:
		return "answer is not usable"
	}
}

// short keeps texts of others from filling a log.
func short(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ToValidUTF8(s, "")
}
