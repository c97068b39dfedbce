package mysql

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// bearer is an access token as it came with a step.
type bearer struct {
	token, grant       int64 // 0: unknown
	ticket, enrollment int64 // of the grant, 0: none
	dead               bool
	expires            time.Time
	used               bool
}

func (b bearer) inForce(at time.Time) bool {
	return b.token != 0 && !b.dead && (b.expires.IsZero() || at.Before(b.expires))
}

// unused reports whether the token comes for the first time, which is to be
// noted.
func (b bearer) unused() bool {
	return b.token != 0 && !b.used
}

// bearerColumns are of tokens k and grants g, which may be missing.
const bearerColumns = `COALESCE(k.seq, 0), COALESCE(g.seq, 0), COALESCE(g.ticket, 0), COALESCE(g.enrollment, 0),
	COALESCE(k.ended OR g.revoked, 1), k.access_expires, COALESCE(k.used, 0)`

// noBearerColumns are those of no token.
const noBearerColumns = `0, 0, 0, 0, 1, NULL, 0`

func bearerFields(b *bearer) []any {
	return []any{&b.token, &b.grant, &b.ticket, &b.enrollment, &b.dead, (*when)(&b.expires), &b.used}
}

// use notes that a token came, which ends the former ones of the enrollment.
func (t *tx) use(b bearer, enrollment int64) error {
	if !b.unused() {
		return nil
	}
	revoked, err := t.lockGrant(b.grant)
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE tokens SET used = 1 WHERE seq = ? AND ended = 0`, b.token)
	if err != nil {
		return err
	}
	if revoked || n == 0 {
		return errChanged // it was in force a moment ago
	}
	return t.endFormer(b, enrollment)
}

// endFormer ends the tokens before one.
func (t *tx) endFormer(b bearer, enrollment int64) error {
	var generation int
	if _, err := t.get(`SELECT generation FROM tokens WHERE seq = ?`, args{b.token}, &generation); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE tokens SET ended = 1 WHERE of_grant = ? AND ended = 0 AND generation < ?`, b.grant, generation); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE grants SET revoked = 1 WHERE enrollment = ? AND revoked = 0 AND seq < ?`, enrollment, b.grant)
	return err
}

// lockGrant makes other steps of a grant wait. Whoever locks an enrollment too
// locks that first.
func (t *tx) lockGrant(seq int64) (revoked bool, err error) {
	_, err = t.get(`SELECT revoked FROM grants WHERE seq = ? FOR UPDATE`, args{seq}, &revoked)
	return revoked, err
}

// bindGrant makes a grant the enrollment's.
func (t *tx) bindGrant(b bearer, enrollment int64) error {
	if b.token == 0 {
		return nil
	}
	if _, err := t.exec(`UPDATE grants SET enrollment = ? WHERE seq = ?`, enrollment, b.grant); err != nil {
		return err
	}
	b.used = false // what it ends may be new since
	return t.use(b, enrollment)
}

// keptGenerations are those of a grant whose refresh tokens are known when they
// are presented again.
const keptGenerations = 16

// give records the next tokens of a grant.
func (t *tx) give(grant int64, generation int, k enroll.Tokens) error {
	var refresh any
	if k.Refresh != [32]byte{} {
		refresh = k.Refresh[:]
	}
	if generation >= keptGenerations {
		if _, err := t.exec(`DELETE FROM tokens WHERE of_grant = ? AND generation <= ?`, grant, generation-keptGenerations); err != nil {
			return err
		}
	}
	if _, err := t.exec(`INSERT INTO tokens (of_grant, generation, access, access_expires, refresh, refresh_expires) VALUES (?, ?, ?, ?, ?, ?)`,
		grant, generation, k.Access[:], micros(k.AccessExpires), refresh, micros(k.RefreshExpires)); err != nil {
		return err
	}
	return t.endGrant(grant)
}

// Grant implements enroll.AccountStore.
func (s *Store) Grant(ctx context.Context, d enroll.GrantStep) error {
	return s.step(ctx, func(t *tx) error {
		if err := t.handBack(d); err != nil {
			return err
		}
		if d.Code == nil {
			known := false
			if _, err := t.get(`SELECT EXISTS (SELECT 1 FROM tokens WHERE access = ?)`, args{d.Tokens.Access[:]}, &known); err != nil {
				return err
			}
			if known {
				return enroll.ErrSessionUsed
			}
		}
		if out, err := t.suspended(d.UserID); err != nil || out {
			return orSuspended(err)
		}
		ticket, enrollment, err := t.grantFor(d)
		if err != nil {
			return err
		}
		var code, expires any
		var bound enroll.AuthorizationCode
		if d.Code != nil {
			bound = *d.Code
			code, expires = bound.Code[:], micros(bound.Expires)
		}
		grant, err := t.insert(`INSERT INTO grants (user_id, ticket, enrollment, client_id, redirect_uri, code, code_expires, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			d.UserID, ticket, enrollment, bound.ClientID, bound.RedirectURI, code, expires, expires)
		if err != nil {
			return err
		}
		if d.Code == nil {
			if err := t.give(grant, 0, d.Tokens); err != nil {
				return err
			}
		}
		// A suspension that did not see the new grant is seen here.
		return t.notSuspended(d.UserID)
	})
}

// handBack ends a web session, which does so once.
func (t *tx) handBack(d enroll.GrantStep) error {
	if _, err := t.exec(`DELETE FROM web_sessions WHERE digest = ? AND expires <= ?`, d.Session[:], micros(d.At)); err != nil {
		return err
	}
	_, err := t.exec(`INSERT INTO web_sessions (digest, expires) VALUES (?, ?)`, d.Session[:], micros(d.SessionExpires))
	if number(err) == errDuplicate {
		return enroll.ErrSessionUsed
	}
	return err
}

// orSuspended is the error, or else that the user is suspended.
func orSuspended(err error) error {
	if err != nil {
		return err
	}
	return mdm.ErrSuspended
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
	found, err := t.get(`SELECT seq, user_id, state FROM enrollments WHERE id = ? FOR UPDATE`, args{d.EnrollmentID}, &seq, &user, &state)
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
	err := s.step(ctx, func(t *tx) error {
		var grant int64
		var user string
		var redeemed, revoked bool
		var expires time.Time
		found, err := t.get(`SELECT seq, user_id, redeemed, revoked, code_expires FROM grants WHERE code = ? AND client_id = ? AND redirect_uri = ? FOR UPDATE`,
			args{d.Code[:], d.ClientID, d.RedirectURI}, &grant, &user, &redeemed, &revoked, (*when)(&expires))
		if err != nil {
			return err
		}
		if !found {
			return enroll.ErrGrant
		}
		if out, err := t.suspended(user); err != nil || out {
			return orSuspended(err)
		}
		if again = redeemed; again {
			return t.revoke(grant)
		}
		if revoked || !stamp(d.At).Before(expires) {
			return enroll.ErrGrant
		}
		if _, err := t.exec(`UPDATE grants SET redeemed = 1 WHERE seq = ?`, grant); err != nil {
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
	_, err := t.exec(`UPDATE grants SET revoked = 1 WHERE seq = ? AND revoked = 0`, grant)
	return err
}

// Refresh implements enroll.AccountStore.
func (s *Store) Refresh(ctx context.Context, d enroll.RefreshStep) error {
	again := false
	err := s.step(ctx, func(t *tx) error {
		again = false
		var b bearer
		var user string
		var generation, latest int
		var revoked bool
		found, err := t.get(`SELECT g.seq FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.refresh = ? AND g.client_id = ?`,
			args{d.Refresh[:], d.ClientID}, &b.grant)
		if err != nil {
			return err
		}
		if !found {
			return enroll.ErrGrant
		}
		if _, err := t.lockGrant(b.grant); err != nil {
			return err
		}
		found, err = t.get(`SELECT k.seq, COALESCE(g.enrollment, 0), g.user_id, g.revoked, k.generation, k.refresh_expires, k.used,
				(SELECT max(l.generation) FROM tokens l WHERE l.of_grant = g.seq)
			FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.refresh = ?`, args{d.Refresh[:]},
			&b.token, &b.enrollment, &user, &revoked, &generation, (*when)(&b.expires), &b.used, &latest)
		if err != nil {
			return err
		}
		if !found {
			return enroll.ErrGrant
		}
		if out, err := t.suspended(user); err != nil || out {
			return orSuspended(err)
		}
		if revoked || !b.inForce(stamp(d.At)) {
			return enroll.ErrGrant
		}
		if latest > generation {
			// A repeat, if none of the tokens that it was exchanged for came yet.
			n := int64(0)
			if latest == generation+1 {
				if n, err = t.exec(`DELETE FROM tokens WHERE of_grant = ? AND generation = ? AND used = 0`, b.grant, latest); err != nil {
					return err
				}
			}
			if n == 0 {
				again = true
				return t.revoke(b.grant)
			}
		}
		if b.unused() {
			if _, err := t.exec(`UPDATE tokens SET used = 1 WHERE seq = ?`, b.token); err != nil {
				return err
			}
			if err := t.endFormer(b, b.enrollment); err != nil {
				return err
			}
		}
		return t.give(b.grant, generation+1, d.Tokens)
	})
	if err == nil && again {
		err = enroll.ErrGrant
	}
	return err
}

// TokenTicket implements enroll.AccountStore.
func (s *Store) TokenTicket(ctx context.Context, access [32]byte, now time.Time) (enroll.Ticket, error) {
	k, b, err := s.read(ctx).tokenTicket(access, now)
	if err == nil && b.unused() {
		err = s.step(ctx, func(t *tx) error {
			if _, err := t.lockGrant(b.grant); err != nil {
				return err
			}
			if k, b, err = t.tokenTicket(access, now); err != nil {
				return err
			}
			return t.use(b, b.enrollment)
		})
	}
	if err != nil {
		return enroll.Ticket{}, err
	}
	return k, nil
}

func (t *tx) tokenTicket(access [32]byte, now time.Time) (enroll.Ticket, bearer, error) {
	var b bearer
	var user, ticket string
	found, err := t.get(`SELECT `+bearerColumns+`, g.user_id, COALESCE((SELECT t.id FROM tickets t WHERE t.seq = g.ticket), '')
		FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.access = ?`, args{access[:]}, append(bearerFields(&b), &user, &ticket)...)
	if err != nil {
		return enroll.Ticket{}, bearer{}, err
	}
	if !found {
		return enroll.Ticket{}, bearer{}, enroll.ErrToken
	}
	if out, err := t.suspended(user); err != nil || out {
		return enroll.Ticket{}, bearer{}, orSuspended(err)
	}
	if b.ticket == 0 || !b.inForce(stamp(now)) {
		return enroll.Ticket{}, bearer{}, enroll.ErrToken
	}
	k, _, err := t.ticket(ticket, false)
	return k, b, err
}

// RevokeTokens implements enroll.AccountStore.
func (s *Store) RevokeTokens(ctx context.Context, enrollmentID string) error {
	return s.step(ctx, func(t *tx) error {
		var seq int64
		found, err := t.get(`SELECT seq FROM enrollments WHERE id = ? FOR UPDATE`, args{enrollmentID}, &seq)
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
	_, err := t.exec(`UPDATE grants SET revoked = 1 WHERE enrollment = ? AND revoked = 0`, enrollment)
	return err
}

var _ enroll.AccountStore = (*Store)(nil)
