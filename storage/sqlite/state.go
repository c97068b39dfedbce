package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// State implements storage.Store.
func (s *Store) State(ctx context.Context) (storage.State, error) {
	snapshot, err := s.readers.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return storage.State{}, fmt.Errorf("sqlite: %w", err)
	}
	defer snapshot.Rollback()
	t := &tx{ctx: ctx, prepare: func(_ context.Context, query string) (statement, error) {
		return unprepared{snapshot, query}, nil
	}}
	var state storage.State
	if err := t.state(&state); err != nil {
		return storage.State{}, err
	}
	return state, nil
}

// unprepared runs in a transaction of its own connection. To prepare would need
// another one, and there may be none.
type unprepared struct {
	in    *sql.Tx
	query string
}

func (u unprepared) ExecContext(ctx context.Context, values ...any) (sql.Result, error) {
	return u.in.ExecContext(ctx, u.query, values...)
}

func (u unprepared) QueryContext(ctx context.Context, values ...any) (*sql.Rows, error) {
	return u.in.QueryContext(ctx, u.query, values...)
}

func (u unprepared) QueryRowContext(ctx context.Context, values ...any) *sql.Row {
	return u.in.QueryRowContext(ctx, u.query, values...)
}

func (t *tx) state(state *storage.State) error {
	if err := t.each(`SELECT `+userColumns+` FROM users ORDER BY seq`, nil, func(scan func(...any) error) error {
		u, err := scanUser(scan)
		state.Users = append(state.Users, u)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(`SELECT `+ticketColumns+` FROM tickets ORDER BY seq`, nil, func(scan func(...any) error) error {
		k, err := scanTicket(scan)
		state.Tickets = append(state.Tickets, k)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(`SELECT `+enrollmentColumns+` FROM enrollments ORDER BY seq`, nil, func(scan func(...any) error) error {
		var e mdm.Enrollment
		err := scan(enrollmentFields(&e)...)
		state.Enrollments = append(state.Enrollments, e)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(`SELECT `+commandColumns+` FROM commands ORDER BY seq`, nil, func(scan func(...any) error) error {
		var c mdm.Command
		err := scan(commandFields(&c)...)
		c.Payload = nil
		state.Commands = append(state.Commands, c)
		return err
	}); err != nil {
		return err
	}
	return t.each(`SELECT id, push_status, push_attempted FROM enrollments WHERE push_attempted IS NOT NULL ORDER BY push_attempted, seq`, nil,
		func(scan func(...any) error) error {
			var p storage.Push
			err := scan(&p.EnrollmentID, &p.Status, (*when)(&p.Time))
			state.Pushes = append(state.Pushes, p)
			return err
		})
}
