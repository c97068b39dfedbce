package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

func open(t testing.TB, path string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// raw is the database without the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func ticket(id string) enroll.Ticket {
	return enroll.Ticket{ID: id, Ref: id, UserID: "u1", Way: mdm.WayProfile, Session: [32]byte{1}, Issued: time.Unix(1, 0)}
}

func TestOpenAtTheSameTime(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "enroll.db")
		const n = 8
		errs := make([]error, n)
		stores := make([]*sqlite.Store, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { stores[i], errs[i] = sqlite.Open(t.Context(), path, patient()) })
		}
		all.Wait()
		for i := range n {
			require.NoError(t, errs[i])
			require.NoError(t, stores[i].IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
			require.NoError(t, stores[i].Close())
		}
		var versions, different int
		require.NoError(t, raw(t, path).QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT version_id) FROM enrollkit_schema`).Scan(&versions, &different))
		require.Equal(t, different, versions, "a migration ran twice")
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	require.NoError(t, s.Close())
	db := raw(t, path)
	var known int64
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT max(version_id) FROM enrollkit_schema`).Scan(&known))
	_, err := db.ExecContext(t.Context(), `INSERT INTO enrollkit_schema (version_id, is_applied) VALUES (?, 1)`, known+7)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	_, err = sqlite.Open(t.Context(), path, sqlite.Options{AllowUnsealed: true})
	var schema *storage.SchemaError
	require.ErrorAs(t, err, &schema)
	require.Equal(t, storage.SchemaError{Found: known + 7, Known: known}, *schema)
	require.ErrorContains(t, err, "run the newer program")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "the refused database was changed")
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(other, []byte("this is a text and no database, but long enough to be looked at as if it were one. "+
		"this is a text and no database, but long enough to be looked at as if it were one."), 0o600))
	for what, path := range map[string]string{
		"no path":            "",
		"no such directory":  filepath.Join(dir, "nothing", "enroll.db"),
		"a directory":        dir,
		"not a database":     other,
		"a file in the path": filepath.Join(other, "enroll.db"),
	} {
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{AllowUnsealed: true})
		require.ErrorContains(t, err, "sqlite: open", what)
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(dir, "enroll.db"), sqlite.Options{Readers: -1})
	require.ErrorContains(t, err, "negative")
	_, err = sqlite.Open(t.Context(), filepath.Join(dir, "enroll.db"), sqlite.Options{})
	require.ErrorContains(t, err, "no Keys")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = sqlite.Open(ctx, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.ErrorIs(t, err, context.Canceled)
}

func TestNamesOfFiles(t *testing.T) {
	for _, name := range []string{"with space.db", "per%20cent?.db", "hash#mark&x=1.db", "größe.db", "semi;colon.db"} {
		if runtime.GOOS == "windows" && name == "per%20cent?.db" {
			continue
		}
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, name), sqlite.Options{AllowUnsealed: true})
		require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
		require.NoError(t, s.Close())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		require.Equal(t, name, entries[0].Name())
	}
}

func TestOnlyTheOwnerReads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: files have no modes on Windows")
	}
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3, "the database, its log and the log's index")
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
	}
}

func TestEveryCommitIsSynced(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	var synchronous int
	var mode string
	require.NoError(t, s.Do(func(tx *sqlite.Tx) error {
		if _, err := tx.Get(`PRAGMA synchronous`, &synchronous); err != nil {
			return err
		}
		_, err := tx.Get(`PRAGMA journal_mode`, &mode)
		return err
	}))
	require.Equal(t, 2, synchronous, "FULL: with NORMAL a loss of power takes the last commits")
	require.Equal(t, "wal", mode)
}
