package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// errMore: a step takes more than one statement.
var errMore = errors.New("postgres: the step takes more than one statement")

// use notes that a token came, which ends the former ones of the enrollment. The
// grant is locked first, as by all that change its tokens.
func (t *tx) use(b bearer, enrollment int64) error {
	if b.token == 0 || b.used {
		return nil
	}
	ok, err := t.lockGrant(b.grant)
	if err != nil {
		return err
	}
	if !ok {
		return errChanged // revoked meanwhile
	}
	n, err := t.exec(`UPDATE tokens SET used = true WHERE seq = $1 AND NOT ended`, b.token)
	if err != nil {
		return err
	}
	if n == 0 {
		return errChanged // replaced meanwhile
	}
	if _, err := t.exec(`UPDATE tokens SET ended = true WHERE of_grant = $1 AND generation < $2 AND NOT ended`, b.grant, b.generation); err != nil {
		return err
	}
	return t.endGrantsBefore(b.grant, enrollment)
}

// lockGrant locks a grant and reports whether it is in force.
func (t *tx) lockGrant(grant int64) (ok bool, err error) {
	_, err = t.get(`SELECT NOT revoked FROM grants WHERE seq = $1`+forUpdate, args{grant}, &ok)
	return ok, err
}

func (t *tx) endGrantsBefore(grant, enrollment int64) error {
	_, err := t.exec(`UPDATE grants SET revoked = true WHERE enrollment = $1 AND NOT revoked AND seq < $2`, enrollment, grant)
	return err
}

// bindGrant makes a grant the enrollment's.
func (t *tx) bindGrant(b bearer, enrollment int64) error {
	n, err := t.exec(`UPDATE grants SET enrollment = $2 WHERE seq = $1 AND NOT revoked`, b.grant, enrollment)
	if err != nil {
		return err
	}
	if n == 0 {
		return errChanged
	}
	b.used = false // what it ends may be new since
	return t.use(b, enrollment)
}

// keptGenerations are those of a grant whose refresh tokens are known when they
// are presented again.
const keptGenerations = 16

// give records the next tokens of a grant.
func (t *tx) give(grant int64, generation int, k enroll.Tokens) error {
	if generation > keptGenerations {
		if _, err := t.exec(`DELETE FROM tokens WHERE of_grant = $1 AND generation <= $2`, grant, generation-keptGenerations); err != nil {
			return err
		}
	}
	if _, err := t.exec(`INSERT INTO tokens (of_grant, generation, access, access_expires, refresh, refresh_expires) VALUES ($1, $2, $3, $4, $5, $6)`,
		grant, generation, k.Access[:], moment(k.AccessExpires), optional(k.Refresh), moment(k.RefreshExpires)); err != nil {
		return err
	}
	return t.endGrant(grant)
}

// endGrant notes when all tokens and the code of a grant are over, if that is
// known.
func (t *tx) endGrant(grant int64) error {
	_, err := t.exec(`UPDATE grants SET ends = (
			SELECT CASE WHEN count(*) FILTER (WHERE k.access_expires IS NULL OR k.refresh IS NOT NULL AND k.refresh_expires IS NULL) > 0 THEN NULL
				ELSE greatest(max(k.access_expires), max(k.refresh_expires), grants.code_expires) END
			FROM tokens k WHERE k.of_grant = grants.seq)
		WHERE seq = $1`, grant)
	return err
}

// notSuspended is mdm.ErrSuspended when the user is suspended.
func (t *tx) notSuspended(userID string) error {
	var suspended bool
	if _, err := t.get(`SELECT suspended FROM suspensions WHERE user_id = $1`, args{userID}, &suspended); err != nil {
		return err
	}
	if suspended {
		return mdm.ErrSuspended
	}
	return nil
}

// Grant implements enroll.AccountStore.
func (s *Store) Grant(ctx context.Context, d enroll.GrantStep) error {
	return s.atomic(ctx, func(t *tx) error {
		// Of one web session at the same time the second waits for the first.
		n, err := t.exec(`INSERT INTO web_sessions (digest, expires) VALUES ($1, $2)
			ON CONFLICT (digest) DO UPDATE SET expires = excluded.expires WHERE web_sessions.expires <= $3`,
			d.Session[:], moment(d.SessionExpires), stamp(d.At))
		if err != nil {
			return err
		}
		known := false
		if d.Code == nil {
			if _, err := t.get(`SELECT EXISTS (SELECT 1 FROM tokens WHERE access = $1)`, args{d.Tokens.Access[:]}, &known); err != nil {
				return err
			}
		}
		if n == 0 || known {
			return enroll.ErrSessionUsed
		}
		// The user's row is locked, so that SuspendUser finds the grant or is found.
		var suspended bool
		if _, err := t.get(`INSERT INTO suspensions (user_id, suspended) VALUES ($1, false)
			ON CONFLICT (user_id) DO UPDATE SET user_id = excluded.user_id RETURNING suspended`, args{d.UserID}, &suspended); err != nil {
			return err
		}
		if suspended {
			return mdm.ErrSuspended
		}
		ticket, enrollment, err := t.grantFor(d)
		if err != nil {
			return err
		}
		var code, expires any
		var bound enroll.AuthorizationCode
		if d.Code != nil {
			bound = *d.Code
			code, expires = bound.Code[:], moment(bound.Expires)
		}
		var grant int64
		if _, err := t.get(`INSERT INTO grants (user_id, ticket, enrollment, client_id, redirect_uri, code, code_expires, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING seq`,
			args{d.UserID, ticket, enrollment, bound.ClientID, bound.RedirectURI, code, expires}, &grant); err != nil {
			return err
		}
		if d.Code != nil {
			return nil
		}
		err = t.give(grant, 0, d.Tokens)
		if unique(err) {
			err = enroll.ErrSessionUsed // the same access token, at the same time
		}
		return err
	})
}

// grantFor issues the ticket of a grant, or finds its enrollment.
func (t *tx) grantFor(d enroll.GrantStep) (ticket, enrollment any, err error) {
	var seq int64
	if d.Ticket != nil {
		seq, err = t.issue(*d.Ticket)
		return seq, nil, err
	}
	var user string
	var state mdm.EnrollmentState
	found, err := t.get(`SELECT seq, user_id, state FROM enrollments WHERE id = $1`+forChange, args{d.EnrollmentID}, &seq, &user, &state)
	switch {
	case err != nil:
		return nil, nil, err
	case !found:
		return nil, nil, mdm.ErrUnknownEnrollment
	case user != d.UserID:
		return nil, nil, enroll.ErrAnotherPerson
	case state == mdm.StateEnded || state == mdm.StateReplaced:
		return nil, nil, mdm.ErrEnded
	}
	return nil, seq, nil
}

// RedeemCode implements enroll.AccountStore.
func (s *Store) RedeemCode(ctx context.Context, d enroll.CodeStep) error {
	again := false
	err := s.atomic(ctx, func(t *tx) error {
		again = false
		var grant int64
		var user string
		var redeemed, revoked bool
		var expires time.Time
		found, err := t.get(`SELECT seq, user_id, redeemed, revoked, code_expires FROM grants WHERE code = $1 AND client_id = $2 AND redirect_uri = $3`+forUpdate,
			args{d.Code[:], d.ClientID, d.RedirectURI}, &grant, &user, &redeemed, &revoked, (*when)(&expires))
		if err != nil {
			return err
		}
		if !found {
			return enroll.ErrGrant
		}
		if err := t.notSuspended(user); err != nil {
			return err
		}
		if redeemed {
			again = true
			return t.revoke(grant)
		}
		if revoked || !stamp(d.At).Before(expires) {
			return enroll.ErrGrant
		}
		if _, err := t.exec(`UPDATE grants SET redeemed = true WHERE seq = $1`, grant); err != nil {
			return err
		}
		return t.give(grant, 0, d.Tokens)
	})
	if err == nil && again {
		err = enroll.ErrGrant
	}
	return err
}

func (t *tx) revoke(grant int64) error {
	_, err := t.exec(`UPDATE grants SET revoked = true WHERE seq = $1 AND NOT revoked`, grant)
	return err
}

// Refresh implements enroll.AccountStore.
func (s *Store) Refresh(ctx context.Context, d enroll.RefreshStep) error {
	again := false
	err := s.atomic(ctx, func(t *tx) error {
		again = false
		// What is read of the grant and its tokens after this stays as it is.
		if _, err := t.exec(`SELECT seq FROM grants WHERE seq = (SELECT of_grant FROM tokens WHERE refresh = $1)`+forUpdate, d.Refresh[:]); err != nil {
			return err
		}
		var b bearer
		var user string
		var latest int
		var revoked bool
		found, err := t.get(`SELECT k.seq, g.seq, coalesce(g.enrollment, 0), g.user_id, g.revoked, k.generation, k.refresh_expires IS NULL OR k.refresh_expires > $3, k.used,
				(SELECT max(l.generation) FROM tokens l WHERE l.of_grant = g.seq)
			FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.refresh = $1 AND g.client_id = $2`, args{d.Refresh[:], d.ClientID, stamp(d.At)},
			&b.token, &b.grant, &b.grantEnrollment, &user, &revoked, &b.generation, &b.inForce, &b.used, &latest)
		if err != nil {
			return err
		}
		if !found {
			return enroll.ErrGrant
		}
		if err := t.notSuspended(user); err != nil {
			return err
		}
		if revoked || !b.inForce {
			return enroll.ErrGrant
		}
		if latest > b.generation {
			// A repeat, if none of the tokens that it was exchanged for came yet.
			n, err := t.exec(`DELETE FROM tokens WHERE of_grant = $1 AND generation = $2 AND NOT used AND generation = $3`, b.grant, latest, b.generation+1)
			if err != nil {
				return err
			}
			if n == 0 {
				again = true
				return t.revoke(b.grant)
			}
		}
		if err := t.use(b, b.grantEnrollment); err != nil {
			return err
		}
		return t.give(b.grant, b.generation+1, d.Tokens)
	})
	if err == nil && again {
		err = enroll.ErrGrant
	}
	return err
}

// TokenTicket implements enroll.AccountStore.
func (s *Store) TokenTicket(ctx context.Context, access [32]byte, now time.Time) (enroll.Ticket, error) {
	var k enroll.Ticket
	find := func(t *tx) (b bearer, err error) {
		var user string
		found, err := t.get(`SELECT k.seq, g.seq, g.user_id, coalesce(g.ticket, 0), coalesce(g.enrollment, 0), k.generation,
				NOT k.ended AND NOT g.revoked AND (k.access_expires IS NULL OR k.access_expires > $2), k.used
			FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.access = $1`, args{access[:], stamp(now)},
			&b.token, &b.grant, &user, &b.grantTicket, &b.grantEnrollment, &b.generation, &b.inForce, &b.used)
		if err != nil {
			return bearer{}, err
		}
		if !found {
			return bearer{}, enroll.ErrToken
		}
		if err := t.notSuspended(user); err != nil {
			return bearer{}, err
		}
		if b.grantTicket == 0 || !b.inForce {
			return bearer{}, enroll.ErrToken
		}
		_, err = t.get(`SELECT `+ticketColumns+` FROM tickets WHERE seq = $1`, args{b.grantTicket}, ticketFields(&k)...)
		return b, err
	}
	err := again(ctx, func() error {
		b, err := find(s.alone(ctx))
		if err == nil && !b.used {
			err = errMore
		}
		return err
	})
	if err == errMore { //nolint:errorlint // it is never wrapped
		err = s.atomic(ctx, func(t *tx) error {
			b, err := find(t)
			if err != nil {
				return err
			}
			return t.use(b, b.grantEnrollment)
		})
	}
	if err != nil {
		return enroll.Ticket{}, err
	}
	return k, nil
}

// RevokeTokens implements enroll.AccountStore.
func (s *Store) RevokeTokens(ctx context.Context, enrollmentID string) error {
	return s.atomic(ctx, func(t *tx) error {
		var seq int64
		found, err := t.get(`SELECT seq FROM enrollments WHERE id = $1`+forChange, args{enrollmentID}, &seq)
		if err != nil {
			return err
		}
		if !found {
			return mdm.ErrUnknownEnrollment
		}
		return t.revokeAll(seq)
	})
}

// revokeAll ends all grants of an enrollment.
func (t *tx) revokeAll(enrollment int64) error {
	_, err := t.exec(`UPDATE grants SET revoked = true WHERE enrollment = $1 AND NOT revoked`, enrollment)
	return err
}

var _ enroll.AccountStore = (*Store)(nil)
