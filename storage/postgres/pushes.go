package postgres

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // of the statements
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/push"
)

var (
	//go:embed queries/count_requests.sql
	countRequestsSQL string
	//go:embed queries/settle.sql
	settleSQL string
)

// dueSQL is a condition on pushes: who is to be woken at $1, by the index for that.
const dueSQL = `due <= $1 AND reachable AND NOT suspended`

// opensSQL is a condition on pushes p: the token begins with one of $2, as what this
// node opens. OFFSET 0 has each looked at by itself, until there are enough.
const opensSQL = `EXISTS (SELECT 1 FROM enrollments e WHERE e.seq = p.enrollment
		AND (substring(e.token FROM 1 FOR 9) = ANY ($2::bytea[]) OR substring(e.token FROM 1 FOR 1) = ANY ($2::bytea[])) OFFSET 0)`

// pendingSQL finds the last request that is to be counted, and whether anybody is
// to be woken.
const pendingSQL = `SELECT coalesce((SELECT max(seq) FROM push_requests), 0),
	(SELECT enrollment FROM pushes WHERE ` + dueSQL + ` ORDER BY due, enrollment LIMIT 1) IS NOT NULL`

// claimSQL goes by an array of who is claimed: how many of them there will be is
// what a planner cannot know, and with any larger guess it would read the table.
const claimSQL = `WITH longest AS (
	SELECT enrollment, due FROM pushes p WHERE ` + dueSQL + ` AND ` + opensSQL + ` ORDER BY due, enrollment LIMIT $4 FOR UPDATE SKIP LOCKED
), claimed AS (
	SELECT array_agg(enrollment ORDER BY due, enrollment) AS list FROM longest
)
UPDATE pushes p SET due = $3, fixed = true FROM enrollments e
WHERE p.enrollment = ANY ((SELECT list FROM claimed)::bigint[]) AND e.seq = p.enrollment
RETURNING e.id, e.topic, e.token, e.magic, p.request, p.attempt, array_position((SELECT list FROM claimed), p.enrollment)`

// passedOverSQL finds the token of one that claimSQL passes over for it.
const passedOverSQL = `SELECT id, token FROM enrollments WHERE seq = (
	SELECT enrollment FROM pushes p WHERE ` + dueSQL + ` AND NOT ` + opensSQL + ` ORDER BY due, enrollment LIMIT 1)`

// ClaimPushes implements push.Store. Devices that another call is claiming are
// passed over, and so are those whose token is sealed with a key that this node
// was not given: they are for one that was. When there are no others, that is an
// error.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	requested, due, err := s.pending(ctx, now)
	if err != nil || requested == 0 && !due {
		return nil, err
	}
	if err := s.countRequests(ctx, requested); err != nil {
		return nil, err
	}
	var targets []push.Target
	err = s.atomic(ctx, func(t *tx) error {
		targets = nil // of a try that came to nothing
		claims, err := t.claim(args{stamp(now), s.heads, stamp(now.Add(lease)), limit})
		if err != nil {
			return err
		}
		if len(claims) == 0 {
			return t.passedOver(args{stamp(now), s.heads})
		}
		var spoiled error
		for _, c := range claims {
			if err := t.openTarget(&c.Target, c.magic); err != nil {
				spoiled = err
				continue
			}
			targets = append(targets, c.Target)
		}
		if len(targets) == 0 {
			return spoiled // one that does not open keeps no other waiting
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return targets, nil
}

// pending returns the last request that is to be counted, or 0, and reports whether,
// beside these, anybody is to be woken at a time.
func (s *Store) pending(ctx context.Context, at time.Time) (requested int64, due bool, err error) {
	err = again(ctx, func() error {
		_, err := s.alone(ctx).get(pendingSQL, args{stamp(at)}, &requested, &due)
		return err
	})
	return requested, due, err
}

// countRequests counts in pushes what was requested up to one, and not what has come
// since, which may not end. A transaction counts 128 rows, of 100 commands at most.
// Of two calls one waits.
func (s *Store) countRequests(ctx context.Context, last int64) error {
	const rows = 128
	for n := rows; n == rows && last > 0; {
		if err := again(ctx, func() error {
			_, err := s.alone(ctx).get(countRequestsSQL, args{last, rows}, &n)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// countPending counts what was requested before, and writes nothing when nothing
// was.
func (s *Store) countPending(ctx context.Context) error {
	last, _, err := s.pending(ctx, time.Time{})
	if err != nil {
		return err
	}
	return s.countRequests(ctx, last)
}

// claim is a target as it is stored, and its place among others.
type claim struct {
	push.Target
	magic []byte
	place int
}

// claim puts off who is to be woken, the longest due first.
func (t *tx) claim(values args) (claims []claim, err error) {
	err = t.each(claimSQL, values, func(scan func(...any) error) error {
		var c claim
		err := scan(&c.EnrollmentID, &c.Topic, &c.Token, &c.magic, &c.Request, &c.Attempt, &c.place)
		claims = append(claims, c)
		return err
	})
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.place, b.place) })
	return claims, err
}

// passedOver is what is wrong with the token of one that claim passes over.
func (t *tx) passedOver(values args) error {
	var id string
	var token []byte
	found, err := t.get(passedOverSQL, values, &id, &token)
	if err != nil || !found {
		return err
	}
	_, err = t.secrets.Open(token, sealedToken, id)
	return err
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
	// A request that was made since the claim is due at once.
	if err := s.countPending(ctx); err != nil {
		return err
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
		if _, err := t.exec(`SELECT seq FROM enrollments WHERE id = ANY ($1) ORDER BY seq`+forChange, dead); err != nil {
			return err
		}
	}
	_, err := t.exec(settleSQL, ids, statuses, at, requests, attempts, retries, deads, deadAt, tokens)
	return err
}
