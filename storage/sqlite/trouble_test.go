package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// TestAFullDisk fills the database; what was refused is not there, what was
// acknowledged is, and when there is room again the store goes on.
func TestAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{})
	var pages, limit int
	require.NoError(t, s.Do(func(tx *sqlite.Tx) error {
		if _, err := tx.Get(`PRAGMA page_count`, &pages); err != nil {
			return err
		}
		_, err := tx.Get(fmt.Sprint(`PRAGMA max_page_count = `, pages+4), &limit)
		return err
	}))
	kept := map[string]bool{}
	full := 0
	for round := 0; full < 3; round++ {
		require.Less(t, round, 1000, "the database does not fill")
		const n = 8
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { errs[i] = s.IssueTicket(t.Context(), ticket(fmt.Sprint("t", round, "-", i)), [32]byte{}) })
		}
		all.Wait()
		for i, err := range errs {
			kept[fmt.Sprint("t", round, "-", i)] = err == nil
			if err != nil {
				require.ErrorContains(t, err, "full")
				full++
			}
		}
	}
	_, err := s.Ticket(t.Context(), "t0-0")
	require.NoError(t, err, "reading")
	require.NoError(t, s.Do(func(tx *sqlite.Tx) error {
		_, err := tx.Get(`PRAGMA max_page_count = 1000000`, &limit)
		return err
	}))
	require.NoError(t, s.IssueTicket(t.Context(), ticket("last"), [32]byte{}))
	require.NoError(t, s.Close())
	s = open(t, path, sqlite.Options{})
	for id, there := range kept {
		_, err := s.Ticket(t.Context(), id)
		require.Equal(t, there, err == nil, "ticket %s: acknowledged is %v", id, there)
	}
}

func TestAnotherProcessWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{BusyTimeout: 10 * time.Millisecond})
	conn, err := raw(t, path).Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`)
	require.NoError(t, err)
	require.ErrorContains(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}), "locked")
	_, err = s.Ticket(t.Context(), "t1")
	require.Error(t, err)
	_, err = s.State(t.Context())
	require.NoError(t, err, "reading waits for nobody")
	_, err = conn.ExecContext(t.Context(), `ROLLBACK`)
	require.NoError(t, err)
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
}

func TestATransactionThatBreaks(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{})
	refused := errors.New("refused")
	require.ErrorIs(t, s.Do(func(tx *sqlite.Tx) error {
		if err := tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1')`); err != nil {
			return err
		}
		if err := tx.Exec(`ROLLBACK`); err != nil { // as SQLite does by itself in some errors
			return err
		}
		return refused
	}), refused)
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}), "the next step")
}

func TestManyReadersAndFewConnections(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{Readers: 1})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() {
			_, err := s.State(t.Context())
			_, other := s.Ticket(t.Context(), "t1")
			errs[i] = errors.Join(err, other)
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}
