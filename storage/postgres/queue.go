package postgres

import (
	"context"
	_ "embed" // of the statements

	"github.com/enrollkit/enrollkit/mdm"
)

// Commands are added, and a push is asked for each: new ones, and those of which
// some may be there.
var (
	//go:embed queries/enqueue.sql
	enqueueSQL string
	//go:embed queries/enqueue_again.sql
	enqueueAgainSQL string
	//go:embed queries/enqueue_ask.sql
	enqueueAskSQL string
)

// columns are commands for unnest.
type columns struct {
	ids, uuids, types []string
	queued            []any
	payloads          [][]byte
}

// columns seals the payloads of commands, of this enrollment or else of theirs.
func (s *Store) columns(enrollmentID string, commands []mdm.Command) (columns, error) {
	n := len(commands)
	c := columns{make([]string, n), make([]string, n), make([]string, n), make([]any, n), make([][]byte, n)}
	for i, command := range commands {
		c.ids[i], c.uuids[i], c.types[i], c.queued[i] = command.EnrollmentID, command.UUID, command.RequestType, moment(command.Queued)
		if enrollmentID != "" {
			c.ids[i] = enrollmentID
		}
		var err error
		if c.payloads[i], err = s.secrets.Seal(command.Payload, sealedPayload, c.ids[i], command.UUID); err != nil {
			return columns{}, err
		}
	}
	return c, nil
}

// Enqueue implements mdm.Store. However many commands there are, they are one
// statement. To look for CommandUUIDs that exist costs a fifth more, so that it is
// left to a second one, after a duplicate. The server logs that one.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	c, err := s.columns("", commands)
	if err != nil {
		return err
	}
	add := func(statement string) error {
		return s.atomic(ctx, func(t *tx) error {
			var known, unchanged int
			if _, err := t.get(statement+enqueueAskSQL, args{c.ids, c.uuids, c.types, c.queued, c.payloads}, &known, &unchanged); err != nil {
				return err
			}
			if known != len(commands) {
				return mdm.ErrUnknownEnrollment // the transaction is undone
			}
			return nil
		})
	}
	if err := add(enqueueSQL); !unique(err) {
		return err
	}
	return add(enqueueAgainSQL)
}
