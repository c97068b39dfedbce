package sqlite

import (
	"bytes"
	"context"
	"time"

	"github.com/enrollkit/enrollkit/push"
)

// askPush asks for a push at ?1 or before. What a claim or a retry put off
// stays put off.
const askPush = `push_request = push_request + 1,
	push_due = CASE WHEN push_due IS NULL OR push_fixed = 0 AND push_due > ?1 THEN ?1 ELSE push_due END`

// ClaimPushes implements push.Store.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	const due = ` FROM enrollments WHERE push_due <= ? AND token IS NOT NULL AND suspended = 0`
	var pending bool
	if _, err := s.readers.tx(ctx).get(`SELECT EXISTS (SELECT 1`+due+`)`, args{micros(now)}, &pending); err != nil || !pending {
		return nil, err
	}
	var targets []push.Target
	err := s.writer.do(ctx, func(t *tx) error {
		var claimed []int64
		var spoiled error
		err := t.each(`SELECT seq, id, topic, token, magic, push_request, push_attempt`+due+` ORDER BY push_due, seq LIMIT ?`,
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
		until := micros(now.Add(lease))
		for _, seq := range claimed {
			if _, err := t.exec(`UPDATE enrollments SET push_due = ?, push_fixed = 1 WHERE seq = ?`, until, seq); err != nil {
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

// openTarget opens token and magic of a target that was read.
func (t *tx) openTarget(p *push.Target, magic []byte) (err error) {
	if p.Token, err = t.secrets.Open(p.Token, sealedToken, p.EnrollmentID); err != nil {
		return err
	}
	magic, err = t.secrets.Open(magic, sealedMagic, p.EnrollmentID)
	p.Magic = string(magic)
	return err
}

// SettlePushes implements push.Store.
func (s *Store) SettlePushes(ctx context.Context, results ...push.Result) error {
	if len(results) == 0 {
		return ctx.Err()
	}
	return s.writer.do(ctx, func(t *tx) error {
		for _, r := range results {
			if err := t.settle(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle records one result.
func (t *tx) settle(r push.Result) error {
	var seq, request, settled int64
	var attempt int
	var token []byte
	var stored, attempted time.Time
	found, err := t.get(`SELECT seq, token, token_stored, push_request, push_settled, push_attempt, push_attempted
		FROM enrollments WHERE id = ? AND state NOT IN ('ended', 'replaced')`, args{r.Target.EnrollmentID},
		&seq, &token, (*when)(&stored), &request, &settled, &attempt, (*when)(&attempted))
	if err != nil || !found {
		return err
	}
	if token != nil {
		if token, err = t.secrets.Open(token, sealedToken, r.Target.EnrollmentID); err != nil {
			return err
		}
	}
	at := stamp(r.At)
	if !at.Before(attempted) {
		if _, err := t.exec(`UPDATE enrollments SET push_status = ?, push_attempted = ? WHERE seq = ?`, r.Status, micros(at), seq); err != nil {
			return err
		}
	}
	const schedule = `UPDATE enrollments SET push_due = ?, push_fixed = ?, push_attempt = ?, push_settled = ? WHERE seq = ?`
	target := r.Target
	switch {
	case r.Dead && !bytes.Equal(token, target.Token):
		// It was another token's end: this request still has to reach the device.
		if len(token) > 0 && target.Request > settled {
			_, err = t.exec(schedule, micros(at), false, 0, settled, seq)
		}
	case r.Dead && (r.DeadAt.IsZero() || !stored.After(stamp(r.DeadAt))):
		_, err = t.exec(`UPDATE enrollments SET token = NULL, magic = NULL, token_stored = NULL WHERE seq = ?`, seq)
	case target.Request <= settled:
		// A repeat, or an attempt that came too late to matter.
	case !r.Retry.IsZero():
		if target.Attempt == attempt {
			_, err = t.exec(schedule, micros(r.Retry), true, attempt+1, settled, seq)
		}
	case target.Request < request: // another request was made since
		_, err = t.exec(schedule, micros(at), false, 0, target.Request, seq)
	default:
		_, err = t.exec(schedule, nil, false, 0, request, seq)
	}
	return err
}
