package sqlite

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
// there is none.
func (s *Store) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	t := s.readers.tx(ctx)
	t.secrets = s.writer.secrets
	switch kind {
	case transfer.KindUser:
		return t.exportUsers(after, limit)
	case transfer.KindSuspension:
		return t.exportSuspensions(after, limit)
	case transfer.KindSession:
		return t.exportSessions(after, limit)
	case transfer.KindWebSession:
		return t.exportWebSessions(after, limit)
	case transfer.KindTicket:
		return t.exportTickets(after, limit)
	case transfer.KindEnrollment:
		return t.exportEnrollments(after, limit)
	case transfer.KindGrant:
		return t.exportGrants(after, limit)
	case transfer.KindCommand:
		return t.exportCommands(after, limit)
	}
	return nil, &transfer.KindError{Kind: kind}
}

// page reads the rows of a query that takes ?1, after which one, and ?2, how many
// at most. Its last column is the cursor.
func page[T any](t *tx, query string, after any, limit int, row func(scan func(...any) error) (T, error)) (list []T, err error) {
	err = t.each(query, args{after, limit}, func(scan func(...any) error) error {
		r, err := row(scan)
		list = append(list, r)
		return err
	})
	return list, err
}

// seqOf is the seq in a cursor.
func seqOf(cursor string) (int64, error) {
	if cursor == "" {
		return -1, nil
	}
	seq, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("sqlite: %q is no cursor of this store", cursor)
	}
	return seq, nil
}

func cursorOf(seq int64) string { return strconv.FormatInt(seq, 10) }

// digestAfter is the digest in a cursor, for rows that are ordered by one.
func digestAfter(cursor string) ([]byte, error) {
	b, err := hex.DecodeString(cursor)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %q is no cursor of this store", cursor)
	}
	return b, nil
}

func (t *tx) exportUsers(after string, limit int) ([]transfer.Entry, error) {
	seq, err := seqOf(after)
	if err != nil {
		return nil, err
	}
	return page(t, `SELECT `+userColumns+`, seq FROM users WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			u, err := scanUser(func(into ...any) error { return scan(append(into, &seq)...) })
			return transfer.Entry{Record: &transfer.User{User: u}, Cursor: cursorOf(seq)}, err
		})
}

func (t *tx) exportSuspensions(after string, limit int) ([]transfer.Entry, error) {
	return page(t, `SELECT user_id FROM suspended_users WHERE user_id > ? ORDER BY user_id LIMIT ?`, after, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var s transfer.Suspension
			err := scan(&s.UserID)
			return transfer.Entry{Record: &s, Cursor: s.UserID}, err
		})
}

func (t *tx) exportSessions(after string, limit int) ([]transfer.Entry, error) {
	id, err := digestAfter(after)
	if err != nil {
		return nil, err
	}
	return page(t, `SELECT id, user_id, ticket_id, expires FROM sessions WHERE id > ? ORDER BY id LIMIT ?`, id, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var s transfer.Session
			err := scan((*digest)(&s.ID), &s.UserID, &s.Ticket, (*when)(&s.Expires))
			return transfer.Entry{Record: &s, Cursor: s.Name()}, err
		})
}

func (t *tx) exportWebSessions(after string, limit int) ([]transfer.Entry, error) {
	id, err := digestAfter(after)
	if err != nil {
		return nil, err
	}
	return page(t, `SELECT digest, expires FROM web_sessions WHERE digest > ? ORDER BY digest LIMIT ?`, id, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var s transfer.WebSession
			err := scan((*digest)(&s.ID), (*when)(&s.Expires))
			return transfer.Entry{Record: &s, Cursor: s.Name()}, err
		})
}

func (t *tx) exportTickets(after string, limit int) ([]transfer.Entry, error) {
	seq, err := seqOf(after)
	if err != nil {
		return nil, err
	}
	list, err := page(t, `SELECT `+ticketColumns+`, seq FROM tickets WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			k, err := scanTicket(scan, &seq)
			return transfer.Entry{Record: &transfer.Ticket{Ticket: k}, Cursor: cursorOf(seq)}, err
		})
	for _, e := range list {
		k, ok := e.Record.(*transfer.Ticket)
		if err == nil && ok {
			err = t.exportGiven(k)
		}
	}
	return list, err
}

// exportGiven adds what was given out for a ticket.
func (t *tx) exportGiven(k *transfer.Ticket) error {
	const of = `(SELECT k.seq FROM tickets k WHERE k.id = ?)`
	if err := t.each(`SELECT digest, download, expires, void, key, certificate FROM challenges WHERE ticket = `+of+` ORDER BY download`,
		args{k.ID}, func(scan func(...any) error) error {
			var c transfer.Challenge
			var key []byte
			err := scan((*digest)(&c.Digest), &c.Download, (*when)(&c.Expires), &c.Void, &key, &c.Certificate)
			c.Redeemed = key != nil
			copy(c.Key[:], key)
			k.Challenges = append(k.Challenges, c)
			return err
		}); err != nil {
		return err
	}
	return t.each(`SELECT digest, not_after, deadline, replaced FROM identities WHERE ticket = `+of+` ORDER BY digest`,
		args{k.ID}, func(scan func(...any) error) error {
			var i transfer.Identity
			err := scan((*digest)(&i.Digest), (*when)(&i.NotAfter), (*when)(&i.Deadline), &i.Replaced)
			k.Identities = append(k.Identities, i)
			return err
		})
}

func (t *tx) exportEnrollments(after string, limit int) ([]transfer.Entry, error) {
	seq, err := seqOf(after)
	if err != nil {
		return nil, err
	}
	return page(t, `SELECT `+enrollmentColumns+`, token, magic, token_stored, push_request, push_settled, push_due, push_fixed, push_attempt,
			ifnull(push_status, 0), push_attempted, seq FROM enrollments WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit,
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
			return transfer.Entry{Record: &e, Cursor: cursorOf(seq)}, err
		})
}

func (t *tx) exportGrants(after string, limit int) ([]transfer.Entry, error) {
	seq, err := seqOf(after)
	if err != nil {
		return nil, err
	}
	var seqs []int64
	list, err := page(t, `SELECT user_id, ifnull((SELECT k.id FROM tickets k WHERE k.seq = grants.ticket), ''),
			ifnull((SELECT e.id FROM enrollments e WHERE e.seq = grants.enrollment), ''),
			revoked, client_id, redirect_uri, code, code_expires, redeemed, seq FROM grants WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var g transfer.Grant
			var code enroll.AuthorizationCode
			var by []byte
			err := scan(&g.UserID, &g.TicketID, &g.EnrollmentID, &g.Revoked, &code.ClientID, &code.RedirectURI, &by,
				(*when)(&code.Expires), &g.Redeemed, &seq)
			if by != nil {
				copy(code.Code[:], by)
				g.Code = &code
			}
			seqs = append(seqs, seq)
			return transfer.Entry{Record: &g, Cursor: cursorOf(seq)}, err
		})
	for i, e := range list {
		g, ok := e.Record.(*transfer.Grant)
		if err == nil && ok {
			err = t.exportTokens(g, seqs[i])
		}
	}
	return list, err
}

func (t *tx) exportTokens(g *transfer.Grant, seq int64) error {
	return t.each(`SELECT access, access_expires, refresh, refresh_expires, used FROM tokens WHERE of_grant = ? ORDER BY generation`,
		args{seq}, func(scan func(...any) error) error {
			var k transfer.Generation
			var refresh []byte
			err := scan((*digest)(&k.Access), (*when)(&k.AccessExpires), &refresh, (*when)(&k.RefreshExpires), &k.Used)
			copy(k.Refresh[:], refresh)
			g.Generations = append(g.Generations, k)
			return err
		})
}

func (t *tx) exportCommands(after string, limit int) ([]transfer.Entry, error) {
	seq, err := seqOf(after)
	if err != nil {
		return nil, err
	}
	return page(t, `SELECT `+commandColumns+`, ifnull(place, 0) = 2, seq FROM commands WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit,
		func(scan func(...any) error) (transfer.Entry, error) {
			var c transfer.Command
			err := scan(append(commandFields(&c.Command), &c.Held, &seq)...)
			if err == nil {
				err = t.openPayload(&c.Command)
			}
			return transfer.Entry{Record: &c, Cursor: cursorOf(seq)}, err
		})
}
