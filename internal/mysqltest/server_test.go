package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// sql runs a statement, and returns the value that it reads.
func (s *Server) sql(t *testing.T, dsn, statement string) (string, error) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(t, err)
	defer db.Close()
	var value sql.NullString
	err = db.QueryRowContext(t.Context(), statement).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value.String, err
}

func (s *Server) root(t *testing.T, statement string) string {
	t.Helper()
	value, err := s.sql(t, s.AdminDSN(), statement)
	require.NoError(t, err, statement)
	return value
}

func TestServer(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		s := StartTest(t, Options{NoSync: noSync, Settings: map[string]string{"max_connections": "17"}})
		require.Equal(t, "17", s.root(t, "SELECT @@max_connections"))
		require.Equal(t, "1", s.root(t, "SELECT @@innodb_flush_log_at_trx_commit"))
		require.Equal(t, "1", s.root(t, "SELECT @@skip_networking"), "only the socket")
		require.Less(t, len(s.Socket()), 100)

		for _, statement := range []string{"CREATE DATABASE enroll_a", "CREATE TABLE enroll_a.kept (n INT)", "INSERT INTO enroll_a.kept VALUES (7)"} {
			_, err := s.sql(t, s.DSN(""), statement)
			require.NoError(t, err, statement)
		}
		_, err := s.sql(t, s.DSN(""), "CREATE DATABASE enrollb")
		require.Error(t, err, "another name")
		_, err = s.sql(t, s.DSN(""), "SET GLOBAL max_connections = 1")
		require.Error(t, err)

		pid, err := os.ReadFile(filepath.Join(s.dir, "pid"))
		require.NoError(t, err)
		require.NoError(t, s.Crash())
		_, err = s.sql(t, s.AdminDSN(), "SELECT 1")
		require.Error(t, err)
		require.Error(t, s.Crash(), "again")
		require.NoError(t, s.Restart(t.Context()))
		require.Equal(t, "7", s.root(t, "SELECT n FROM enroll_a.kept"))
		require.Regexp(t, "InnoDB: Starting crash recovery|Starting XA crash recovery", s.Log())
		require.NoError(t, At(s.Socket()).Stop(), "by who has not started it")
		require.Equal(t, "7", s.root(t, "SELECT n FROM enroll_a.kept"))

		dir := s.dir
		require.NoError(t, s.Stop())
		require.NoDirExists(t, dir)
		require.NoDirExists(t, filepath.Join("/proc", strings.TrimSpace(string(pid))))
		require.NoError(t, s.Stop(), "again")
	}
}

func TestAServerThatDoesNotStart(t *testing.T) {
	if _, err := find(t.Context()); errors.Is(err, ErrMissing) {
		Missing(t)
	}
	_, err := Start(t.Context(), Options{NoSync: true, Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, "unknown variable 'no_such_setting=1'")
}

func TestStartLeavesNothingBehind(t *testing.T) {
	if _, err := find(t.Context()); errors.Is(err, ErrMissing) {
		Missing(t)
	}
	temp := t.TempDir()
	require.NoError(t, os.Chmod(temp, 0o777)) //nolint:gosec // for the other user
	t.Setenv("TMPDIR", temp)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{})
	require.Error(t, err)
	entries, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAProgramThatIsNoMySQL(t *testing.T) {
	for name, text := range map[string]string{"/nowhere/mysqld": "no such file", "false": "exit status 1"} {
		t.Setenv(Program, name)
		_, err := Start(t.Context(), Options{})
		require.ErrorContains(t, err, "mysqltest: "+Program+": ")
		require.ErrorContains(t, err, text)
		require.NotErrorIs(t, err, ErrMissing, "a test is not skipped")
	}
	mariadb, err := program("mariadbd")
	if err != nil {
		Missing(t)
	}
	t.Setenv(Program, mariadb)
	_, err = Start(t.Context(), Options{})
	require.ErrorContains(t, err, "names a MariaDB")
}
