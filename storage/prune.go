package storage

import (
	"context"
	"time"
)

// Pruner is a store that forgets what nobody needs any more. Every adapter of
// this module is one. [Retention] calls it.
type Pruner interface {
	// Prune forgets what p names, with what belongs to it, and returns how many
	// records those were; 0 means that nothing is left to forget. A call is one
	// step, as all others are.
	//
	// Users, enrollments and the tickets of those are never forgotten.
	Prune(ctx context.Context, p PruneStep) (n int, err error)
}

// PruneStep is what one call of Prune forgets: at most Limit records, each if it
// was over before the time for its kind. Nothing goes by a time that is zero.
type PruneStep struct {
	// ExpiredBefore is for what has an expiry of its own and is worth nothing after
	// it, since a caller is told the same of one that has expired and of one that
	// is unknown. It must be longer ago than the clocks of nodes are apart: one
	// whose clock is late must not open again what another one has forgotten.
	//
	// Sign-in attempts, open or finished: a callback that comes again is
	// sso.ErrStateUsed until then and after it.
	//
	// Sessions, those that were logged out too.
	//
	// Web sessions that handed back: what was sealed in them can be opened no more
	// by GrantStep.SessionExpires, so that nothing is left to come a second time.
	ExpiredBefore time.Time
	// OverBefore is for what somebody may still ask for, or send again, when it is
	// over.
	//
	// Commands, when they are final: whoever queued them asks what came of them.
	// The same CommandUUID is a new command then.
	//
	// Grants, with their tokens, when each token and the code have expired, or the
	// enrollment has ended. A token without an expiry keeps its grant as long as
	// the enrollment is there.
	//
	// Tickets, with their challenges and identities, when they were issued then,
	// are not spent, no device has authenticated by them, and no grant is left of
	// them. To a person and a device they are unknown from then on, whatever is
	// still in force of them: it is for the caller that this time is longer ago than
	// MaxAge, Clocks.Window and Clocks.Grace of enroll.Config together.
	OverBefore time.Time
	// Limit is how many records go at most.
	Limit int
}
