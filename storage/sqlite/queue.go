package sqlite

import (
	"context"

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
