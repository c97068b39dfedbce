package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// State implements storage.Store.
func (s *Store) State(ctx context.Context) (state storage.State, err error) {
	err = again(ctx, func() error {
		state = storage.State{}
		return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(in pgx.Tx) error {
			return (&tx{ctx: ctx, in: in}).state(&state)
		})
	})
	if err != nil {
		return storage.State{}, err
	}
	return state, nil
}

// The statements of State, which read whole tables.
const (
	usersSQL       = `SELECT ` + userColumns + ` FROM users ORDER BY seq`
	ticketsSQL     = `SELECT ` + ticketColumns + ` FROM tickets ORDER BY seq`
	enrollmentsSQL = `SELECT ` + enrollmentColumns + ` FROM enrollments ORDER BY seq`
	commandsSQL    = `SELECT c.uuid, e.id, c.request_type, c.status, c.result, c.queued, c.updated
		FROM commands c JOIN enrollments e ON e.seq = c.enrollment ORDER BY c.seq`
	attemptsSQL = `SELECT e.id, p.status, p.attempted FROM pushes p JOIN enrollments e ON e.seq = p.enrollment
		WHERE p.attempted IS NOT NULL ORDER BY p.attempted, p.enrollment`
)

func (t *tx) state(state *storage.State) error {
	if err := t.each(usersSQL, nil, func(scan func(...any) error) error {
		var u jit.User
		err := scan(userFields(&u)...)
		state.Users = append(state.Users, u)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(ticketsSQL, nil, func(scan func(...any) error) error {
		var k enroll.Ticket
		err := scan(ticketFields(&k)...)
		state.Tickets = append(state.Tickets, k)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(enrollmentsSQL, nil, func(scan func(...any) error) error {
		var e mdm.Enrollment
		err := scan(enrollmentFields(&e)...)
		state.Enrollments = append(state.Enrollments, e)
		return err
	}); err != nil {
		return err
	}
	if err := t.each(commandsSQL, nil, func(scan func(...any) error) error {
		var c mdm.Command
		err := scan(&c.UUID, &c.EnrollmentID, &c.RequestType, &c.Status, &c.Result, (*when)(&c.Queued), (*when)(&c.Updated))
		state.Commands = append(state.Commands, c)
		return err
	}); err != nil {
		return err
	}
	return t.each(attemptsSQL, nil, func(scan func(...any) error) error {
		var p storage.Push
		err := scan(&p.EnrollmentID, &p.Status, (*when)(&p.Time))
		state.Pushes = append(state.Pushes, p)
		return err
	})
}
