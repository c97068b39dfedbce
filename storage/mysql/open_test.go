package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// newDSN names an empty database.
func newDSN(t testing.TB) string {
	t.Helper()
	needServer(t)
	dsn, err := makeDatabase(server, t.TempDir())
	require.NoError(t, err)
	return dsn
}

// open opens a store, which has a key unless it is said otherwise.
func open(t testing.TB, o mysql.Options) *mysql.Store {
	t.Helper()
	if len(o.Keys) == 0 && !o.AllowUnsealed {
		o.Keys = options("").Keys
	}
	s, err := mysql.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// raw is the database without the store.
func raw(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// onMySQL reports whether it is a MySQL, and no MariaDB.
func onMySQL(t testing.TB, db *sql.DB) bool {
	t.Helper()
	var version string
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT version()`).Scan(&version))
	return !strings.Contains(version, "MariaDB")
}

func execute(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func ticket(id string) enroll.Ticket {
	return enroll.Ticket{ID: id, Ref: id, UserID: "u1", Way: mdm.WayProfile, Session: [32]byte{1}, Issued: time.Unix(1, 0)}
}

func TestOpenAtTheSameTime(t *testing.T) {
	for range 3 {
		dsn := newDSN(t)
		const n = 8
		errs := make([]error, n)
		stores := make([]*mysql.Store, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { stores[i], errs[i] = mysql.Open(t.Context(), options(dsn)) })
		}
		all.Wait()
		for i := range n {
			require.NoError(t, errs[i])
			require.NoError(t, stores[i].IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
			require.NoError(t, stores[i].Close())
		}
		var versions, different int
		require.NoError(t, raw(t, dsn).QueryRowContext(t.Context(), `SELECT count(*), count(DISTINCT version_id) FROM enrollkit_schema`).Scan(&versions, &different))
		require.Equal(t, different, versions, "a migration ran twice")
	}
}

// TestANodeDiesWhileItMigrates leaves what each moment of its death leaves.
func TestANodeDiesWhileItMigrates(t *testing.T) {
	for what, statements := range map[string][]string{
		"before the first version was noted": {`DROP TABLE tickets`, `TRUNCATE enrollkit_schema`},
		"in the middle of a migration":       {`DROP TABLE tickets, tokens, seals`, `DELETE FROM enrollkit_schema WHERE version_id > 0`},
		"before a migration was noted":       {`DELETE FROM enrollkit_schema WHERE version_id > 0`},
		"with the lock": {
			`DELETE FROM enrollkit_schema WHERE version_id > 0`,
			`UPDATE enrollkit_schema_lock SET locked = 1, locked_by = 'a node that died', lease_expires_at = now(6) + INTERVAL 1 SECOND`,
		},
	} {
		dsn := newDSN(t)
		require.NoError(t, open(t, options(dsn)).Close())
		db := raw(t, dsn+"?time_zone=%27%2B00:00%27")
		execute(t, db, statements...)
		s, err := mysql.Open(t.Context(), options(dsn))
		require.NoError(t, err, what)
		require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}), what)
		require.NoError(t, s.Close())
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, options(dsn))
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	require.NoError(t, s.Close())
	db := raw(t, dsn)
	var known int64
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT max(version_id) FROM enrollkit_schema`).Scan(&known))
	execute(t, db, fmt.Sprintf(`INSERT INTO enrollkit_schema (version_id, is_applied) VALUES (%d, 1)`, known+7), `RENAME TABLE tickets TO tickets_of_tomorrow`)

	_, err := mysql.Open(t.Context(), options(dsn))
	var schema *storage.SchemaError
	require.ErrorAs(t, err, &schema)
	require.Equal(t, storage.SchemaError{Found: known + 7, Known: known}, *schema)
	require.ErrorContains(t, err, "run the newer program")
	var there int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = 'tickets'`).Scan(&there))
	require.Zero(t, there, "the refused database was changed")
}

// TestNothingToMigrateNeedsNoRight opens with a user who may not define tables.
func TestNothingToMigrateNeedsNoRight(t *testing.T) {
	dsn := newDSN(t)
	require.NoError(t, open(t, options(dsn)).Close())
	_, name, _ := strings.Cut(dsn, ")/")
	execute(t, raw(t, server.AdminDSN()),
		`CREATE USER IF NOT EXISTS rowsonly@localhost`, fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO rowsonly@localhost", name))
	s := open(t, mysql.Options{DSN: strings.Replace(dsn, "enroll@", "rowsonly@", 1)})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
}

// TestAPassword opens with a user whom the server asks for one, in the way that is
// its default.
func TestAPassword(t *testing.T) {
	dsn := newDSN(t)
	_, name, _ := strings.Cut(dsn, ")/")
	execute(t, raw(t, server.AdminDSN()),
		`CREATE USER IF NOT EXISTS secretive@localhost IDENTIFIED BY 'a-password'`, fmt.Sprintf("GRANT ALL ON %s.* TO secretive@localhost", name))
	o := options(strings.Replace(dsn, "enroll@", "secretive:a-password@", 1))
	require.NoError(t, open(t, o).Close())
	o.DSN = strings.Replace(dsn, "enroll@", "secretive:another@", 1)
	_, err := mysql.Open(t.Context(), o)
	require.ErrorContains(t, err, "Access denied")
	require.NotContains(t, err.Error(), "another")
}

func TestOpenRefuses(t *testing.T) {
	dsn := newDSN(t)
	for what, c := range map[string]struct {
		o    mysql.Options
		text string
	}{
		"no DSN":                 {mysql.Options{}, "DSN"},
		"no DSN of this kind":    {mysql.Options{DSN: "mysql://enroll:a-password@localhost/enroll"}, "mysql: open"},
		"no database":            {mysql.Options{DSN: server.DSN("")}, "names no database"},
		"an unknown database":    {mysql.Options{DSN: server.DSN("enroll_nothing")}, "enroll_nothing"},
		"a server that is not":   {mysql.Options{DSN: "enroll:a-password@unix(/nowhere/s)/enroll"}, "mysql: open enroll on /nowhere/s"},
		"another user":           {mysql.Options{DSN: strings.Replace(dsn, "enroll@", "nobody:a-password@", 1)}, "Access denied"},
		"negative connections":   {mysql.Options{DSN: dsn, Connections: -1}, "negative"},
		"a negative lock":        {mysql.Options{DSN: dsn, LockTimeout: -time.Second}, "negative"},
		"a lock of half seconds": {mysql.Options{DSN: dsn, LockTimeout: time.Second / 2}, "whole seconds"},
		"no keys":                {mysql.Options{DSN: dsn}, "AllowUnsealed"},
		"a key of 3 bytes":       {mysql.Options{DSN: dsn, Keys: [][]byte{{1, 2, 3}}}, "3 bytes"},
	} {
		if c.o.Keys == nil && what != "no keys" {
			c.o.Keys = options("").Keys
		}
		_, err := mysql.Open(t.Context(), c.o)
		require.ErrorContains(t, err, "mysql: open", what)
		require.ErrorContains(t, err, c.text, what)
		require.NotContains(t, err.Error(), "a-password", what)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := mysql.Open(ctx, options(dsn))
	require.ErrorIs(t, err, context.Canceled)
}

// TestTheDSNDoesNotWeaken opens with everything in the DSN that would change
// what steps rely on, on a server whose own settings are bad enough.
func TestTheDSNDoesNotWeaken(t *testing.T) {
	dsn := newDSN(t) + "?parseTime=false&loc=Asia%2FTokyo&multiStatements=true&interpolateParams=true&clientFoundRows=false&charset=latin1" +
		"&collation=latin1_swedish_ci&sql_mode=%27%27&SQL_MODE=%27ANSI%27&time_zone=%27%2B09:00%27&autocommit=0&tx_isolation=%27SERIALIZABLE%27" +
		"&innodb_lock_wait_timeout=1&allowAllFiles=true&allowOldPasswords=true&rejectReadOnly=true&checkConnLiveness=false"
	s := open(t, mysql.Options{DSN: dsn, LockTimeout: 7 * time.Second})
	found, err := mysql.Variables(t.Context(), s)
	require.NoError(t, err)
	isolation := "tx_isolation"
	if onMySQL(t, raw(t, server.AdminDSN())) {
		isolation = "transaction_isolation"
	}
	for name, want := range map[string]string{
		isolation: "READ-COMMITTED", "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION", "time_zone": "+00:00", "autocommit": "ON",
		"innodb_lock_wait_timeout": "7", "character_set_client": "utf8mb4", "character_set_results": "utf8mb4", "collation_connection": "utf8mb4_bin",
	} {
		require.Equal(t, want, found[name], name)
	}
	require.ErrorContains(t, mysql.Step(t.Context(), s, func(tx *mysql.Tx) error { return tx.Exec(`SELECT 1; SELECT 2`) }), "syntax")
	k := ticket("t1")
	k.Ref = "é 字 😀 "
	require.NoError(t, s.IssueTicket(t.Context(), k, [32]byte{}))
	got, err := s.Ticket(t.Context(), "t1")
	require.NoError(t, err)
	require.Equal(t, []any{k.Ref, k.Issued.UTC()}, []any{got.Ref, got.Issued})
	k.ID, k.UserID = "t2", strings.Repeat("x", 256)
	require.ErrorContains(t, s.IssueTicket(t.Context(), k, [32]byte{}), "too long", "nothing is cut to fit")
}

func TestAnUnfitServer(t *testing.T) {
	fit := map[string]string{
		"version": "8.0.36", "max_allowed_packet": "67108864", "innodb_flush_log_at_trx_commit": "1", "log_bin": "ON", "sync_binlog": "1", "binlog_format": "ROW",
	}
	for _, c := range []struct {
		name, value string
		fit, lossy  bool // as they are, and with DangerouslyAllowLossyCommits
	}{
		{"version", "8.0.36", true, true},
		{"version", "8.0.13-log", true, true},
		{"version", "8.4.3", true, true},
		{"version", "9.1.0-commercial", true, true},
		{"version", "10.11.19-MariaDB-0+deb12u1", true, true},
		{"version", "10.6.0-MariaDB", true, true},
		{"version", "11.4.2-MariaDB-log", true, true},
		{"version", "5.5.5-10.11.2-MariaDB", true, true},
		{"version", "8.0.12", false, false},
		{"version", "5.7.44-log", false, false},
		{"version", "10.5.23-MariaDB", false, false},
		{"version", "5.5.5-10.5.2-MariaDB", false, false},
		{"version", "", false, false},
		{"version", "eight", false, false},
		{"max_allowed_packet", "4194304", false, false},
		{"max_allowed_packet", "", false, false},
		{"innodb_flush_log_at_trx_commit", "2", false, true},
		{"innodb_flush_log_at_trx_commit", "0", false, true},
		{"innodb_flush_log_at_trx_commit", "", false, true},
		{"sync_binlog", "0", false, true},
		{"binlog_format", "STATEMENT", false, false},
		{"binlog_format", "MIXED", true, true},
		{"binlog_format", "", true, true},
	} {
		found := map[string]string{}
		for name, value := range fit {
			found[name] = value
		}
		found[c.name] = c.value
		for lossy, want := range map[bool]bool{false: c.fit, true: c.lossy} {
			err := mysql.Unfit(found, lossy)
			if want {
				require.NoError(t, err, "%s %q", c.name, c.value)
				continue
			}
			var unfit *mysql.ServerError
			require.ErrorAs(t, err, &unfit, "%s %q", c.name, c.value)
			require.Equal(t, []string{c.name, c.value}, []string{unfit.Setting, unfit.Found})
		}
	}
	off := map[string]string{"version": "10.11.2-MariaDB", "max_allowed_packet": "16777216", "innodb_flush_log_at_trx_commit": "1", "log_bin": "OFF", "sync_binlog": "0", "binlog_format": "MIXED"}
	require.NoError(t, mysql.Unfit(off, false), "without a log nothing has to sync it")
}

func TestOpenRefusesALossyServer(t *testing.T) {
	needServer(t)
	lossy := mysqltest.StartTest(t, mysqltest.Options{NoSync: true, Settings: map[string]string{"innodb_flush_log_at_trx_commit": "2"}})
	dsn, err := makeDatabase(lossy, t.TempDir())
	require.NoError(t, err)
	_, err = mysql.Open(t.Context(), options(dsn))
	var unfit *mysql.ServerError
	require.ErrorAs(t, err, &unfit)
	require.Equal(t, "innodb_flush_log_at_trx_commit", unfit.Setting)
	require.ErrorContains(t, err, "takes what was acknowledged")
	s := open(t, mysql.Options{DSN: dsn, DangerouslyAllowLossyCommits: true})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
}
