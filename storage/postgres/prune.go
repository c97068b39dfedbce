package postgres

import (
	"context"

	"github.com/enrollkit/enrollkit/storage"
)

var _ storage.Pruner = (*Store)(nil)

// The statements of Prune that look for rows. OFFSET 0 has each ticket looked at
// by itself, until there are enough. They skip rows that another step
// has locked: those are not over, or are being pruned.
const (
	attemptsOverSQL    = `DELETE FROM sso_states WHERE key = ANY (ARRAY(SELECT key FROM sso_states WHERE expires < $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)) AND expires < $1`
	sessionsOverSQL    = `DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM sessions WHERE expires < $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)) AND expires < $1`
	webSessionsOverSQL = `DELETE FROM web_sessions WHERE digest = ANY (ARRAY(SELECT digest FROM web_sessions WHERE expires < $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED)) AND expires < $1`
	commandsOverSQL    = `DELETE FROM commands WHERE seq = ANY (ARRAY(SELECT seq FROM commands WHERE place IS NULL AND updated < $1 ORDER BY updated LIMIT $2 FOR UPDATE SKIP LOCKED))`
	grantsOverSQL      = `SELECT seq FROM grants WHERE ends < $1 ORDER BY ends LIMIT $2 FOR UPDATE SKIP LOCKED`
	ticketsOverSQL     = `SELECT k.seq FROM tickets k WHERE k.issued < $1 AND k.state <> 'enrolled' AND k.state <> 'authenticated'
		AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.ticket = k.seq AND i.enrollment IS NOT NULL OFFSET 0)
		AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.ticket = k.seq OFFSET 0)
		ORDER BY k.issued LIMIT $2 FOR UPDATE SKIP LOCKED`
	// What remembers nothing but a lock goes along uncounted.
	locksOverSQL = `DELETE FROM ticket_sessions WHERE session = ANY (ARRAY(SELECT session FROM ticket_sessions WHERE issued < $1 ORDER BY issued LIMIT $2 FOR UPDATE SKIP LOCKED)) AND issued < $1`
)

// Prune implements storage.Pruner.
func (s *Store) Prune(ctx context.Context, p storage.PruneStep) (n int, err error) {
	// Where nobody claims pushes, what Enqueue requests of them would pile up.
	if err := s.countPending(ctx); err != nil {
		return 0, err
	}
	err = s.atomic(ctx, func(t *tx) (err error) {
		n, err = t.prune(moment(p.ExpiredBefore), moment(p.OverBefore), max(p.Limit, 0))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (t *tx) prune(expired, before any, limit int) (int, error) {
	if _, err := t.exec(locksOverSQL, before, limit); err != nil {
		return 0, err
	}
	left := limit
	for _, over := range []struct {
		delete string
		before any
	}{
		{attemptsOverSQL, expired}, {sessionsOverSQL, expired}, {webSessionsOverSQL, expired}, {commandsOverSQL, before},
	} {
		n, err := t.exec(over.delete, over.before, left)
		if err != nil {
			return 0, err
		}
		left -= int(n)
	}
	for _, owner := range []struct {
		find string
		// parts go first, then the rows themselves.
		delete []string
	}{
		{grantsOverSQL, []string{`DELETE FROM tokens WHERE of_grant = ANY ($1)`, `DELETE FROM grants WHERE seq = ANY ($1)`}},
		{ticketsOverSQL, []string{
			`DELETE FROM challenges WHERE ticket = ANY ($1)`, `DELETE FROM identities WHERE ticket = ANY ($1)`, `DELETE FROM tickets WHERE seq = ANY ($1)`,
		}},
	} {
		var found []int64
		err := t.each(owner.find, args{before, left}, func(scan func(...any) error) error {
			var seq int64
			err := scan(&seq)
			found = append(found, seq)
			return err
		})
		if err != nil {
			return 0, err
		}
		for _, statement := range owner.delete {
			if len(found) == 0 {
				break
			}
			if _, err := t.exec(statement, found); err != nil {
				return 0, err
			}
		}
		left -= len(found)
	}
	return limit - left, nil
}
