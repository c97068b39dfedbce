package postgres

import (
	"context"
	_ "embed" // of the statement

	"github.com/enrollkit/enrollkit/mdm"
)

//go:embed queries/enqueue.sql
var enqueueSQL string

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
// statement.
func (s *Store) Enqueue(ctx context.Context, commands ...mdm.Command) error {
	if len(commands) == 0 {
		return ctx.Err()
	}
	c, err := s.columns("", commands)
	if err != nil {
		return err
	}
	return s.atomic(ctx, func(t *tx) error {
		var given, unchanged int
		if _, err := t.get(enqueueSQL, args{c.ids, c.uuids, c.types, c.queued, c.payloads}, &given, &unchanged); err != nil {
			return err
		}
		if given != len(commands) {
			return mdm.ErrUnknownEnrollment // the transaction is undone
		}
		return nil
	})
}
