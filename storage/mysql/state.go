package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// State implements storage.Store. It reads one snapshot.
func (s *Store) State(ctx context.Context) (storage.State, error) {
	snapshot, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return storage.State{}, fmt.Errorf("mysql: %w", err)
	}
	defer snapshot.Rollback()
	var state storage.State
	if err := s.in(ctx, snapshot).state(&state); err != nil {
		return storage.State{}, err
	}
	return state, nil
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
	if err := t.each(`SELECT `+enrollmentColumns+` FROM enrollments e ORDER BY e.seq`, nil, func(scan func(...any) error) error {
		var e mdm.Enrollment
		err := scan(enrollmentFields(&e)...)
		state.Enrollments = append(state.Enrollments, e)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(`SELECT c.uuid, e.id, c.request_type, c.status, c.result, c.queued, c.updated
			FROM commands c JOIN enrollments e ON e.seq = c.enrollment ORDER BY c.seq`, nil, func(scan func(...any) error) error {
		var c mdm.Command
		err := scan(&c.UUID, &c.EnrollmentID, &c.RequestType, &c.Status, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated))
		state.Commands = append(state.Commands, c)
		return err
	}); err != nil {
		return err
	}
	return t.each(`SELECT e.id, p.status, p.attempted FROM pushes p JOIN enrollments e ON e.seq = p.enrollment
			WHERE p.attempted IS NOT NULL ORDER BY p.attempted, p.enrollment`, nil,
		func(scan func(...any) error) error {
			var p storage.Push
			err := scan(&p.EnrollmentID, &p.Status, (*when)(&p.Time))
			state.Pushes = append(state.Pushes, p)
			return err
		})
}
