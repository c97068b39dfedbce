package mysql

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// queued is a command with its place in the queue.
type queued struct {
	mdm.Command
	seq        int64
	enrollment int64
	place      int // 0 of a final command
}

// The values of commands.place; a final command has none.
const (
	placeHeld  = 1 // answered NotNow in this session
	placeWaits = 2
)

// Statements that add or find many rows at once are bounded by so many rows, and
// those that add also by so many bytes, however many there are in all.
const (
	maxRows  = 512
	maxBytes = 1 << 20
)

// Enqueue implements mdm.Store. It locks the enrollments in the order of their
// IDs, so that two calls do not wait for each other.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	ids := make([]string, len(commands))
	adding := make([]queued, len(commands))
	for i, c := range commands {
		ids[i] = c.EnrollmentID
		adding[i].Command = c
	}
	if err := sealPayloads(s.secrets, adding); err != nil {
		return err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return s.step(ctx, func(t *tx) error {
		seqs, err := t.lockEnrolled(ids)
		if err != nil {
			return err
		}
		if len(seqs) != len(ids) {
			return mdm.ErrUnknownEnrollment
		}
		for i := range adding {
			adding[i].enrollment = seqs[adding[i].EnrollmentID]
		}
		added, err := t.queue(adding)
		if err != nil {
			return err
		}
		return t.askPushes(added)
	})
}

// lockEnrolled makes other steps of enrollments wait and returns those that are
// enrolled.
func (t *tx) lockEnrolled(ids []string) (map[string]int64, error) {
	seqs := make(map[string]int64, len(ids))
	for some := range slices.Chunk(ids, maxRows) {
		marks, values := list(some)
		if err := t.each(`SELECT id, seq FROM enrollments FORCE INDEX (enrollments_id) WHERE id IN (`+marks+`) AND state = 'enrolled' FOR UPDATE`,
			values, func(scan func(...any) error) error {
				var id string
				var seq int64
				err := scan(&id, &seq)
				seqs[id] = seq
				return err
			}); err != nil {
			return nil, err
		}
	}
	return seqs, nil
}

// list is the inside of an IN. Its length is a power of two, so that there are
// few different statements; the last value comes as often as that takes.
func list[V any](values []V) (marks string, padded args) {
	size := 1
	for size < len(values) {
		size *= 2
	}
	for i := range size {
		padded = append(padded, values[min(i, len(values)-1)])
	}
	return strings.Repeat(", ?", size)[2:], padded
}

// queue adds commands in their order and returns those that are new. The caller
// has locked their enrollments.
func (t *tx) queue(adding []queued) (added []queued, err error) {
	for len(adding) > 0 {
		n, size := 0, 0
		for n < len(adding) && n < maxRows && (n == 0 || size+len(adding[n].Payload) <= maxBytes) {
			size += len(adding[n].Payload)
			n++
		}
		for power := maxRows; ; power /= 2 {
			if power <= n {
				n = power
				break
			}
		}
		some, err := t.queueSome(adding[:n])
		if err != nil {
			return nil, err
		}
		added = append(added, some...)
		adding = adding[n:]
	}
	return added, nil
}

// queueSome adds commands by one statement. When one of them exists it does so
// by halves, in the same order.
func (t *tx) queueSome(adding []queued) (added []queued, err error) {
	values := make(args, 0, len(adding)*5)
	for _, c := range adding {
		values = append(values, c.enrollment, c.UUID, c.RequestType, micros(c.Queued), c.Payload)
	}
	_, err = t.exec(`INSERT INTO commands (enrollment, uuid, request_type, queued, updated, payload, status, place) VALUES `+
		strings.Repeat(`, (?, ?, ?, ?, queued, ?, 'Queued', 2)`, len(adding))[2:], values...)
	if number(err) != errDuplicate {
		return adding, err
	}
	if len(adding) == 1 {
		return nil, nil
	}
	half := len(adding) / 2
	first, err := t.queueSome(adding[:half])
	if err != nil {
		return nil, err
	}
	second, err := t.queueSome(adding[half:])
	return append(slices.Clip(first), second...), err
}

// askPushes asks for a push of each enrollment that got a command, when the
// first of these was queued.
func (t *tx) askPushes(added []queued) error {
	due := map[int64]int64{}
	for _, c := range added {
		at := c.Queued.UnixMicro()
		if earlier, ok := due[c.enrollment]; !ok || at < earlier {
			due[c.enrollment] = at
		}
	}
	together := map[int64][]int64{}
	for enrollment, at := range due {
		together[at] = append(together[at], enrollment)
	}
	for at, enrollments := range together {
		slices.Sort(enrollments)
		if err := t.askPush(time.UnixMicro(at), enrollments...); err != nil {
			return err
		}
	}
	return nil
}
