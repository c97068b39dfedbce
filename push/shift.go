package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// outcome is what came of one attempt.
type outcome struct {
	target Target
	answer Answer
	err    error
}

// shift is one Run of a Worker. All of it belongs to the goroutine of Run; the
// attempts only send to outcomes, which holds as many as can be in flight.
//
// The pace is set by the time package, whose clock does not jump; the times that
// are stored are those of the Worker's clock.
type shift struct {
	*Worker
	outcomes chan outcome
	inFlight int
	// unsettled are results that the store did not take yet.
	unsettled []Result
	// look: the store may have more that is due.
	look bool
	// tick is when to look again in any case.
	tick time.Time

	// pausedUntil is when the next push may be sent, and pauses how many pauses
	// there were in a row; after the first there is one push at a time until one
	// goes well.
	pausedUntil time.Time
	pauses      int
	// troubles counts attempts in a row that tell of trouble with APNs, and
	// tokens how often it refused a token as none of its own since it last knew
	// one.
	troubles, tokens int
}

func newShift(w *Worker) *shift {
	return &shift{Worker: w, outcomes: make(chan outcome, w.cfg.Concurrency), look: true}
}

func (s *shift) run(ctx context.Context) error {
	// Attempts outlive ctx by the time to drain, what they did is recorded still
	// later.
	beyond := context.WithoutCancel(ctx)
	attempts, cutOff := context.WithCancelCause(beyond)
	defer cutOff(nil)

	s.tick = time.Now().Add(s.cfg.Interval)
	timer := time.NewTimer(s.cfg.Interval)
	defer timer.Stop()
	for ctx.Err() == nil {
		s.start(ctx, attempts)
		timer.Reset(s.idle())
		select {
		case o := <-s.outcomes:
			s.collect(beyond, o)
		case <-s.kick:
			s.look = true
		case <-timer.C:
			s.wake(beyond)
		case <-ctx.Done():
		}
	}

	last, cancel := context.WithTimeout(beyond, s.cfg.Drain+settleTimeout)
	defer cancel()
	timer.Reset(s.cfg.Drain)
	for s.inFlight > 0 {
		select {
		case o := <-s.outcomes:
			s.collect(last, o)
		case <-timer.C:
			cutOff(errCutOff)
		}
	}
	if err := s.settle(last); err != nil {
		return fmt.Errorf("push: %d results were not recorded: %w", len(s.unsettled), err)
	}
	return nil
}

// errCutOff is why an attempt ended that ran when the time to drain was over.
var errCutOff = errors.New("push: worker ends")

// idle is how long there is nothing to do unless something happens.
func (s *shift) idle() time.Duration {
	next := s.tick
	if now := time.Now(); now.Before(s.pausedUntil) && s.pausedUntil.Before(next) {
		next = s.pausedUntil
	}
	return time.Until(next)
}

// wake is called when the time of idle is over.
func (s *shift) wake(ctx context.Context) {
	s.look = true
	if now := time.Now(); !now.Before(s.tick) {
		s.tick = now.Add(s.cfg.Interval)
	}
	s.settle(ctx) //nolint:errcheck // it is logged, and tried again
}

// start claims as many due pushes as can be sent at once, and sends them. So none
// is claimed that has to wait while its lease runs.
func (s *shift) start(ctx, attempts context.Context) {
	free := s.cfg.Concurrency
	if s.pauses > 0 {
		free = 1
	}
	free -= s.inFlight + len(s.unsettled)
	if !s.look || free <= 0 || time.Now().Before(s.pausedUntil) {
		return
	}
	claim, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	targets, err := s.cfg.Store.ClaimPushes(claim, s.now(), s.cfg.Lease, free)
	if err != nil {
		s.look = false // until the next tick
		if ctx.Err() == nil {
			s.cfg.Logger.ErrorContext(ctx, "push: store does not tell what is due", "err", err)
		}
		return
	}
	s.look = len(targets) >= free
	for _, target := range targets {
		s.inFlight++
		go s.attempt(attempts, target)
	}
}

func (s *shift) attempt(ctx context.Context, target Target) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lease/2)
	defer cancel()
	answer, err := s.cfg.Pusher.Push(ctx, target)
	if err != nil && errors.Is(context.Cause(ctx), errCutOff) {
		err = errCutOff
	}
	s.outcomes <- outcome{target, answer, err}
}

// collect settles o and all that has come since.
func (s *shift) collect(ctx context.Context, o outcome) {
	for {
		s.inFlight--
		s.unsettled = append(s.unsettled, s.judge(ctx, o))
		select {
		case o = <-s.outcomes:
		default:
			s.settle(ctx) //nolint:errcheck // it is logged, and tried again
			return
		}
	}
}

// settle records results. They stay with us until the store takes them: recording
// one late, after another worker's attempt, does no harm.
func (s *shift) settle(ctx context.Context) error {
	if len(s.unsettled) == 0 {
		return nil
	}
	store, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := s.cfg.Store.SettlePushes(store, s.unsettled...); err != nil {
		s.cfg.Logger.ErrorContext(ctx, "push: store does not take results", "results", len(s.unsettled), "err", err)
		return err
	}
	done := s.unsettled
	s.unsettled = nil
	for _, r := range done {
		s.cfg.Observer.Pushed(ctx, r)
	}
	return nil
}

// judge turns an outcome into what is stored, and learns from it how APNs is.
func (s *shift) judge(ctx context.Context, o outcome) Result {
	r := Result{Target: o.target, ID: o.answer.ID, Status: o.answer.Status, Reason: o.answer.Reason, At: s.now()}
	_, refused := errors.AsType[*RefusedError](o.err)
	_, topic := errors.AsType[*TopicError](o.err)
	verdict := o.answer.Verdict()
	switch {
	case errors.Is(o.err, errCutOff):
		r.Retry = r.At
		return r
	case refused:
		r.Retry = r.At.Add(s.pause(ctx, 0, o.err))
		return r
	case topic || errors.Is(o.err, ErrTarget):
		// This device only. It takes a person, who may be quick.
		s.later(&r, 0)
		s.log(ctx, slog.LevelError, r, o.err)
		return r
	case o.err == nil && verdict == VerdictAccepted:
		s.well()
		s.tokens = 0
		s.log(ctx, slog.LevelDebug, r, nil)
		return r
	case o.err == nil && verdict == VerdictDead && r.Status == http.StatusBadRequest:
		if s.tokens >= badStreak {
			r.Retry = r.At.Add(s.pause(ctx, 0, ErrTokens))
			break
		}
		s.tokens++
		s.well()
		s.bury(&r, time.Time{})
	case o.err == nil && verdict == VerdictDead:
		s.well()
		s.tokens = 0
		s.bury(&r, o.answer.Timestamp)
	default:
		s.later(&r, o.answer.RetryAfter)
		if o.err == nil && r.Status == http.StatusTooManyRequests {
			s.well() // it is too much for this device only
			break
		}
		if s.troubles++; s.troubles >= badStreak || s.pauses > 0 {
			err := o.err
			if err == nil {
				err = fmt.Errorf("push: APNs answers %s", o.answer)
			}
			s.pause(ctx, o.answer.RetryAfter, err)
		}
	}
	s.log(ctx, slog.LevelWarn, r, o.err)
	return r
}

// bury says that the token is dead. Should the store have learnt better since, the
// device is tried again.
func (s *shift) bury(r *Result, since time.Time) {
	r.Dead, r.DeadAt = true, since
	if since.After(r.At) {
		r.DeadAt = r.At // no token that is still to come is dead already
	}
	s.later(r, 0)
}

func (s *shift) later(r *Result, atLeast time.Duration) {
	r.Retry = r.At.Add(max(s.backOff(s.cfg.RetryMin, s.cfg.RetryMax, r.Target.Attempt), atLeast))
}

// well: APNs is there and talks to us.
func (s *shift) well() { s.troubles, s.pauses = 0, 0 }

// pause stops sending for a while, unless it has stopped already, and returns for
// how long it still does.
func (s *shift) pause(ctx context.Context, atLeast time.Duration, err error) time.Duration {
	if left := time.Until(s.pausedUntil); left > 0 {
		return left
	}
	d := max(s.backOff(s.cfg.PauseMin, s.cfg.PauseMax, s.pauses), min(atLeast, s.cfg.PauseMax))
	s.pauses++
	s.pausedUntil = time.Now().Add(d)
	until := s.now().Add(d)
	s.cfg.Logger.ErrorContext(ctx, "push: paused", "until", until, "err", err)
	s.cfg.Observer.Paused(ctx, until, err)
	return d
}

func (s *shift) log(ctx context.Context, level slog.Level, r Result, err error) {
	s.cfg.Logger.Log(ctx, level, "push",
		"enrollment_id", r.Target.EnrollmentID, "attempt", r.Target.Attempt, "apns_id", r.ID,
		"status", r.Status, "reason", r.Reason, "dead", r.Dead, "retry", r.Retry, "err", err)
}

func (s *shift) now() time.Time { return s.cfg.Now().UTC() }
