package sqlite

import (
	"context"

	"github.com/enrollkit/enrollkit/internal/seal"
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

// queued is a command on its way to a queue.
type queued struct {
	mdm.Command
	payload []byte // sealed
}

// sealed seals the payloads of commands, which belong to this enrollment, or to
// their own when that is empty.
func sealed(with *seal.Ring, enrollmentID string, commands []mdm.Command) ([]queued, error) {
	list := make([]queued, len(commands))
	for i, c := range commands {
		list[i].Command = c
		if enrollmentID != "" {
			list[i].EnrollmentID = enrollmentID
		}
	}
	payloads, err := with.SealAll(len(list), sealedPayload, func(i int) ([]byte, []string) {
		return list[i].Payload, []string{list[i].EnrollmentID, list[i].UUID}
	})
	for i, payload := range payloads {
		list[i].payload = payload
	}
	return list, err
}

// queue adds a command, unless its enrollment has one with its UUID.
func (t *tx) queue(c queued) error {
	n, err := t.exec(`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
		SELECT seq, ?2, ?3, 'Queued', 1, ?4, ?4, ?5 FROM enrollments WHERE id = ?1 AND state = 'enrolled'
		ON CONFLICT (enrollment, uuid) DO NOTHING`,
		c.EnrollmentID, c.UUID, c.RequestType, micros(c.Queued), c.payload)
	if err != nil || n == 1 {
		return err
	}
	var enrolled bool
	if _, err := t.get(`SELECT EXISTS (SELECT 1 FROM enrollments WHERE id = ? AND state = 'enrolled')`, args{c.EnrollmentID}, &enrolled); err != nil {
		return err
	}
	if !enrolled {
		return mdm.ErrUnknownEnrollment
	}
	return nil
}

// Enqueue implements mdm.Store.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	list, err := sealed(s.writer.secrets, "", commands)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		var last int64
		if _, err := t.get(`SELECT ifnull(max(seq), 0) FROM commands`, nil, &last); err != nil {
			return err
		}
		for _, c := range list {
			if err := t.queue(c); err != nil {
				return err
			}
		}
		_, err := t.exec(askAllSQL, last)
		return err
	})
}

// askAllSQL asks for a push for each command that came after ?. What a claim or a
// retry put off stays put off.
const askAllSQL = `UPDATE enrollments SET push_request = push_request + w.n,
		push_due = CASE WHEN push_due IS NULL OR push_fixed = 0 AND push_due > w.due THEN w.due ELSE push_due END
	FROM (SELECT enrollment, count(*) AS n, min(queued) AS due FROM commands NOT INDEXED WHERE seq > ? GROUP BY enrollment) AS w
	WHERE enrollments.seq = w.enrollment`
