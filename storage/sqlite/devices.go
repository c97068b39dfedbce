package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

const enrollmentColumns = `id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, enrolled, ended, contact`

// enrollmentFields are where a row of enrollmentColumns goes.
func enrollmentFields(e *mdm.Enrollment) []any {
	return []any{&e.ID, &e.UserID, &e.TicketID, &e.Way, &e.State, (*digest)(&e.Certificate), &e.Topic,
		&e.OSVersion, &e.BuildVersion, &e.Product, (*when)(&e.Created), (*when)(&e.Enrolled), (*when)(&e.Ended), (*when)(&e.Contact)}
}

// claimSQL reads a device, who has the EnrollmentID now, how many other devices
// the user has if there is a limit ?6, and whether others were bound by the same
// ticket.
const claimSQL = senderSQL + `SELECT ` + deviceColumns + `,
		ifnull(k.seq, 0), ifnull(k.user_id, ''), k.certificate, ifnull(i.ticket, 0), ifnull(t.state = 'enrolled', 0),
		CASE WHEN ?6 > 0 THEN (SELECT count(*) FROM enrollments o WHERE o.user_id = sent.user_id AND o.state = 'enrolled' AND o.id <> ?4) ELSE 0 END,
		EXISTS (SELECT 1 FROM identities h WHERE h.ticket = sent.ticket AND h.enrollment IS NOT NULL)
	FROM sent LEFT JOIN enrollments k ON k.id = ?4 LEFT JOIN identities i ON i.digest = k.certificate LEFT JOIN tickets t ON t.seq = i.ticket`

// claimed is who has an EnrollmentID.
type claimed struct {
	enrollment  int64 // 0: nobody
	certificate []byte
	holder      judge.Holder
	// others is how many other devices the user of the sender has, and halves
	// that some were bound by the sender's ticket.
	others int
	halves bool
}

// Authenticate implements mdm.Store.
func (s *Store) Authenticate(ctx context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	var e mdm.Enrollment
	from := sender{a.Certificate, a.EnrollmentID, a.Device, a.Bearer, stamp(a.At)}
	err := s.writer.do(ctx, func(t *tx) error {
		var c claimed
		d, err := t.deviceAnd(claimSQL, from, append(from.values(), a.DeviceLimit),
			&c.enrollment, &c.holder.User, &c.certificate, &c.holder.Ticket, &c.holder.Spent, &c.others, &c.halves)
		if err == nil {
			if err := t.use(d.bearer, d.enrollment); err != nil {
				return err
			}
			return t.enrollment(d.enrollment, &e)
		}
		if !errors.Is(err, mdm.ErrNotAuthenticated) {
			return err
		}
		return t.bind(d, c, a, &e)
	})
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

// bind makes the enrollment of an identity that has none.
func (t *tx) bind(d device, c claimed, a mdm.AuthenticateStep, e *mdm.Enrollment) error {
	at, known := stamp(a.At), c.enrollment != 0
	if err := (judge.Claim{
		User: d.user, Ticket: d.ticket, Deadline: d.deadline, Bearer: !d.way.Account() || d.bearer.ticket == d.ticket && d.inForce(at),
		Holder: c.holder, Others: c.others,
	}).Judge(a, at); err != nil {
		return err
	}
	if c.halves {
		if err := t.replaceHalf(d.ticket, c.enrollment, at); err != nil {
			return err
		}
	}
	if known {
		if err := t.release(c.certificate, c.holder.Ticket, a.EnrollmentID, at); err != nil {
			return err
		}
	}
	*e = mdm.Enrollment{
		ID: a.EnrollmentID, UserID: d.user, Way: d.way, State: mdm.StateAuthenticated, Certificate: a.Certificate, Topic: a.Topic,
		OSVersion: a.OSVersion, BuildVersion: a.BuildVersion, Product: a.Product, Created: at, Contact: at,
	}
	var bound int64
	if _, err := t.get(`INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, contact)
		VALUES (?1, ?2, (SELECT id FROM tickets WHERE seq = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
		ON CONFLICT (id) DO UPDATE SET ticket_id = excluded.ticket_id, way = excluded.way, state = excluded.state, certificate = excluded.certificate,
			topic = excluded.topic, os_version = excluded.os_version, build_version = excluded.build_version, product = excluded.product,
			created = excluded.created, enrolled = NULL, ended = NULL, contact = excluded.contact, token = NULL, magic = NULL, token_stored = NULL
		RETURNING seq, ticket_id`,
		args{e.ID, e.UserID, d.ticket, e.Way, e.State, e.Certificate[:], e.Topic, e.OSVersion, e.BuildVersion, e.Product, micros(at)},
		&bound, &e.TicketID); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE identities SET enrollment = ? WHERE digest = ?`, bound, a.Certificate[:]); err != nil {
		return err
	}
	if err := t.bindGrant(d.bearer, bound); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE tickets SET state = 'authenticated', authenticated = ?, enrollment_id = ? WHERE seq = ?`, micros(at), a.EnrollmentID, d.ticket)
	return err
}

// replaceHalf ends the half made enrollments of a ticket, but for one.
func (t *tx) replaceHalf(ticket, but int64, at time.Time) error {
	var halves []int64
	err := t.each(`SELECT e.seq FROM identities i JOIN enrollments e ON e.seq = i.enrollment AND e.certificate = i.digest
		WHERE i.ticket = ? AND e.state = 'authenticated' AND e.seq <> ?`, args{ticket, but}, func(scan func(...any) error) error {
		var seq int64
		err := scan(&seq)
		halves = append(halves, seq)
		return err
	})
	if err != nil {
		return err
	}
	for _, seq := range halves {
		if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE digest = (SELECT certificate FROM enrollments WHERE seq = ?)`, seq); err != nil {
			return err
		}
		if err := t.end(seq, mdm.StateReplaced, at); err != nil {
			return err
		}
	}
	return nil
}

// release takes an enrollment from the identity that it was bound to.
func (t *tx) release(certificate []byte, ticket int64, enrollmentID string, at time.Time) error {
	if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE digest = ?`, certificate); err != nil {
		return err
	}
	return t.closeTicket(ticket, enrollmentID, at)
}

// closeTicket notes on a spent ticket that its enrollment ended.
func (t *tx) closeTicket(ticket int64, enrollmentID string, at time.Time) error {
	_, err := t.exec(`UPDATE tickets SET ended = ? WHERE seq = ? AND enrollment_id = ? AND state = 'enrolled' AND ended IS NULL`,
		micros(at), ticket, enrollmentID)
	return err
}

// end ends an enrollment, unless it has ended.
func (t *tx) end(enrollment int64, state mdm.EnrollmentState, at time.Time) error {
	var id string
	var ticket int64
	ended, err := t.get(`UPDATE enrollments SET state = ?, ended = ?, token = NULL, magic = NULL, token_stored = NULL,
			push_settled = push_request, push_due = NULL, push_fixed = 0, push_attempt = 0
		WHERE seq = ? AND state NOT IN ('ended', 'replaced')
		RETURNING id, (SELECT i.ticket FROM identities i WHERE i.digest = enrollments.certificate)`,
		args{state, micros(at), enrollment}, &id, &ticket)
	if err != nil || !ended {
		return err
	}
	if _, err := t.exec(`UPDATE commands SET status = 'Cancelled', place = NULL, updated = ? WHERE enrollment = ? AND place IN (1, 2)`,
		micros(at), enrollment); err != nil {
		return err
	}
	if state == mdm.StateEnded { // what replaced it has its grant
		if _, err := t.exec(`UPDATE grants SET revoked = 1, ends = min(ifnull(ends, ?2), ?2) WHERE enrollment = ?1`, enrollment, micros(at)); err != nil {
			return err
		}
	}
	return t.closeTicket(ticket, id, at)
}

// tokenUpdateSQL stores the token of an enrolled sender, and notes the contact if
// it is the first of the day that began at ?9.
const tokenUpdateSQL = senderSQL + `UPDATE enrollments SET topic = ?6, token = ?7, magic = ?8, token_stored = ?3,
		contact = CASE WHEN contact >= ?9 THEN contact ELSE ?3 END,
		push_due = CASE WHEN push_due IS NOT NULL AND token IS NULL THEN ?3 ELSE push_due END,
		push_fixed = CASE WHEN token IS NULL THEN 0 ELSE push_fixed END,
		push_attempt = CASE WHEN token IS NULL THEN 0 ELSE push_attempt END
	WHERE seq = (SELECT enrollment FROM admitted) AND state = 'enrolled' RETURNING ` + enrollmentColumns

// TokenUpdate implements mdm.Store.
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	token, err := s.writer.secrets.Seal(u.Token, sealedToken, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	magic, err := s.writer.secrets.Seal([]byte(u.PushMagic), sealedMagic, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	from := sender{u.Certificate, u.EnrollmentID, u.Device, u.Bearer, stamp(u.At)}
	values := append(from.values(), u.Topic, token, magic, from.day())
	var e mdm.Enrollment
	into := enrollmentFields(&e)
	err = s.writer.do(ctx, func(t *tx) error {
		done, err := t.get(tokenUpdateSQL, values, into...)
		if done || err != nil {
			return err
		}
		// The first one, or one with a token that comes for the first time.
		d, err := t.device(from)
		if err != nil {
			return err
		}
		if err := t.mayUpdate(d, u, &e); err != nil {
			return err
		}
		done, err = t.get(tokenUpdateSQL, values, into...)
		if err == nil && !done {
			err = errRefused
		}
		return err
	})
	if err != nil && !errors.Is(err, mdm.ErrPlanNeeded) {
		return mdm.Enrollment{}, err
	}
	return e, err
}

// mayUpdate does what comes before a token is stored, or else reads what an
// enrollment is that needs a plan.
func (t *tx) mayUpdate(d device, u mdm.TokenUpdateStep, e *mdm.Enrollment) error {
	first := d.state == mdm.StateAuthenticated
	if first && !u.Planned {
		if err := t.enrollment(d.enrollment, e); err != nil {
			return err
		}
		return mdm.ErrPlanNeeded
	}
	if err := t.use(d.bearer, d.enrollment); err != nil {
		return err
	}
	if !first {
		return nil
	}
	return t.enroll(d, u.EnrollmentID, u.Plan, stamp(u.At))
}

// enrollment reads an enrollment that is there.
func (t *tx) enrollment(seq int64, e *mdm.Enrollment) error {
	_, err := t.get(`SELECT `+enrollmentColumns+` FROM enrollments WHERE seq = ?`, args{seq}, enrollmentFields(e)...)
	return err
}

// enroll is what the first TokenUpdate does.
func (t *tx) enroll(d device, id string, plan []mdm.Command, at time.Time) error {
	if _, err := t.exec(`UPDATE enrollments SET state = 'enrolled', enrolled = ?1, `+askPush+` WHERE seq = ?2`, micros(at), d.enrollment); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE tickets SET state = ?, enrolled = ?, ended = NULL WHERE seq = ?`, enroll.TicketEnrolled, micros(at), d.ticket); err != nil {
		return err
	}
	list, err := sealed(t.secrets, id, plan)
	if err != nil {
		return err
	}
	return t.queue(list)
}

// CheckOut implements mdm.Store.
func (s *Store) CheckOut(ctx context.Context, c mdm.CheckOutStep) (mdm.Enrollment, error) {
	var e mdm.Enrollment
	err := s.writer.do(ctx, func(t *tx) error {
		d, err := t.device(sender{c.Certificate, c.EnrollmentID, c.Device, c.Bearer, stamp(c.At)})
		if err != nil && !errors.Is(err, mdm.ErrEnded) {
			return err
		}
		if err := t.end(d.enrollment, mdm.StateEnded, stamp(c.At)); err != nil {
			return err
		}
		return t.enrollment(d.enrollment, &e)
	})
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

// Enrollment implements mdm.Store.
func (s *Store) Enrollment(ctx context.Context, id string) (mdm.Enrollment, error) {
	var e mdm.Enrollment
	found, err := s.readers.tx(ctx).get(`SELECT `+enrollmentColumns+` FROM enrollments WHERE id = ?`, args{id}, enrollmentFields(&e)...)
	if err == nil && !found {
		err = mdm.ErrUnknownEnrollment
	}
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

// Unenroll implements mdm.Store.
func (s *Store) Unenroll(ctx context.Context, id string, at time.Time) error {
	return s.writer.do(ctx, func(t *tx) error {
		var seq int64
		found, err := t.get(`SELECT seq FROM enrollments WHERE id = ?`, args{id}, &seq)
		if err != nil {
			return err
		}
		if !found {
			return mdm.ErrUnknownEnrollment
		}
		return t.end(seq, mdm.StateEnded, stamp(at))
	})
}

// SuspendUser implements mdm.Store.
func (s *Store) SuspendUser(ctx context.Context, userID string, suspended bool) error {
	return s.writer.do(ctx, func(t *tx) error {
		list := `INSERT INTO suspended_users (user_id) VALUES (?) ON CONFLICT DO NOTHING`
		if !suspended {
			list = `DELETE FROM suspended_users WHERE user_id = ?`
		}
		if n, err := t.exec(list, userID); err != nil || n == 0 {
			return err
		}
		if _, err := t.exec(`UPDATE enrollments SET suspended = ? WHERE user_id = ?`, suspended, userID); err != nil || !suspended {
			return err
		}
		_, err := t.exec(`UPDATE grants SET revoked = 1 WHERE user_id = ? AND revoked = 0`, userID)
		return err
	})
}
