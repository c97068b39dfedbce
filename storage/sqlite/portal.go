package sqlite

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/sso"
)

// OpenState implements sso.StateStore. An attempt that is there already is left
// as it is, so that a late repeat reopens nothing.
func (s *Store) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	return s.writer.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO sso_states (key, expires) VALUES (?, ?) ON CONFLICT DO NOTHING`, key[:], micros(expires))
		return err
	})
}

// ConsumeState implements sso.StateStore.
func (s *Store) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	return s.writer.do(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE sso_states SET consumed = 1 WHERE key = ? AND consumed = 0 AND expires > ?`, key[:], micros(now))
		if err == nil && n == 0 {
			err = sso.ErrStateUsed
		}
		return err
	})
}

// PutSession implements enroll.SessionStore.
func (s *Store) PutSession(ctx context.Context, session enroll.Session, old [32]byte) error {
	return s.writer.do(ctx, func(t *tx) error {
		if old != [32]byte{} {
			if _, err := t.exec(`DELETE FROM sessions WHERE id = ?`, old[:]); err != nil {
				return err
			}
		}
		_, err := t.exec(`INSERT INTO sessions (id, user_id, ticket_id, expires) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET user_id = excluded.user_id, ticket_id = excluded.ticket_id, expires = excluded.expires`,
			session.ID[:], session.UserID, session.Ticket, micros(session.Expires))
		return err
	})
}

// Session implements enroll.SessionStore.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	session := enroll.Session{ID: id}
	found, err := s.readers.tx(ctx).get(`SELECT user_id, ticket_id, expires FROM sessions WHERE id = ? AND expires > ?`,
		args{id[:], micros(now)}, &session.UserID, &session.Ticket, (*when)(&session.Expires))
	if err == nil && !found {
		err = enroll.ErrNoSession
	}
	if err != nil {
		return enroll.Session{}, err
	}
	return session, nil
}
