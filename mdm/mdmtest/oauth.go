package mdmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Tokens are what the phone keeps of an account. Refresh is empty without one,
// and always with MethodWeb.
type Tokens struct{ Access, Refresh string }

// take puts tokens in the place of the former ones, as a whole: a refresh token
// that is not repeated is forgotten.
func (a *Account) take(t Tokens) {
	a.Tokens = t
	if a.phone.pending == a {
		a.phone.pending = nil
	}
}

// authorizationURL is the OAuth 2 authorization request (RFC 6749 §4.1.1), as a
// device makes it: what is in the query stays, there is no PKCE.
func (a *Account) authorizationURL() (string, error) {
	u, err := url.Parse(a.Challenge.AuthorizationURL)
	if err != nil {
		return "", fmt.Errorf("mdmtest: %w", err)
	}
	if a.state, err = a.phone.uuid(); err != nil {
		return "", err
	}
	query := []string{u.RawQuery}
	if u.RawQuery == "" {
		query = nil
	}
	for _, p := range [][2]string{
		{"response_type", "code"}, {"client_id", a.Challenge.ClientID}, {"redirect_uri", a.Challenge.RedirectURL},
		{"scope", a.Challenge.Scope}, {"state", a.state}, {"login_hint", a.Identifier},
	} {
		if p[0] != "scope" || p[1] != "" {
			query = append(query, p[0]+"="+escape(p[1]))
		}
	}
	u.RawQuery, u.Fragment = strings.Join(query, "&"), ""
	return u.String(), nil
}

// takeCode reads the authorization response (RFC 6749 §4.1.2).
func (a *Account) takeCode(end *url.URL) error {
	if code := item(end.RawQuery, "error"); code != "" {
		return fmt.Errorf("%w: %s", ErrHandBack, code)
	}
	code, state := item(end.RawQuery, "code"), item(end.RawQuery, "state")
	if code == "" || state == "" || state != a.state {
		return fmt.Errorf("%w: no code, or another state", ErrHandBack)
	}
	a.code = code
	return nil
}

// RequestToken exchanges the code that was handed back for tokens. With
// MethodWeb there is nothing to do: the token itself was handed back.
func (a *Account) RequestToken(ctx context.Context) error {
	if a.Challenge == nil || a.Challenge.Method != MethodOAuth2 {
		return nil
	}
	if a.code == "" {
		return errors.New("mdmtest: there is no authorization code")
	}
	return a.tokenRequest(ctx, [][2]string{
		{"grant_type", "authorization_code"}, {"code", a.code}, {"redirect_uri", a.Challenge.RedirectURL}, {"client_id", a.Challenge.ClientID},
	})
}

// refresh exchanges the refresh token, as a device does after a challenge and
// never by itself.
func (a *Account) refresh(ctx context.Context) error {
	return a.tokenRequest(ctx, [][2]string{
		{"grant_type", "refresh_token"}, {"refresh_token", a.Tokens.Refresh}, {"client_id", a.Challenge.ClientID},
	})
}

// tokenRequest is of a public client: without a secret, a certificate and a
// code verifier.
func (a *Account) tokenRequest(ctx context.Context, parameters [][2]string) error {
	var form []string
	for _, p := range parameters {
		form = append(form, p[0]+"="+url.QueryEscape(p[1]))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Challenge.TokenURL, strings.NewReader(strings.Join(form, "&")))
	if err != nil {
		return fmt.Errorf("mdmtest: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	status, _, body, err := a.phone.client(req)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		refused := &RefusedError{Step: "token", Status: status}
		refused.read(body)
		return refused
	}
	var document map[string]any
	if err := json.Unmarshal(body, &document); err != nil {
		return fmt.Errorf("%w: the token response is no JSON object", ErrRefused)
	}
	t := Tokens{text(document, "access_token"), text(document, "refresh_token")}
	if !strings.EqualFold(text(document, "token_type"), "Bearer") || t.Access == "" {
		return fmt.Errorf("%w: the token response has no bearer token", ErrRefused)
	}
	a.code = ""
	a.take(t)
	return nil
}
