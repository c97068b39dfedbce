package sqlite

import (
	"context"

	"github.com/enrollkit/enrollkit/storage"
)

var _ storage.Pruner = (*Store)(nil)

// endGrant notes when all tokens and the code of a grant are over, if that is
// known.
func (t *tx) endGrant(grant int64) error {
	_, err := t.exec(`UPDATE grants SET ends = (
			SELECT CASE WHEN ifnull(max(k.access_expires IS NULL OR k.refresh IS NOT NULL AND k.refresh_expires IS NULL), 0) THEN NULL
				ELSE nullif(max(ifnull(max(k.access_expires), 0), ifnull(max(k.refresh_expires), 0), ifnull(grants.code_expires, 0)), 0) END
			FROM tokens k WHERE k.of_grant = grants.seq)
		WHERE seq = ?`, grant)
	return err
}

// Prune implements storage.Pruner.
func (s *Store) Prune(ctx context.Context, p storage.PruneStep) (n int, err error) {
	err = s.writer.do(ctx, func(t *tx) (err error) {
		n, err = t.prune(micros(p.ExpiredBefore), micros(p.OverBefore), max(p.Limit, 0))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (t *tx) prune(expired, before any, limit int) (int, error) {
	left := limit
	for _, over := range []struct {
		delete string
		before any
	}{
		{`DELETE FROM sso_states WHERE key IN (SELECT key FROM sso_states WHERE expires < ? LIMIT ?)`, expired},
		{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires < ? LIMIT ?)`, expired},
		{`DELETE FROM web_sessions WHERE digest IN (SELECT digest FROM web_sessions WHERE expires < ? LIMIT ?)`, expired},
		{`DELETE FROM commands WHERE seq IN (SELECT seq FROM commands WHERE place IS NULL AND updated < ? LIMIT ?)`, before},
	} {
		n, err := t.exec(over.delete, over.before, left)
		if err != nil {
			return 0, err
		}
		left -= int(n)
	}
	for _, owner := range []struct {
		find string
		// parts go first, then the row itself.
		delete []string
	}{
		{`SELECT seq FROM grants WHERE ends < ? LIMIT ?`, []string{`DELETE FROM tokens WHERE of_grant = ?`, `DELETE FROM grants WHERE seq = ?`}},
		{
			`SELECT k.seq FROM tickets k WHERE k.issued < ? AND k.state <> 'enrolled'
				AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.ticket = k.seq AND i.enrollment IS NOT NULL)
				AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.ticket = k.seq) LIMIT ?`,
			[]string{`DELETE FROM challenges WHERE ticket = ?`, `DELETE FROM identities WHERE ticket = ?`, `DELETE FROM tickets WHERE seq = ?`},
		},
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
		for _, seq := range found {
			for _, statement := range owner.delete {
				if _, err := t.exec(statement, seq); err != nil {
					return 0, err
				}
			}
		}
		left -= len(found)
	}
	return limit - left, nil
}
