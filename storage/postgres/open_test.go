package postgres_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

func TestOpenAtTheSameTime(t *testing.T) {
	dsn := place(t)
	const n = 8
	errs := make([]error, n)
	stores := make([]*postgres.Store, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { stores[i], errs[i] = postgres.Open(t.Context(), keyed(dsn, masterKey(1))) })
	}
	all.Wait()
	for i := range n {
		require.NoError(t, errs[i])
		require.NoError(t, stores[i].IssueTicket(t.Context(), ticket("a"), [32]byte{}))
		require.NoError(t, stores[i].Close())
	}
	var versions, different, marks int
	require.NoError(t, raw(t, dsn).QueryRow(t.Context(), `SELECT count(*), count(DISTINCT version_id), (SELECT count(*) FROM seals) FROM enrollkit_schema`).Scan(&versions, &different, &marks))
	require.Equal(t, different, versions, "a migration ran twice")
	require.Equal(t, 1, marks)
}

// TestOpenAfterANodeDiedMigrating leaves the lock of a node that is gone, whose
// lease is over.
func TestOpenAfterANodeDiedMigrating(t *testing.T) {
	dsn := place(t)
	conn := raw(t, dsn)
	exec(t, conn, `CREATE TABLE enrollkit_schema_lock (lock_id bigint NOT NULL PRIMARY KEY, locked boolean NOT NULL DEFAULT false,
		locked_at timestamptz NULL, locked_by text NULL, lease_expires_at timestamptz NULL, updated_at timestamptz NULL)`)
	exec(t, conn, `INSERT INTO enrollkit_schema_lock (lock_id, locked, locked_by, lease_expires_at) VALUES (4097083626, true, 'gone', now() - interval '1 second')`)
	open(t, keyed(dsn, masterKey(1)))
}

func TestOneConnectionSuffices(t *testing.T) {
	o := keyed(place(t), masterKey(1))
	o.Connections = 1
	s := open(t, o)
	enrolled(t, s, "a")
	require.NoError(t, s.SuspendUser(t.Context(), "u1", true))
	_, err := s.State(t.Context())
	require.NoError(t, err)
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dsn := place(t)
	enrolled(t, open(t, keyed(dsn, masterKey(1))), "a")
	before := dump(t, dsn)
	conn := raw(t, dsn)
	var known int64
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT max(version_id) FROM enrollkit_schema`).Scan(&known))
	exec(t, conn, `INSERT INTO enrollkit_schema (version_id, is_applied) VALUES ($1, true)`, known+7)
	_, err := postgres.Open(t.Context(), keyed(dsn, masterKey(1)))
	var schema *storage.SchemaError
	require.ErrorAs(t, err, &schema)
	require.Equal(t, storage.SchemaError{Found: known + 7, Known: known}, *schema)
	require.ErrorContains(t, err, "run the newer program")
	require.Equal(t, before, dump(t, dsn))
	exec(t, conn, `DELETE FROM enrollkit_schema WHERE version_id > $1`, known)
	secretsAreThere(t, open(t, keyed(dsn, masterKey(1))), began, "a")
}

func TestOpenRefuses(t *testing.T) {
	good := keyed(place(t), masterKey(1))
	for what, change := range map[string]func(*postgres.Options){
		"no DSN":               func(o *postgres.Options) { o.DSN = "" },
		"a DSN that is none":   func(o *postgres.Options) { o.DSN = "postgres://user:the-password@:port/" },
		"no server there":      func(o *postgres.Options) { o.DSN = "host=/nowhere user=x password=the-password" },
		"negative connections": func(o *postgres.Options) { o.Connections = -1 },
		"no such database":     func(o *postgres.Options) { o.DSN += "&dbname=nothing" },
	} {
		o := good
		change(&o)
		_, err := postgres.Open(t.Context(), o)
		require.ErrorContains(t, err, "postgres: open", what)
		require.NotContains(t, err.Error(), "the-password", what)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := postgres.Open(ctx, good)
	require.ErrorIs(t, err, context.Canceled)
}

func TestLossyCommitsMustBeMeant(t *testing.T) {
	server := pgtest.StartTest(t, pgtest.Options{NoSync: true})
	o := keyed(server.DSN(), masterKey(1))
	o.DangerouslyAllowLossyCommits = false
	_, err := postgres.Open(t.Context(), o)
	require.ErrorContains(t, err, "fsync is off")
	for setting, refused := range map[string]bool{"off": true, "local": false, "on": false} {
		server := pgtest.StartTest(t, pgtest.Options{Settings: map[string]string{"synchronous_commit": setting}})
		o := keyed(server.DSN(), masterKey(1))
		o.DangerouslyAllowLossyCommits = false
		s, err := postgres.Open(t.Context(), o)
		if refused {
			require.ErrorContains(t, err, "synchronous_commit is off")
			continue
		}
		require.NoError(t, err, setting)
		require.NoError(t, s.Close())
	}
}

func TestAnotherEncodingIsRefused(t *testing.T) {
	dsn := needServer(t)
	exec(t, raw(t, dsn), `DROP DATABASE IF EXISTS latin`)
	exec(t, raw(t, dsn), `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`)
	_, err := postgres.Open(t.Context(), keyed(dsn+"&dbname=latin", masterKey(1)))
	require.ErrorContains(t, err, "encoding is LATIN1")
}

func TestClosedStoresFail(t *testing.T) {
	s := open(t, keyed(place(t), masterKey(1)))
	require.NoError(t, s.Close())
	for name, step := range steps(t.Context(), s) {
		ours(t, step(), name)
	}
	require.NoError(t, s.Close(), "again")
}
