package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
)

const (
	maxParam   = 4 << 10   // bytes of a callback parameter
	maxIDToken = 256 << 10 // bytes
	maxHint    = 256       // bytes of a login hint
)

// Provider is an OpenID Connect provider. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client
	bind   [bindSize]byte
	find   lookup
	round  atomic.Int64
}

var _ sso.Authenticator = (*Provider)(nil)

// New judges the configuration as a whole and returns all that is wrong with it.
// It does not talk to the provider.
func New(c Config) (*Provider, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	p := &Provider{cfg: c, client: newClient(c), find: lookup{busy: make(chan struct{}, 1)}}
	sum := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ClientID))
	copy(p.bind[:], sum[:])
	return p, nil
}

// templated is true when the issuer differs by tenant.
func (p *Provider) templated() bool { return strings.Contains(p.cfg.Issuer, TenantPlaceholder) }

// Ready finds out whether the provider can be used: its discovery document and
// keys are known or could be fetched. Errors wrap sso.ErrUnavailable.
func (p *Provider) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	_, err := p.provider(ctx)
	return err
}

// Begin implements sso.Authenticator.
func (p *Provider) Begin(ctx context.Context, r sso.Request) (sso.Attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	if u, err := url.Parse(r.RedirectURL); err != nil || u.Host == "" || !allowedScheme(u) {
		return sso.Attempt{}, errors.New("oidc: RedirectURL must be absolute and https")
	}
	rp, err := p.provider(ctx)
	if err != nil {
		return sso.Attempt{}, err
	}
	s, err := newSecret(p.cfg.Random, p.bind)
	if err != nil {
		return sso.Attempt{}, err
	}
	opts := []oauth2.AuthCodeOption{
		goidc.Nonce(s.nonce()),
		oauth2.S256ChallengeOption(s.verifier()),
	}
	opts = append(opts, p.askFor()...)
	if hint := r.LoginHint; hint != "" && len(hint) <= maxHint && !strings.ContainsFunc(hint, unicode.IsControl) {
		opts = append(opts, oauth2.SetAuthURLParam("login_hint", hint))
	}
	return sso.Attempt{
		URL:    p.oauth(rp, r).AuthCodeURL(s.state(), opts...),
		Key:    sha256.Sum256([]byte(s.state())),
		Secret: s.bytes(),
	}, nil
}

// askFor returns the parameters that ask for what is going to be required.
func (p *Provider) askFor() []oauth2.AuthCodeOption {
	var opts []oauth2.AuthCodeOption
	if p.cfg.MaxAge > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(p.cfg.MaxAge.Seconds()))))
	}
	if len(p.cfg.ACRValues) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("acr_values", strings.Join(p.cfg.ACRValues, " ")))
	}
	if c := p.cfg.AuthContext; c != "" {
		acrs := map[string]any{"essential": true, "values": []string{c}}
		ask, err := json.Marshal(map[string]any{"id_token": map[string]any{"acrs": acrs}})
		if err == nil {
			opts = append(opts, oauth2.SetAuthURLParam("claims", string(ask)))
		}
	}
	if p.cfg.Preset == PresetGoogle {
		hd := "*"
		if len(p.cfg.AllowedDomains) == 1 {
			hd = p.cfg.AllowedDomains[0]
		}
		opts = append(opts, oauth2.SetAuthURLParam("hd", hd))
	}
	return opts
}

func (p *Provider) oauth(rp *remote, r sso.Request) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret,
		Endpoint: rp.endpoint, RedirectURL: r.RedirectURL, Scopes: p.cfg.Scopes,
	}
}

// State implements sso.Authenticator.
func (p *Provider) State(secret []byte, query url.Values) ([32]byte, error) {
	s, err := p.open(secret, query)
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256([]byte(s.state())), nil
}

// open returns the attempt's secret when the callback answers it.
func (p *Provider) open(secret []byte, query url.Values) (attempt, error) {
	s, err := parseSecret(secret, p.bind)
	if err != nil {
		return attempt{}, err
	}
	for _, name := range []string{"state", "code", "iss", "error"} {
		if v := query[name]; len(v) > 1 || len(v) == 1 && len(v[0]) > maxParam {
			return attempt{}, fmt.Errorf("%w: parameter %s is repeated or too long", sso.ErrCallback, name)
		}
	}
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(s.state())) != 1 {
		return attempt{}, fmt.Errorf("%w: state does not match", sso.ErrCallback)
	}
	return s, nil
}

// Finish implements sso.Authenticator.
func (p *Provider) Finish(ctx context.Context, r sso.Request, secret []byte, query url.Values) (jit.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	s, err := p.open(secret, query)
	if err != nil {
		return jit.Identity{}, err
	}
	rp, err := p.provider(ctx)
	if err != nil {
		return jit.Identity{}, err
	}
	if err := p.checkCallback(rp, query); err != nil {
		return jit.Identity{}, err
	}
	token, err := p.exchange(ctx, rp, r, query.Get("code"), s.verifier())
	if err != nil {
		return jit.Identity{}, err
	}
	id, err := p.identify(ctx, rp, token, s.nonce())
	if err == nil && query.Has("iss") && query.Get("iss") != id.Issuer {
		return jit.Identity{}, fmt.Errorf("%w: issuers of callback and token differ", sso.ErrCallback)
	}
	return id, err
}

// checkCallback judges the parameters beside state.
func (p *Provider) checkCallback(rp *remote, query url.Values) error {
	if iss := query.Get("iss"); rp.issParam || query.Has("iss") {
		if !p.issuerAllowed(iss) {
			return fmt.Errorf("%w: issuer of the callback (RFC 9207) is another one or missing", sso.ErrCallback)
		}
	}
	switch code := query.Get("error"); {
	case code == "access_denied" || code == "consent_required" || code == "interaction_required" || code == "login_required":
		return &sso.DeniedError{Reason: sso.ReasonDenied, Detail: "provider answered " + code}
	case code == "unmet_authentication_requirements":
		return &sso.DeniedError{Reason: sso.ReasonMFA, Detail: "provider answered " + code}
	case code == "temporarily_unavailable" || code == "server_error":
		return fmt.Errorf("oidc: authorization: %w: provider answered %s", sso.ErrUnavailable, code)
	case query.Has("error"):
		return fmt.Errorf("%w: provider answered error %q", sso.ErrCallback, short(code))
	case query.Get("code") == "":
		return fmt.Errorf("%w: no code", sso.ErrCallback)
	}
	return nil
}

// issuerAllowed is true for the issuer, or with several tenants for that of any
// tenant: which one it is, and whether it is let in, the token says.
func (p *Provider) issuerAllowed(iss string) bool {
	before, after, templated := strings.Cut(p.cfg.Issuer, TenantPlaceholder)
	if !templated {
		return iss == p.cfg.Issuer
	}
	tenant, ok := strings.CutPrefix(iss, before)
	tenant, ok2 := strings.CutSuffix(tenant, after)
	return ok && ok2 && guid.MatchString(tenant)
}

// exchange redeems the code. The library's errors quote the provider's answer,
// so only the error code is passed on.
func (p *Provider) exchange(ctx context.Context, rp *remote, r sso.Request, code, verifier string) (*oauth2.Token, error) {
	token, err := p.oauth(rp, r).Exchange(goidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(verifier))
	if err == nil {
		return token, nil
	}
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || answer.Response == nil {
		return nil, fmt.Errorf("oidc: token endpoint: %w: %s", sso.ErrUnavailable, cause(err))
	}
	status := answer.Response.StatusCode
	p.cfg.Logger.WarnContext(ctx, "provider refused the code", "status", status, "code", short(answer.ErrorCode))
	if refusesCode(status, answer.ErrorCode) {
		return nil, fmt.Errorf("%w: provider refused the code", sso.ErrCallback)
	}
	return nil, fmt.Errorf("oidc: token endpoint: %w: status %d, error %q", sso.ErrUnavailable, status, short(answer.ErrorCode))
}

// refusesCode is true for invalid_grant (RFC 6749, section 5.2), and for what some
// providers say in its place; the codes that blame the configuration or the
// provider itself are no fault of the callback.
func refusesCode(status int, code string) bool {
	switch code {
	case "", "invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"server_error", "temporarily_unavailable", "slow_down":
		return false
	}
	return status == http.StatusBadRequest || status == http.StatusForbidden
}

const (
	secretVersion = 1
	bindSize      = 16
	randomSize    = 32
	secretSize    = 1 + bindSize + 3*randomSize
)

// attempt is the secret of a sign-in: a version byte, what binds it to this
// provider and client, and the random bytes of state, nonce and verifier.
type attempt [secretSize]byte

func newSecret(random io.Reader, bind [bindSize]byte) (attempt, error) {
	var a attempt
	a[0] = secretVersion
	copy(a[1:], bind[:])
	if _, err := io.ReadFull(random, a[1+bindSize:]); err != nil {
		return attempt{}, fmt.Errorf("oidc: no randomness: %w", err)
	}
	return a, nil
}

func parseSecret(b []byte, bind [bindSize]byte) (attempt, error) {
	if len(b) != secretSize || b[0] != secretVersion || subtle.ConstantTimeCompare(b[1:1+bindSize], bind[:]) != 1 {
		return attempt{}, fmt.Errorf("%w: not a sign-in of this provider", sso.ErrCallback)
	}
	return attempt(b), nil
}

func (a attempt) text(i int) string {
	from := 1 + bindSize + i*randomSize
	return base64.RawURLEncoding.EncodeToString(a[from : from+randomSize])
}

func (a attempt) state() string    { return a.text(0) }
func (a attempt) nonce() string    { return a.text(1) }
func (a attempt) verifier() string { return a.text(2) }
func (a attempt) bytes() []byte    { return a[:] }
