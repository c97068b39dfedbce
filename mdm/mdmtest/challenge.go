package mdmtest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The ways of authentication that a challenge can ask for.
const (
	MethodWeb    = "apple-as-web"
	MethodOAuth2 = "apple-oauth2"
)

// loginScheme is the scheme of addresses that end a web session.
const loginScheme = "apple-remotemanagement-user-login"

// maxChallenge bounds a challenge, in bytes.
const maxChallenge = 16 << 10

// Challenge is what a 401 tells an account-driven enrollment
// (https://developer.apple.com/documentation/devicemanagement/implementing-the-simple-authentication-account-driven-enrollment-flow,
// https://developer.apple.com/documentation/devicemanagement/implementing-the-oauth2-authentication-account-driven-enrollment-flow).
type Challenge struct {
	Method string
	// URL is of MethodWeb.
	URL string
	// The others are of MethodOAuth2; Scope may be empty.
	AuthorizationURL, TokenURL, RedirectURL, ClientID, Scope string
}

// ErrChallenge: the phone cannot read the WWW-Authenticate of a 401.
var ErrChallenge = errors.New("mdmtest: unusable challenge")

// ParseChallenge reads the value of WWW-Authenticate as iOS does: Bearer in
// exactly this spelling, then parameters, quoted or not, with commas or spaces
// between them.
func ParseChallenge(header string) (*Challenge, error) {
	if len(header) > maxChallenge {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrChallenge, maxChallenge)
	}
	rest, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with Bearer", ErrChallenge)
	}
	params, err := parameters(rest)
	if err != nil {
		return nil, err
	}
	c := &Challenge{
		Method: params["method"], URL: params["url"], AuthorizationURL: params["authorization-url"], TokenURL: params["token-url"],
		RedirectURL: params["redirect-url"], ClientID: params["client-id"], Scope: params["scope"],
	}
	switch c.Method {
	case MethodWeb:
		if !reaches(c.URL, "https", "http") {
			return nil, fmt.Errorf("%w: url is no web address", ErrChallenge)
		}
	case MethodOAuth2:
		if !reaches(c.AuthorizationURL, "https") || !reaches(c.TokenURL, "https") {
			return nil, fmt.Errorf("%w: authorization-url or token-url is no https address", ErrChallenge)
		}
		if u, err := url.Parse(c.RedirectURL); err != nil || u.Scheme != loginScheme || u.Path == "" {
			return nil, fmt.Errorf("%w: redirect-url is not %s with a path", ErrChallenge, loginScheme)
		}
		if c.ClientID == "" {
			return nil, fmt.Errorf("%w: no client-id", ErrChallenge)
		}
	default:
		return nil, fmt.Errorf("%w: the method is neither %s nor %s", ErrChallenge, MethodWeb, MethodOAuth2)
	}
	return c, nil
}

func reaches(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return false
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return true
		}
	}
	return false
}

// parameters reads auth-params (RFC 9110 §11.2), with the liberties of iOS.
func parameters(s string) (map[string]string, error) {
	params := map[string]string{}
	for s = strings.TrimLeft(s, " ,"); s != ""; s = strings.TrimLeft(s, " ,") {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return nil, fmt.Errorf("%w: a parameter has no name or no value", ErrChallenge)
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("%w: %s is there twice", ErrChallenge, name)
		}
		var value string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			if value, s, ok = unquote(quoted); !ok {
				return nil, fmt.Errorf("%w: %s is not closed", ErrChallenge, name)
			}
		} else {
			end := strings.IndexAny(rest, " ,")
			if end < 0 {
				end = len(rest)
			}
			value, s = rest[:end], rest[end:]
		}
		params[name] = value
	}
	return params, nil
}

// unquote reads a quoted-string (RFC 9110 §5.6.4) behind its first quote.
func unquote(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
