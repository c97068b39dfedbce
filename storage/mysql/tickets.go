package mysql

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

const ticketColumns = `id, ref, user_id, way, ownership, state, session, issued, downloads, downloaded, identified, authenticated, enrolled, ended, enrollment_id`

func scanTicket(scan func(...any) error, more ...any) (enroll.Ticket, error) {
	var t enroll.Ticket
	err := scan(append([]any{&t.ID, &t.Ref, &t.UserID, &t.Way, &t.Ownership, &t.State, (*digest)(&t.Session),
		(*when)(&t.Issued), &t.Downloads, (*when)(&t.Downloaded), (*when)(&t.Identified), (*when)(&t.Authenticated),
		(*when)(&t.Enrolled), (*when)(&t.Ended), &t.EnrollmentID}, more...)...)
	return t, err
}

// IssueTicket implements enroll.TicketStore.
func (s *Store) IssueTicket(ctx context.Context, k enroll.Ticket, previous [32]byte) error {
	if previous == [32]byte{} {
		previous = k.Session
	}
	first, second := k.Session[:], previous[:]
	if bytes.Compare(first, second) > 0 {
		first, second = second, first
	}
	issued := stamp(k.Issued).UnixMicro()
	return s.step(ctx, func(t *tx) error {
		if _, err := t.exec(`INSERT INTO ticket_sessions (session, issued) VALUES (?, ?), (?, ?) ON DUPLICATE KEY UPDATE issued = GREATEST(issued, ?)`,
			first, issued, second, issued, issued); err != nil {
			return err
		}
		_, _, err := t.ticket(k.ID, false)
		if err == nil {
			return nil // a repeat
		}
		if !errors.Is(err, enroll.ErrUnknownTicket) {
			return err
		}
		var open []any
		if err := t.each(`SELECT seq FROM tickets WHERE session IN (?, ?) AND state NOT IN ('enrolled', 'superseded') FOR UPDATE`, args{first, second},
			func(scan func(...any) error) error {
				var seq int64
				err := scan(&seq)
				open = append(open, seq)
				return err
			}); err != nil {
			return err
		}
		for _, seq := range open {
			if err := t.supersede(seq, k.Issued); err != nil {
				return err
			}
		}
		_, err = t.issue(k)
		return err
	})
}

// supersede ends a ticket, which this step has locked. A device that has
// authenticated may still finish.
func (t *tx) supersede(ticket any, at time.Time) error {
	if _, err := t.exec(`UPDATE challenges SET void = 1 WHERE ticket = ?`, ticket); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE ticket = ? AND enrollment IS NULL`, ticket); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE tickets SET state = 'superseded', ended = ? WHERE seq = ?`, micros(at), ticket)
	return err
}

// issue records a ticket.
func (t *tx) issue(k enroll.Ticket) (seq int64, err error) {
	return t.insert(`INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued) VALUES (?, ?, ?, ?, ?, 'issued', ?, ?)`,
		k.ID, k.Ref, k.UserID, k.Way, k.Ownership, k.Session[:], micros(k.Issued))
}

// Ticket implements enroll.TicketStore.
func (s *Store) Ticket(ctx context.Context, id string) (enroll.Ticket, error) {
	k, _, err := s.read(ctx).ticket(id, false)
	return k, err
}

// ticket reads a ticket, and locks it when it is to be changed.
func (t *tx) ticket(id string, locked bool) (k enroll.Ticket, seq int64, err error) {
	query := `SELECT ` + ticketColumns + `, seq FROM tickets WHERE id = ?`
	if locked {
		query += ` FOR UPDATE`
	}
	found := false
	err = t.each(query, args{id}, func(scan func(...any) error) (err error) {
		k, err = scanTicket(scan, &seq)
		found = true
		return err
	})
	if err == nil && !found {
		err = enroll.ErrUnknownTicket
	}
	return k, seq, err
}

// lockTicket makes other steps of a ticket's story wait. Whoever locks a ticket
// and an enrollment locks the ticket first.
func (t *tx) lockTicket(seq int64) (id string, err error) {
	_, err = t.get(`SELECT id FROM tickets WHERE seq = ? FOR UPDATE`, args{seq}, &id)
	return id, err
}

// Download implements enroll.TicketStore.
func (s *Store) Download(ctx context.Context, d enroll.DownloadStep) (enroll.Ticket, error) {
	var k enroll.Ticket
	err := s.step(ctx, func(t *tx) (err error) {
		var seq, other int64
		if k, seq, err = t.ticket(d.TicketID, true); err != nil {
			return err
		}
		known, err := t.get(`SELECT ticket FROM challenges WHERE digest = ?`, args{d.Challenge[:]}, &other)
		if err != nil {
			return err
		}
		at := stamp(d.At)
		if repeat, err := judge.Download(&k, d, at, known, other == seq); repeat || err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE tickets SET downloads = ?, downloaded = ?, state = ? WHERE seq = ?`,
			k.Downloads, micros(at), k.State, seq); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO challenges (digest, ticket, download, expires) VALUES (?, ?, ?, ?)`,
			d.Challenge[:], seq, k.Downloads, micros(at.Add(d.Clocks.Window+d.Clocks.Grace)))
		return err
	})
	if err != nil {
		return enroll.Ticket{}, err
	}
	return k, nil
}

// challenge is one as presented by a key that may have it.
type challenge struct {
	ticket      int64
	download    int
	expires     time.Time
	user        string
	way         mdm.Way
	redeemed    bool
	certificate []byte
}

// presented is the challenge if it is this key's, or open for its first one.
func (t *tx) presented(challenged, key [32]byte, now time.Time) (challenge, error) {
	var c challenge
	var j judge.Challenge
	var err error
	j.Known, err = t.get(`SELECT c.ticket, c.download, c.expires, c.redeemer, c.certificate, t.state, t.user_id, t.way
		FROM challenges c JOIN tickets t ON t.seq = c.ticket WHERE c.digest = ? AND c.void = 0`,
		args{challenged[:]}, &c.ticket, &c.download, (*when)(&c.expires), &j.Key, &c.certificate, &j.Ticket, &c.user, &c.way)
	if err != nil {
		return challenge{}, err
	}
	c.redeemed, j.Expires = j.Key != nil, c.expires
	if err := j.Judge(key, now); err != nil {
		return challenge{}, err
	}
	return c, nil
}

// Challenge implements enroll.TicketStore.
func (s *Store) Challenge(ctx context.Context, challenged, key [32]byte, now time.Time) ([]byte, error) {
	c, err := s.read(ctx).presented(challenged, key, stamp(now))
	return c.certificate, err
}

// Identify implements enroll.TicketStore.
func (s *Store) Identify(ctx context.Context, d enroll.IdentifyStep) ([]byte, error) {
	var certificate []byte
	err := s.step(ctx, func(t *tx) error {
		c, err := t.presented(d.Challenge, d.Key, stamp(d.At))
		if err != nil {
			return err
		}
		if certificate = c.certificate; c.redeemed {
			return nil
		}
		if _, err := t.lockTicket(c.ticket); err != nil {
			return err
		}
		if c, err = t.presented(d.Challenge, d.Key, stamp(d.At)); err != nil {
			return err
		}
		if certificate = c.certificate; c.redeemed {
			return nil
		}
		certificate = append([]byte{}, d.Certificate...)
		if _, err := t.exec(`UPDATE challenges SET void = 1 WHERE ticket = ? AND download < ?`, c.ticket, c.download); err != nil {
			return err
		}
		// None is bound to an enrolled device, or the ticket were spent.
		if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE ticket = ?`, c.ticket); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE challenges SET redeemer = ?, certificate = ? WHERE digest = ?`, d.Key[:], certificate, d.Challenge[:]); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO identities (digest, ticket, user_id, way, not_after, deadline) VALUES (?, ?, ?, ?, ?, ?)`,
			d.Digest[:], c.ticket, c.user, c.way, micros(d.NotAfter), micros(c.expires)); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE tickets SET state = 'identified', identified = ?, authenticated = NULL, enrollment_id = '' WHERE seq = ?`,
			micros(d.At), c.ticket)
		return err
	})
	if err != nil {
		return nil, err
	}
	return certificate, nil
}

// Devices implements enroll.TicketStore.
func (s *Store) Devices(ctx context.Context, userID string) (n int, err error) {
	_, err = s.read(ctx).get(`SELECT count(*) FROM enrollments WHERE user_id = ? AND state = 'enrolled'`, args{userID}, &n)
	return n, err
}
