package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var _ transfer.Sink = (*Store)(nil)

// ImportBatch implements transfer.Sink. A batch is one transaction.
func (s *Store) ImportBatch(ctx context.Context, records []transfer.Record) (added int, err error) {
	err = s.atomic(ctx, func(t *tx) error {
		added = 0
		for _, r := range records {
			isNew, err := t.importRecord(r)
			if err != nil {
				return fmt.Errorf("postgres: %s %q: %w", r.Kind(), r.Name(), err)
			}
			if isNew {
				added++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return added, nil
}

// importRecord adds one record and reports whether it was not there.
func (t *tx) importRecord(r transfer.Record) (bool, error) {
	switch r := r.(type) {
	case *transfer.User:
		return t.importUser(r)
	case *transfer.Suspension:
		isNew, err := t.insert(`INSERT INTO suspensions (user_id, suspended) VALUES ($1, true)
			ON CONFLICT (user_id) DO UPDATE SET suspended = true WHERE NOT suspensions.suspended`, r.UserID)
		if err != nil || !isNew {
			return false, err
		}
		_, err = t.exec(`UPDATE pushes SET suspended = true WHERE enrollment IN (SELECT seq FROM enrollments WHERE user_id = $1)`, r.UserID)
		return true, err
	case *transfer.Session:
		return t.insert(`INSERT INTO sessions (id, user_id, ticket_id, expires) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			r.ID[:], r.UserID, r.Ticket, moment(r.Expires))
	case *transfer.WebSession:
		return t.insert(`INSERT INTO web_sessions (digest, expires) VALUES ($1, $2) ON CONFLICT DO NOTHING`, r.ID[:], moment(r.Expires))
	case *transfer.Ticket:
		return t.importTicket(r)
	case *transfer.Enrollment:
		return t.importEnrollment(r)
	case *transfer.Grant:
		return t.importGrant(r)
	case *transfer.Command:
		return t.importCommand(r)
	}
	return false, &transfer.KindError{Kind: r.Kind()}
}

// insert reports whether a statement added its row. It does not when something
// that must be unique is there.
func (t *tx) insert(query string, values ...any) (bool, error) {
	n, err := t.exec(query, values...)
	return n == 1, err
}

// mustInsert is insert of a row that belongs to one that is new.
func (t *tx) mustInsert(query string, values ...any) error {
	added, err := t.insert(query, values...)
	if err == nil && !added {
		err = transfer.ErrConflict
	}
	return err
}

func (t *tx) importUser(r *transfer.User) (bool, error) {
	var seq int64
	if known, err := t.get(`SELECT seq FROM users WHERE id = $1`, args{r.ID}, &seq); err != nil || known {
		return false, err
	}
	groups := r.Groups
	if groups == nil {
		groups = []string{}
	}
	return true, t.mustInsert(`INSERT INTO users (id, issuer, subject, display_name, groups, groups_stale, managed_apple_account, suspended, created, last_sign_in)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		r.ID, r.Issuer, r.Subject, r.DisplayName, groups, r.GroupsStale, r.ManagedAppleAccount, r.Suspended, moment(r.Created), moment(r.LastSignIn))
}

func (t *tx) importTicket(r *transfer.Ticket) (bool, error) {
	var seq int64
	added, err := t.get(`INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued, downloads, downloaded, identified, authenticated, enrolled, ended, enrollment_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING RETURNING seq`,
		args{
			r.ID, r.Ref, r.UserID, string(r.Way), string(r.Ownership), string(r.State), r.Session[:], moment(r.Issued), r.Downloads, moment(r.Downloaded),
			moment(r.Identified), moment(r.Authenticated), moment(r.Enrolled), moment(r.Ended), r.EnrollmentID,
		}, &seq)
	if err != nil || !added {
		return false, err
	}
	for _, c := range r.Challenges {
		var key, certificate any
		if c.Redeemed {
			key, certificate = c.Key[:], c.Certificate
		}
		if err := t.mustInsert(`INSERT INTO challenges (digest, ticket, download, expires, void, key, certificate) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			c.Digest[:], seq, c.Download, moment(c.Expires), c.Void, key, certificate); err != nil {
			return false, err
		}
	}
	for _, i := range r.Identities {
		if err := t.mustInsert(`INSERT INTO identities (digest, ticket, user_id, way, not_after, deadline, replaced) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			i.Digest[:], seq, r.UserID, string(r.Way), moment(i.NotAfter), moment(i.Deadline), i.Replaced); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *tx) importEnrollment(r *transfer.Enrollment) (bool, error) {
	var seq int64
	if known, err := t.get(`SELECT seq FROM enrollments WHERE id = $1`, args{r.ID}, &seq); err != nil || known {
		return false, err
	}
	var bound, suspended bool
	issued, err := t.get(`SELECT i.enrollment IS NOT NULL, EXISTS (SELECT 1 FROM suspensions s WHERE s.user_id = $3 AND s.suspended)
		FROM identities i JOIN tickets k ON k.seq = i.ticket WHERE i.digest = $1 AND k.id = $2`, args{r.Certificate[:], r.TicketID, r.UserID}, &bound, &suspended)
	switch {
	case err != nil:
		return false, err
	case !issued:
		return false, transfer.ErrMissing
	case bound:
		return false, transfer.ErrConflict
	}
	var token, magic, known any
	if len(r.Token) > 0 {
		if token, err = t.secrets.Seal(r.Token, sealedToken, r.ID); err != nil {
			return false, err
		}
		if magic, err = t.secrets.Seal([]byte(r.PushMagic), sealedMagic, r.ID); err != nil {
			return false, err
		}
		digest := sha256.Sum256(r.Token)
		known = digest[:]
	}
	if _, err := t.get(`INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product,
			created, enrolled, ended, contact, token, magic, token_digest, token_stored)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) RETURNING seq`,
		args{
			r.ID, r.UserID, r.TicketID, string(r.Way), string(r.State), r.Certificate[:], r.Topic, r.OSVersion, r.BuildVersion, r.Product,
			moment(r.Created), moment(r.Enrolled), moment(r.Ended), moment(r.Contact), token, magic, known, moment(r.TokenStored),
		}, &seq); err != nil {
		return false, err
	}
	p := r.Push
	if err := t.mustInsert(`INSERT INTO pushes (enrollment, state, reachable, suspended, request, settled, due, fixed, attempt, status, attempted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		seq, string(r.State), len(r.Token) > 0, suspended, p.Request, p.Settled, moment(p.Due), p.Fixed, p.Attempt, p.Status, moment(p.Attempted)); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE identities SET enrollment = $1 WHERE digest = $2`, seq, r.Certificate[:])
	return true, err
}

func (t *tx) importGrant(r *transfer.Grant) (bool, error) {
	id := r.ID()
	is := `SELECT EXISTS (SELECT 1 FROM grants WHERE code = $1)`
	if r.Code == nil {
		is = `SELECT EXISTS (SELECT 1 FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.access = $1 AND g.code IS NULL)`
	}
	var known bool
	if _, err := t.get(is, args{id[:]}, &known); err != nil || known {
		return false, err
	}
	ticket, err := t.seqNamed(`SELECT seq FROM tickets WHERE id = $1`, r.TicketID)
	if err != nil {
		return false, err
	}
	enrollment, err := t.seqNamed(`SELECT seq FROM enrollments WHERE id = $1`, r.EnrollmentID)
	if err != nil {
		return false, err
	}
	var code, expires any
	var bound enroll.AuthorizationCode
	if r.Code != nil {
		bound = *r.Code
		code, expires = bound.Code[:], moment(bound.Expires)
	}
	var seq int64
	if _, err := t.get(`INSERT INTO grants (user_id, ticket, enrollment, revoked, client_id, redirect_uri, code, code_expires, redeemed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq`,
		args{r.UserID, ticket, enrollment, r.Revoked, bound.ClientID, bound.RedirectURI, code, expires, r.Redeemed}, &seq); err != nil {
		return false, err
	}
	for i, k := range r.Generations {
		if err := t.mustInsert(`INSERT INTO tokens (of_grant, generation, access, access_expires, refresh, refresh_expires, used, ended)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
			seq, i, k.Access[:], moment(k.AccessExpires), optional(k.Refresh), moment(k.RefreshExpires), k.Used, r.Ended(i)); err != nil {
			return false, err
		}
	}
	if err := t.endGrant(seq); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE grants g SET ends = least(g.ends, e.ended) FROM enrollments e WHERE g.seq = $1 AND e.seq = g.enrollment AND e.state = 'ended'`, seq)
	return err == nil, err
}

// seqNamed is the seq of what a record refers to, or nil when it does not.
func (t *tx) seqNamed(query, id string) (any, error) {
	if id == "" {
		return nil, nil
	}
	var seq int64
	found, err := t.get(query, args{id}, &seq)
	if err == nil && !found {
		err = transfer.ErrMissing
	}
	return seq, err
}

func (t *tx) importCommand(r *transfer.Command) (bool, error) {
	var enrollment int64
	found, err := t.get(`SELECT seq FROM enrollments WHERE id = $1`, args{r.EnrollmentID}, &enrollment)
	if err != nil {
		return false, err
	}
	if !found {
		return false, transfer.ErrMissing
	}
	payload, err := t.secrets.Seal(r.Payload, sealedPayload, r.EnrollmentID, r.UUID)
	if err != nil {
		return false, err
	}
	var place any
	switch {
	case r.Held:
		place = placeHeld
	case !r.Final():
		place = int16(1)
	}
	return t.insert(`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, result, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (enrollment, uuid) DO NOTHING`,
		enrollment, r.UUID, r.RequestType, string(r.Status), place, moment(r.Queued), moment(r.Updated), r.Result, payload)
}
