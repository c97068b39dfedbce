package mysql

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/sso"
)

// OpenState implements sso.StateStore. An attempt that is there already is left
// as it is, so that a late repeat reopens nothing.
func (s *Store) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	_, err := s.alone(ctx, `INSERT INTO sso_states (digest, expires) VALUES (?, ?) ON DUPLICATE KEY UPDATE digest = digest`, key[:], micros(expires))
	return err
}

// ConsumeState implements sso.StateStore.
func (s *Store) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	n, err := s.alone(ctx, `UPDATE sso_states SET consumed = 1 WHERE digest = ? AND consumed = 0 AND expires > ?`, key[:], micros(now))
	if err == nil && n == 0 {
		err = sso.ErrStateUsed
	}
	return err
}

// PutSession implements enroll.SessionStore.
func (s *Store) PutSession(ctx context.Context, session enroll.Session, old [32]byte) error {
	return s.step(ctx, func(t *tx) error {
		if old != [32]byte{} && old != session.ID {
			if _, err := t.exec(`DELETE FROM sessions WHERE id = ?`, old[:]); err != nil {
				return err
			}
		}
		_, err := t.exec(`REPLACE INTO sessions (id, user_id, ticket_id, expires) VALUES (?, ?, ?, ?)`,
			session.ID[:], session.UserID, session.Ticket, micros(session.Expires))
		return err
	})
}

// Session implements enroll.SessionStore.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	session := enroll.Session{ID: id}
	found, err := s.read(ctx).get(`SELECT user_id, ticket_id, expires FROM sessions WHERE id = ? AND expires > ?`,
		args{id[:], micros(now)}, &session.UserID, &session.Ticket, (*when)(&session.Expires))
	if err == nil && !found {
		err = enroll.ErrNoSession
	}
	if err != nil {
		return enroll.Session{}, err
	}
	return session, nil
}
