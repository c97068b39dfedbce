package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

// sender is who a step says sent it.
type sender struct {
	certificate  [32]byte
	enrollmentID string
	device       bool
	bearer       [32]byte
	at           time.Time
}

// values are the first parameters of every statement that begins with senderSQL.
func (s sender) values() args {
	return args{s.certificate[:], optional(s.bearer), s.at, s.enrollmentID, s.device}
}

// device is who sends a step, as stored.
type device struct {
	known     bool
	user      string
	ticket    int64
	way       mdm.Way
	deadline  time.Time
	suspended bool

	enrollment int64 // 0: none is bound
	id         string
	state      mdm.EnrollmentState
	bearer
	// admitted is what the statement itself made of all this. more: it has left
	// the step alone, which takes more than one statement.
	admitted, more bool
}

// bearer is an access token as it came with a step.
type bearer struct {
	token, grant                 int64 // 0: unknown
	grantTicket, grantEnrollment int64 // 0: none
	generation                   int
	inForce, used                bool
}

// judge names what is wrong with a sender, in the order that mdm.Store demands.
// senderSQL judges the same.
func (d device) judge(from sender) error {
	return judge.Sender{
		Known: d.known, Suspended: d.suspended, Way: d.way, Bound: d.enrollment != 0, EnrollmentID: d.id, State: d.state,
		Bearer: d.grantEnrollment == d.enrollment && d.inForce,
	}.Judge(from.enrollmentID, from.device)
}

// fresh reports whether the step's token comes for the first time, which ends
// former ones. Statements that end none leave such a step alone.
func (d device) fresh() bool { return d.way.Account() && !d.used }

// The ways whose devices name themselves by a UDID, and those with a bearer
// token: mdm.Way's Mode and Account.
const (
	deviceWays  = `('adde', 'device')`
	accountWays = `('account', 'adde')`
)

// senderSQL begins a statement: sent is the sender by the certificate $1 with
// the bearer $2 at $3, or no row; admitted is the same if it is named $4, by a
// UDID or not ($5), nothing is wrong with it, and its token came before.
const senderSQL = `WITH sent AS (
	SELECT i.user_id, i.ticket, i.way, i.deadline, coalesce(s.suspended, false) AS suspended,
		e.seq AS enrollment, e.id, e.state, e.contact,
		k.seq AS token, k.of_grant, g.ticket AS grant_ticket, g.enrollment AS grant_enrollment, k.generation,
		NOT k.ended AND NOT g.revoked AND (k.access_expires IS NULL OR k.access_expires > $3::timestamptz) AS in_force, k.used
	FROM identities i
	LEFT JOIN enrollments e ON e.seq = i.enrollment
	LEFT JOIN suspensions s ON s.user_id = i.user_id
	LEFT JOIN tokens k ON k.access = $2::bytea
	LEFT JOIN grants g ON g.seq = k.of_grant
	WHERE i.digest = $1::bytea AND NOT i.replaced
), admitted AS (
	SELECT * FROM sent WHERE NOT suspended AND id = $4::text AND state <> 'ended'
		AND (way IN ` + deviceWays + `) = $5::boolean
		AND (way NOT IN ` + accountWays + ` OR grant_enrollment = enrollment AND in_force AND used)
)`

// sentColumns are the columns of sent for sentFields.
const sentColumns = `sent.user_id, sent.ticket, sent.way, sent.deadline, sent.suspended,
	coalesce(sent.enrollment, 0), coalesce(sent.id, ''), coalesce(sent.state, ''),
	coalesce(sent.token, 0), coalesce(sent.of_grant, 0), coalesce(sent.grant_ticket, 0), coalesce(sent.grant_enrollment, 0),
	coalesce(sent.generation, 0), coalesce(sent.in_force, false), coalesce(sent.used, false), EXISTS (SELECT 1 FROM admitted)`

func sentFields(d *device) []any {
	return []any{
		&d.user, &d.ticket, &d.way, (*when)(&d.deadline), &d.suspended, &d.enrollment, &d.id, &d.state,
		&d.token, &d.grant, &d.grantTicket, &d.grantEnrollment, &d.generation, &d.inForce, &d.used, &d.admitted,
	}
}

// device finds the sender of a step. What was found comes with an error of judge
// too.
func (t *tx) device(from sender) (d device, err error) {
	d.known, err = t.get(senderSQL+` SELECT `+sentColumns+` FROM sent`, from.values(), sentFields(&d)...)
	if err != nil {
		return device{}, err
	}
	return d, d.judge(from)
}

// admit runs a statement that begins with senderSQL and ends with sentColumns of
// sent, as a transaction of its own. When it leaves the step alone, the step is
// done at length in a transaction of several: a token that comes for the first
// time is noted, and what else a step says.
func (s *Store) admit(ctx context.Context, from sender, run, atLength func(t *tx) (device, error)) error {
	err := again(ctx, func() error {
		d, err := run(s.alone(ctx))
		if err != nil {
			return err
		}
		return d.settled(from)
	})
	if err != errMore { //nolint:errorlint // it is never wrapped
		return err
	}
	return s.atomic(ctx, func(t *tx) error {
		// The enrollment is locked first, as by all.
		if _, err := t.exec(`SELECT seq FROM enrollments WHERE id = $1`+forChange, from.enrollmentID); err != nil {
			return err
		}
		d, err := t.device(from)
		if err != nil {
			return err
		}
		if err := t.use(d.bearer, d.enrollment); err != nil {
			return err
		}
		if d, err = atLength(t); err != nil {
			return err
		}
		return d.settled(from)
	})
}

// settled is what is wrong with a sender after its statement, or nil when that
// has done the step.
func (d device) settled(from sender) error {
	if err := d.judge(from); err != nil {
		return err
	}
	switch {
	case d.fresh(), d.admitted && d.more:
		return errMore
	case !d.admitted:
		return fmt.Errorf("postgres: enrollment %s: the statement refuses what is admitted", d.id)
	}
	return nil
}
