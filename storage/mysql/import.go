package mysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var _ transfer.Sink = (*Store)(nil)

// ImportBatch implements transfer.Sink. A batch is one transaction.
func (s *Store) ImportBatch(ctx context.Context, records []transfer.Record) (added int, err error) {
	err = s.step(ctx, func(t *tx) error {
		added = 0
		for _, r := range records {
			isNew, err := t.importRecord(r)
			if err != nil {
				return fmt.Errorf("mysql: %s %q: %w", r.Kind(), r.Name(), err)
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
		if known, err := t.has(`suspended_users WHERE user_id = ?`, r.UserID); err != nil || known {
			return false, err
		}
		if _, err := t.add(`INSERT INTO suspended_users (user_id) VALUES (?)`, r.UserID); err != nil {
			return false, err
		}
		return true, t.suspendDevices(r.UserID, true)
	case *transfer.Session:
		if known, err := t.has(`sessions WHERE id = ?`, r.ID[:]); err != nil || known {
			return false, err
		}
		_, err := t.add(`INSERT INTO sessions (id, user_id, ticket_id, expires) VALUES (?, ?, ?, ?)`, r.ID[:], r.UserID, r.Ticket, micros(r.Expires))
		return true, err
	case *transfer.WebSession:
		if known, err := t.has(`web_sessions WHERE digest = ?`, r.ID[:]); err != nil || known {
			return false, err
		}
		_, err := t.add(`INSERT INTO web_sessions (digest, expires) VALUES (?, ?)`, r.ID[:], micros(r.Expires))
		return true, err
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

// has reports whether there is such a row.
func (t *tx) has(rows string, values ...any) (yes bool, err error) {
	_, err = t.get(`SELECT EXISTS (SELECT 1 FROM `+rows+`)`, values, &yes)
	return yes, err
}

// add adds a row that was looked for before. Something that must be unique is
// then another record's.
func (t *tx) add(query string, values ...any) (int64, error) {
	seq, err := t.insert(query, values...)
	if number(err) == errDuplicate {
		err = transfer.ErrConflict // which is not tried again
	}
	return seq, err
}

func (t *tx) importUser(r *transfer.User) (bool, error) {
	if known, err := t.has(`users WHERE id = ?`, r.ID); err != nil || known {
		return false, err
	}
	groups := []byte("[]")
	if len(r.Groups) > 0 {
		var err error
		if groups, err = json.Marshal(r.Groups); err != nil {
			return false, err
		}
	}
	_, err := t.add(`INSERT INTO users (id, issuer, subject, display_name, member_of, groups_stale, managed_apple_account, suspended, created, last_sign_in)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Issuer, r.Subject, r.DisplayName, string(groups), r.GroupsStale, r.ManagedAppleAccount, r.Suspended, micros(r.Created), micros(r.LastSignIn))
	return true, err
}

func (t *tx) importTicket(r *transfer.Ticket) (bool, error) {
	if known, err := t.has(`tickets WHERE id = ?`, r.ID); err != nil || known {
		return false, err
	}
	seq, err := t.add(`INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued, downloads, downloaded, identified, authenticated, enrolled, ended, enrollment_id)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.Ref, r.UserID, r.Way, r.Ownership, r.State, r.Session[:], micros(r.Issued), r.Downloads, micros(r.Downloaded), micros(r.Identified),
		micros(r.Authenticated), micros(r.Enrolled), micros(r.Ended), r.EnrollmentID)
	if err != nil {
		return false, err
	}
	for _, c := range r.Challenges {
		var key, certificate any
		if c.Redeemed {
			key, certificate = c.Key[:], c.Certificate
		}
		if _, err := t.add(`INSERT INTO challenges (digest, ticket, download, expires, void, redeemer, certificate) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			c.Digest[:], seq, c.Download, micros(c.Expires), c.Void, key, certificate); err != nil {
			return false, err
		}
	}
	for _, i := range r.Identities {
		if _, err := t.add(`INSERT INTO identities (digest, ticket, user_id, way, not_after, deadline, replaced) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			i.Digest[:], seq, r.UserID, r.Way, micros(i.NotAfter), micros(i.Deadline), i.Replaced); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *tx) importEnrollment(r *transfer.Enrollment) (bool, error) {
	if known, err := t.has(`enrollments WHERE id = ?`, r.ID); err != nil || known {
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
	p := r.Push
	if !p.Attempted.IsZero() {
		status = p.Status
	}
	seq, err := t.add(`INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product,
			created, enrolled, ended, contact, token, magic, token_stored)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.UserID, r.TicketID, r.Way, r.State, r.Certificate[:], r.Topic, r.OSVersion, r.BuildVersion, r.Product,
		micros(r.Created), micros(r.Enrolled), micros(r.Ended), micros(r.Contact), token, magic, micros(r.TokenStored))
	if err != nil {
		return false, err
	}
	suspended := t.notSuspended(r.UserID)
	if suspended != nil && !errors.Is(suspended, mdm.ErrSuspended) {
		return false, suspended
	}
	if _, err := t.exec(`INSERT INTO pushes (enrollment, able, request, settled, due, fixed, attempt, status, attempted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		seq, token != nil && suspended == nil, p.Request, p.Settled, dueMicros(p.Due), p.Fixed, p.Attempt, status, micros(p.Attempted)); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE identities SET enrollment = ? WHERE digest = ?`, seq, r.Certificate[:])
	return true, err
}

func (t *tx) importGrant(r *transfer.Grant) (bool, error) {
	id := r.ID()
	is := `grants WHERE code = ?`
	if r.Code == nil {
		is = `tokens k JOIN grants g ON g.seq = k.of_grant WHERE k.access = ? AND g.code IS NULL`
	}
	if known, err := t.has(is, id[:]); err != nil || known {
		return false, err
	}
	ticket, err := t.seqNamed(`SELECT seq FROM tickets WHERE id = ?`, r.TicketID)
	if err != nil {
		return false, err
	}
	enrollment, err := t.seqNamed(`SELECT seq FROM enrollments WHERE id = ?`, r.EnrollmentID)
	if err != nil {
		return false, err
	}
	var code, expires any
	var bound enroll.AuthorizationCode
	if r.Code != nil {
		bound = *r.Code
		code, expires = bound.Code[:], micros(bound.Expires)
	}
	seq, err := t.add(`INSERT INTO grants (user_id, ticket, enrollment, revoked, client_id, redirect_uri, code, code_expires, redeemed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.UserID, ticket, enrollment, r.Revoked, bound.ClientID, bound.RedirectURI, code, expires, r.Redeemed)
	if err != nil {
		return false, err
	}
	for i, k := range r.Generations {
		var refresh any
		if k.Refresh != [32]byte{} {
			refresh = k.Refresh[:]
		}
		if _, err := t.add(`INSERT INTO tokens (of_grant, generation, access, access_expires, refresh, refresh_expires, used, ended) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			seq, i, k.Access[:], micros(k.AccessExpires), refresh, micros(k.RefreshExpires), k.Used, r.Ended(i)); err != nil {
			return false, err
		}
	}
	if err := t.endGrant(seq); err != nil {
		return false, err
	}
	_, err = t.exec(`UPDATE grants g JOIN enrollments e ON e.seq = g.enrollment SET g.ends = LEAST(COALESCE(g.ends, e.ended), e.ended)
		WHERE g.seq = ? AND e.state = 'ended'`, seq)
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
	enrollment, err := t.seqNamed(`SELECT seq FROM enrollments WHERE id = ?`, r.EnrollmentID)
	if err != nil {
		return false, err
	}
	if known, err := t.has(`commands WHERE enrollment = ? AND uuid = ?`, enrollment, r.UUID); err != nil || known {
		return false, err
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
	_, err = t.add(`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, result, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		enrollment, r.UUID, r.RequestType, r.Status, place, micros(r.Queued), micros(r.Updated), r.Result, payload)
	return true, err
}
