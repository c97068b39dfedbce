package push

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// badStreak is how many attempts in a row must go wrong, with nothing good in
	// between, before APNs as a whole is thought to be the matter.
	badStreak = 10
	// settleTimeout bounds one call of SettlePushes.
	settleTimeout = 10 * time.Second
)

var (
	// ErrRunning: the Worker runs already.
	ErrRunning = errors.New("push: worker runs already")
	// ErrTokens: APNs refused the tokens of many devices in a row and accepted
	// none. Then it is likelier that the host (Production or Sandbox) or the
	// certificate is not the devices' than that all those tokens went bad, so
	// they are kept.
	ErrTokens = errors.New("push: APNs refuses one token after the other; look at the host and at the push certificate")
)

// WorkerConfig is what a Worker is made of. Store and Pusher are needed.
type WorkerConfig struct {
	Store  Store
	Pusher Pusher
	// Concurrency is how many pushes are in flight at once, by default 100. A
	// Client's should not be smaller.
	Concurrency int
	// Interval is how often the store is asked for what is due when nobody calls
	// Kick: retries, and what other processes asked for. The default is 5
	// seconds.
	Interval time.Duration
	// Lease is for how long other workers leave a claimed device alone. An
	// attempt is cut off after half of it. The default is a minute.
	Lease time.Duration
	// RetryMin and RetryMax bound the pause before a device is tried again, which
	// doubles with each attempt. The defaults are 10 seconds and an hour. When
	// APNs says Retry-After and that is longer, it counts, up to 24 hours. No
	// device is given up.
	RetryMin, RetryMax time.Duration
	// PauseMin and PauseMax bound the pauses of the whole Worker, see
	// Observer.Paused, in the same way. The defaults are 10 seconds and 5
	// minutes.
	PauseMin, PauseMax time.Duration
	// Drain is for how long pushes in flight may go on after the end of Run's
	// context. The default is 5 seconds.
	Drain time.Duration
	// Observer is told what happened, after it is durable; nil tells nobody.
	Observer Observer
	// Logger gets failures, never a token or a magic; nil discards.
	Logger *slog.Logger
	// Now gives the times that are stored; it defaults to time.Now. Random
	// spreads retries; it defaults to crypto/rand.Reader.
	Now    func() time.Time
	Random io.Reader
}

// Worker wakes the devices of a Store. Any number of them may run on one store, in
// any number of processes.
type Worker struct {
	cfg     WorkerConfig
	kick    chan struct{}
	running atomic.Bool
}

// NewWorker judges cfg whole; the error wraps ErrConfig and names every mistake. It
// starts nothing, see Run.
func NewWorker(cfg WorkerConfig) (*Worker, error) {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&cfg.Interval, 5*time.Second)
	set(&cfg.Lease, time.Minute)
	set(&cfg.RetryMin, 10*time.Second)
	set(&cfg.RetryMax, time.Hour)
	set(&cfg.PauseMin, 10*time.Second)
	set(&cfg.PauseMax, 5*time.Minute)
	set(&cfg.Drain, 5*time.Second)
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 100
	}
	if cfg.Observer == nil {
		cfg.Observer = NopObserver{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	var errs mistakes
	errs.add(cfg.Store == nil, "no Store")
	errs.add(cfg.Pusher == nil, "no Pusher")
	errs.add(cfg.Concurrency < 0 || cfg.Concurrency > maxConcurrency, "Concurrency is not between 1 and %d", maxConcurrency)
	errs.add(cfg.Interval < 0, "Interval is negative")
	errs.add(cfg.Lease < time.Second, "Lease is below a second: two workers would wake the same device")
	errs.add(cfg.RetryMin < 0 || cfg.RetryMax < cfg.RetryMin, "RetryMin and RetryMax are not a range")
	errs.add(cfg.PauseMin < 0 || cfg.PauseMax < cfg.PauseMin, "PauseMin and PauseMax are not a range")
	errs.add(cfg.Drain < 0, "Drain is negative")
	if err := errs.join(); err != nil {
		return nil, err
	}
	return &Worker{cfg: cfg, kick: make(chan struct{}, 1)}, nil
}

// Kick makes the Worker look for due pushes at once. It does not block and may be
// called at any time; a call while Run does not run is for the next Run.
func (w *Worker) Kick() {
	select {
	case w.kick <- struct{}{}:
	default: // the one that waits does for both
	}
}

// Run wakes devices until ctx ends; then it claims nothing more, waits for the
// pushes in flight for at most the configured Drain, cuts off the rest, records
// what came of them, and returns nil. The error is ErrRunning if it runs already,
// or says that results could not be recorded in the end: those devices are due
// again when their lease ends.
func (w *Worker) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer w.running.Store(false)
	return newShift(w).run(ctx)
}

// backOff doubles from shortest with every attempt up to longest, and takes off up
// to half at random, so that what failed together does not come back together.
func (w *Worker) backOff(shortest, longest time.Duration, attempt int) time.Duration {
	d := shortest
	for ; attempt > 0 && d < longest; attempt-- {
		d += min(d, longest-d)
	}
	var b [8]byte
	if _, err := io.ReadFull(w.cfg.Random, b[:]); err != nil || d < 2 {
		return d
	}
	return d - time.Duration(binary.BigEndian.Uint64(b[:])%uint64(d/2))
}
