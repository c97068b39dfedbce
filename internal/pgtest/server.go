// Package pgtest starts private PostgreSQL servers for tests, from the programs
// that a distribution installs: in a directory of their own, on a Unix socket in
// it, under an unprivileged user, and without a trace after Stop. A server ends
// with the process that started it, however that ends.
package pgtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/internal/unprivileged"
)

// ErrMissing: the programs of PostgreSQL are not installed.
var ErrMissing = errors.New("pgtest: no initdb and postgres in PATH or /usr/lib/postgresql (Debian: apt-get install postgresql)")

// Options are the settings of a server.
type Options struct {
	// NoSync makes commits fast and a crash of the machine fatal. It is for tests
	// that ask whether answers are right, and for none that kills the server or
	// measures it.
	NoSync bool
	// Settings are further ones, such as max_connections.
	Settings map[string]string
}

// Server is a running server.
type Server struct {
	options Options
	dir     string // the owner of all below
	bin     string
	user    *unprivileged.Account

	cmd   *exec.Cmd
	stdin io.WriteCloser // the server ends when it closes
}

// Start starts a server with an empty database. The error is ErrMissing when
// there is no PostgreSQL on this machine.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	user, err := unprivileged.Find("postgres")
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	// Not below the directory of a test: that is closed to the other user. The
	// path of a socket has to be short anyway.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &Server{options: o, dir: dir, bin: bin, user: user}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// StartTest starts a server that is stopped when the test ends. When PostgreSQL
// is missing the test is skipped, and fails with CI=true.
func StartTest(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if errors.Is(err, ErrMissing) {
		Missing(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Missing skips a test because there is no PostgreSQL, or fails it with CI=true.
func Missing(t testing.TB) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(ErrMissing)
	}
	t.Skipf("SKIPPED: NOT TESTED is storage in PostgreSQL: %v", ErrMissing)
}

// programs finds the directory with initdb and postgres, those of the newest
// version first.
func programs() (string, error) {
	candidates := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(b, a)) })
		candidates = append(candidates, found...)
	}
	for _, dir := range candidates {
		if executable(dir, "initdb") && executable(dir, "postgres") && executable(dir, "pg_isready") {
			return dir, nil
		}
	}
	return "", ErrMissing
}

func executable(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// create makes the database.
func (s *Server) create(ctx context.Context) error {
	for _, dir := range []string{s.dir, s.sockets()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
		if err := s.user.Own(dir); err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
	}
	out, err := s.command(ctx, "initdb", "--pgdata="+s.data(), "--username=enrollkit", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) sockets() string { return filepath.Join(s.dir, "s") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// command is a program of PostgreSQL, run by its user.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return s.as(exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)) //nolint:gosec // programs of a fixed name
}

func (s *Server) as(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	s.user.Run(cmd)
	return cmd
}

// watched runs the server and ends it when nobody holds standard input open any
// more, that is, at the latest, when the test process is gone. Then, without the
// word that end leaves, it also removes the server's directory.
const watched = `dir=$1; shift; "$@" </dev/null & server=$!
read -r word; kill -INT "$server" 2>/dev/null; wait "$server"
[ "$word" = keep ] || rm -rf "$dir"`

// run starts the server and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	args := []string{"-c", watched, "sh", s.dir, filepath.Join(s.bin, "postgres"), "-D", s.data(), "-k", s.sockets(), "-h", ""}
	settings := map[string]string{"max_connections": "200", "log_checkpoints": "off", "timezone": "UTC"}
	if s.options.NoSync {
		settings["fsync"], settings["full_page_writes"], settings["synchronous_commit"] = "off", "off", "off"
	}
	for name, value := range s.options.Settings {
		settings[name] = value
	}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	// The server outlives the call, and ends by its standard input.
	s.cmd = s.as(exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", args...)) //nolint:gosec // programs of a fixed name
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.end())
	}
	return nil
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // for a server that hangs
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.command(ctx, "pg_isready", "-q", "-h", s.sockets()).Run(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pgtest: the server does not answer: %w\n%s", ctx.Err(), s.Log())
		case <-tick.C:
		}
	}
}

// DSN is the address of the server's database, as a URL without a password.
func (s *Server) DSN() string {
	return "postgres:///postgres?" + url.Values{"host": {s.sockets()}, "user": {"enrollkit"}, "sslmode": {"disable"}}.Encode()
}

// Log is what the server has logged.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// Crash ends the server at once: connections break, nothing is written any
// more, and the next start recovers from the log.
func (s *Server) Crash() error {
	pid, err := s.postmaster()
	if err != nil {
		return err
	}
	postmaster, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("pgtest: crash: %w", err)
	}
	if err := postmaster.Signal(syscall.SIGQUIT); err != nil { // to end at once
		return fmt.Errorf("pgtest: crash: %w", err)
	}
	return s.end()
}

func (s *Server) postmaster() (int, error) {
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("pgtest: the server does not run: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("pgtest: postmaster.pid begins with %q", line)
	}
	return pid, nil
}

// Restart starts the server again after Crash.
func (s *Server) Restart(ctx context.Context) error { return s.run(ctx) }

// end waits for the server's end.
func (s *Server) end() error {
	if s.cmd == nil {
		return nil
	}
	// Whether this is read does not matter: the directory is removed by Stop too.
	_, _ = io.WriteString(s.stdin, "keep\n")
	closeErr := s.stdin.Close()
	err := s.cmd.Wait()
	s.cmd = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) { // how it exits does not matter any more
		err = nil
	}
	if errors.Is(closeErr, fs.ErrClosed) {
		closeErr = nil
	}
	return errors.Join(err, closeErr)
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error { return errors.Join(s.end(), os.RemoveAll(s.dir)) }
