package mysql

import (
	"context"
	"errors"
	"slices"

	"github.com/enrollkit/enrollkit/mdm"
)

// Exchange implements mdm.Store. It reads who sends and what is next; when
// something is to be written it does so by one statement for each command, which
// changes a row only as it was read. Only when another step was faster, or for
// what is rare, it locks the enrollment and reads again.
func (s *Store) Exchange(ctx context.Context, x mdm.ExchangeStep) (mdm.Exchanged, error) {
	if err := ctx.Err(); err != nil {
		return mdm.Exchanged{}, err
	}
	v, err := s.read(ctx).look(x, false)
	if err != nil && !errors.Is(err, errChanged) {
		return mdm.Exchanged{}, err
	}
	if err == nil && !v.unused() && (!x.Idle || !v.held) && !v.asks(x) {
		out, writes := v.exchange(x)
		if len(writes) == 0 {
			return out, nil
		}
		err := s.write(ctx, writes)
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, errChanged) {
			return mdm.Exchanged{}, err
		}
	}
	var out mdm.Exchanged
	err = s.step(ctx, func(t *tx) error {
		if err := t.lockEnrollment(v.enrollment); err != nil {
			return err
		}
		out, err = t.exchangeLocked(x, v.enrollment)
		return err
	})
	if err != nil {
		return mdm.Exchanged{}, err
	}
	return out, nil
}

// write is a statement that changes one row if it is as it was read.
type write struct {
	query  string
	values args
	// late: nothing is lost when the row has changed.
	late bool
}

// write runs statements as one step, or is errChanged.
func (s *Store) write(ctx context.Context, writes []write) error {
	if len(writes) == 1 {
		n, err := s.alone(ctx, writes[0].query, writes[0].values...)
		if err == nil && n == 0 && !writes[0].late {
			err = errChanged
		}
		return err
	}
	err := s.step(ctx, func(t *tx) error {
		n, err := t.writeAll(writes)
		if err == nil && n < len(writes) {
			err = errStale
		}
		return err
	})
	if errors.Is(err, errStale) {
		err = errChanged
	}
	return err
}

// errStale ends a transaction that would be the same when it is tried again.
var errStale = errors.New("mysql: a row is not as it was read")

// view is what an exchange looks at.
type view struct {
	device
	// reported is what the report concerns and may change, nil for none; next
	// the first command that waits but for that.
	reported, next *queued
	// held: a command but for reported was answered NotNow in this session. At
	// Idle there is no next then.
	held bool
}

// look reads who sends an exchange, and what that concerns; recorded is true when
// the report needs no more attention.
func (t *tx) look(x mdm.ExchangeStep, recorded bool) (view, error) {
	reports := []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandNotNow}
	if x.Idle || recorded || !slices.Contains(reports, x.Status) {
		return t.lookFor(x, nil)
	}
	if x.CommandUUID != "" || x.Status != mdm.CommandFormatError {
		return t.lookFor(x, &x.CommandUUID)
	}
	// The command sent last is the first that waits: sending takes the first.
	v, err := t.lookFor(x, nil)
	if err != nil || v.next == nil || v.next.Status != mdm.CommandSent {
		return v, err
	}
	v, err = t.lookFor(x, &v.next.UUID)
	if v.reported != nil && v.reported.Status != mdm.CommandSent {
		err = errChanged
	}
	return v, err
}

// What an exchange reads beside the sender: c, the command that the report is
// for; n, the first other one that waits; and whether one is held. At Idle, one
// that is held comes first, so that no more has to be asked.
const (
	heldColumn     = `, EXISTS (SELECT 1 FROM commands h FORCE INDEX (commands_open) WHERE h.queue = e.seq AND h.place = 1 AND h.seq <> `
	reportedColumn = `COALESCE(c.seq, 0)), COALESCE(c.seq, 0), COALESCE(c.place, 0), c.uuid, c.request_type, c.status, c.payload, NULL, c.queued, c.updated`
	noneColumns    = `0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL`
	nextColumns    = `, COALESCE(n.seq, 0), COALESCE(n.place, 0), n.uuid, n.request_type, n.status, n.payload, n.result, n.queued, n.updated`

	nextTable     = ` LEFT JOIN commands n ON n.seq = (SELECT w.seq FROM commands w FORCE INDEX (commands_open) WHERE w.queue = e.seq`
	nextAtIdle    = nextTable + ` ORDER BY w.place, w.seq LIMIT 1)`
	nextWaits     = nextTable + ` AND w.place = 2 ORDER BY w.seq LIMIT 1)`
	nextReported  = nextTable + ` AND w.place = 2 AND w.seq <> COALESCE(c.seq, 0) ORDER BY w.seq LIMIT 1)`
	reportedTable = ` LEFT JOIN commands c ON c.enrollment = e.seq AND c.uuid = ?`
)

// lookQuery is what an exchange reads, and the values for it.
func (from sender) lookQuery(idle bool, uuid *string) (query string, values args) {
	columns, tables, values := from.parts()
	switch {
	case idle:
		columns, tables = columns+`, 0, `+noneColumns, tables+nextAtIdle
	case uuid == nil:
		columns, tables = columns+heldColumn+`0), `+noneColumns, tables+nextWaits
	default:
		columns, tables, values = columns+heldColumn+reportedColumn, tables+reportedTable+nextReported, append(values, *uuid)
	}
	return `SELECT ` + columns + nextColumns + tables + deviceIs, append(values, from.certificate[:])
}

// lookFor is look with the CommandUUID that the report is for, nil for none.
func (t *tx) lookFor(x mdm.ExchangeStep, uuid *string) (view, error) {
	var v view
	var suspended bool
	var c, n queued
	fields := v.fields(&suspended)
	fields = append(fields, &v.held)
	fields = append(fields, c.fields()...)
	fields = append(fields, n.fields()...)
	from := sender{x.Certificate, x.EnrollmentID, x.Device, x.Bearer, stamp(x.At)}
	query, values := from.lookQuery(x.Idle, uuid)
	found, err := t.get(query, values, fields...)
	if err != nil {
		return view{}, err
	}
	d, err := v.judged(from, found, suspended)
	if err != nil {
		return view{}, err
	}
	v.device = d
	c.EnrollmentID, n.EnrollmentID = d.bound.ID, d.bound.ID
	if c.place == placeWaits || c.place == placeHeld && x.Status != mdm.CommandNotNow {
		if err := t.openPayload(&c); err != nil {
			return view{}, err
		}
		v.reported = &c
	}
	if n.place == placeHeld {
		v.held = true
	} else if n.seq != 0 {
		if err := t.openPayload(&n); err != nil {
			return view{}, err
		}
		v.next = &n
	}
	return v, nil
}

// fields are where a command goes, which may be missing.
func (c *queued) fields() []any {
	return []any{&c.seq, &c.place, maybe(&c.UUID), maybe(&c.RequestType), maybe(&c.Status), &c.Payload, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated)}
}

// exchange is what comes of a report or an Idle, and what has to be written.
func (v view) exchange(x mdm.ExchangeStep) (out mdm.Exchanged, writes []write) {
	if v.reported != nil {
		out.Reported = v.report(x, &writes)
	}
	if v.next != nil {
		out.Next = v.send(x, &writes)
	}
	if contact, changed := v.seen(stamp(x.At)); changed {
		writes = append(writes, write{query: `UPDATE enrollments SET contact = ? WHERE seq = ? AND contact < ?`,
			values: args{micros(contact), v.enrollment, micros(contact)}, late: true})
	}
	return out, writes
}

// asks reports whether an exchange asks for a push: it leaves a command behind
// that was answered NotNow.
func (v view) asks(x mdm.ExchangeStep) bool {
	return v.next == nil && v.held && x.NotNowRetry > 0 && x.Status != mdm.CommandNotNow
}

// report records what a device says about a command.
func (v view) report(x mdm.ExchangeStep, writes *[]write) *mdm.Command {
	at := stamp(x.At)
	var place any
	if x.Status == mdm.CommandNotNow {
		place = placeHeld
	}
	result := slices.Clone(x.Result)
	*writes = append(*writes, write{
		query:  `UPDATE commands SET status = ?, place = ?, result = ?, updated = ? WHERE seq = ? AND place = ? AND status = ?`,
		values: args{x.Status, place, result, micros(at), v.reported.seq, v.reported.place, v.reported.Status},
	})
	c := v.reported.Command
	c.Status, c.Result, c.Updated = x.Status, result, at
	return &c
}

// send marks the next command as sent.
func (v view) send(x mdm.ExchangeStep, writes *[]write) *mdm.Command {
	c := v.next.Command
	if c.Status == mdm.CommandSent {
		return &c
	}
	at := stamp(x.At)
	*writes = append(*writes, write{
		query:  `UPDATE commands SET status = 'Sent', updated = ? WHERE seq = ? AND place = 2 AND status = ?`,
		values: args{micros(at), v.next.seq, c.Status},
	})
	c.Status, c.Updated = mdm.CommandSent, at
	return &c
}

// maxLooks bounds how often an exchange that has locked its enrollment looks
// again. Each time, another exchange has come further, which locks nothing.
const maxLooks = 100

// exchangeLocked is an exchange of an enrollment that this step has locked.
func (t *tx) exchangeLocked(x mdm.ExchangeStep, enrollment int64) (mdm.Exchanged, error) {
	var recorded *mdm.Command
	for range maxLooks {
		if x.Idle {
			if _, err := t.exec(`UPDATE commands SET place = 2 WHERE queue = ? AND place = 1`, enrollment); err != nil {
				return mdm.Exchanged{}, err
			}
		}
		v, err := t.look(x, recorded != nil)
		if errors.Is(err, errChanged) || err == nil && x.Idle && v.held {
			continue
		}
		if err != nil {
			return mdm.Exchanged{}, err
		}
		if v.unused() {
			if err := t.use(v.bearer, v.enrollment); err != nil {
				return mdm.Exchanged{}, err
			}
			continue
		}
		out, writes := v.exchange(x)
		n, err := t.writeAll(writes)
		if err != nil {
			return mdm.Exchanged{}, err
		}
		if n > 0 && out.Reported != nil { // which is what is written first
			recorded = out.Reported
		}
		if n < len(writes) {
			continue
		}
		out.Reported = recorded
		if v.asks(x) {
			err = t.askPush(stamp(x.At).Add(x.NotNowRetry), v.enrollment)
		}
		return out, err
	}
	return mdm.Exchanged{}, errChanged
}

// writeAll writes until a row is not as it was read, and returns how many were.
func (t *tx) writeAll(writes []write) (int, error) {
	for i, w := range writes {
		n, err := t.exec(w.query, w.values...)
		if err != nil {
			return i, err
		}
		if n == 0 && !w.late {
			return i, nil
		}
	}
	return len(writes), nil
}
