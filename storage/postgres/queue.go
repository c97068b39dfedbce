package postgres

import (
	"context"
	_ "embed" // of the statements
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// Commands are added, and a push is requested for each: new ones, and those of
// which some may be there.
var (
	//go:embed queries/enqueue.sql
	enqueueSQL string
	//go:embed queries/enqueue_again.sql
	enqueueAgainSQL string
)

// columns are commands for unnest.
type columns struct {
	ids, uuids, types []string
	queued            []time.Time
	payloads          [][]byte
}

// columns seals the payloads of commands, of this enrollment or else of theirs.
func (s *Store) columns(enrollmentID string, commands []mdm.Command) (columns, error) {
	n := len(commands)
	c := columns{make([]string, n), make([]string, n), make([]string, n), make([]time.Time, n), nil}
	for i, command := range commands {
		c.ids[i], c.uuids[i], c.types[i], c.queued[i] = command.EnrollmentID, command.UUID, command.RequestType, stamp(command.Queued)
		if enrollmentID != "" {
			c.ids[i] = enrollmentID
		}
	}
	var err error
	c.payloads, err = s.secrets.SealAll(n, sealedPayload, func(i int) ([]byte, []string) {
		return commands[i].Payload, []string{c.ids[i], c.uuids[i]}
	})
	return c, err
}

// maxPayloads is how many bytes of payloads one statement adds, so that a fan-out
// meets no limit of the database, which takes a gigabyte in a statement.
const maxPayloads = 64 << 20

// parts cuts commands where their payloads become too large for one statement.
func parts(commands []mdm.Command) (list [][]mdm.Command) {
	first, size := 0, 0
	for i, c := range commands {
		if size += len(c.Payload); size > maxPayloads && i > first {
			list = append(list, commands[first:i])
			first, size = i, len(c.Payload)
		}
	}
	return append(list, commands[first:])
}

// Enqueue implements mdm.Store. However many commands there are, they are one
// statement, or one for every 64 MiB of payloads, which leaves what it requests of
// pushes to countRequests. To look for CommandUUIDs that exist costs a fifth more,
// so that it is left to a second one, after a duplicate. The server logs that one.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	var list []columns
	for _, part := range parts(commands) {
		c, err := s.columns("", part)
		if err != nil {
			return err
		}
		list = append(list, c)
	}
	add := func(statement string) error {
		return s.atomic(ctx, func(t *tx) error {
			for _, c := range list {
				var known int
				if _, err := t.get(statement, args{c.ids, c.queued, c.uuids, c.types, c.payloads}, &known); err != nil {
					return err
				}
				if known != len(c.ids) {
					return mdm.ErrUnknownEnrollment // the transaction is undone
				}
			}
			return nil
		})
	}
	if err := add(enqueueSQL); !unique(err) {
		return err
	}
	return add(enqueueAgainSQL)
}
