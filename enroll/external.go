package enroll

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/enrollkit/enrollkit/mdm"
)

// admitNew judges a token of the company's own authorization server that a
// device enrolls with, and makes its person's record and ticket. The error is
// ErrToken, errNotOffered, jit.ErrSuspended, or a breakdown.
func (p *Portal) admitNew(ctx context.Context, way mdm.Way, token string) error {
	step, err := p.external(ctx, token)
	if err != nil {
		return err
	}
	u, err := p.cfg.Users.User(ctx, step.UserID)
	if err != nil {
		return stored("user", err)
	}
	if !p.offers(way, u) {
		return errNotOffered
	}
	t, err := p.newTicket(u, step.Session)
	if err != nil {
		return err
	}
	t.Way = way
	step.Ticket = &t
	err = p.cfg.Account.Store.Grant(ctx, step)
	if err == nil {
		p.cfg.Observer.TicketMoved(ctx, t)
	}
	if errors.Is(err, ErrSessionUsed) { // by another request, or it is over
		return nil
	}
	return err
}

// Admit implements mdm.TokenAdmitter: a token of the company's own authorization
// server that an enrolled device has got since is good for its enrollment, if it
// is its person's.
func (p *Portal) Admit(ctx context.Context, e mdm.Enrollment, token string) (bool, error) {
	if p.cfg.Account == nil || p.cfg.Account.External == nil || e.ID == "" {
		return false, nil
	}
	step, err := p.external(ctx, token)
	if errors.Is(err, ErrToken) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	step.EnrollmentID = e.ID
	switch err := p.cfg.Account.Store.Grant(ctx, step); {
	case errors.Is(err, ErrSessionUsed), errors.Is(err, ErrAnotherPerson), errors.Is(err, mdm.ErrSuspended), errors.Is(err, mdm.ErrEnded):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// external is the grant of a foreign token: it is used once to begin, as if the
// token were the web session.
func (p *Portal) external(ctx context.Context, token string) (GrantStep, error) {
	id, expires, err := p.cfg.Account.External.Tokens.VerifyToken(ctx, token)
	if err != nil {
		return GrantStep{}, err
	}
	now := p.now()
	if !expires.After(now) {
		return GrantStep{}, ErrToken
	}
	u, _, err := p.cfg.Provisioner.SignIn(ctx, id)
	if err != nil {
		return GrantStep{}, err
	}
	access := sha256.Sum256([]byte(token))
	return GrantStep{
		Session: sha256.Sum256(append([]byte("external "), access[:]...)), SessionExpires: expires.UTC(),
		UserID: u.ID, Tokens: Tokens{Access: access, AccessExpires: expires.UTC()}, At: now,
	}, nil
}
