package push

import (
	"context"
	"time"
)

// Observer is told what a Worker does, after it is durable. A crash may lose an
// event. Its methods must be quick, since the Worker waits for them.
type Observer interface {
	// Pushed: one attempt was made and its result is stored.
	Pushed(ctx context.Context, r Result)
	// Paused: the Worker sends nothing until then, and one push after that to see
	// whether things are well again. A *RefusedError or ErrTokens needs a person;
	// any other err is APNs being out of reach or in trouble.
	Paused(ctx context.Context, until time.Time, err error)
}

// NopObserver does nothing. Embed it to observe some events only.
type NopObserver struct{}

// Pushed implements Observer.
func (NopObserver) Pushed(context.Context, Result) {}

// Paused implements Observer.
func (NopObserver) Paused(context.Context, time.Time, error) {}

var _ Observer = NopObserver{}
