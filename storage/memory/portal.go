package memory

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/sso"
)

// attempt is a sign-in on its way, or one that was finished.
type attempt struct {
	expires  time.Time
	consumed bool
}

// OpenState implements sso.StateStore. An attempt that is there already is left
// as it is, so that a late repeat reopens nothing.
func (s *Store) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.states[key] == nil {
		s.states[key] = &attempt{expires: stamp(expires)}
	}
	return nil
}

// ConsumeState implements sso.StateStore.
func (s *Store) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	a := s.states[key]
	if a == nil || a.consumed || !stamp(now).Before(a.expires) {
		return sso.ErrStateUsed
	}
	a.consumed = true
	return nil
}

// PutSession implements enroll.SessionStore.
func (s *Store) PutSession(ctx context.Context, session enroll.Session, old [32]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(s.sessions, old)
	session.Expires = stamp(session.Expires)
	s.sessions[session.ID] = session
	return nil
}

// Session implements enroll.SessionStore.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return enroll.Session{}, err
	}
	session, ok := s.sessions[id]
	if !ok || !stamp(now).Before(session.Expires) {
		return enroll.Session{}, enroll.ErrNoSession
	}
	return session, nil
}
