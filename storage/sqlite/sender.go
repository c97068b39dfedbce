package sqlite

import (
	"errors"
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
	var bearer any
	if s.bearer != [32]byte{} {
		bearer = s.bearer[:]
	}
	return append(make(args, 0, 12), s.certificate[:], bearer, micros(s.at), s.enrollmentID, s.device)
}

// day is when the day of the step began, in microseconds.
func (s sender) day() int64 { return s.at.Truncate(24 * time.Hour).UnixMicro() }

// The ways whose devices name themselves by a UDID, and those with a bearer
// token: mdm.Way's Mode and Account.
const (
	deviceWays  = `('adde', 'device')`
	accountWays = `('account', 'adde')`
)

// senderSQL begins a statement: sent is the sender by the certificate ?1 with
// the bearer ?2 at ?3, or no row; admitted is the same if it is named ?4, by a
// UDID or not (?5), nothing is wrong with it, and its token came before.
const senderSQL = `WITH sent (user_id, ticket, way, deadline, suspended, enrollment, id, state, contact,
		token, of_grant, grant_ticket, grant_enrollment, dead, expires, used) AS (
	SELECT i.user_id, i.ticket, i.way, i.deadline, s.user_id IS NOT NULL, e.seq, e.id, e.state, e.contact, ` + bearerColumns + `
	FROM identities i
	LEFT JOIN enrollments e ON e.seq = i.enrollment
	LEFT JOIN suspended_users s ON s.user_id = i.user_id
	LEFT JOIN tokens k ON k.access = ?2
	LEFT JOIN grants g ON g.seq = k.of_grant
	WHERE i.digest = ?1 AND i.replaced = 0
), admitted AS (
	SELECT * FROM sent WHERE NOT suspended AND id = ?4 AND state <> 'ended' AND (way IN ` + deviceWays + `) = ?5
		AND (way NOT IN ` + accountWays + ` OR grant_enrollment = enrollment AND NOT dead AND (expires IS NULL OR ?3 IS NULL OR expires > ?3) AND used)
) `

// device is who sends a step, as stored.
type device struct {
	user       string
	ticket     int64
	way        mdm.Way
	deadline   time.Time
	suspended  bool
	enrollment int64 // 0: none is bound
	id         string
	state      mdm.EnrollmentState
	contact    time.Time
	// waits: a command may be sent now. held: one was answered NotNow in this
	// session.
	waits, held bool
	bearer
}

// deviceColumns are of sent, and what the statements of the hot path make of it.
const deviceColumns = `sent.user_id, sent.ticket, sent.way, sent.deadline, sent.suspended, ifnull(sent.enrollment, 0), ifnull(sent.id, ''),
	ifnull(sent.state, ''), sent.contact,
	sent.token, sent.of_grant, sent.grant_ticket, sent.grant_enrollment, sent.dead, sent.expires, sent.used, EXISTS (SELECT 1 FROM admitted)`

// deviceSQL reads a device and whether it has commands.
const deviceSQL = senderSQL + `SELECT ` + deviceColumns + `,
	EXISTS (SELECT 1 FROM commands c WHERE c.enrollment = sent.enrollment AND c.place = 1),
	EXISTS (SELECT 1 FROM commands c WHERE c.enrollment = sent.enrollment AND c.place = 2) FROM sent`

// device finds the sender of a step. What was found comes with an error of judge
// too.
func (t *tx) device(from sender) (device, error) {
	var waits, held bool
	d, err := t.deviceAnd(deviceSQL, from, from.values(), &waits, &held)
	d.waits, d.held = waits, held
	return d, err
}

// deviceAnd is device by another query of deviceColumns and more.
func (t *tx) deviceAnd(query string, from sender, values args, more ...any) (device, error) {
	var d device
	var admitted bool
	into := append(make([]any, 0, 24), &d.user, &d.ticket, &d.way, (*when)(&d.deadline), &d.suspended, &d.enrollment, &d.id, &d.state, (*when)(&d.contact))
	into = append(append(append(into, bearerFields(&d.bearer)...), &admitted), more...)
	found, err := t.get(query, values, into...)
	switch {
	case err != nil:
		return device{}, err
	case !found:
		return device{}, mdm.ErrUnknownIdentity
	}
	err = d.judge(from)
	if admitted != (err == nil && !d.fresh()) {
		return device{}, fmt.Errorf("sqlite: enrollment %s: its statements and its judge differ: admitted is %t, and judged %q", d.id, admitted, fmt.Sprint(err))
	}
	if !d.way.Account() {
		d.bearer = bearer{}
	}
	return d, err
}

// judge names what is wrong with a sender, in the order that mdm.Store demands.
// senderSQL judges the same.
func (d device) judge(from sender) error {
	return judge.Sender{
		Known: true, Suspended: d.suspended, Way: d.way, Bound: d.enrollment != 0, EnrollmentID: d.id, State: d.state,
		Bearer: d.bearer.enrollment == d.enrollment && d.inForce(from.at),
	}.Judge(from.enrollmentID, from.device)
}

// errRefused: a statement that begins with senderSQL has done nothing, although
// all is right.
var errRefused = errors.New("sqlite: a statement refuses what is admitted")

// fresh reports whether the step's token comes for the first time, which ends
// former ones.
func (d device) fresh() bool { return d.way.Account() && !d.used }

// newDay reports whether at is on a later day than the last contact noted.
func (d device) newDay(at time.Time) bool {
	const day = 24 * time.Hour
	return at.Truncate(day).After(d.contact.Truncate(day))
}
