package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"time"

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

// batch is commands on their way to queues, with sealed payloads. Each one is six
// numbers of 20 digits, and then its parts: when it was queued, where the parts
// begin, counted from 1, and where the last one ends.
type batch struct {
	data []byte
	n    int64
}

// maxBatch is after how many bytes another batch begins, so that a fan-out meets no
// limit of SQLite, whose values have a gigabyte at most.
const maxBatch = 64 << 20

// sealed makes batches of commands that belong to this enrollment, or to their own
// when that is empty.
func sealed(with *seal.Ring, enrollmentID string, commands []mdm.Command) (list []batch, err error) {
	to := func(i int) string { return cmp.Or(enrollmentID, commands[i].EnrollmentID) }
	payloads, err := with.SealAll(len(commands), sealedPayload, func(i int) ([]byte, []string) {
		return commands[i].Payload, []string{to(i), commands[i].UUID}
	})
	if err != nil {
		return nil, err
	}
	for i, c := range commands {
		if n := len(list); n == 0 || len(list[n-1].data) >= maxBatch {
			list = append(list, batch{})
		}
		list[len(list)-1].add(to(i), c.UUID, c.RequestType, string(payloads[i]), c.Queued)
	}
	return list, nil
}

// add adds a command to a batch.
func (b *batch) add(id, uuid, requestType, payload string, queued time.Time) {
	parts := [...]string{id, uuid, requestType, payload}
	at := len(b.data) + 6*20 + 1
	b.data = fmt.Appendf(b.data, "%20d%20d", queued.UnixMicro(), at)
	for _, part := range parts {
		at += len(part)
		b.data = fmt.Appendf(b.data, "%20d", at)
	}
	for _, part := range parts {
		b.data = append(b.data, part...)
	}
	b.n++
}

// batchSQL is the commands of a batch, whose data is ?1.
const batchSQL = `WITH RECURSIVE head (queued, id, uuid, request_type, payload, past) AS (
		SELECT NULL, NULL, NULL, NULL, NULL, 1
		UNION ALL SELECT CAST(substr(?1, past, 20) AS INTEGER),
			CAST(substr(?1, past + 20, 20) AS INTEGER), CAST(substr(?1, past + 40, 20) AS INTEGER),
			CAST(substr(?1, past + 60, 20) AS INTEGER), CAST(substr(?1, past + 80, 20) AS INTEGER),
			CAST(substr(?1, past + 100, 20) AS INTEGER)
		FROM head WHERE past <= length(?1)),
	batch AS (SELECT queued,
		CAST(substr(?1, id, uuid - id) AS TEXT) AS id,
		CAST(substr(?1, uuid, request_type - uuid) AS TEXT) AS uuid,
		CAST(substr(?1, request_type, payload - request_type) AS TEXT) AS request_type,
		substr(?1, payload, past - payload) AS payload
	FROM head WHERE id IS NOT NULL)
`

// queue adds commands, but none to an enrollment that has one with its UUID.
func (t *tx) queue(list []batch) error {
	for _, b := range list {
		if err := t.queueBatch(b); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) queueBatch(b batch) error {
	n, err := t.exec(batchSQL+`INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
		SELECT e.seq, b.uuid, b.request_type, 'Queued', 1, b.queued, b.queued, b.payload
		FROM batch b CROSS JOIN enrollments e ON e.id = b.id WHERE e.state = 'enrolled'
		ON CONFLICT (enrollment, uuid) DO NOTHING`, b.data)
	if err != nil || n == b.n {
		return err
	}
	var unknown bool
	if _, err := t.get(batchSQL+`SELECT EXISTS (SELECT 1 FROM batch b WHERE NOT EXISTS
		(SELECT 1 FROM enrollments e WHERE e.id = b.id AND e.state = 'enrolled'))`, args{b.data}, &unknown); err != nil {
		return err
	}
	if unknown {
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
		if err := t.queue(list); err != nil {
			return err
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
