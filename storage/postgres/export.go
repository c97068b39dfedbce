package postgres

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var _ transfer.Source = (*Store)(nil)

// ExportPage implements transfer.Source. The cursor is seq, or the name where
// there is none. Before enrollments it counts what pushes were requested, so that a
// server that takes no changes can be exported when there are none.
func (s *Store) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) (list []transfer.Entry, err error) {
	if kind == transfer.KindEnrollment {
		if err := s.countPending(ctx); err != nil {
			return nil, err
		}
	}
	err = again(ctx, func() (err error) {
		list, err = s.alone(ctx).exportPage(kind, after, limit)
		return err
	})
	return list, err
}

func (t *tx) exportPage(kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	switch kind {
	case transfer.KindSuspension:
		// Names are in the order of their bytes, whatever the collation.
		return t.page(`SELECT user_id FROM suspensions WHERE suspended AND convert_to(user_id, 'UTF8') > $1 ORDER BY convert_to(user_id, 'UTF8') LIMIT $2`,
			[]byte(after), limit, func(scan func(...any) error) (transfer.Entry, error) {
				var s transfer.Suspension
				err := scan(&s.UserID)
				return transfer.Entry{Record: &s, Cursor: s.UserID}, err
			})
	case transfer.KindSession, transfer.KindWebSession:
		id, err := hex.DecodeString(after)
		if err != nil {
			return nil, fmt.Errorf("postgres: %q is no cursor of this store", after)
		}
		return t.exportSessions(kind, id, limit)
	}
	seq := int64(-1)
	if after != "" {
		var err error
		if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
			return nil, fmt.Errorf("postgres: %q is no cursor of this store", after)
		}
	}
	switch kind {
	case transfer.KindUser:
		return t.page(`SELECT `+userColumns+`, seq FROM users WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, limit,
			func(scan func(...any) error) (transfer.Entry, error) {
				var u transfer.User
				err := scan(append(userFields(&u.User), &seq)...)
				return transfer.Entry{Record: &u, Cursor: cursor(seq)}, err
			})
	case transfer.KindTicket:
		return t.exportTickets(seq, limit)
	case transfer.KindEnrollment:
		return t.exportEnrollments(seq, limit)
	case transfer.KindGrant:
		return t.exportGrants(seq, limit)
	case transfer.KindCommand:
		return t.page(`SELECT c.uuid, e.id, c.request_type, c.status, c.payload, c.result, c.queued, c.updated, coalesce(c.place, 0) = 2, c.seq
			FROM commands c JOIN enrollments e ON e.seq = c.enrollment WHERE c.seq > $1 ORDER BY c.seq LIMIT $2`, seq, limit,
			func(scan func(...any) error) (transfer.Entry, error) {
				var c transfer.Command
				err := scan(&c.UUID, &c.EnrollmentID, &c.RequestType, &c.Status, &c.Payload, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated), &c.Held, &seq)
				if err == nil {
					c.Payload, err = t.secrets.Open(c.Payload, sealedPayload, c.EnrollmentID, c.UUID)
				}
				return transfer.Entry{Record: &c, Cursor: cursor(seq)}, err
			})
	}
	return nil, &transfer.KindError{Kind: kind}
}

func cursor(seq int64) string { return strconv.FormatInt(seq, 10) }

// page reads the rows of a query that takes $1, after which one, and $2, how many
// at most.
func (t *tx) page(query string, after any, limit int, row func(scan func(...any) error) (transfer.Entry, error)) (list []transfer.Entry, err error) {
	err = t.each(query, args{after, limit}, func(scan func(...any) error) error {
		e, err := row(scan)
		list = append(list, e)
		return err
	})
	return list, err
}

func (t *tx) exportSessions(kind transfer.Kind, id []byte, limit int) ([]transfer.Entry, error) {
	if kind == transfer.KindWebSession {
		return t.page(`SELECT digest, expires FROM web_sessions WHERE digest > $1 ORDER BY digest LIMIT $2`, id, limit,
			func(scan func(...any) error) (transfer.Entry, error) {
				var s transfer.WebSession
				err := scan((*digest)(&s.ID), (*when)(&s.Expires))
				return transfer.Entry{Record: &s, Cursor: s.Name()}, err
			})
	}
	return t.page(`SELECT id, user_id, ticket_id, expires FROM sessions WHERE id > $1 ORDER BY id LIMIT $2`, id, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var s transfer.Session
			err := scan((*digest)(&s.ID), &s.UserID, &s.Ticket, (*when)(&s.Expires))
			return transfer.Entry{Record: &s, Cursor: s.Name()}, err
		})
}

func (t *tx) exportTickets(seq int64, limit int) ([]transfer.Entry, error) {
	var seqs []int64
	tickets := map[int64]*transfer.Ticket{}
	list, err := t.page(`SELECT `+ticketColumns+`, seq FROM tickets WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var k transfer.Ticket
			err := scan(append(ticketFields(&k.Ticket), &seq)...)
			seqs, tickets[seq] = append(seqs, seq), &k
			return transfer.Entry{Record: &k, Cursor: cursor(seq)}, err
		})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if err := t.each(`SELECT ticket, digest, download, expires, void, key IS NOT NULL, key, certificate FROM challenges WHERE ticket = ANY ($1) ORDER BY ticket, download`,
		args{seqs}, func(scan func(...any) error) error {
			var c transfer.Challenge
			err := scan(&seq, (*digest)(&c.Digest), &c.Download, (*when)(&c.Expires), &c.Void, &c.Redeemed, (*digest)(&c.Key), &c.Certificate)
			tickets[seq].Challenges = append(tickets[seq].Challenges, c)
			return err
		}); err != nil {
		return nil, err
	}
	return list, t.each(`SELECT ticket, digest, not_after, deadline, replaced FROM identities WHERE ticket = ANY ($1) ORDER BY ticket, digest`,
		args{seqs}, func(scan func(...any) error) error {
			var i transfer.Identity
			err := scan(&seq, (*digest)(&i.Digest), (*when)(&i.NotAfter), (*when)(&i.Deadline), &i.Replaced)
			tickets[seq].Identities = append(tickets[seq].Identities, i)
			return err
		})
}

func (t *tx) exportEnrollments(seq int64, limit int) ([]transfer.Entry, error) {
	return t.page(`SELECT `+enrollmentColumns+`, token, magic, token_stored, p.request, p.settled, p.due, p.fixed, p.attempt, p.status, p.attempted, seq
		FROM enrollments JOIN (SELECT enrollment, request, settled, due, fixed, attempt, status AS status, attempted FROM pushes) p ON p.enrollment = seq
		WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var e transfer.Enrollment
			var token, magic []byte
			p := &e.Push
			err := scan(append(enrollmentFields(&e.Enrollment), &token, &magic, (*when)(&e.TokenStored),
				&p.Request, &p.Settled, (*when)(&p.Due), &p.Fixed, &p.Attempt, &p.Status, (*when)(&p.Attempted), &seq)...)
			if err == nil && token != nil {
				e.Token, err = t.secrets.Open(token, sealedToken, e.ID)
			}
			if err == nil && magic != nil {
				magic, err = t.secrets.Open(magic, sealedMagic, e.ID)
				e.PushMagic = string(magic)
			}
			return transfer.Entry{Record: &e, Cursor: cursor(seq)}, err
		})
}

func (t *tx) exportGrants(seq int64, limit int) ([]transfer.Entry, error) {
	var seqs []int64
	grants := map[int64]*transfer.Grant{}
	list, err := t.page(`SELECT g.user_id, coalesce(k.id, ''), coalesce(e.id, ''), g.revoked, g.code IS NOT NULL, g.code, g.client_id, g.redirect_uri,
			g.code_expires, g.redeemed, g.seq
		FROM grants g LEFT JOIN tickets k ON k.seq = g.ticket LEFT JOIN enrollments e ON e.seq = g.enrollment
		WHERE g.seq > $1 ORDER BY g.seq LIMIT $2`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var g transfer.Grant
			var c enroll.AuthorizationCode
			var byCode bool
			err := scan(&g.UserID, &g.TicketID, &g.EnrollmentID, &g.Revoked, &byCode, (*digest)(&c.Code), &c.ClientID, &c.RedirectURI,
				(*when)(&c.Expires), &g.Redeemed, &seq)
			if byCode {
				g.Code = &c
			}
			seqs, grants[seq] = append(seqs, seq), &g
			return transfer.Entry{Record: &g, Cursor: cursor(seq)}, err
		})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list, t.each(`SELECT of_grant, access, access_expires, refresh, refresh_expires, used FROM tokens WHERE of_grant = ANY ($1) ORDER BY of_grant, generation`,
		args{seqs}, func(scan func(...any) error) error {
			var k transfer.Generation
			err := scan(&seq, (*digest)(&k.Access), (*when)(&k.AccessExpires), (*digest)(&k.Refresh), (*when)(&k.RefreshExpires), &k.Used)
			grants[seq].Generations = append(grants[seq].Generations, k)
			return err
		})
}
