package ssotest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	codeLifetime = time.Minute
	maxGrants    = 10000
)

// grant is what a code stands for.
type grant struct {
	user        User
	clientID    string
	redirectURI string
	nonce       string
	challenge   string
	at          time.Time
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client went away, nobody is left to tell
}

// misbehave applies the faults of an endpoint and is true when it answered.
func (p *Provider) misbehave(w http.ResponseWriter, r *http.Request, down, slow, giant, html, redirect Fault) bool {
	switch {
	case p.broken(slow):
		io.Copy(io.Discard, r.Body) //nolint:errcheck // only an unread body hides that the client gave up
		<-r.Context().Done()
	case p.broken(down):
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	case p.broken(giant):
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"padding":"`) //nolint:errcheck // the client gives up on purpose
		for chunk, i := strings.Repeat("x", 64<<10), 0; i < 1<<14; i++ {
			if _, err := io.WriteString(w, chunk); err != nil {
				return true
			}
		}
	case p.broken(html):
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>Sign in to the hotel network</title>")
	case p.broken(redirect):
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
	default:
		return false
	}
	return true
}

func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	if p.misbehave(w, r, DiscoveryDown, SlowDiscovery, GiantDiscovery, HTMLDiscovery, DiscoveryRedirect) {
		return
	}
	issuer, base := p.cfg.Issuer, p.base
	if p.broken(DiscoveryIssuerMismatch) {
		issuer = "https://evil.example/idp"
	}
	if p.broken(DiscoveryPlainEndpoints) {
		base = "http://idp.example"
	}
	algs := []jose.SignatureAlgorithm{p.current().alg}
	if p.broken(AlgUnlisted) {
		algs = append(algs, p.extra.es384.alg)
	}
	if p.broken(DiscoveryWeakAlgs) {
		algs = []jose.SignatureAlgorithm{jose.HS256, "none"}
	}
	pkce := []string{"S256"}
	if p.broken(DiscoveryPlainPKCE) {
		pkce = []string{"plain"}
	}
	if p.broken(DiscoveryNoEndpoints) {
		writeJSON(w, http.StatusOK, map[string]any{"issuer": issuer})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         base + "/authorize",
		"token_endpoint":                                 base + "/token",
		"jwks_uri":                                       base + "/jwks",
		"response_types_supported":                       []string{"code"},
		"subject_types_supported":                        []string{"public"},
		"scopes_supported":                               []string{"openid", "profile", "email"},
		"id_token_signing_alg_values_supported":          algs,
		"token_endpoint_auth_methods_supported":          append(slices.Clone(p.cfg.AuthMethods), "none"),
		"code_challenge_methods_supported":               pkce,
		"authorization_response_iss_parameter_supported": !p.templated(),
	})
}

func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	if p.misbehave(w, r, KeysDown, SlowKeys, GiantKeys, HTMLKeys, "") {
		return
	}
	set := []any{p.current().public()}
	if p.broken(AlgUnlisted) {
		set = append(set, p.extra.es384.public())
	}
	if p.broken(AlgUnadvertised) {
		set = append(set, p.extra.eddsa.public())
	}
	if p.broken(ManyKeys) {
		for range 10000 {
			set = append(set, map[string]string{"kty": "oct"})
		}
	}
	if p.broken(WeakKey) {
		n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 512), big.NewInt(569))
		set = []any{map[string]string{"kty": "RSA", "kid": "weak", "e": "AQAB", "n": base64.RawURLEncoding.EncodeToString(n.Bytes())}}
	}
	if p.broken(KeysEmpty) {
		set = []any{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": set})
}

// request is an authorization request that was judged.
type request struct {
	query  url.Values
	client Client
	target *url.URL
}

// parse judges an authorization request. An error means that there is no
// address that the browser may be sent back to.
func (p *Provider) parse(raw string) (request, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return request{}, fmt.Errorf("malformed query")
	}
	i := slices.IndexFunc(p.cfg.Clients, func(c Client) bool { return c.ID == q.Get("client_id") })
	if i < 0 {
		return request{}, fmt.Errorf("unknown client_id")
	}
	c := p.cfg.Clients[i]
	target, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || target.Host == "" || strings.ContainsAny(target.Host, ";, ") || target.Scheme != "http" && target.Scheme != "https" ||
		len(c.RedirectURIs) > 0 && !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")) {
		return request{}, fmt.Errorf("redirect_uri is not registered")
	}
	return request{query: q, client: c, target: target}, nil
}

// problem is the error code that the request is to be answered with, or empty.
func (r request) problem() string {
	switch {
	case r.query.Get("response_type") != "code":
		return "unsupported_response_type"
	case !slices.Contains(strings.Fields(r.query.Get("scope")), "openid"):
		return "invalid_scope"
	case r.query.Get("code_challenge_method") != "S256" || len(r.query.Get("code_challenge")) != 43:
		return "invalid_request"
	}
	return ""
}

// answer sends the browser back to the application.
func (p *Provider) answer(w http.ResponseWriter, req request, params url.Values) {
	q := req.target.Query()
	for name, values := range params {
		q[name] = values
	}
	q.Set("state", req.query.Get("state"))
	if !p.templated() {
		q.Set("iss", p.cfg.Issuer)
	}
	if p.broken(WrongState) {
		q.Set("state", "another-state")
	}
	if p.broken(WrongCallbackIssuer) {
		q.Set("iss", "https://evil.example/idp")
	}
	if p.broken(MissingCallbackIssuer) {
		q.Del("iss")
	}
	u := *req.target
	u.RawQuery = q.Encode()
	w.Header().Set("Location", u.String())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	req, err := p.parse(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if code := req.problem(); code != "" {
		p.answer(w, req, url.Values{"error": {code}})
		return
	}
	p.form(w, http.StatusOK, r.URL.RawQuery, req.query.Get("login_hint"))
}

func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "malformed form", http.StatusBadRequest)
		return
	}
	raw := r.PostForm.Get("request")
	req, err := p.parse(raw)
	if err != nil || req.problem() != "" {
		http.Error(w, "the request that the form belongs to is not usable", http.StatusBadRequest)
		return
	}
	name := strings.TrimSpace(r.PostForm.Get("username"))
	i := slices.IndexFunc(p.cfg.Users, func(u User) bool { return strings.EqualFold(u.Username, name) })
	if i < 0 || subtle.ConstantTimeCompare([]byte(p.cfg.Users[i].Password), []byte(r.PostForm.Get("password"))) != 1 {
		p.form(w, http.StatusUnauthorized, raw, name)
		return
	}
	if p.broken(AccessDenied) {
		p.answer(w, req, url.Values{"error": {"access_denied"}, "error_description": {"<script>alert(1)</script>"}})
		return
	}
	code, err := p.random()
	if err != nil {
		http.Error(w, "no randomness", http.StatusInternalServerError)
		return
	}
	now := p.cfg.Now()
	p.mu.Lock()
	for c, g := range p.grants {
		if now.Sub(g.at) > codeLifetime {
			delete(p.grants, c)
		}
	}
	full := len(p.grants) >= maxGrants
	if !full {
		p.grants[code] = grant{user: p.cfg.Users[i], clientID: req.client.ID, at: now, nonce: req.query.Get("nonce"),
			redirectURI: req.query.Get("redirect_uri"), challenge: req.query.Get("code_challenge")}
	}
	p.mu.Unlock()
	if full {
		p.answer(w, req, url.Values{"error": {"temporarily_unavailable"}})
		return
	}
	p.answer(w, req, url.Values{"code": {code}})
}

func (p *Provider) random() (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(p.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("ssotest: no randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.misbehave(w, r, TokenDown, SlowToken, GiantToken, HTMLToken, TokenRedirect) {
		return
	}
	fail := func(status int, code string) { writeJSON(w, status, map[string]string{"error": code}) }
	if r.ParseForm() != nil || r.PostForm.Get("grant_type") != "authorization_code" {
		fail(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	if p.broken(TokenTattles) {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request", "error_description": r.PostForm.Encode() + r.Header.Get("Authorization")})
		return
	}
	clientID, ok := p.authenticate(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		fail(http.StatusUnauthorized, "invalid_client")
		return
	}
	code := r.PostForm.Get("code")
	p.mu.Lock()
	g, known := p.grants[code]
	delete(p.grants, code)
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !known || g.clientID != clientID || g.redirectURI != r.PostForm.Get("redirect_uri") ||
		p.cfg.Now().Sub(g.at) > codeLifetime || subtle.ConstantTimeCompare([]byte(challenge), []byte(g.challenge)) != 1 {
		if p.broken(OddRefusal) {
			fail(http.StatusForbidden, "invalid_code")
			return
		}
		fail(http.StatusBadRequest, "invalid_grant")
		return
	}
	access, err := p.random()
	if err != nil {
		fail(http.StatusInternalServerError, "server_error")
		return
	}
	idToken, err := p.sign(p.claims(g, access))
	if err != nil {
		fail(http.StatusInternalServerError, "server_error")
		return
	}
	answer := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLifetime.Seconds()), "id_token": idToken}
	if p.broken(MissingIDToken) {
		delete(answer, "id_token")
	}
	writeJSON(w, http.StatusOK, answer)
}

// authenticate returns the client of a token request: by client_secret_basic or
// client_secret_post; a public client by its name alone.
func (p *Provider) authenticate(r *http.Request) (string, bool) {
	id, secret, basic := r.BasicAuth()
	if basic {
		var err1, err2 error
		id, err1 = url.QueryUnescape(id)
		secret, err2 = url.QueryUnescape(secret)
		if err1 != nil || err2 != nil {
			return "", false
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	i := slices.IndexFunc(p.cfg.Clients, func(c Client) bool { return c.ID == id })
	method := "client_secret_post"
	if basic {
		method = "client_secret_basic"
	}
	if i < 0 || p.cfg.Clients[i].Secret != "" && !slices.Contains(p.cfg.AuthMethods, method) {
		return "", false
	}
	return id, subtle.ConstantTimeCompare([]byte(p.cfg.Clients[i].Secret), []byte(secret)) == 1
}

const style = `:root{color-scheme:light dark}body{font:17px/1.4 -apple-system,system-ui,sans-serif;margin:0 auto;max-width:24rem;padding:2rem 1rem}` +
	`label{display:block;margin:1rem 0}input,button{box-sizing:border-box;display:block;font:inherit;margin-top:.25rem;min-height:44px;padding:.5rem;width:100%}` +
	`[role=alert]{border-left:4px solid;padding-left:.75rem}`

var page = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<link rel="icon" href="data:,">
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>Sign in</h1>
{{if .Wrong}}<p role="alert">User name or password is wrong.</p>
{{end}}<form method="post" action="{{.Action}}">
<input type="hidden" name="request" value="{{.Request}}">
<label>User name
<input type="text" name="username" value="{{.Username}}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required></label>
<label>Password
<input type="password" name="password" autocomplete="current-password" required></label>
<button type="submit">Sign in</button>
</form>
</main>
</body>
</html>
`))

// form shows the login form. The policy has no form-action: browsers hold each
// redirect that follows the form against it, and where the application leads on to
// is not for a provider to know. Account-driven enrollment ends in Settings.
func (p *Provider) form(w http.ResponseWriter, status int, raw, username string) {
	sum := sha256.Sum256([]byte(style))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; img-src data:; style-src 'sha256-%s'; frame-ancestors 'none'; base-uri 'none'",
		base64.StdEncoding.EncodeToString(sum[:])))
	w.WriteHeader(status)
	page.Execute(w, map[string]any{ //nolint:errcheck // the client went away, nobody is left to tell
		"Style": template.CSS(style), "Wrong": status == http.StatusUnauthorized,
		"Action": p.path + "/login", "Request": raw, "Username": username,
	})
}
