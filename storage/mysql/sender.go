package mysql

import (
	"time"

	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

// enrollmentColumns are of enrollments e.
const enrollmentColumns = `e.id, e.user_id, e.ticket_id, e.way, e.state, e.certificate, e.topic, e.os_version, e.build_version, e.product, e.created, e.enrolled, e.ended, e.contact`

// enrollmentFields are where a row of enrollmentColumns goes, which may be
// missing.
func enrollmentFields(e *mdm.Enrollment) []any {
	return []any{maybe(&e.ID), maybe(&e.UserID), maybe(&e.TicketID), maybe(&e.Way), maybe(&e.State), (*digest)(&e.Certificate), maybe(&e.Topic),
		maybe(&e.OSVersion), maybe(&e.BuildVersion), maybe(&e.Product), (*when)(&e.Created), (*when)(&e.Enrolled), (*when)(&e.Ended), (*when)(&e.Contact)}
}

// device is who sends a step.
type device struct {
	user       string
	ticket     int64
	way        mdm.Way
	deadline   time.Time
	enrollment int64          // 0: none is bound
	bound      mdm.Enrollment // the zero value then
	bearer
}

// sender is who a step says sent it.
type sender struct {
	certificate  [32]byte
	enrollmentID string
	device       bool
	bearer       [32]byte
	at           time.Time
}

// What a statement reads of a device: the columns of device.fields, and the
// tables that they are of.
const (
	deviceColumns = `i.user_id, i.ticket, i.way, i.deadline, s.user_id IS NOT NULL, COALESCE(e.seq, 0), ` + enrollmentColumns + `, `
	deviceTables  = ` FROM identities i
		LEFT JOIN enrollments e ON e.seq = i.enrollment
		LEFT JOIN suspended_users s ON s.user_id = i.user_id`
	bearerTables = `
		LEFT JOIN tokens k ON k.access = ?
		LEFT JOIN grants g ON g.seq = k.of_grant`
	deviceIs = ` WHERE i.digest = ? AND i.replaced = 0`
)

// parts are what a statement reads of the sender, with the values that the
// tables take. Most devices have no bearer token: each table costs planning.
func (from sender) parts() (columns, tables string, values args) {
	if from.bearer == [32]byte{} {
		return deviceColumns + noBearerColumns, deviceTables, nil
	}
	return deviceColumns + bearerColumns, deviceTables + bearerTables, args{from.bearer[:]}
}

// device finds the sender of a step, in the order that mdm.Store demands. What
// was found comes with ErrNotAuthenticated and ErrEnded too.
func (t *tx) device(from sender) (device, error) {
	var d device
	var suspended bool
	columns, tables, values := from.parts()
	found, err := t.get(`SELECT `+columns+tables+deviceIs, append(values, from.certificate[:]), d.fields(&suspended)...)
	if err != nil {
		return device{}, err
	}
	return d.judged(from, found, suspended)
}

// fields are where what was read of a device goes.
func (d *device) fields(suspended *bool) []any {
	fields := []any{&d.user, &d.ticket, &d.way, (*when)(&d.deadline), suspended, &d.enrollment}
	fields = append(fields, enrollmentFields(&d.bound)...)
	return append(fields, bearerFields(&d.bearer)...)
}

// judged is the device that was read, with what is wrong with it as a sender.
func (d device) judged(from sender, found, suspended bool) (device, error) {
	err := judge.Sender{
		Known: found, Suspended: suspended, Way: d.way, Bound: d.enrollment != 0, EnrollmentID: d.bound.ID, State: d.bound.State,
		Bearer: d.bearer.enrollment == d.enrollment && d.inForce(from.at),
	}.Judge(from.enrollmentID, from.device)
	if err == nil && !d.way.Account() {
		d.bearer = bearer{}
	}
	return d, err
}

// seen is Contact when a device comes at such a time: once a day.
func (d device) seen(at time.Time) (contact time.Time, changed bool) {
	const day = 24 * time.Hour
	if at.Truncate(day).After(d.bound.Contact.Truncate(day)) {
		return at, true
	}
	return d.bound.Contact, false
}

// lockStory makes other steps of a device's story wait, from ticket to end. What
// was read of it before may have changed.
func (t *tx) lockStory(ticket, enrollment int64) error {
	if _, err := t.lockTicket(ticket); err != nil {
		return err
	}
	return t.lockEnrollment(enrollment)
}

// lockEnrollment makes other steps of an enrollment wait, but those that change
// a row only as they saw it.
func (t *tx) lockEnrollment(seq int64) error {
	_, err := t.get(`SELECT seq FROM enrollments WHERE seq = ? FOR UPDATE`, args{seq}, &seq)
	return err
}
