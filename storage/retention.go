package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The defaults of a Retention, and its bounds.
const (
	// DefaultKeep is a week: whoever asks what came of a command asks within days.
	DefaultKeep = 7 * 24 * time.Hour
	// DefaultEvery is a quarter of an hour: a crowd of strangers who open the
	// sign-in page leaves nothing for longer than an hour and a half.
	DefaultEvery = 15 * time.Minute
	// MinKeep is the shortest Keep. By the defaults of package enroll a ticket is
	// downloaded for the last time 60 minutes after it was issued, and 20 minutes
	// later its device must have come. The rest is for nodes whose clocks differ.
	MinKeep = 2 * time.Hour
)

// grace is for how long after their expiry sign-in attempts, sessions and web
// sessions stay. They are worth nothing then; it is for nodes whose clocks differ.
const grace = time.Hour

// batch is how many records go in one step: devices that come meanwhile hardly
// notice it.
const batch = 500

// Retention makes a store forget what is over, see [Pruner]: at the start, and
// then again and again. Store is needed.
//
//	go func() { failed <- storage.Retention{Store: store}.Run(ctx) }()
//
// Any number may run on one store, in any number of processes: what one takes
// the others leave alone.
type Retention struct {
	Store Pruner
	// Keep is for how long commands, grants and tickets stay after they are over: at
	// least MinKeep, by default DefaultKeep. A ticket goes by when it was issued, so
	// Keep must also be longer than MaxAge, Clocks.Window and Clocks.Grace of
	// enroll.Config together: until then a device may come by the last download.
	// The CommandUUID of a command that went is new again, so Keep must be longer
	// than whoever queues commands repeats one.
	//
	// Sign-in attempts, sessions and web sessions go an hour after their expiry,
	// however long Keep is: anybody can leave an attempt, and nobody needs one that
	// has expired.
	Keep time.Duration
	// Every is the time from one turn to the next, by default DefaultEvery.
	Every time.Duration
	// Logger is told how much went, and of turns that failed; nil discards.
	Logger *slog.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

// Run prunes until ctx ends, and returns nil then. A turn that fails is logged,
// and the next one takes up what it left. An error names what is wrong with the
// fields.
func (r Retention) Run(ctx context.Context) error {
	r, err := r.complete()
	if err != nil {
		return err
	}
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		n, err := r.turn(ctx)
		if n > 0 {
			r.Logger.InfoContext(ctx, "pruned", "records", n)
		}
		if err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "pruning failed, and is tried again", "error", err, "after", r.Every)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Prune is one turn, for whoever has a schedule of their own: it forgets all that
// has been over for long enough, in steps of a few hundred records. It returns how
// many records went, also when there is an error.
func (r Retention) Prune(ctx context.Context) (n int, err error) {
	if r, err = r.complete(); err != nil {
		return 0, err
	}
	return r.turn(ctx)
}

// turn goes by the time of its start, so that it comes to an end whatever ends
// meanwhile.
func (r Retention) turn(ctx context.Context) (sum int, err error) {
	now := r.Now()
	step := PruneStep{ExpiredBefore: now.Add(-grace), OverBefore: now.Add(-r.Keep), Limit: batch}
	for {
		n, err := r.Store.Prune(ctx, step)
		sum += n
		if err != nil {
			return sum, fmt.Errorf("storage: prune: %w", err)
		}
		if n == 0 {
			return sum, nil
		}
	}
}

// complete judges the fields and sets those that are left out.
func (r Retention) complete() (Retention, error) {
	if r.Keep == 0 {
		r.Keep = DefaultKeep
	}
	if r.Every == 0 {
		r.Every = DefaultEvery
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	var bad []error
	if r.Store == nil {
		bad = append(bad, errors.New("storage: retention: no Store"))
	}
	if r.Keep < MinKeep {
		bad = append(bad, fmt.Errorf("storage: retention: Keep is %v, and at least %v", r.Keep, MinKeep))
	}
	if r.Every < 0 {
		bad = append(bad, errors.New("storage: retention: Every is negative"))
	}
	return r, errors.Join(bad...)
}
