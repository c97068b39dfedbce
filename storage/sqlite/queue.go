package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

const commandColumns = `uuid, (SELECT e.id FROM enrollments e WHERE e.seq = commands.enrollment), request_type, status, payload, result, queued, updated`

// commandFields are where a row of commandColumns goes.
func commandFields(c *mdm.Command) []any {
	return []any{&c.UUID, &c.EnrollmentID, &c.RequestType, &c.Status, &c.Payload, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated)}
}

// The values of commands.place; a final command has none.
const (
	placeWaits = 1
	placeHeld  = 2 // answered NotNow in this session
)

// queue adds a command and reports whether it is new.
func (t *tx) queue(enrollment int64, id string, c mdm.Command) (bool, error) {
	payload, err := t.secrets.Seal(c.Payload, sealedPayload, id, c.UUID)
	if err != nil {
		return false, err
	}
	n, err := t.exec(`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
		VALUES (?1, ?2, ?3, 'Queued', 1, ?4, ?4, ?5) ON CONFLICT (enrollment, uuid) DO NOTHING`,
		enrollment, c.UUID, c.RequestType, micros(c.Queued), payload)
	return n == 1, err
}

// Enqueue implements mdm.Store.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	return s.writer.do(ctx, func(t *tx) error {
		for _, c := range commands {
			var seq int64
			found, err := t.get(`SELECT seq FROM enrollments WHERE id = ? AND state = 'enrolled'`, args{c.EnrollmentID}, &seq)
			if err != nil {
				return err
			}
			if !found {
				return mdm.ErrUnknownEnrollment
			}
			added, err := t.queue(seq, c.EnrollmentID, c)
			if err != nil {
				return err
			}
			if added {
				if _, err := t.exec(`UPDATE enrollments SET `+askPush+` WHERE seq = ?2`, micros(c.Queued), seq); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Exchange implements mdm.Store.
func (s *Store) Exchange(ctx context.Context, x mdm.ExchangeStep) (mdm.Exchanged, error) {
	if err := ctx.Err(); err != nil {
		return mdm.Exchanged{}, err
	}
	at := stamp(x.At)
	from := sender{x.Certificate, x.EnrollmentID, x.Device, x.Bearer, at}
	if x.Idle {
		// Most devices that ask find nothing. They need not queue up for writing.
		d, err := s.readers.tx(context.WithoutCancel(ctx)).device(from)
		if err != nil || !d.waits && !d.held && !d.newDay(at) && (d.token == 0 || d.used) {
			return mdm.Exchanged{}, err
		}
	}
	var out mdm.Exchanged
	err := s.writer.do(ctx, func(t *tx) error {
		d, err := t.device(from)
		if err != nil {
			return err
		}
		if err := t.use(d.bearer, d.enrollment); err != nil {
			return err
		}
		if d.newDay(at) {
			if _, err := t.exec(`UPDATE enrollments SET contact = ? WHERE seq = ?`, micros(at), d.enrollment); err != nil {
				return err
			}
		}
		if x.Idle && d.held {
			if _, err := t.exec(`UPDATE commands SET place = 1 WHERE enrollment = ? AND place = 2`, d.enrollment); err != nil {
				return err
			}
			d.waits, d.held = true, false
		}
		if !x.Idle {
			if out.Reported, err = t.report(d.enrollment, x, at); err != nil {
				return err
			}
		}
		if d.waits {
			if out.Next, err = t.next(d.enrollment, at); err != nil {
				return err
			}
		}
		if out.Next == nil && d.held && x.NotNowRetry > 0 && x.Status != mdm.CommandNotNow {
			_, err = t.exec(`UPDATE enrollments SET `+askPush+` WHERE seq = ?2 AND EXISTS
				(SELECT 1 FROM commands c WHERE c.enrollment = ?2 AND c.place = 2)`, micros(at.Add(x.NotNowRetry)), d.enrollment)
		}
		return err
	})
	if err != nil {
		return mdm.Exchanged{}, err
	}
	return out, nil
}

// report records what a device says about a command and returns it, or nil when
// nothing changes.
func (t *tx) report(enrollment int64, x mdm.ExchangeStep, at time.Time) (*mdm.Command, error) {
	reports := []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandNotNow}
	if !slices.Contains(reports, x.Status) {
		return nil, nil
	}
	var place any
	if x.Status == mdm.CommandNotNow {
		place = placeHeld
	}
	// The command sent last is the first that waits: sending takes the first.
	which := `seq = (SELECT c.seq FROM commands c WHERE c.enrollment = ?5 AND c.place = 1 ORDER BY c.seq LIMIT 1) AND status = 'Sent'`
	values := args{x.Status, place, x.Result, micros(at), enrollment}
	if x.CommandUUID != "" || x.Status != mdm.CommandFormatError {
		which = `enrollment = ?5 AND uuid = ?6 AND place IS NOT NULL AND NOT (place = 2 AND ?2 IS 2)`
		values = append(values, x.CommandUUID)
	}
	var c mdm.Command
	found, err := t.get(`UPDATE commands SET status = ?1, place = ?2, result = ?3, updated = ?4 WHERE `+which+` RETURNING `+commandColumns,
		values, commandFields(&c)...)
	if err != nil || !found {
		return nil, err
	}
	return &c, t.openPayload(&c)
}

// next marks the first command that may be sent now as sent.
func (t *tx) next(enrollment int64, at time.Time) (*mdm.Command, error) {
	var c mdm.Command
	found, err := t.get(`UPDATE commands SET updated = CASE status WHEN 'Sent' THEN updated ELSE ?1 END, status = 'Sent'
		WHERE seq = (SELECT c.seq FROM commands c WHERE c.enrollment = ?2 AND c.place = 1 ORDER BY c.seq LIMIT 1)
		RETURNING `+commandColumns, args{micros(at), enrollment}, commandFields(&c)...)
	if err != nil || !found {
		return nil, err
	}
	return &c, t.openPayload(&c)
}
