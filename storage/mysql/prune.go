package mysql

import (
	"context"
	"slices"

	"github.com/enrollkit/enrollkit/storage"
)

var _ storage.Pruner = (*Store)(nil)

// What is over is found by these. They skip rows that another step has locked:
// those are not over, or are being pruned.
const (
	attemptsOver    = `SELECT digest FROM sso_states WHERE expires < ? ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED`
	sessionsOver    = `SELECT id FROM sessions WHERE expires < ? ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED`
	webSessionsOver = `SELECT digest FROM web_sessions WHERE expires < ? ORDER BY expires LIMIT ? FOR UPDATE SKIP LOCKED`
	commandsOver    = `SELECT seq FROM commands WHERE finished < ? ORDER BY finished LIMIT ? FOR UPDATE SKIP LOCKED`
	grantsOver      = `SELECT seq FROM grants WHERE ends < ? ORDER BY ends LIMIT ? FOR UPDATE SKIP LOCKED`
	ticketsOver     = `SELECT k.seq FROM tickets k WHERE k.open_since < ?` + ledNowhere + ` ORDER BY k.open_since LIMIT ? FOR UPDATE SKIP LOCKED`
	locksOver       = `SELECT session FROM ticket_sessions WHERE issued < ? ORDER BY issued LIMIT ? FOR UPDATE SKIP LOCKED`

	// ledNowhere is a ticket k by which no device has authenticated, and that no
	// grant is left of.
	ledNowhere = ` AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.ticket = k.seq AND i.enrollment IS NOT NULL)
		AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.ticket = k.seq)`
)

// Prune implements storage.Pruner.
func (s *Store) Prune(ctx context.Context, p storage.PruneStep) (n int, err error) {
	if p.Limit <= 0 {
		return 0, ctx.Err()
	}
	err = s.step(ctx, func(t *tx) (err error) {
		n, err = t.prune(micros(p.ExpiredBefore), micros(p.OverBefore), p.Limit)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (t *tx) prune(expired, before any, limit int) (int, error) {
	// What remembers nothing but a lock goes along uncounted.
	if _, err := t.forget(locksOver, before, limit, `ticket_sessions WHERE session`); err != nil {
		return 0, err
	}
	left := limit
	for _, over := range []struct {
		find   string
		before any
		// from are the rows that go, those that belong to others before them.
		from []string
	}{
		{attemptsOver, expired, []string{`sso_states WHERE digest`}},
		{sessionsOver, expired, []string{`sessions WHERE id`}},
		{webSessionsOver, expired, []string{`web_sessions WHERE digest`}},
		{commandsOver, before, []string{`commands WHERE seq`}},
		{grantsOver, before, []string{`tokens WHERE of_grant`, `grants WHERE seq`}},
		{ticketsOver, before, []string{`challenges WHERE ticket`, `identities WHERE ticket`, `tickets WHERE seq`}},
	} {
		if left == 0 {
			break
		}
		n, err := t.forget(over.find, over.before, left, over.from...)
		if err != nil {
			return 0, err
		}
		left -= n
	}
	return limit - left, nil
}

// forget deletes what a query finds, and returns how much that was.
func (t *tx) forget(find string, before any, limit int, from ...string) (int, error) {
	var found []any
	if err := t.each(find, args{before, limit}, func(scan func(...any) error) error {
		var key any
		err := scan(&key)
		if b, ok := key.([]byte); ok {
			key = slices.Clone(b)
		}
		found = append(found, key)
		return err
	}); err != nil {
		return 0, err
	}
	for some := range slices.Chunk(found, maxRows) {
		marks, values := list(some)
		for _, rows := range from {
			if _, err := t.exec(`DELETE FROM `+rows+` IN (`+marks+`)`, values...); err != nil {
				return 0, err
			}
		}
	}
	return len(found), nil
}

// endGrant notes when all tokens and the code of a grant are over, if that is
// known.
func (t *tx) endGrant(grant int64) error {
	_, err := t.exec(`UPDATE grants SET ends = (
			SELECT CASE WHEN MAX(k.access_expires IS NULL OR k.refresh IS NOT NULL AND k.refresh_expires IS NULL) THEN NULL
				ELSE NULLIF(GREATEST(COALESCE(MAX(k.access_expires), 0), COALESCE(MAX(k.refresh_expires), 0), COALESCE(grants.code_expires, 0)), 0) END
			FROM tokens k WHERE k.of_grant = grants.seq)
		WHERE seq = ?`, grant)
	return err
}
