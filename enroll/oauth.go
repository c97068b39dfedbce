package enroll

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// oauthError is an answer of the token endpoint (RFC 6749 §5.2).
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	status      int
	header      http.Header
}

func (e *oauthError) Error() string { return "enroll: token request: " + e.Code + ": " + e.Description }

func oauthRefuse(code, description string) error {
	return &oauthError{Code: code, Description: description, status: http.StatusBadRequest}
}

// oauthProblem is a problem of the request as such in the words of RFC 6749.
func oauthProblem(p Problem) *oauthError {
	code := "invalid_request"
	if p.status() >= http.StatusInternalServerError {
		code = "temporarily_unavailable"
	}
	return &oauthError{Code: code, Description: string(p.Code)}
}

// challengeSize is the length of a code_challenge of the method S256.
const challengeSize = 43

// authorize is the authorization endpoint (RFC 6749 §3.1). The client is the
// device: public, registered with one redirect URI, without PKCE; a client that
// uses PKCE is bound by it (RFC 9700 §2.1.1). What cannot be trusted to come from
// the client is answered with a page, and never redirected. As in all of RFC
// 6749, a parameter without a value is one that is not there.
func (p *Portal) authorize(w http.ResponseWriter, r *http.Request, sealed string) error {
	if _, err := p.openWebSession(sealed); err != nil {
		return &sessionError{err: err}
	}
	q := r.URL.Query()
	device, err := deviceQuery(r)
	if err != nil {
		return err
	}
	if q.Has("login_hint") {
		q["login_hint"] = device["login_hint"] // an address has a plus, and no space
	}
	if q.Get("client_id") != p.cfg.Account.ClientID || q.Get("redirect_uri") != RedirectURI || len(q["client_id"]) > 1 || len(q["redirect_uri"]) > 1 {
		return refuse(CodeClient)
	}
	state, hint := q.Get("state"), q.Get("login_hint")
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	stateOK := len(q["state"]) <= 1 && len(state) <= maxState && visible(state)
	twice := false
	for _, values := range q {
		twice = twice || len(values) > 1
	}
	back := func(code string) error {
		if !stateOK {
			state = ""
		}
		return handBack(w, RedirectURI, authorizationError(code, state))
	}
	switch {
	case twice, !stateOK, hint != "" && !identifierOK(hint), q.Get("response_type") == "":
		return back("invalid_request")
	case q.Get("response_type") != "code":
		return back("unsupported_response_type")
	case q.Get("scope") != "" && q.Get("scope") != Scope:
		return back("invalid_scope")
	case challenge == "" && method != "", challenge != "" && (method != "S256" || len(challenge) != challengeSize || !plainToken(challenge)):
		return back("invalid_request")
	}
	return p.beginAccount(w, r, flowAccountOAuth, accountBound{Session: sealed, Typed: hint, State: state, Challenge: challenge})
}

// authorizationError is the error response (RFC 6749 §4.1.2.1).
func authorizationError(code, state string) url.Values {
	values := url.Values{"error": {code}}
	if state != "" {
		values.Set("state", state)
	}
	return values
}

// denial is the error code of a sign-in that failed.
func denial(p Problem) string {
	switch {
	case p.status() == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case p.status() >= http.StatusInternalServerError:
		return "server_error"
	}
	return "access_denied"
}

// visible reports whether all of s is VSCHAR (RFC 6749 appendix A).
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

const maxState = 128 // bytes; that of a device is a UUID

// codeDigest is what the store knows a code by. A code that was asked for with a
// challenge is another one without its verifier.
func codeDigest(code, challenge string) [32]byte {
	return sha256.Sum256([]byte(code + "." + challenge))
}

// handBackCode ends a sign-in of MethodOAuth2: the device gets a code.
func (p *Portal) handBackCode(w http.ResponseWriter, r *http.Request, s signedIn) error {
	b, step, err := p.signedInForDevice(r, s)
	if err != nil {
		return err
	}
	code, err := p.secret()
	if err != nil {
		return err
	}
	step.Code = &AuthorizationCode{
		Code: codeDigest(code, b.Challenge), ClientID: p.cfg.Account.ClientID, RedirectURI: RedirectURI, Expires: p.now().Add(codeLifetime),
	}
	if err := p.grant(r, step); err != nil {
		return err
	}
	values := url.Values{"code": {code}}
	if b.State != "" {
		values.Set("state", b.State)
	}
	return handBack(w, RedirectURI, values)
}

// token is the token endpoint (RFC 6749 §3.2).
func (p *Portal) token(w http.ResponseWriter, r *http.Request) error {
	form, err := p.form(w, r)
	if err != nil {
		return err
	}
	if r.URL.RawQuery != "" {
		return oauthRefuse("invalid_request", "parameters belong into the body")
	}
	for _, values := range form {
		if len(values) > 1 {
			return oauthRefuse("invalid_request", "a parameter is there twice")
		}
	}
	if len(r.Header.Values("Authorization")) > 0 {
		return &oauthError{
			Code: "invalid_client", Description: "the client is a public one", status: http.StatusUnauthorized,
			header: http.Header{"WWW-Authenticate": {`Basic realm="token"`}},
		}
	}
	grant := form.Get("grant_type")
	switch {
	case grant == "":
		return oauthRefuse("invalid_request", "grant_type is missing")
	case !slices.Contains([]string{"authorization_code", "refresh_token"}, grant):
		return oauthRefuse("unsupported_grant_type", "")
	case form.Get("client_id") == "":
		return oauthRefuse("invalid_request", "client_id is missing")
	case form.Get("client_id") != p.cfg.Account.ClientID || form.Get("client_secret") != "":
		return oauthRefuse("invalid_client", "")
	}
	if grant == "refresh_token" {
		return p.refreshed(w, r, form)
	}
	return p.redeemed(w, r, form)
}

// redeemed answers tokens for a code (RFC 6749 §4.1.3).
func (p *Portal) redeemed(w http.ResponseWriter, r *http.Request, form url.Values) error {
	code, verifier := form.Get("code"), form.Get("code_verifier")
	switch {
	case code == "":
		return oauthRefuse("invalid_request", "code is missing")
	case form.Get("redirect_uri") == "":
		return oauthRefuse("invalid_request", "redirect_uri is missing")
	case verifier != "" && (len(verifier) < 43 || len(verifier) > 128 || !plainToken(verifier)):
		return oauthRefuse("invalid_grant", "code_verifier is malformed") // RFC 7636 §4.1
	}
	challenge := ""
	if verifier != "" {
		sum := sha256.Sum256([]byte(verifier))
		challenge = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return p.answerTokens(w, func(kept Tokens) error {
		return p.cfg.Account.Store.RedeemCode(r.Context(), CodeStep{
			Code: codeDigest(code, challenge), ClientID: p.cfg.Account.ClientID, RedirectURI: form.Get("redirect_uri"), Tokens: kept, At: p.now(),
		})
	})
}

// refreshed answers new tokens for a refresh token (RFC 6749 §6), which is
// rotated (RFC 9700 §4.14.2). The answer always has one: a device forgets the
// former one with it or without.
func (p *Portal) refreshed(w http.ResponseWriter, r *http.Request, form url.Values) error {
	refresh := form.Get("refresh_token")
	switch {
	case refresh == "":
		return oauthRefuse("invalid_request", "refresh_token is missing")
	case form.Get("scope") != "" && form.Get("scope") != Scope:
		return oauthRefuse("invalid_scope", "")
	}
	return p.answerTokens(w, func(kept Tokens) error {
		return p.cfg.Account.Store.Refresh(r.Context(), RefreshStep{
			Refresh: sha256.Sum256([]byte(refresh)), ClientID: p.cfg.Account.ClientID, Tokens: kept, At: p.now(),
		})
	})
}

// tokenAnswer is RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

// answerTokens makes tokens, lets keep make them durable, and answers them.
func (p *Portal) answerTokens(w http.ResponseWriter, keep func(Tokens) error) error {
	a := p.cfg.Account
	access, refresh, kept, err := p.tokens(a.AccessLifetime, a.RefreshLifetime, true)
	if err != nil {
		return err
	}
	switch err := keep(kept); {
	case errors.Is(err, ErrGrant), errors.Is(err, mdm.ErrSuspended):
		return oauthRefuse("invalid_grant", "")
	case err != nil:
		return stored("tokens", err)
	}
	body, err := json.Marshal(tokenAnswer{access, "Bearer", int(a.AccessLifetime / time.Second), refresh, Scope})
	if err != nil {
		return err
	}
	send(w, http.StatusOK, "application/json", bytes.NewBuffer(body))
	return nil
}
