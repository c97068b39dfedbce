package postgres

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/sso"
)

// OpenState implements sso.StateStore. An attempt that is there already is left
// as it is, so that a late repeat reopens nothing.
func (s *Store) OpenState(ctx context.Context, key [32]byte, expires time.Time) error {
	return s.one(ctx, nil, `INSERT INTO sso_states (key, expires) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, key[:], moment(expires))
}

// ConsumeState implements sso.StateStore. Of calls at the same time the first
// has the row; the others then find that it does not fit any more.
func (s *Store) ConsumeState(ctx context.Context, key [32]byte, now time.Time) error {
	return s.one(ctx, sso.ErrStateUsed, `UPDATE sso_states SET consumed = true WHERE key = $1 AND NOT consumed AND expires > $2`, key[:], stamp(now))
}

// PutSession implements enroll.SessionStore.
func (s *Store) PutSession(ctx context.Context, session enroll.Session, old [32]byte) error {
	const put = `INSERT INTO sessions (id, user_id, ticket_id, expires) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, ticket_id = excluded.ticket_id, expires = excluded.expires`
	values := args{session.ID[:], session.UserID, session.Ticket, moment(session.Expires)}
	if old == [32]byte{} || old == session.ID {
		return s.one(ctx, nil, put, values...)
	}
	return s.atomic(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM sessions WHERE id = $1`, old[:]); err != nil {
			return err
		}
		_, err := t.exec(put, values...)
		return err
	})
}

// Session implements enroll.SessionStore.
func (s *Store) Session(ctx context.Context, id [32]byte, now time.Time) (enroll.Session, error) {
	session, found := enroll.Session{ID: id}, false
	err := again(ctx, func() (err error) {
		found, err = s.alone(ctx).get(`SELECT user_id, ticket_id, expires FROM sessions WHERE id = $1 AND expires > $2`,
			args{id[:], stamp(now)}, &session.UserID, &session.Ticket, (*when)(&session.Expires))
		return err
	})
	if err == nil && !found {
		err = enroll.ErrNoSession
	}
	if err != nil {
		return enroll.Session{}, err
	}
	return session, nil
}
