package enroll

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
)

// ExternalOAuth is an authorization server that devices are sent to. It has to
// accept a public client without PKCE and the redirect URI RedirectURI, and to
// answer a refresh with a refresh token: a device forgets the former one. What
// the person typed it gets as login_hint, and whether who signed in is that
// person is for it to see to: the profile is made for who the token says.
type ExternalOAuth struct {
	// AuthorizationURL and TokenURL are https. The query of the first is kept.
	AuthorizationURL, TokenURL string
	ClientID                   string
	// Scope defaults to Scope.
	Scope string
	// Tokens judges its access tokens. Required.
	Tokens TokenVerifier
}

// TokenVerifier judges access tokens of another authorization server, such as by
// token introspection (RFC 7662) or as JWTs (RFC 9068). It is asked once for each
// token; from then on this server knows it, until it expires.
type TokenVerifier interface {
	// VerifyToken returns whose the token is and when it expires. That it was
	// given to this client, for this server, and is in force is for it to check.
	// An error wrapping ErrToken refuses the token; any other one is a breakdown.
	VerifyToken(ctx context.Context, token string) (jit.Identity, time.Time, error)
}

// admitNew judges a token of the company's own authorization server that a
// device enrolls with, and makes its person's record and ticket. The error is
// ErrToken, one that Remedy knows, or a breakdown.
func (p *Portal) admitNew(ctx context.Context, way mdm.Way, token string) error {
	step, u, err := p.external(ctx, token)
	if err != nil {
		return err
	}
	if !p.offers(way, u) {
		return errNotOffered
	}
	if err := p.verifyAccount(ctx, u); err != nil {
		return err
	}
	if err := p.room(ctx, u.ID); err != nil {
		return err
	}
	t, err := p.newTicket(u, way, step.Session)
	if err != nil {
		return err
	}
	step.Ticket = &t
	err = p.cfg.Account.Store.Grant(ctx, step)
	if errors.Is(err, ErrSessionUsed) { // by another request, or it is over
		return nil
	}
	if err != nil {
		return stored("grant", err)
	}
	p.issued(ctx, t)
	return nil
}

// Admit implements mdm.TokenAdmitter: a token of the company's own authorization
// server that an enrolled device has got since is good for its enrollment, if it
// is its person's.
func (p *Portal) Admit(ctx context.Context, e mdm.Enrollment, token string) (bool, error) {
	if p.cfg.Account == nil || p.cfg.Account.External == nil || e.ID == "" {
		return false, nil
	}
	step, _, err := p.external(ctx, token)
	if err == nil {
		step.EnrollmentID = e.ID
		err = p.cfg.Account.Store.Grant(ctx, step)
	}
	var unmapped *jit.MappingError
	switch {
	case err == nil:
		p.cfg.Logger.InfoContext(ctx, "enroll: signed in again", "user", step.UserID, "enrollment", e.ID)
		return true, nil
	case errors.Is(err, jit.ErrSuspended):
		return false, fmt.Errorf("enroll: %w", mdm.ErrSuspended)
	case errors.Is(err, ErrToken), errors.Is(err, ErrSessionUsed), errors.Is(err, ErrAnotherPerson), errors.Is(err, mdm.ErrEnded),
		errors.Is(err, jit.ErrIdentity), errors.As(err, &unmapped):
		p.cfg.Logger.InfoContext(ctx, "enroll: token not admitted", "enrollment", e.ID, "error", err)
		return false, nil
	}
	return false, err
}

// external is the grant of a foreign token, and its person: the token is used
// once to begin, as if it were the web session.
func (p *Portal) external(ctx context.Context, token string) (GrantStep, jit.User, error) {
	id, expires, err := p.cfg.Account.External.Tokens.VerifyToken(ctx, token)
	if err != nil {
		return GrantStep{}, jit.User{}, fmt.Errorf("enroll: external token: %w", err)
	}
	now := p.now()
	expires = expires.UTC().Truncate(time.Microsecond)
	if !expires.After(now) {
		return GrantStep{}, jit.User{}, ErrToken
	}
	u, _, err := p.cfg.Provisioner.SignIn(ctx, id)
	if err == nil && u.Suspended {
		err = jit.ErrSuspended
	}
	if err != nil {
		return GrantStep{}, jit.User{}, provisioned(err)
	}
	access := sha256.Sum256([]byte(token))
	return GrantStep{
		Session: sha256.Sum256(append([]byte("external "), access[:]...)), SessionExpires: expires,
		UserID: u.ID, Tokens: Tokens{Access: access, AccessExpires: expires}, At: now,
	}, u, nil
}
