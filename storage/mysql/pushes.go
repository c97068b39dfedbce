package mysql

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/push"
)

// never is when a device is to be woken that is not.
const (
	never     int64 = math.MaxInt64
	neverText       = "9223372036854775807"
)

// dueMicros is when a device is to be woken, for the database; zero is never.
func dueMicros(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMicro()
}

// askPush asks for pushes at a time or before. What a claim or a retry put off
// stays put off. The enrollments, at least one, are locked.
func (t *tx) askPush(at time.Time, enrollments ...int64) error {
	for some := range slices.Chunk(enrollments, maxRows) {
		marks, values := list(some)
		if _, err := t.exec(`UPDATE pushes SET request = request + 1, due = CASE WHEN fixed = 0 AND due > ? THEN ? ELSE due END WHERE enrollment IN (`+marks+`)`,
			slices.Concat(args{at.UnixMicro(), at.UnixMicro()}, values)...); err != nil {
			return err
		}
	}
	return nil
}

// ClaimPushes implements push.Store. Devices that another step has right now are
// left to the next call.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	var pending bool
	if _, err := s.read(ctx).get(`SELECT EXISTS (SELECT 1 FROM pushes FORCE INDEX (pushes_wake) WHERE wake <= ?)`,
		args{micros(now)}, &pending); err != nil || !pending {
		return nil, err
	}
	var targets []push.Target
	err := s.step(ctx, func(t *tx) error {
		var claimed []int64
		var spoiled error
		targets = nil
		err := t.each(`SELECT e.seq, e.id, e.topic, e.token, e.magic, p.request, p.attempt
				FROM pushes p FORCE INDEX (pushes_wake) STRAIGHT_JOIN enrollments e ON e.seq = p.enrollment
				WHERE p.wake <= ? ORDER BY p.wake, p.enrollment LIMIT ? FOR UPDATE SKIP LOCKED`,
			args{micros(now), limit}, func(scan func(...any) error) error {
				var seq int64
				var p push.Target
				var magic []byte
				err := scan(&seq, &p.EnrollmentID, &p.Topic, &p.Token, &magic, &p.Request, &p.Attempt)
				if err != nil {
					return err
				}
				claimed = append(claimed, seq)
				if err := t.openTarget(&p, magic); err != nil {
					spoiled = err
					return nil
				}
				targets = append(targets, p)
				return nil
			})
		if err != nil {
			return err
		}
		if len(targets) == 0 && spoiled != nil {
			return spoiled // one that does not open keeps no other waiting
		}
		for some := range slices.Chunk(claimed, maxRows) {
			marks, values := list(some)
			if _, err := t.exec(`UPDATE pushes SET due = ?, fixed = 1 WHERE enrollment IN (`+marks+`)`,
				slices.Concat(args{micros(now.Add(lease))}, values)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return targets, nil
}

// SettlePushes implements push.Store.
func (s *Store) SettlePushes(ctx context.Context, results ...push.Result) error {
	if len(results) == 0 {
		return ctx.Err()
	}
	ids := make([]string, len(results))
	for i, r := range results {
		ids[i] = r.Target.EnrollmentID
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return s.step(ctx, func(t *tx) error {
		wakes, err := t.lockWakes(ids)
		if err != nil {
			return err
		}
		for _, r := range results {
			if w := wakes[r.Target.EnrollmentID]; w != nil {
				if err := w.settle(t.secrets, r); err != nil {
					return err
				}
			}
		}
		for _, id := range ids {
			if w := wakes[id]; w != nil && w.changed {
				if err := t.storeWake(w); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// wake is what is known about waking a device.
type wake struct {
	seq              int64
	token            []byte // sealed
	stored           time.Time
	request, settled int64
	due              time.Time // zero: never
	fixed            bool
	attempt          int
	status           any // an int, nil before the first attempt
	attempted        time.Time

	changed, died bool
}

// lockWakes makes other steps of enrollments wait and returns those that have
// not ended.
func (t *tx) lockWakes(ids []string) (map[string]*wake, error) {
	wakes := map[string]*wake{}
	for some := range slices.Chunk(ids, maxRows) {
		marks, values := list(some)
		if err := t.each(`SELECT e.id, e.seq, e.token, e.token_stored, p.request, p.settled, NULLIF(p.due, `+neverText+`), p.fixed, p.attempt, p.status, p.attempted
			FROM enrollments e FORCE INDEX (enrollments_id) STRAIGHT_JOIN pushes p ON p.enrollment = e.seq
			WHERE e.id IN (`+marks+`) AND e.state NOT IN ('ended', 'replaced') FOR UPDATE`,
			values, func(scan func(...any) error) error {
				var id string
				var w wake
				err := scan(&id, &w.seq, &w.token, (*when)(&w.stored), &w.request, &w.settled, (*when)(&w.due), &w.fixed, &w.attempt,
					&w.status, (*when)(&w.attempted))
				wakes[id] = &w
				return err
			}); err != nil {
			return nil, err
		}
	}
	return wakes, nil
}

// storeWake stores what settle changed.
func (t *tx) storeWake(w *wake) error {
	if _, err := t.exec(`UPDATE pushes SET status = ?, attempted = ?, due = ?, fixed = ?, attempt = ?, settled = ?, able = CASE WHEN ? THEN 0 ELSE able END
		WHERE enrollment = ?`, w.status, micros(w.attempted), dueMicros(w.due), w.fixed, w.attempt, w.settled, w.died, w.seq); err != nil || !w.died {
		return err
	}
	_, err := t.exec(`UPDATE enrollments SET token = NULL, magic = NULL, token_stored = NULL WHERE seq = ?`, w.seq)
	return err
}

// settle records one result.
func (w *wake) settle(secrets *seal.Ring, r push.Result) error {
	token := w.token
	if token != nil && r.Dead {
		var err error
		if token, err = secrets.Open(token, sealedToken, r.Target.EnrollmentID); err != nil {
			return err
		}
	}
	at := stamp(r.At)
	if !at.Before(w.attempted) {
		w.status, w.attempted, w.changed = r.Status, at, true
	}
	schedule := func(due time.Time, fixed bool, attempt int, settled int64) {
		w.due, w.fixed, w.attempt, w.settled, w.changed = due, fixed, attempt, settled, true
	}
	target := r.Target
	switch {
	case r.Dead && !bytes.Equal(token, target.Token):
		// It was another token's end: this request still has to reach the device.
		if len(token) > 0 && target.Request > w.settled {
			schedule(at, false, 0, w.settled)
		}
	case r.Dead && (r.DeadAt.IsZero() || !w.stored.After(stamp(r.DeadAt))):
		w.token, w.died, w.changed = nil, true, true
	case target.Request <= w.settled:
		// A repeat, or an attempt that came too late to matter.
	case !r.Retry.IsZero():
		if target.Attempt == w.attempt {
			schedule(stamp(r.Retry), true, w.attempt+1, w.settled)
		}
	case target.Request < w.request: // another request was made since
		schedule(at, false, 0, target.Request)
	default:
		schedule(time.Time{}, false, 0, w.request)
	}
	return nil
}
