package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sql runs statements by the server's own client.
func (s *Server) sql(t *testing.T, statement string) string {
	t.Helper()
	psql := filepath.Join(s.bin, "psql")
	if !executable(s.bin, "psql") {
		psql = "psql"
	}
	out, err := exec.CommandContext(t.Context(), psql, "-X", "-q", "-A", "-t", "-d", s.DSN(), "-c", statement).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func TestServer(t *testing.T) {
	s := StartTest(t, Options{Settings: map[string]string{"max_connections": "17"}})
	require.Equal(t, "17", s.sql(t, "SHOW max_connections"))
	require.Equal(t, "on", s.sql(t, "SHOW fsync"))
	require.Equal(t, "", s.sql(t, "SHOW listen_addresses"), "only the socket")
	s.sql(t, "CREATE TABLE kept (n int)")
	s.sql(t, "INSERT INTO kept VALUES (7)")
	require.NoError(t, s.Crash())
	require.Error(t, s.command(t.Context(), "pg_isready", "-q", "-h", s.sockets()).Run())
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, "7", s.sql(t, "SELECT n FROM kept"))
	require.Contains(t, s.Log(), "not properly shut down")

	pid, err := s.postmaster()
	require.NoError(t, err)
	dir := s.dir
	require.NoError(t, s.Stop())
	require.NoDirExists(t, dir)
	require.NoDirExists(t, filepath.Join("/proc", strconv.Itoa(pid)))
	require.NoError(t, s.Stop(), "again")
}

func TestNoSync(t *testing.T) {
	s := StartTest(t, Options{NoSync: true})
	require.Equal(t, "off", s.sql(t, "SHOW fsync"))
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin"); err == nil && len(found) > 0 {
		dir, err := programs()
		require.NoError(t, err)
		require.Contains(t, found, dir)
		return
	}
	_, err := Start(context.Background(), Options{})
	require.ErrorIs(t, err, ErrMissing)
}

func TestStartLeavesNothingBehind(t *testing.T) {
	if _, err := programs(); err != nil {
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

// childVariable makes TestKilledTestsLeaveNothingBehind a test that is killed.
const childVariable = "PGTEST_CHILD"

func TestKilledTestsLeaveNothingBehind(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		s := StartTest(t, Options{NoSync: true})
		pid, err := s.postmaster()
		require.NoError(t, err)
		_, err = fmt.Println("server", pid, s.dir)
		require.NoError(t, err)
		select {} // until it is killed
	}
	if _, err := programs(); err != nil {
		Missing(t)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledTestsLeaveNothingBehind$") //nolint:gosec // the test itself
	child.Env = append(os.Environ(), childVariable+"=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var pid int
	var dir string
	lines := bufio.NewScanner(out)
	for dir == "" && lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "server %d %s", &pid, &dir)
	}
	require.DirExists(t, dir)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait() // it was killed
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, time.Minute, 20*time.Millisecond)
	require.NoDirExists(t, filepath.Join("/proc", strconv.Itoa(pid)))
}
