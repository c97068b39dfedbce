package mysql

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/push"
)

// askPush asks for a push at a time, which it takes twice, or before. What a
// claim or a retry put off stays put off.
const askPush = `push_request = push_request + 1,
	push_due = CASE WHEN push_due IS NULL OR push_fixed = 0 AND push_due > ? THEN ? ELSE push_due END`

// ClaimPushes implements push.Store. Devices that another step has right now are
// left to the next call.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	const due = ` FROM enrollments FORCE INDEX (enrollments_wake) WHERE wake <= ?`
	var pending bool
	if _, err := s.read(ctx).get(`SELECT EXISTS (SELECT 1`+due+`)`, args{micros(now)}, &pending); err != nil || !pending {
		return nil, err
	}
	var targets []push.Target
	err := s.step(ctx, func(t *tx) error {
		var claimed []int64
		var spoiled error
		targets = nil
		err := t.each(`SELECT seq, id, topic, token, magic, push_request, push_attempt`+due+` ORDER BY wake, seq LIMIT ? FOR UPDATE SKIP LOCKED`,
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
			if _, err := t.exec(`UPDATE enrollments SET push_due = ?, push_fixed = 1 WHERE seq IN (`+marks+`)`,
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
	due              time.Time
	fixed            bool
	attempt          int
	status           any // an int, nil before the first attempt
	attempted        time.Time
	changed          bool
}

// lockWakes makes other steps of enrollments wait and returns those that have
// not ended.
func (t *tx) lockWakes(ids []string) (map[string]*wake, error) {
	wakes := map[string]*wake{}
	for some := range slices.Chunk(ids, maxRows) {
		marks, values := list(some)
		if err := t.each(`SELECT id, seq, token, token_stored, push_request, push_settled, push_due, push_fixed, push_attempt, push_status, push_attempted
			FROM enrollments FORCE INDEX (enrollments_id) WHERE id IN (`+marks+`) AND state NOT IN ('ended', 'replaced') FOR UPDATE`,
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

// storeWake stores what settle changed. A token that is there still stays as it
// is.
func (t *tx) storeWake(w *wake) error {
	_, err := t.exec(`UPDATE enrollments SET push_status = ?, push_attempted = ?, push_due = ?, push_fixed = ?, push_attempt = ?, push_settled = ?,
			magic = CASE WHEN ? THEN magic END, token_stored = CASE WHEN ? THEN token_stored END, token = CASE WHEN ? THEN token END
		WHERE seq = ?`,
		w.status, micros(w.attempted), micros(w.due), w.fixed, w.attempt, w.settled,
		w.token != nil, w.token != nil, w.token != nil, w.seq)
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
		w.token, w.changed = nil, true
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
