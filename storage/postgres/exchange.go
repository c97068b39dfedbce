package postgres

import (
	"context"
	_ "embed" // of the statement
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

//go:embed queries/exchange.sql
var exchangeSQL string

// placeHeld is the commands.place of what was answered NotNow in this session.
const placeHeld = int16(2)

// exchangeEnd reads what became of the commands that were picked, a row for each.
// It fails with changedText when not all of them could be written.
const exchangeEnd = `SELECT ` + sentColumns + `, coalesce(picked.asks, true),
	CAST(CASE WHEN NOT picked.asks AND cardinality(picked.all_of_them) <> (SELECT count(*) FROM written) THEN '` + changedText + `' ELSE '0' END AS integer),
	coalesce(picked.reported, 0), coalesce(picked.next, 0),
	coalesce(w.seq, 0), coalesce(w.uuid, ''), coalesce(w.request_type, ''), coalesce(w.status, ''), w.payload, w.result, w.queued, w.updated
FROM sent LEFT JOIN picked ON true LEFT JOIN written w ON w.seq = picked.reported OR w.seq = picked.next`

// exchange is an Exchange on its way.
type exchange struct {
	s      *Store
	step   mdm.ExchangeStep
	from   sender
	values args
	// retry is when a push is asked for if only what was answered NotNow is
	// left; zero: never.
	retry time.Time

	out mdm.Exchanged
}

// Exchange implements mdm.Store.
func (s *Store) Exchange(ctx context.Context, step mdm.ExchangeStep) (mdm.Exchanged, error) {
	at := stamp(step.At)
	x := exchange{s: s, step: step, from: sender{step.Certificate, step.EnrollmentID, step.Device, step.Bearer, at}}
	reports := []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandNotNow}
	var place any
	if step.Status == mdm.CommandNotNow {
		place = placeHeld
	} else if step.NotNowRetry > 0 && !step.Idle {
		x.retry = stamp(at.Add(step.NotNowRetry))
	}
	x.values = append(x.from.values(),
		!step.Idle && slices.Contains(reports, step.Status), step.CommandUUID == "" && step.Status == mdm.CommandFormatError,
		step.CommandUUID, string(step.Status), place, step.Result, step.Idle, at.Truncate(24*time.Hour))
	err := s.admit(ctx, x.from,
		func(t *tx) (device, error) { return x.run(t, !x.retry.IsZero(), s.heads) },
		x.atLength)
	if err != nil {
		return mdm.Exchanged{}, err
	}
	return x.out, nil
}

// run runs the statement. With ask it leaves the step alone if a push has to be
// asked for, and with heads if a payload begins with none of them; so it does on
// the first contact of a day.
func (x *exchange) run(t *tx, ask bool, heads [][]byte) (device, error) {
	x.out = mdm.Exchanged{}
	var d device
	err := t.each(senderSQL+exchangeSQL+exchangeEnd, append(slices.Clip(x.values), ask, heads), func(scan func(...any) error) error {
		var unchanged int
		var reported, next, seq int64
		var c mdm.Command
		into := append(sentFields(&d), &d.more, &unchanged, &reported, &next,
			&seq, &c.UUID, &c.RequestType, &c.Status, &c.Payload, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated))
		if err := scan(into...); err != nil {
			return err
		}
		d.known = true
		if seq == 0 {
			return nil
		}
		c.EnrollmentID = x.step.EnrollmentID
		var err error
		if c.Payload, err = t.secrets.Open(c.Payload, sealedPayload, c.EnrollmentID, c.UUID); err != nil {
			return err
		}
		if seq == next {
			x.out.Next = &c
		} else {
			x.out.Reported = &c
		}
		return nil
	})
	return d, err
}

// atLength is run with all that may come along, in one transaction.
func (x *exchange) atLength(t *tx) (device, error) {
	if _, err := t.exec(`UPDATE enrollments SET contact = $2 WHERE id = $1 AND (contact < $3 OR contact IS NULL)`,
		x.step.EnrollmentID, x.from.at, x.from.at.Truncate(24*time.Hour)); err != nil {
		return device{}, err
	}
	d, err := x.run(t, false, nil)
	if err != nil || x.retry.IsZero() || x.out.Next != nil {
		return d, err
	}
	_, err = t.exec(`UPDATE pushes p SET request = p.request + 1, due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > $2 THEN $2 ELSE p.due END
		WHERE p.enrollment = $1 AND EXISTS (SELECT 1 FROM commands c WHERE c.enrollment = $1 AND c.place = 2)`, d.enrollment, x.retry)
	return d, err
}
