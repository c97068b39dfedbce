package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

// Authenticate implements mdm.Store.
func (s *Store) Authenticate(ctx context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	from := sender{a.Certificate, a.EnrollmentID, a.Device, a.Bearer, stamp(a.At)}
	d, err := s.read(ctx).device(from)
	if err == nil && !d.unused() {
		return d.bound, nil // a repeat
	}
	if err != nil && !errors.Is(err, mdm.ErrNotAuthenticated) {
		return mdm.Enrollment{}, err
	}
	var e mdm.Enrollment
	err = s.step(ctx, func(t *tx) error {
		ticketID, err := t.lockTicket(d.ticket)
		if err != nil {
			return err
		}
		d, err := t.device(from)
		if err == nil {
			e = d.bound
			return t.use(d.bearer, d.enrollment)
		}
		if !errors.Is(err, mdm.ErrNotAuthenticated) {
			return err
		}
		e, err = t.bind(d, ticketID, a)
		return err
	})
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

// bind makes the enrollment of an identity that has none. Its ticket is locked.
func (t *tx) bind(d device, ticketID string, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	none := mdm.Enrollment{}
	at := stamp(a.At)
	claim := judge.Claim{
		User: d.user, Ticket: d.ticket, Deadline: d.deadline, Bearer: !d.way.Account() || d.bearer.ticket == d.ticket && d.inForce(at),
	}
	known, err := t.owner(a.EnrollmentID)
	if err != nil {
		return none, err
	}
	claim.Holder = known.Holder
	if a.DeviceLimit > 0 {
		if _, err := t.get(`SELECT count(*) FROM enrollments WHERE user_id = ? AND state = 'enrolled' AND id <> ?`,
			args{d.user, a.EnrollmentID}, &claim.Others); err != nil {
			return none, err
		}
	}
	if err := claim.Judge(a, at); err != nil {
		return none, err
	}
	if !d.way.Account() {
		d.bearer = bearer{}
	}
	if err := t.replaceHalf(d.ticket, known.seq, at); err != nil {
		return none, err
	}
	if known.seq != 0 {
		if err := t.release(known, a.EnrollmentID, at); err != nil {
			return none, err
		}
	}
	e := mdm.Enrollment{
		ID: a.EnrollmentID, UserID: d.user, TicketID: ticketID, Way: d.way, State: mdm.StateAuthenticated, Certificate: a.Certificate,
		Topic: a.Topic, OSVersion: a.OSVersion, BuildVersion: a.BuildVersion, Product: a.Product, Created: at, Contact: at,
	}
	if known.seq, err = t.begin(known.seq, e); err != nil {
		return none, err
	}
	if _, err := t.exec(`UPDATE identities SET enrollment = ? WHERE digest = ?`, known.seq, a.Certificate[:]); err != nil {
		return none, err
	}
	if err := t.bindGrant(d.bearer, known.seq); err != nil {
		return none, err
	}
	if _, err := t.exec(`UPDATE tickets SET state = 'authenticated', authenticated = ?, enrollment_id = ? WHERE seq = ?`,
		micros(at), a.EnrollmentID, d.ticket); err != nil {
		return none, err
	}
	// A suspension that did not see the new enrollment is seen here.
	if err := t.notSuspended(d.user); err != nil {
		return none, err
	}
	return e, nil
}

// owner is whose an EnrollmentID is.
type owner struct {
	seq         int64 // 0: nobody's
	certificate [32]byte
	judge.Holder
}

// owner finds whose an EnrollmentID is, and locks the enrollment.
func (t *tx) owner(enrollmentID string) (owner, error) {
	var o owner
	if found, err := t.get(`SELECT seq FROM enrollments WHERE id = ? FOR UPDATE`, args{enrollmentID}, &o.seq); err != nil || !found {
		return owner{}, err
	}
	_, err := t.get(`SELECT e.user_id, e.certificate, i.ticket, t.state = 'enrolled'
		FROM enrollments e JOIN identities i ON i.digest = e.certificate JOIN tickets t ON t.seq = i.ticket WHERE e.seq = ?`,
		args{o.seq}, &o.User, (*digest)(&o.certificate), &o.Ticket, &o.Spent)
	return o, err
}

// begin makes an enrollment, or lets the one that is known start over.
func (t *tx) begin(known int64, e mdm.Enrollment) (int64, error) {
	if known == 0 {
		seq, err := t.insert(`INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, contact)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.ID, e.UserID, e.TicketID, e.Way, e.State, e.Certificate[:], e.Topic, e.OSVersion, e.BuildVersion, e.Product, micros(e.Created), micros(e.Contact))
		if err != nil {
			return 0, err
		}
		_, err = t.exec(`INSERT INTO pushes (enrollment) VALUES (?)`, seq)
		return seq, err
	}
	if _, err := t.exec(`UPDATE pushes SET able = 0 WHERE enrollment = ?`, known); err != nil {
		return 0, err
	}
	_, err := t.exec(`UPDATE enrollments SET ticket_id = ?, way = ?, state = ?, certificate = ?, topic = ?, os_version = ?, build_version = ?, product = ?,
			created = ?, enrolled = NULL, ended = NULL, contact = ?, token = NULL, magic = NULL, token_stored = NULL
		WHERE seq = ?`,
		e.TicketID, e.Way, e.State, e.Certificate[:], e.Topic, e.OSVersion, e.BuildVersion, e.Product, micros(e.Created), micros(e.Contact), known)
	return known, err
}

// replaceHalf ends the half made enrollments of a ticket, but for one.
func (t *tx) replaceHalf(ticket, but int64, at time.Time) error {
	halves := map[int64][32]byte{}
	err := t.each(`SELECT e.seq, e.certificate FROM identities i JOIN enrollments e ON e.seq = i.enrollment AND e.certificate = i.digest
		WHERE i.ticket = ? AND e.state = 'authenticated' AND e.seq <> ?`, args{ticket, but}, func(scan func(...any) error) error {
		var seq int64
		var certificate [32]byte
		err := scan(&seq, (*digest)(&certificate))
		halves[seq] = certificate
		return err
	})
	if err != nil {
		return err
	}
	for seq, certificate := range halves {
		if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE digest = ?`, certificate[:]); err != nil {
			return err
		}
		if err := t.end(seq, mdm.StateReplaced, at); err != nil {
			return err
		}
	}
	return nil
}

// release takes an enrollment from the identity that it was bound to.
func (t *tx) release(o owner, enrollmentID string, at time.Time) error {
	if _, err := t.exec(`UPDATE identities SET replaced = 1 WHERE digest = ?`, o.certificate[:]); err != nil {
		return err
	}
	return t.closeTicket(o.Ticket, enrollmentID, at)
}

// closeTicket notes on a spent ticket that its enrollment ended.
func (t *tx) closeTicket(ticket int64, enrollmentID string, at time.Time) error {
	_, err := t.exec(`UPDATE tickets SET ended = ? WHERE seq = ? AND enrollment_id = ? AND state = 'enrolled' AND ended IS NULL`,
		micros(at), ticket, enrollmentID)
	return err
}

// end ends an enrollment, unless it has ended.
func (t *tx) end(enrollment int64, state mdm.EnrollmentState, at time.Time) error {
	n, err := t.exec(`UPDATE enrollments SET state = ?, ended = ?, token = NULL, magic = NULL, token_stored = NULL
		WHERE seq = ? AND state NOT IN ('ended', 'replaced')`, state, micros(at), enrollment)
	if err != nil || n == 0 {
		return err
	}
	if _, err := t.exec(`UPDATE pushes SET able = 0, settled = request, due = ?, fixed = 0, attempt = 0 WHERE enrollment = ?`, never, enrollment); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE commands SET status = 'Cancelled', place = NULL, updated = ? WHERE queue = ?`, micros(at), enrollment); err != nil {
		return err
	}
	if state == mdm.StateEnded { // what replaced it has its grant
		if _, err := t.exec(`UPDATE grants SET revoked = 1, ends = LEAST(COALESCE(ends, ?), ?) WHERE enrollment = ?`, micros(at), micros(at), enrollment); err != nil {
			return err
		}
	}
	var id string
	var ticket int64
	if _, err := t.get(`SELECT e.id, i.ticket FROM enrollments e JOIN identities i ON i.digest = e.certificate WHERE e.seq = ?`,
		args{enrollment}, &id, &ticket); err != nil {
		return err
	}
	return t.closeTicket(ticket, id, at)
}

// TokenUpdate implements mdm.Store. Where a token was before, it reads the device
// and writes its row, as long as the device is still the one that was read.
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	token, err := s.secrets.Seal(u.Token, sealedToken, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	magic, err := s.secrets.Seal([]byte(u.PushMagic), sealedMagic, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	at := stamp(u.At)
	from := sender{u.Certificate, u.EnrollmentID, u.Device, u.Bearer, at}
	d, err := s.read(ctx).device(from)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	first := d.bound.State == mdm.StateAuthenticated
	if first && !u.Planned {
		return d.bound, mdm.ErrPlanNeeded
	}
	if !first && !d.unused() {
		n, err := s.alone(ctx, storeToken+` AND state = 'enrolled' AND token IS NOT NULL AND certificate = ?`,
			append(tokenValues(d, u, token, magic), u.Certificate[:])...)
		if err != nil {
			return mdm.Enrollment{}, err
		}
		if n == 1 {
			return d.updated(u), nil
		}
	}
	var e mdm.Enrollment
	err = s.step(ctx, func(t *tx) error {
		if err := t.lockStory(d.ticket, d.enrollment); err != nil {
			return err
		}
		d, err := t.device(from)
		if err != nil {
			return err
		}
		if d.bound.State == mdm.StateAuthenticated {
			if e = d.bound; !u.Planned {
				return mdm.ErrPlanNeeded
			}
			if err := t.enroll(d, u.Plan, at); err != nil {
				return err
			}
			d.bound.State, d.bound.Enrolled = mdm.StateEnrolled, at
		}
		if err := t.use(d.bearer, d.enrollment); err != nil {
			return err
		}
		// What waits for a token is due now.
		if _, err := t.exec(`UPDATE pushes p JOIN enrollments e ON e.seq = p.enrollment
			SET p.able = 1, p.due = CASE WHEN p.due = ? THEN p.due ELSE ? END, p.fixed = 0, p.attempt = 0
			WHERE p.enrollment = ? AND e.token IS NULL`, never, micros(at), d.enrollment); err != nil {
			return err
		}
		e = d.updated(u)
		_, err = t.exec(storeToken, tokenValues(d, u, token, magic)...)
		return err
	})
	if errors.Is(err, mdm.ErrPlanNeeded) {
		return e, err
	}
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

const storeToken = `UPDATE enrollments SET topic = ?, token = ?, magic = ?, token_stored = ?, contact = ? WHERE seq = ?`

func tokenValues(d device, u mdm.TokenUpdateStep, token, magic []byte) []any {
	at := stamp(u.At)
	contact, _ := d.seen(at)
	return []any{u.Topic, token, magic, micros(at), micros(contact), d.enrollment}
}

// updated is the enrollment after a TokenUpdate.
func (d device) updated(u mdm.TokenUpdateStep) mdm.Enrollment {
	e := d.bound
	e.Topic = u.Topic
	e.Contact, _ = d.seen(stamp(u.At))
	return e
}

// enroll is what the first TokenUpdate does.
func (t *tx) enroll(d device, plan []mdm.Command, at time.Time) error {
	if _, err := t.exec(`UPDATE enrollments SET state = 'enrolled', enrolled = ? WHERE seq = ?`, micros(at), d.enrollment); err != nil {
		return err
	}
	if err := t.askPush(at, d.enrollment); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE tickets SET state = ?, enrolled = ?, ended = NULL WHERE seq = ?`, enroll.TicketEnrolled, micros(at), d.ticket); err != nil {
		return err
	}
	adding := make([]queued, len(plan))
	for i, c := range plan {
		adding[i] = queued{Command: c, enrollment: d.enrollment}
		adding[i].EnrollmentID = d.bound.ID
	}
	if err := sealPayloads(t.secrets, adding); err != nil {
		return err
	}
	_, err := t.queue(adding)
	return err
}

// CheckOut implements mdm.Store.
func (s *Store) CheckOut(ctx context.Context, c mdm.CheckOutStep) (mdm.Enrollment, error) {
	from := sender{c.Certificate, c.EnrollmentID, c.Device, c.Bearer, stamp(c.At)}
	d, err := s.read(ctx).device(from)
	if err == nil {
		err = s.step(ctx, func(t *tx) error {
			if err := t.lockStory(d.ticket, d.enrollment); err != nil {
				return err
			}
			var err error
			if d, err = t.device(from); err != nil {
				return err
			}
			if err := t.end(d.enrollment, mdm.StateEnded, from.at); err != nil {
				return err
			}
			d.bound.State, d.bound.Ended = mdm.StateEnded, from.at
			return nil
		})
	}
	if err != nil && !errors.Is(err, mdm.ErrEnded) {
		return mdm.Enrollment{}, err
	}
	return d.bound, nil
}

// Enrollment implements mdm.Store.
func (s *Store) Enrollment(ctx context.Context, id string) (mdm.Enrollment, error) {
	var e mdm.Enrollment
	found, err := s.read(ctx).get(`SELECT `+enrollmentColumns+` FROM enrollments e WHERE e.id = ?`, args{id}, enrollmentFields(&e)...)
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
	return s.step(ctx, func(t *tx) error {
		var seq, ticket int64
		found, err := t.get(`SELECT e.seq, i.ticket FROM enrollments e JOIN identities i ON i.digest = e.certificate WHERE e.id = ?`, args{id}, &seq, &ticket)
		if err != nil {
			return err
		}
		if !found {
			return mdm.ErrUnknownEnrollment
		}
		if err := t.lockStory(ticket, seq); err != nil {
			return err
		}
		return t.end(seq, mdm.StateEnded, stamp(at))
	})
}

// SuspendUser implements mdm.Store.
func (s *Store) SuspendUser(ctx context.Context, userID string, suspended bool) error {
	return s.step(ctx, func(t *tx) error {
		if suspended {
			_, err := t.exec(`INSERT INTO suspended_users (user_id) VALUES (?)`, userID)
			if number(err) == errDuplicate {
				return nil
			}
			if err != nil {
				return err
			}
		} else if n, err := t.exec(`DELETE FROM suspended_users WHERE user_id = ?`, userID); err != nil || n == 0 {
			return err
		}
		if err := t.suspendDevices(userID, suspended); err != nil || !suspended {
			return err
		}
		_, err := t.exec(`UPDATE grants SET revoked = 1 WHERE user_id = ? AND revoked = 0`, userID)
		return err
	})
}

// suspendDevices lets the devices of a user not be woken, or lifts that.
func (t *tx) suspendDevices(userID string, suspended bool) error {
	if err := t.each(`SELECT seq FROM enrollments WHERE user_id = ? FOR UPDATE`, args{userID}, func(scan func(...any) error) error {
		var seq int64
		return scan(&seq)
	}); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE enrollments e STRAIGHT_JOIN pushes p ON p.enrollment = e.seq SET p.able = CASE WHEN ? THEN 0 ELSE e.token IS NOT NULL END
		WHERE e.user_id = ?`, suspended, userID)
	return err
}

// suspended reports whether a user is.
func (t *tx) suspended(userID string) (yes bool, err error) {
	_, err = t.get(`SELECT EXISTS (SELECT 1 FROM suspended_users WHERE user_id = ?)`, args{userID}, &yes)
	return yes, err
}

// notSuspended is mdm.ErrSuspended when the user is, and waits for a suspension
// that is under way.
func (t *tx) notSuspended(userID string) error {
	var there bool
	found, err := t.get(`SELECT 1 FROM suspended_users WHERE user_id = ? LOCK IN SHARE MODE`, args{userID}, &there)
	if err == nil && found {
		err = mdm.ErrSuspended
	}
	return err
}
