package mdm

import "context"

// Observer is told what happened to enrollments, always after it is durable
// and before the device is answered, so its methods must be quick. A device
// that repeats a message repeats its event, and a crash may lose one: what must
// happen belongs into a Planner or is read off the record.
type Observer interface {
	// Authenticated: the device began to install its enrollment profile.
	Authenticated(ctx context.Context, e Enrollment)
	// Enrolled: the first TokenUpdate was accepted.
	Enrolled(ctx context.Context, e Enrollment)
	// CommandResult: a command was reported on; see its Status and Result.
	CommandResult(ctx context.Context, c Command)
	// Unenrolled: the device checked out, or the server ended the enrollment.
	Unenrolled(ctx context.Context, e Enrollment)
}

// NopObserver does nothing. Embed it to observe some events only.
type NopObserver struct{}

// Authenticated implements Observer.
func (NopObserver) Authenticated(context.Context, Enrollment) {}

// Enrolled implements Observer.
func (NopObserver) Enrolled(context.Context, Enrollment) {}

// CommandResult implements Observer.
func (NopObserver) CommandResult(context.Context, Command) {}

// Unenrolled implements Observer.
func (NopObserver) Unenrolled(context.Context, Enrollment) {}

var _ Observer = NopObserver{}
