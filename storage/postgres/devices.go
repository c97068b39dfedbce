package postgres

import (
	"context"
	"crypto/sha256"
	_ "embed" // of the statements
	"errors"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

//go:embed queries/token_update.sql
var tokenUpdateSQL string

//go:embed queries/bind.sql
var bindSQL string

const enrollmentColumns = `id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, enrolled, ended, contact`

// enrollmentFields are where a row of enrollmentColumns goes.
func enrollmentFields(e *mdm.Enrollment) []any {
	return []any{
		&e.ID, &e.UserID, &e.TicketID, &e.Way, &e.State, (*digest)(&e.Certificate), &e.Topic,
		&e.OSVersion, &e.BuildVersion, &e.Product, (*when)(&e.Created), (*when)(&e.Enrolled), (*when)(&e.Ended), (*when)(&e.Contact),
	}
}

func (t *tx) enrollment(seq int64, e *mdm.Enrollment) error {
	_, err := t.get(`SELECT `+enrollmentColumns+` FROM enrollments WHERE seq = $1`, args{seq}, enrollmentFields(e)...)
	return err
}

// tokenUpdateEnd reads the enrollment as it is now. It fails with changedText
// when what was admitted could not be written.
const tokenUpdateEnd = `SELECT ` + sentColumns + `,
	CAST(CASE WHEN EXISTS (SELECT 1 FROM allowed) AND (updated.seq IS NULL OR
		EXISTS (SELECT 1 FROM allowed WHERE first) AND NOT EXISTS (SELECT 1 FROM spent)) THEN '` + changedText + `' ELSE '0' END AS integer),
	coalesce(e.id, ''), coalesce(e.user_id, ''), coalesce(e.ticket_id, ''), coalesce(e.way, ''), coalesce(updated.state, e.state, ''), e.certificate,
	coalesce(updated.topic, e.topic, ''), coalesce(e.os_version, ''), coalesce(e.build_version, ''), coalesce(e.product, ''),
	e.created, coalesce(updated.enrolled, e.enrolled), e.ended, coalesce(updated.contact, e.contact)
FROM sent LEFT JOIN updated ON true LEFT JOIN enrollments e ON e.seq = sent.enrollment`

// TokenUpdate implements mdm.Store.
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	at := stamp(u.At)
	from := sender{u.Certificate, u.EnrollmentID, u.Device, u.Bearer, at}
	token, err := s.secrets.Seal(u.Token, sealedToken, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	magic, err := s.secrets.Seal([]byte(u.PushMagic), sealedMagic, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	known := sha256.Sum256(u.Token)
	plan, err := s.columns(u.EnrollmentID, u.Plan)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	values := append(from.values(), u.Topic, token, magic, known[:], at.Truncate(24*time.Hour), u.Planned,
		plan.uuids, plan.types, plan.queued, plan.payloads)
	var e mdm.Enrollment
	run := func(t *tx) (d device, err error) {
		e = mdm.Enrollment{}
		var unchanged int
		into := slices.Concat(sentFields(&d), []any{&unchanged}, enrollmentFields(&e))
		d.known, err = t.get(senderSQL+tokenUpdateSQL+tokenUpdateEnd, values, into...)
		if err == nil && d.state == mdm.StateAuthenticated && !u.Planned && d.judge(from) == nil {
			err = mdm.ErrPlanNeeded // before a new token is noted
		}
		return d, err
	}
	err = s.admit(ctx, from, run, run)
	if err != nil && !errors.Is(err, mdm.ErrPlanNeeded) {
		return mdm.Enrollment{}, err
	}
	return e, err
}

// Authenticate implements mdm.Store.
func (s *Store) Authenticate(ctx context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	from := sender{a.Certificate, a.EnrollmentID, a.Device, a.Bearer, stamp(a.At)}
	var e mdm.Enrollment
	err := again(ctx, func() error {
		t := s.alone(ctx)
		d, err := t.device(from)
		if err == nil && d.fresh() {
			return errMore
		}
		if err != nil {
			return err
		}
		return t.enrollment(d.enrollment, &e)
	})
	if err == errMore || errors.Is(err, mdm.ErrNotAuthenticated) { //nolint:errorlint // errMore is never wrapped
		err = s.atomic(ctx, func(t *tx) error { return t.authenticate(from, a, &e) })
	}
	if err != nil {
		return mdm.Enrollment{}, err
	}
	return e, nil
}

// bindLockSQL locks first the enrollment, then the ticket, as TokenUpdate does.
const bindLockSQL = `WITH e AS (SELECT seq FROM enrollments WHERE id = $1 FOR UPDATE),
	t AS (SELECT seq FROM tickets WHERE seq = (SELECT ticket FROM identities WHERE digest = $2) AND (SELECT count(*) FROM e) >= 0 FOR UPDATE)
	SELECT count(*) FROM t`

// claimedSQL reads, after senderSQL, who has the EnrollmentID now, how many other
// devices the user has if there is a limit $6, and whether others were bound by
// the same ticket.
const claimedSQL = ` SELECT ` + sentColumns + `,
		coalesce(k.seq, 0), coalesce(k.user_id, ''), k.certificate, coalesce(i.ticket, 0), coalesce(t.state = 'enrolled', false),
		CASE WHEN $6::integer > 0 THEN (SELECT count(*) FROM enrollments o WHERE o.user_id = sent.user_id AND o.state = 'enrolled' AND o.id <> $4::text) ELSE 0 END,
		EXISTS (SELECT 1 FROM identities h WHERE h.ticket = sent.ticket AND h.enrollment IS NOT NULL)
	FROM sent LEFT JOIN enrollments k ON k.id = $4::text LEFT JOIN identities i ON i.digest = k.certificate LEFT JOIN tickets t ON t.seq = i.ticket`

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

// authenticate is Authenticate where it writes.
func (t *tx) authenticate(from sender, a mdm.AuthenticateStep, e *mdm.Enrollment) error {
	// What is read of both after this stays as it is.
	if _, err := t.exec(bindLockSQL, a.EnrollmentID, a.Certificate[:]); err != nil {
		return err
	}
	var d device
	var c claimed
	var err error
	if d.known, err = t.get(senderSQL+claimedSQL, append(from.values(), a.DeviceLimit), append(sentFields(&d),
		&c.enrollment, &c.holder.User, &c.certificate, &c.holder.Ticket, &c.holder.Spent, &c.others, &c.halves)...); err != nil {
		return err
	}
	err = d.judge(from)
	if err == nil {
		if err := t.use(d.bearer, d.enrollment); err != nil {
			return err
		}
		return t.enrollment(d.enrollment, e)
	}
	if !errors.Is(err, mdm.ErrNotAuthenticated) {
		return err
	}
	return t.bind(d, c, a, e)
}

// bind makes the enrollment of an identity that has none.
func (t *tx) bind(d device, c claimed, a mdm.AuthenticateStep, e *mdm.Enrollment) error {
	at, known := stamp(a.At), c.enrollment != 0
	if err := (judge.Claim{
		User: d.user, Ticket: d.ticket, Deadline: d.deadline, Bearer: !d.way.Account() || d.grantTicket == d.ticket && d.inForce,
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
	var bound int64
	added, err := t.get(bindSQL, args{
		a.EnrollmentID, d.user, d.ticket, string(d.way), a.Certificate[:], a.Topic, a.OSVersion, a.BuildVersion, a.Product, at, known,
	}, append([]any{&bound}, enrollmentFields(e)...)...)
	if err != nil {
		return err
	}
	if !added {
		return errChanged // another one was bound to this EnrollmentID
	}
	if !d.way.Account() {
		return nil
	}
	return t.bindGrant(d.bearer, bound)
}

// replaceHalf ends the half made enrollments of a ticket, but for one.
func (t *tx) replaceHalf(ticket, but int64, at time.Time) error {
	var halves []int64
	err := t.each(`SELECT e.seq FROM identities i JOIN enrollments e ON e.seq = i.enrollment AND e.certificate = i.digest
		WHERE i.ticket = $1 AND e.state = 'authenticated' AND e.seq <> $2 ORDER BY e.seq`, args{ticket, but}, func(scan func(...any) error) error {
		var seq int64
		err := scan(&seq)
		halves = append(halves, seq)
		return err
	})
	if err != nil {
		return err
	}
	for _, seq := range halves {
		if _, err := t.exec(`UPDATE identities SET replaced = true WHERE digest = (SELECT certificate FROM enrollments WHERE seq = $1)`, seq); err != nil {
			return err
		}
		if _, err := t.end(seq, mdm.StateReplaced, at); err != nil {
			return err
		}
	}
	return nil
}

// release takes an enrollment from the identity that it was bound to.
func (t *tx) release(certificate []byte, ticket int64, enrollmentID string, at time.Time) error {
	if _, err := t.exec(`UPDATE identities SET replaced = true WHERE digest = $1`, certificate); err != nil {
		return err
	}
	return t.closeTicket(ticket, enrollmentID, at)
}

// closeTicket notes on a spent ticket that its enrollment ended.
func (t *tx) closeTicket(ticket int64, enrollmentID string, at time.Time) error {
	_, err := t.exec(`UPDATE tickets SET ended = $3 WHERE seq = $1 AND enrollment_id = $2 AND state = 'enrolled' AND ended IS NULL`,
		ticket, enrollmentID, at)
	return err
}

// end ends an enrollment, unless it has ended, and reports whether it did. The
// caller has locked it forUpdate, or the ticket of one that is half made, without
// which it is not enrolled: nothing is queued from then on, and what was queued
// before is there.
func (t *tx) end(enrollment int64, state mdm.EnrollmentState, at time.Time) (bool, error) {
	var id string
	var ticket int64
	ended, err := t.get(`UPDATE enrollments SET state = $2, ended = $3, token = NULL, magic = NULL, token_digest = NULL, token_stored = NULL
		WHERE seq = $1 AND state NOT IN ('ended', 'replaced')
		RETURNING id, (SELECT i.ticket FROM identities i WHERE i.digest = enrollments.certificate)`,
		args{enrollment, string(state), at}, &id, &ticket)
	if err != nil || !ended {
		return false, err
	}
	if _, err := t.exec(`UPDATE pushes SET state = $2, reachable = false, settled = request, due = NULL, fixed = false, attempt = 0,
			mark = coalesce((SELECT max(seq) FROM push_requests), 0), reached = NULL WHERE enrollment = $1`,
		enrollment, string(state)); err != nil {
		return false, err
	}
	if _, err := t.exec(`UPDATE commands SET status = 'Cancelled', place = NULL, updated = $2 WHERE enrollment = $1 AND (place = 1 OR place = 2)`,
		enrollment, at); err != nil {
		return false, err
	}
	if state == mdm.StateEnded { // what replaced it has its grant
		if _, err := t.exec(`UPDATE grants SET revoked = true, ends = least(ends, $2) WHERE enrollment = $1`, enrollment, at); err != nil {
			return false, err
		}
	}
	return true, t.closeTicket(ticket, id, at)
}

// CheckOut implements mdm.Store.
func (s *Store) CheckOut(ctx context.Context, c mdm.CheckOutStep) (mdm.Enrollment, error) {
	from := sender{c.Certificate, c.EnrollmentID, c.Device, c.Bearer, stamp(c.At)}
	var e mdm.Enrollment
	err := s.atomic(ctx, func(t *tx) error {
		if _, err := t.exec(`SELECT seq FROM enrollments WHERE id = $1`+forUpdate, c.EnrollmentID); err != nil {
			return err
		}
		d, err := t.device(from)
		if err != nil && !errors.Is(err, mdm.ErrEnded) {
			return err
		}
		if _, err := t.end(d.enrollment, mdm.StateEnded, stamp(c.At)); err != nil {
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
func (s *Store) Enrollment(ctx context.Context, id string) (e mdm.Enrollment, err error) {
	found := false
	err = again(ctx, func() (err error) {
		found, err = s.alone(ctx).get(`SELECT `+enrollmentColumns+` FROM enrollments WHERE id = $1`, args{id}, enrollmentFields(&e)...)
		return err
	})
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
	return s.atomic(ctx, func(t *tx) error {
		var seq int64
		found, err := t.get(`SELECT seq FROM enrollments WHERE id = $1`+forUpdate, args{id}, &seq)
		if err != nil {
			return err
		}
		if !found {
			return mdm.ErrUnknownEnrollment
		}
		_, err = t.end(seq, mdm.StateEnded, stamp(at))
		return err
	})
}

// SuspendUser implements mdm.Store.
func (s *Store) SuspendUser(ctx context.Context, userID string, suspended bool) error {
	return s.atomic(ctx, func(t *tx) error {
		// The row is locked from here on: a grant that is being given is found
		// below, or finds this.
		n, err := t.exec(`INSERT INTO suspensions (user_id, suspended) VALUES ($1, $2)
			ON CONFLICT (user_id) DO UPDATE SET suspended = excluded.suspended WHERE suspensions.suspended <> excluded.suspended`, userID, suspended)
		if err != nil || n == 0 {
			return err
		}
		if _, err := t.exec(`UPDATE pushes SET suspended = $2 WHERE enrollment IN (SELECT seq FROM enrollments WHERE user_id = $1)`, userID, suspended); err != nil || !suspended {
			return err
		}
		_, err = t.exec(`UPDATE grants SET revoked = true WHERE user_id = $1 AND NOT revoked`, userID)
		return err
	})
}
