package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var _ transfer.Sink = (*Store)(nil)

// ImportBatch implements transfer.Sink. A batch is one transaction.
func (s *Store) ImportBatch(ctx context.Context, records []transfer.Record) (added int, err error) {
	err = s.writer.do(ctx, func(t *tx) error {
		for _, r := range records {
			isNew, err := t.importRecord(r)
			if err != nil {
				return fmt.Errorf("sqlite: %s %q: %w", r.Kind(), r.Name(), err)
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
		if n, err := t.exec(`INSERT INTO suspended_users (user_id) VALUES (?) ON CONFLICT DO NOTHING`, r.UserID); err != nil || n == 0 {
			return false, err
		}
		_, err := t.exec(`UPDATE enrollments SET suspended = 1 WHERE user_id = ?`, r.UserID)
		return true, err
	case *transfer.Session:
		return t.insert(`INSERT INTO sessions (id, user_id, ticket_id, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.ID[:], r.UserID, r.Ticket, micros(r.Expires))
	case *transfer.WebSession:
		return t.insert(`INSERT INTO web_sessions (digest, expires) VALUES (?, ?) ON CONFLICT DO NOTHING`, r.ID[:], micros(r.Expires))
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
	groups := []byte("[]")
	if len(r.Groups) > 0 {
		var err error
		if groups, err = json.Marshal(r.Groups); err != nil {
			return false, err
		}
	}
	if _, known, err := t.user(`id = ?`, r.ID); err != nil || known {
		return false, err
	}
	return true, t.mustInsert(`INSERT INTO users (id, issuer, subject, display_name, groups, groups_stale, managed_apple_account, suspended, created, last_sign_in)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		r.ID, r.Issuer, r.Subject, r.DisplayName, string(groups), r.GroupsStale, r.ManagedAppleAccount, r.Suspended, micros(r.Created), micros(r.LastSignIn))
}

func (t *tx) importTicket(r *transfer.Ticket) (bool, error) {
	var seq int64
	added, err := t.get(`INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued, downloads, downloaded, identified, authenticated, enrolled, ended, enrollment_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq`,
		args{r.ID, r.Ref, r.UserID, r.Way, r.Ownership, r.State, r.Session[:], micros(r.Issued), r.Downloads, micros(r.Downloaded), micros(r.Identified),
			micros(r.Authenticated), micros(r.Enrolled), micros(r.Ended), r.EnrollmentID}, &seq)
	if err != nil || !added {
		return false, err
	}
	for _, c := range r.Challenges {
		var key, certificate any
		if c.Redeemed {
			key, certificate = c.Key[:], c.Certificate
		}
		if err := t.mustInsert(`INSERT INTO challenges (digest, ticket, download, expires, void, key, certificate) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			c.Digest[:], seq, c.Download, micros(c.Expires), c.Void, key, certificate); err != nil {
			return false, err
		}
	}
	for _, i := range r.Identities {
		if err := t.mustInsert(`INSERT INTO identities (digest, ticket, user_id, way, not_after, deadline, replaced) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			i.Digest[:], seq, r.UserID, r.Way, micros(i.NotAfter), micros(i.Deadline), i.Replaced); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *tx) importEnrollment(r *transfer.Enrollment) (bool, error) {
	var seq int64
	if known, err := t.get(`SELECT seq FROM enrollments WHERE id = ?`, args{r.ID}, &seq); err != nil || known {
		return false, err
	}
	var bound bool
	issued, err := t.get(`SELECT i.enrollment IS NOT NULL FROM identities i JOIN tickets k ON k.seq = i.ticket WHERE i.digest = ? AND k.id = ?`,
		args{r.Certificate[:], r.TicketID}, &bound)
	switch {
	case err != nil:
		return false, err
	case !issued:
		return false, transfer.ErrMissing
	case bound:
		return false, transfer.ErrConflict
	}
	var token, magic, status any
	if len(r.Token) > 0 {
		if token, err = t.secrets.Seal(r.Token, sealedToken, r.ID); err != nil {
			return false, err
		}
		if magic, err = t.secrets.Seal([]byte(r.PushMagic), sealedMagic, r.ID); err != nil {
			return false, err
		}
	}
	if !r.Push.Attempted.IsZero() {
		status = r.Push.Status
	}
	suspended, err := t.suspended(r.UserID)
	if err != nil {
		return false, err
	}
	if _, err := t.get(`INSERT INTO enrollments (id, user_id, suspended, ticket_id, way, state, certificate, topic, os_version, build_version, product,
			created, enrolled, ended, contact, token, magic, token_stored,
			push_request, push_settled, push_due, push_fixed, push_attempt, push_status, push_attempted)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
		args{r.ID, r.UserID, suspended, r.TicketID, r.Way, r.State, r.Certificate[:], r.Topic, r.OSVersion, r.BuildVersion, r.Product,
			micros(r.Created), micros(r.Enrolled), micros(r.Ended), micros(r.Contact), token, magic, micros(r.TokenStored),
			r.Push.Request, r.Push.Settled, micros(r.Push.Due), r.Push.Fixed, r.Push.Attempt, status, micros(r.Push.Attempted)}, &seq); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE identities SET enrollment = ? WHERE digest = ?`, seq, r.Certificate[:])
	return true, err
}

func (t *tx) importGrant(r *transfer.Grant) (bool, error) {
	id := r.ID()
	is := `SELECT EXISTS (SELECT 1 FROM grants WHERE code = ?)`
	if r.Code == nil {
		is = `SELECT EXISTS (SELECT 1 FROM tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.access = ? AND g.code IS NULL)`
	}
	var known bool
	if _, err := t.get(is, args{id[:]}, &known); err != nil || known {
		return false, err
	}
	var ticket, enrollment, code, expires any
	for _, of := range []struct {
		id, query string
		into      *any
	}{
		{r.TicketID, `SELECT seq FROM tickets WHERE id = ?`, &ticket},
		{r.EnrollmentID, `SELECT seq FROM enrollments WHERE id = ?`, &enrollment},
	} {
		if of.id == "" {
			continue
		}
		var seq int64
		found, err := t.get(of.query, args{of.id}, &seq)
		if err != nil {
			return false, err
		}
		if !found {
			return false, transfer.ErrMissing
		}
		*of.into = seq
	}
	var bound enroll.AuthorizationCode
	if r.Code != nil {
		bound = *r.Code
		code, expires = bound.Code[:], micros(bound.Expires)
	}
	var seq int64
	if _, err := t.get(`INSERT INTO grants (user_id, ticket, enrollment, revoked, client_id, redirect_uri, code, code_expires, redeemed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`,
		args{r.UserID, ticket, enrollment, r.Revoked, bound.ClientID, bound.RedirectURI, code, expires, r.Redeemed}, &seq); err != nil {
		return false, err
	}
	for i, k := range r.Generations {
		var refresh any
		if k.Refresh != [32]byte{} {
			refresh = k.Refresh[:]
		}
		if err := t.mustInsert(`INSERT INTO tokens (of_grant, generation, access, access_expires, refresh, refresh_expires, used, ended)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			seq, i, k.Access[:], micros(k.AccessExpires), refresh, micros(k.RefreshExpires), k.Used, r.Ended(i)); err != nil {
			return false, err
		}
	}
	if err := t.endGrant(seq); err != nil {
		return false, err
	}
	_, err := t.exec(`UPDATE grants SET ends = (SELECT min(ifnull(grants.ends, e.ended), e.ended) FROM enrollments e WHERE e.seq = grants.enrollment)
		WHERE seq = ? AND EXISTS (SELECT 1 FROM enrollments e WHERE e.seq = grants.enrollment AND e.state = 'ended')`, seq)
	return err == nil, err
}

func (t *tx) importCommand(r *transfer.Command) (bool, error) {
	var enrollment int64
	found, err := t.get(`SELECT seq FROM enrollments WHERE id = ?`, args{r.EnrollmentID}, &enrollment)
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
		place = placeWaits
	}
	return t.insert(`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, result, payload)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (enrollment, uuid) DO NOTHING`,
		enrollment, r.UUID, r.RequestType, r.Status, place, micros(r.Queued), micros(r.Updated), r.Result, payload)
}
