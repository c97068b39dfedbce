package memory

import (
	"context"
	"slices"

	"github.com/enrollkit/enrollkit/storage"
)

// State implements storage.Store.
func (s *Store) State(ctx context.Context) (storage.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return storage.State{}, err
	}
	var state storage.State
	for _, u := range s.userOrder {
		state.Users = append(state.Users, copyUser(u))
	}
	for _, t := range s.ticketOrder {
		state.Tickets = append(state.Tickets, t.Ticket)
	}
	for _, e := range s.deviceOrder {
		state.Enrollments = append(state.Enrollments, e.Enrollment)
		if !e.wake.attempted.IsZero() {
			state.Pushes = append(state.Pushes, storage.Push{EnrollmentID: e.ID, Status: e.wake.status, Time: e.wake.attempted})
		}
	}
	slices.SortStableFunc(state.Pushes, func(a, b storage.Push) int { return a.Time.Compare(b.Time) })
	for _, q := range s.queue {
		c := *q.value()
		c.Payload = nil
		state.Commands = append(state.Commands, c)
	}
	return state, nil
}
