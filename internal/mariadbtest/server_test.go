package mariadbtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sql runs statements by the server's own client.
func (s *Server) sql(t *testing.T, user, statement string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "-N", "-B", "-u", user, "-S", s.socket, "-e", statement).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (s *Server) root(t *testing.T, statement string) string {
	t.Helper()
	out, err := s.sql(t, "root", statement)
	require.NoError(t, err, out)
	return out
}

func TestServer(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		s := StartTest(t, Options{NoSync: noSync, Settings: map[string]string{"max_connections": "17"}})
		require.Equal(t, "17", s.root(t, "SELECT @@max_connections"))
		require.Equal(t, "1", s.root(t, "SELECT @@innodb_flush_log_at_trx_commit"))
		require.Equal(t, "1", s.root(t, "SELECT @@skip_networking"), "only the socket")
		require.Less(t, len(s.Socket()), 100)

		out, err := s.sql(t, "enroll", "CREATE DATABASE enroll_a; CREATE TABLE enroll_a.kept (n INT); INSERT INTO enroll_a.kept VALUES (7)")
		require.NoError(t, err, out)
		_, err = s.sql(t, "enroll", "CREATE DATABASE enrollb")
		require.Error(t, err, "another name")
		_, err = s.sql(t, "enroll", "SET GLOBAL max_connections = 1")
		require.Error(t, err)

		pid, err := os.ReadFile(filepath.Join(s.dir, "pid"))
		require.NoError(t, err)
		require.NoError(t, s.Crash())
		_, err = s.sql(t, "root", "SELECT 1")
		require.Error(t, err)
		require.Error(t, s.Crash(), "again")
		require.NoError(t, s.Restart(t.Context()))
		require.Equal(t, "7", s.root(t, "SELECT n FROM enroll_a.kept"))
		require.Contains(t, s.Log(), "InnoDB: Starting crash recovery")
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
	if _, err := program("mariadbd"); err != nil {
		Missing(t)
	}
	_, err := Start(t.Context(), Options{NoSync: true, Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, "unknown variable 'no_such_setting=1'")
}

func TestStartLeavesNothingBehind(t *testing.T) {
	if _, err := program("mariadbd"); err != nil {
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
