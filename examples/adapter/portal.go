package adapter

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// Provision implements jit.Store.
func (s *Store) Provision(ctx context.Context, p jit.Profile) (u jit.User, created bool, err error) {
	err = s.step(func(m *memory.Store) (bool, error) {
		u, created, err = m.Provision(ctx, p)
		return done(err)
	}, "Provision", p)
	return u, created, err
}

// User implements jit.Store.
func (s *Store) User(ctx context.Context, id string) (u jit.User, err error) {
	err = s.look(func(m *memory.Store) error { u, err = m.User(ctx, id); return err })
	return u, err
}

// Suspend implements jit.Store.
func (s *Store) Suspend(ctx context.Context, id string, suspended bool) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.Suspend(ctx, id, suspended)) }, "Suspend", id, suspended)
}

// OpenState implements sso.StateStore.
func (s *Store) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.OpenState(ctx, key, expires)) }, "OpenState", key, expires)
}

// ConsumeState implements sso.StateStore.
func (s *Store) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.ConsumeState(ctx, key, now)) }, "ConsumeState", key, now)
}

// PutSession implements enroll.SessionStore.
func (s *Store) PutSession(ctx context.Context, put enroll.Session, old [32]byte) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.PutSession(ctx, put, old)) }, "PutSession", put, old)
}

// Session implements enroll.SessionStore.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (found enroll.Session, err error) {
	err = s.look(func(m *memory.Store) error { found, err = m.Session(ctx, id, now); return err })
	return found, err
}

// IssueTicket implements enroll.TicketStore.
func (s *Store) IssueTicket(ctx context.Context, t enroll.Ticket, previous [32]byte) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.IssueTicket(ctx, t, previous)) }, "IssueTicket", t, previous)
}

// Ticket implements enroll.TicketStore.
func (s *Store) Ticket(ctx context.Context, id string) (t enroll.Ticket, err error) {
	err = s.look(func(m *memory.Store) error { t, err = m.Ticket(ctx, id); return err })
	return t, err
}

// Download implements enroll.TicketStore.
func (s *Store) Download(ctx context.Context, d enroll.DownloadStep) (t enroll.Ticket, err error) {
	err = s.step(func(m *memory.Store) (bool, error) { t, err = m.Download(ctx, d); return done(err) }, "Download", d)
	return t, err
}

// Challenge implements enroll.TicketStore.
func (s *Store) Challenge(ctx context.Context, challenge, key [32]byte, now time.Time) (der []byte, err error) {
	err = s.look(func(m *memory.Store) error { der, err = m.Challenge(ctx, challenge, key, now); return err })
	return der, err
}

// Identify implements enroll.TicketStore.
func (s *Store) Identify(ctx context.Context, d enroll.IdentifyStep) (der []byte, err error) {
	err = s.step(func(m *memory.Store) (bool, error) { der, err = m.Identify(ctx, d); return done(err) }, "Identify", d)
	return der, err
}

// Devices implements enroll.TicketStore.
func (s *Store) Devices(ctx context.Context, userID string) (n int, err error) {
	err = s.look(func(m *memory.Store) error { n, err = m.Devices(ctx, userID); return err })
	return n, err
}

// Grant implements enroll.AccountStore.
func (s *Store) Grant(ctx context.Context, g enroll.GrantStep) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.Grant(ctx, g)) }, "Grant", g)
}

// RedeemCode implements enroll.AccountStore.
func (s *Store) RedeemCode(ctx context.Context, c enroll.CodeStep) error {
	return s.step(func(m *memory.Store) (bool, error) { return s.exchanged(c.Code, m.RedeemCode(ctx, c)) }, "RedeemCode", c)
}

// Refresh implements enroll.AccountStore.
func (s *Store) Refresh(ctx context.Context, r enroll.RefreshStep) error {
	return s.step(func(m *memory.Store) (bool, error) { return s.exchanged(r.Refresh, m.Refresh(ctx, r)) }, "Refresh", r)
}

// exchanged is the outcome of a step that presents a code or a refresh token.
// One that was never exchanged revokes nothing: strangers do not fill the disk.
func (s *Store) exchanged(digest [32]byte, err error) (bool, error) {
	if err != nil {
		return s.came[digest], err
	}
	s.came[digest] = true
	return true, nil
}

// TokenTicket implements enroll.AccountStore. The first use of a token ends the
// former ones, and so it is a change.
func (s *Store) TokenTicket(ctx context.Context, access [32]byte, now time.Time) (t enroll.Ticket, err error) {
	err = s.step(func(m *memory.Store) (bool, error) {
		t, err = m.TokenTicket(ctx, access, now)
		return err == nil && s.first(access), err
	}, "TokenTicket", access, now)
	return t, err
}

// RevokeTokens implements enroll.AccountStore.
func (s *Store) RevokeTokens(ctx context.Context, enrollmentID string) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.RevokeTokens(ctx, enrollmentID)) }, "RevokeTokens", enrollmentID)
}
