package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
)

// wake is what is needed to wake a device, and whether that was asked for.
type wake struct {
	token  []byte // empty until TokenUpdate and after the token died
	magic  string
	stored time.Time // when the token was

	// Requests are numbered. Those up to settled are done.
	request, settled int64
	due              time.Time
	// fixed: due was set by a claim or a retry, and a new request does not
	// make it earlier.
	fixed   bool
	attempt int

	// The last attempt.
	status    int
	attempted time.Time
}

func (w *wake) pending() bool { return w.request > w.settled }

// ask asks for a push of a device.
func (s *Store) ask(e *enrollment, at time.Time) {
	e.wake.ask(at)
	s.asked[e] = true
}

// ask asks for a push at a time, or before.
func (w *wake) ask(at time.Time) {
	if !w.pending() {
		w.schedule(at)
	} else if !w.fixed && at.Before(w.due) {
		w.due = at
	}
	w.request++
}

// schedule makes a request due that was not attempted yet.
func (w *wake) schedule(at time.Time) {
	w.due, w.fixed, w.attempt = at, false, 0
}

// update stores a token. What waited for one is due.
func (w *wake) update(token []byte, magic string, at time.Time) {
	if len(w.token) == 0 && w.pending() {
		w.schedule(at)
	}
	w.token, w.magic, w.stored = token, magic, at
}

// forget forgets the token; what was asked for waits for another one.
func (w *wake) forget() {
	w.token, w.magic, w.stored = nil, "", time.Time{}
}

// drop drops what was asked for.
func (w *wake) drop() {
	w.settled = w.request
	w.schedule(time.Time{})
}

// settle records a result.
func (w *wake) settle(r push.Result) {
	at := stamp(r.At)
	if !at.Before(w.attempted) {
		w.status, w.attempted = r.Status, at
	}
	if r.Dead && !bytes.Equal(w.token, r.Target.Token) {
		// It was another token's end: this request still has to reach the device.
		if len(w.token) > 0 && w.pending() && r.Target.Request > w.settled {
			w.schedule(at)
		}
		return
	}
	if r.Dead && (r.DeadAt.IsZero() || !w.stored.After(stamp(r.DeadAt))) {
		w.forget()
		return
	}
	if r.Target.Request <= w.settled {
		return // a repeat, or an attempt that came too late to matter
	}
	if !r.Retry.IsZero() {
		if r.Target.Attempt == w.attempt {
			w.due, w.fixed, w.attempt = stamp(r.Retry), true, w.attempt+1
		}
		return
	}
	w.settled = min(r.Target.Request, w.request)
	w.schedule(at)
}

// ClaimPushes implements push.Store.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now = stamp(now)
	var due []*enrollment
	for e := range s.asked {
		switch {
		case !e.wake.pending():
			delete(s.asked, e)
		case len(e.wake.token) > 0 && !e.wake.due.After(now) && !s.suspended[e.UserID]:
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b *enrollment) int {
		return cmp.Or(a.wake.due.Compare(b.wake.due), cmp.Compare(a.order, b.order))
	})
	var targets []push.Target
	for _, e := range due[:min(len(due), max(limit, 0))] {
		e.wake.due, e.wake.fixed = stamp(now.Add(lease)), true
		targets = append(targets, push.Target{
			EnrollmentID: e.ID, Topic: e.Topic, Token: bytes.Clone(e.wake.token), Magic: e.wake.magic,
			Request: e.wake.request, Attempt: e.wake.attempt,
		})
	}
	return targets, nil
}

// SettlePushes implements push.Store.
func (s *Store) SettlePushes(ctx context.Context, results ...push.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, r := range results {
		e := s.enrollments[r.Target.EnrollmentID]
		if e != nil && e.State != mdm.StateEnded && e.State != mdm.StateReplaced {
			e.wake.settle(r)
		}
	}
	return nil
}
