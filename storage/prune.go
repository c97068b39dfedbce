package storage

import (
	"context"
	"time"
)

// Pruner is a store that forgets what nobody needs any more. Every adapter of
// this module is one. [Retention] calls it.
type Pruner interface {
	// Prune forgets at most limit records, with what belongs to them, and returns
	// how many those were; 0 means that nothing is left to forget. A call is one
	// step, as all others are. What goes is, each if it was over before a time:
	//
	// Sign-in attempts, sessions, and web sessions that handed back, when they
	// have expired.
	//
	// Commands, when they are final. The same CommandUUID is a new command then.
	//
	// Grants, with their tokens, when each token and the code have expired, or the
	// enrollment has ended. A token without an expiry keeps its grant as long as
	// the enrollment is there.
	//
	// Tickets, with their challenges and identities, when they were issued then,
	// are not spent, no device has authenticated by them, and no grant is left of
	// them. To a person and a device they are unknown from then on.
	//
	// Users, enrollments and the tickets of those are never forgotten.
	Prune(ctx context.Context, before time.Time, limit int) (n int, err error)
}
