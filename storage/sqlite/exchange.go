package sqlite

import (
	"context"
	"slices"

	"github.com/enrollkit/enrollkit/mdm"
)

// exchangeSQL records the report of ?6 as ?7, ?8 and ?9, and marks the first
// other command that may be sent now as sent: a row for each, the next one the
// one that is Sent. It leaves the step alone, and returns no row, on the first
// contact of a day, which began at ?10 (NULL: it is no matter), and when only
// what was answered NotNow is left and ?11 is 1, or such a command is there at
// all and ?11 is 2.
const exchangeSQL = senderSQL + `, picked AS MATERIALIZED (
	SELECT a.enrollment, r.seq AS reported, (SELECT c.seq FROM commands c
		WHERE c.enrollment = a.enrollment AND c.place = 1 AND c.seq IS NOT r.seq ORDER BY c.seq LIMIT 1) AS next
	FROM admitted a LEFT JOIN commands r ON r.enrollment = a.enrollment AND r.uuid = ?6
		AND r.place IS NOT NULL AND NOT (r.place = 2 AND ?8 IS 2)
	WHERE ?10 IS NULL OR a.contact >= ?10
)
UPDATE commands SET
	status = CASE WHEN seq = picked.reported THEN ?7 ELSE 'Sent' END,
	place = CASE WHEN seq = picked.reported THEN ?8 ELSE 1 END,
	result = CASE WHEN seq = picked.reported THEN ?9 ELSE result END,
	updated = CASE WHEN seq = picked.reported OR status <> 'Sent' THEN ?3 ELSE updated END
FROM picked
WHERE seq IN (picked.reported, picked.next) AND NOT (?11 > (picked.next IS NOT NULL) AND EXISTS (
	SELECT 1 FROM commands c WHERE c.enrollment = picked.enrollment AND c.place = 2 AND c.seq IS NOT picked.reported))
RETURNING uuid, request_type, status, payload, result, queued, updated`

// What exchangeSQL does about commands that were answered NotNow.
const (
	heldIgnored   = 0
	heldAsks      = 1 // a push, when only they are left
	heldIsOffered = 2
)

// exchange is an Exchange on its way.
type exchange struct {
	mdm.ExchangeStep
	from sender
	out  mdm.Exchanged
}

// Exchange implements mdm.Store.
func (s *Store) Exchange(ctx context.Context, step mdm.ExchangeStep) (mdm.Exchanged, error) {
	if err := ctx.Err(); err != nil {
		return mdm.Exchanged{}, err
	}
	at := stamp(step.At)
	x := exchange{ExchangeStep: step, from: sender{step.Certificate, step.EnrollmentID, step.Device, step.Bearer, at}}
	rare := x.ofLast()
	if step.Idle {
		// Most devices that ask find nothing, and need not queue up for writing.
		// For one that finds something, this read is little beside its commit.
		d, err := s.readers.tx(context.WithoutCancel(ctx)).device(x.from)
		rare = d.held || d.newDay(at) || d.fresh()
		if err != nil || !d.waits && !rare {
			return mdm.Exchanged{}, err
		}
	}
	err := s.writer.do(ctx, func(t *tx) error {
		if !rare {
			held := heldIgnored
			if step.Idle {
				held = heldIsOffered
			} else if x.asks() {
				held = heldAsks
			}
			if done, err := x.run(t, x.from.day(), held); done || err != nil {
				return err
			}
		}
		return x.atLength(t)
	})
	if err != nil {
		return mdm.Exchanged{}, err
	}
	return x.out, nil
}

// asks reports whether a push is asked for when only what was answered NotNow is
// left.
func (x *exchange) asks() bool {
	return !x.Idle && x.NotNowRetry > 0 && x.Status != mdm.CommandNotNow
}

// ofLast reports whether the report is of the command sent last, by no UUID.
func (x *exchange) ofLast() bool {
	return !x.Idle && x.CommandUUID == "" && x.Status == mdm.CommandFormatError
}

// run runs the statement and reports whether it has done something.
func (x *exchange) run(t *tx, day any, held int) (done bool, err error) {
	var uuid, place any
	reports := []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandNotNow}
	if !x.Idle && slices.Contains(reports, x.Status) && !x.ofLast() {
		uuid = x.CommandUUID
	}
	if x.Status == mdm.CommandNotNow {
		place = placeHeld
	}
	err = t.each(exchangeSQL, append(x.from.values(), uuid, string(x.Status), place, x.Result, day, held), func(scan func(...any) error) error {
		done = true
		c := mdm.Command{EnrollmentID: x.EnrollmentID}
		err := scan(&c.UUID, &c.RequestType, &c.Status, &c.Payload, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated))
		if err != nil {
			return err
		}
		if c.Status == mdm.CommandSent {
			x.out.Next = &c
		} else {
			x.out.Reported = &c
		}
		return t.openPayload(&c)
	})
	return done, err
}

// atLength does with several statements what one does not: it names what is
// wrong with the sender, or does first what may come along with a step.
func (x *exchange) atLength(t *tx) error {
	d, err := t.device(x.from)
	if err != nil {
		return err
	}
	if err := t.use(d.bearer, d.enrollment); err != nil {
		return err
	}
	if d.newDay(x.from.at) {
		if _, err := t.exec(`UPDATE enrollments SET contact = ? WHERE seq = ?`, micros(x.from.at), d.enrollment); err != nil {
			return err
		}
	}
	if x.Idle && d.held {
		if _, err := t.exec(`UPDATE commands SET place = 1 WHERE enrollment = ? AND place = 2`, d.enrollment); err != nil {
			return err
		}
		d.waits = true
	}
	if x.ofLast() {
		// The command sent last is the first that waits: sending takes the first.
		if _, err := t.get(`SELECT c.uuid FROM commands c WHERE c.seq = (SELECT f.seq FROM commands f WHERE f.enrollment = ? AND f.place = 1 ORDER BY f.seq LIMIT 1)
			AND c.status = 'Sent'`, args{d.enrollment}, &x.CommandUUID); err != nil {
			return err
		}
	}
	done, err := x.run(t, nil, heldIgnored)
	if err != nil {
		return err
	}
	if d.waits && !done {
		return errRefused
	}
	if x.out.Next == nil && d.held && x.asks() {
		_, err = t.exec(`UPDATE enrollments SET `+askPush+` WHERE seq = ?2 AND EXISTS
			(SELECT 1 FROM commands c WHERE c.enrollment = ?2 AND c.place = 2)`, micros(x.from.at.Add(x.NotNowRetry)), d.enrollment)
	}
	return err
}
