package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // of the statement
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/push"
)

//go:embed queries/settle.sql
var settleSQL string

// claimSQL goes by an array of who is claimed: how many of them there will be is
// what a planner cannot know, and with any larger guess it would read the table.
const claimSQL = `WITH longest AS (
	SELECT enrollment, due FROM pushes WHERE due <= $1 AND reachable AND NOT suspended ORDER BY due, enrollment LIMIT $3 FOR UPDATE SKIP LOCKED
), claimed AS (
	SELECT array_agg(enrollment ORDER BY due, enrollment) AS list FROM longest
)
UPDATE pushes p SET due = $2, fixed = true FROM enrollments e
WHERE p.enrollment = ANY ((SELECT list FROM claimed)::bigint[]) AND e.seq = p.enrollment
RETURNING e.id, e.topic, e.token, e.magic, p.request, p.attempt, array_position((SELECT list FROM claimed), p.enrollment)`

// ClaimPushes implements push.Store. Devices that another call is claiming are
// passed over.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	type claim struct {
		push.Target
		magic []byte
		place int
	}
	var claims []claim
	err := again(ctx, func() error {
		claims = nil
		return s.alone(ctx).each(claimSQL, args{stamp(now), stamp(now.Add(lease)), limit}, func(scan func(...any) error) error {
			var c claim
			err := scan(&c.EnrollmentID, &c.Topic, &c.Token, &c.magic, &c.Request, &c.Attempt, &c.place)
			claims = append(claims, c)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.place, b.place) })
	var targets []push.Target
	var spoiled error
	for _, c := range claims {
		if err := s.openTarget(&c.Target, c.magic); err != nil {
			spoiled = err
			continue
		}
		targets = append(targets, c.Target)
	}
	if len(targets) == 0 && spoiled != nil {
		return nil, spoiled // one that does not open keeps no other waiting
	}
	return targets, nil
}

// openTarget opens token and magic of a target that was read.
func (s *Store) openTarget(p *push.Target, magic []byte) (err error) {
	if p.Token, err = s.secrets.Open(p.Token, sealedToken, p.EnrollmentID); err != nil {
		return err
	}
	magic, err = s.secrets.Open(magic, sealedMagic, p.EnrollmentID)
	p.Magic = string(magic)
	return err
}

// SettlePushes implements push.Store.
func (s *Store) SettlePushes(ctx context.Context, results ...push.Result) error {
	if len(results) == 0 {
		return ctx.Err()
	}
	// A statement changes a row once: several results of a device are settled one
	// after the other.
	var rounds [][]push.Result
	seen := map[string]int{}
	for _, r := range results {
		n := seen[r.Target.EnrollmentID]
		seen[r.Target.EnrollmentID]++
		if n == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[n] = append(rounds[n], r)
	}
	return s.atomic(ctx, func(t *tx) error {
		for _, round := range rounds {
			if err := t.settle(round); err != nil {
				return err
			}
		}
		return nil
	})
}

// settle records results of different devices.
func (t *tx) settle(results []push.Result) error {
	var dead []string
	n := len(results)
	ids, statuses, at := make([]string, n), make([]int32, n), make([]time.Time, n)
	requests, attempts, retries := make([]int64, n), make([]int32, n), make([]any, n)
	deads, deadAt, tokens := make([]bool, n), make([]any, n), make([][]byte, n)
	for i, r := range results {
		ids[i], statuses[i], at[i] = r.Target.EnrollmentID, int32(r.Status), stamp(r.At)
		requests[i], attempts[i], retries[i] = r.Target.Request, int32(r.Target.Attempt), moment(r.Retry)
		token := sha256.Sum256(r.Target.Token)
		deads[i], deadAt[i], tokens[i] = r.Dead, moment(r.DeadAt), token[:]
		if r.Dead {
			dead = append(dead, r.Target.EnrollmentID)
		}
	}
	if len(dead) > 0 {
		// The tokens of these stay what they are.
		if _, err := t.exec(`SELECT seq FROM enrollments WHERE id = ANY ($1) ORDER BY seq`+forUpdate, dead); err != nil {
			return err
		}
	}
	_, err := t.exec(settleSQL, ids, statuses, at, requests, attempts, retries, deads, deadAt, tokens)
	return err
}
