package storage

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso"
)

// Store is everything an adapter of this module keeps. An adapter of a vendor
// may implement a part of it and be mixed with others, as long as tickets,
// enrollments, queue and pushes are in one database.
type Store interface {
	jit.Store
	sso.StateStore
	enroll.TicketStore
	enroll.AccountStore
	enroll.SessionStore
	mdm.Store
	push.Store
	// State returns everything that is stored, in the order in which it came,
	// but for secrets: for tests, demonstrations and small installations.
	State(ctx context.Context) (State, error)
}

// State is what is stored, without secrets: commands come without their
// payloads. It is not bounded in size.
type State struct {
	Users       []jit.User
	Tickets     []enroll.Ticket
	Enrollments []mdm.Enrollment
	Commands    []mdm.Command
	Pushes      []Push
}

// Push is the last attempt to wake a device, by its time.
type Push struct {
	EnrollmentID string
	// Status is the HTTP status of APNs, 0 when no answer came.
	Status int
	Time   time.Time
}
