package postgres

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

const ticketColumns = `id, ref, user_id, way, ownership, state, session, issued, downloads, downloaded, identified, authenticated, enrolled, ended, enrollment_id`

// ticketFields are where a row of ticketColumns goes.
func ticketFields(t *enroll.Ticket) []any {
	return []any{
		&t.ID, &t.Ref, &t.UserID, &t.Way, &t.Ownership, &t.State, (*digest)(&t.Session),
		(*when)(&t.Issued), &t.Downloads, (*when)(&t.Downloaded), (*when)(&t.Identified), (*when)(&t.Authenticated),
		(*when)(&t.Enrolled), (*when)(&t.Ended), &t.EnrollmentID,
	}
}

// IssueTicket implements enroll.TicketStore.
func (s *Store) IssueTicket(ctx context.Context, k enroll.Ticket, previous [32]byte) error {
	sessions := [][]byte{k.Session[:]}
	if previous != [32]byte{} && previous != k.Session {
		sessions = append(sessions, previous[:])
	}
	slices.SortFunc(sessions, bytes.Compare) // all lock in this order
	return s.atomic(ctx, func(t *tx) error {
		// From here on no other ticket of these sessions is issued.
		if _, err := t.exec(`INSERT INTO ticket_sessions (session, issued) SELECT x.session, $2 FROM unnest($1::bytea[]) WITH ORDINALITY AS x(session, n) ORDER BY x.n
			ON CONFLICT (session) DO UPDATE SET issued = excluded.issued`, sessions, moment(k.Issued)); err != nil {
			return err
		}
		var seq int64
		if known, err := t.get(`SELECT seq FROM tickets WHERE id = $1`, args{k.ID}, &seq); err != nil || known {
			return err
		}
		if err := t.supersede(sessions, k.Issued); err != nil {
			return err
		}
		_, err := t.issue(k)
		if unique(err) {
			err = errChanged // the same ticket, in another session
		}
		return err
	})
}

// supersede ends the open tickets of sessions.
func (t *tx) supersede(sessions [][]byte, at time.Time) error {
	var open []int64
	err := t.each(`SELECT seq FROM tickets WHERE session = ANY ($1) AND state NOT IN ('enrolled', 'superseded') ORDER BY seq FOR UPDATE`, args{sessions},
		func(scan func(...any) error) error {
			var seq int64
			err := scan(&seq)
			open = append(open, seq)
			return err
		})
	if err != nil || len(open) == 0 {
		return err
	}
	if _, err := t.exec(`UPDATE challenges SET void = true WHERE ticket = ANY ($1) AND NOT void`, open); err != nil {
		return err
	}
	// A device that has authenticated may still finish.
	if _, err := t.exec(`UPDATE identities SET replaced = true WHERE ticket = ANY ($1) AND enrollment IS NULL AND NOT replaced`, open); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE tickets SET state = 'superseded', ended = $2 WHERE seq = ANY ($1)`, open, moment(at))
	return err
}

// issue records a ticket.
func (t *tx) issue(k enroll.Ticket) (seq int64, err error) {
	_, err = t.get(`INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued) VALUES ($1, $2, $3, $4, $5, 'issued', $6, $7) RETURNING seq`,
		args{k.ID, k.Ref, k.UserID, string(k.Way), string(k.Ownership), k.Session[:], moment(k.Issued)}, &seq)
	return seq, err
}

// Ticket implements enroll.TicketStore.
func (s *Store) Ticket(ctx context.Context, id string) (k enroll.Ticket, err error) {
	err = again(ctx, func() (err error) {
		k, _, err = s.alone(ctx).ticket(id, "")
		return err
	})
	return k, err
}

// What is appended to a query whose rows nobody else may change from then on.
// forUpdate also waits for what is being queued for an enrollment, as its end has
// to, and lets nothing be queued.
const (
	forUpdate = ` FOR UPDATE`
	forChange = ` FOR NO KEY UPDATE`
)

func (t *tx) ticket(id, locked string) (k enroll.Ticket, seq int64, err error) {
	found, err := t.get(`SELECT `+ticketColumns+`, seq FROM tickets WHERE id = $1`+locked, args{id}, append(ticketFields(&k), &seq)...)
	if err == nil && !found {
		err = enroll.ErrUnknownTicket
	}
	if err != nil {
		return enroll.Ticket{}, 0, err
	}
	return k, seq, nil
}

// Download implements enroll.TicketStore.
func (s *Store) Download(ctx context.Context, d enroll.DownloadStep) (enroll.Ticket, error) {
	var k enroll.Ticket
	err := s.atomic(ctx, func(t *tx) (err error) {
		var seq, other int64
		if k, seq, err = t.ticket(d.TicketID, forUpdate); err != nil {
			return err
		}
		known, err := t.get(`SELECT ticket FROM challenges WHERE digest = $1`, args{d.Challenge[:]}, &other)
		if err != nil {
			return err
		}
		at := stamp(d.At)
		if repeat, err := judge.Download(&k, d, at, known, other == seq); repeat || err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE tickets SET downloads = $2, downloaded = $3, state = $4 WHERE seq = $1`,
			seq, k.Downloads, at, string(k.State)); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO challenges (digest, ticket, download, expires) VALUES ($1, $2, $3, $4)`,
			d.Challenge[:], seq, k.Downloads, moment(at.Add(d.Clocks.Window+d.Clocks.Grace)))
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
	j.Known, err = t.get(`SELECT c.ticket, c.download, c.expires, c.key, c.certificate, t.state, t.user_id, t.way
		FROM challenges c JOIN tickets t ON t.seq = c.ticket WHERE c.digest = $1 AND NOT c.void`,
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
	var c challenge
	err := again(ctx, func() (err error) {
		c, err = s.alone(ctx).presented(challenged, key, stamp(now))
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.certificate, nil
}

// Identify implements enroll.TicketStore.
func (s *Store) Identify(ctx context.Context, d enroll.IdentifyStep) ([]byte, error) {
	var certificate []byte
	err := s.atomic(ctx, func(t *tx) error {
		// What is read of the ticket after this stays as it is.
		if _, err := t.exec(`SELECT seq FROM tickets WHERE seq = (SELECT ticket FROM challenges WHERE digest = $1)`+forUpdate, d.Challenge[:]); err != nil {
			return err
		}
		c, err := t.presented(d.Challenge, d.Key, stamp(d.At))
		if err != nil {
			return err
		}
		if certificate = c.certificate; c.redeemed {
			return nil
		}
		certificate = append([]byte{}, d.Certificate...)
		if _, err := t.exec(`UPDATE challenges SET void = void OR download < $2, key = CASE WHEN digest = $3 THEN $4 ELSE key END,
				certificate = CASE WHEN digest = $3 THEN $5 ELSE certificate END
			WHERE ticket = $1 AND (digest = $3 OR download < $2 AND NOT void)`, c.ticket, c.download, d.Challenge[:], d.Key[:], certificate); err != nil {
			return err
		}
		// None is bound to an enrolled device, or the ticket were spent.
		if _, err := t.exec(`UPDATE identities SET replaced = true WHERE ticket = $1 AND NOT replaced`, c.ticket); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO identities (digest, ticket, user_id, way, not_after, deadline) VALUES ($1, $2, $3, $4, $5, $6)`,
			d.Digest[:], c.ticket, c.user, string(c.way), moment(d.NotAfter), moment(c.expires)); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE tickets SET state = 'identified', identified = $2, authenticated = NULL, enrollment_id = '' WHERE seq = $1`,
			c.ticket, moment(d.At))
		return err
	})
	if err != nil {
		return nil, err
	}
	return certificate, nil
}

// Devices implements enroll.TicketStore.
func (s *Store) Devices(ctx context.Context, userID string) (n int, err error) {
	err = again(ctx, func() error {
		_, err := s.alone(ctx).get(`SELECT count(*) FROM enrollments WHERE user_id = $1 AND state = 'enrolled'`, args{userID}, &n)
		return err
	})
	return n, err
}
