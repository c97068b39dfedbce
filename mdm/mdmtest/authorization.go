package mdmtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// ErrSignIn: the server asks the owner of an account-driven enrollment to sign in
// again. The profile stays; see Pending.
var ErrSignIn = errors.New("mdmtest: the owner has to sign in again")

// Pending is the account whose owner has to sign in again, nil when there is
// none. Settings shows it until SignIn and RequestToken succeeded.
func (p *Phone) Pending() *Account { return p.pending }

// SignInAgain lets the owner do what Pending asks for. What was not taken by the
// server is sent at the next Connect, with the new token.
func (p *Phone) SignInAgain(ctx context.Context, username, password string) error {
	a := p.pending
	if a == nil {
		return errors.New("mdmtest: nobody has to sign in again")
	}
	if _, err := a.OpenSession(ctx); err != nil {
		return err
	}
	if err := a.SignIn(ctx, username, password); err != nil {
		return err
	}
	return a.RequestToken(ctx)
}

// challengedError is a 401 for an account-driven enrollment.
type challengedError struct {
	path   string
	header http.Header
}

func (e *challengedError) Error() string {
	return fmt.Sprintf("%v: %s answered 401", ErrRefused, e.path)
}

func (e *challengedError) Unwrap() error { return ErrRefused }

// put sends a signed property list and returns the answer of a 200. When an
// account-driven enrollment is challenged, the phone refreshes its token by
// itself and repeats the request at once, or lets its owner sign in. A challenge
// that it cannot read is an error like any other, and so is one to a question
// that the system asks beside.
func (p *Phone) put(ctx context.Context, address, contentType string, message map[string]any) ([]byte, error) {
	answer, err := p.once(ctx, address, contentType, message)
	var challenged *challengedError
	if !errors.As(err, &challenged) {
		return answer, err
	}
	if kind := message["MessageType"]; kind == "DeclarativeManagement" || kind == "GetToken" {
		return nil, err
	}
	a := p.identity.account
	again, unusable := p.challenge(challenged.header)
	if unusable != nil {
		return nil, errors.Join(err, unusable)
	}
	a.Challenge = again
	if again.Method == MethodOAuth2 && a.Tokens.Refresh != "" {
		refreshErr := a.refresh(ctx)
		if refreshErr == nil {
			if answer, err = p.once(ctx, address, contentType, message); !errors.As(err, &challenged) {
				return answer, err
			}
		} else if !errors.Is(refreshErr, ErrRefused) {
			return nil, refreshErr // no answer; the token is tried again
		}
	}
	p.pending = a
	return nil, fmt.Errorf("%w: %w", ErrSignIn, err)
}

// authorize adds the token to a request of an account-driven enrollment.
func (p *Phone) authorize(req *http.Request) {
	if p.identity.account != nil {
		req.Header.Set("Authorization", "Bearer "+p.identity.account.Tokens.Access)
	}
}
