// Package mysqltest starts private servers for tests: in a directory of their
// own, on a Unix socket in it, under an unprivileged user, and without a trace
// after Stop. A server ends with the process that started it, however that ends.
//
// It is the MariaDB that the distribution has installed. To test with a MySQL
// instead, name its mysqld, which the unprivileged user has to be able to run:
//
//	ENROLLKIT_TEST_MYSQLD=/opt/mysql/bin/mysqld go test ./storage/mysql/...
package mysqltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/internal/unprivileged"
)

// Options are the settings of a server.
type Options struct {
	// NoSync makes commits fast and a crash of the machine fatal. It is for tests
	// that ask whether answers are right, and for none that measures the server.
	// What was committed survives Crash.
	NoSync bool
	// MaxFile is how many bytes a file of the server may have, as if the disk
	// were full then; 0 is no bound. It is to be above 80 MiB.
	MaxFile int64
	// Settings are further ones, such as max_connections.
	Settings map[string]string
}

// Server is a running server.
type Server struct {
	options Options
	dir     string // the owner of all below; empty when another process has started it
	socket  string
	programs
	user *unprivileged.Account

	cmd   *exec.Cmd
	stdin io.WriteCloser // the server ends when it closes
}

// Start starts a server without databases. The error is ErrMissing when there
// is no server on this machine. Its settings are the defaults of the server, or
// worse, so that a store has to ask for what it needs.
func Start(ctx context.Context, o Options) (*Server, error) {
	programs, err := find(ctx)
	if err != nil {
		return nil, err
	}
	user, err := unprivileged.Find("mysql")
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, ErrMissing
	}
	if err != nil {
		return nil, fmt.Errorf("mysqltest: %w", err)
	}
	dir, err := makeDir(o)
	if err != nil {
		return nil, fmt.Errorf("mysqltest: %w", err)
	}
	s := &Server{options: o, dir: dir, socket: filepath.Join(dir, "s"), programs: programs, user: user}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// At is the server on a socket, which another process has started and stops.
func At(socket string) *Server { return &Server{socket: socket} }

// StartTest starts a server that is stopped when the test ends. When there is
// none the test is skipped, and fails with CI=true.
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

// Missing skips a test because there is no server, or fails it with CI=true.
func Missing(t testing.TB) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(ErrMissing)
	}
	t.Skipf("SKIPPED: NOT TESTED is storage in MySQL and MariaDB: %v", ErrMissing)
}

// makeDir makes the server's directory. Not below the directory of a test: that
// is closed to the other user. The path of a socket has to be short anyway.
func makeDir(o Options) (string, error) {
	base := os.TempDir()
	if memory := inMemory(); o.NoSync && memory != "" {
		base = memory
	} else if len(base) > 80 {
		base = "/tmp"
	}
	return os.MkdirTemp(base, "mysql")
}

// command is a program of the server, run by its user.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // programs of a fixed name
	cmd.Dir = s.dir
	// A server deletes what it takes for its own in TMPDIR, other servers' too.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir, "TMPDIR="+s.dir)
	s.user.Run(cmd)
	return cmd
}

// datadir are the settings that making the database and running it share.
func (s *Server) datadir() []string {
	args := append([]string{"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data")}, s.always...)
	if s.options.NoSync {
		args = append(args, "--innodb-flush-method=nosync")
	}
	return args
}

// create makes the database, and a user who may do everything with databases
// whose names begin with "enroll_", and nothing else.
func (s *Server) create(ctx context.Context) error {
	if err := s.user.Own(s.dir); err != nil {
		return fmt.Errorf("mysqltest: %w", err)
	}
	out, err := s.command(ctx, s.install[0], append(s.datadir(), s.install[1:]...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mysqltest: %s: %w\n%s", s.install[0], err, out)
	}
	const init = "CREATE USER IF NOT EXISTS enroll@localhost;\nGRANT ALL ON `enroll\\_%`.* TO enroll@localhost;\n"
	if err := os.WriteFile(filepath.Join(s.dir, "init.sql"), []byte(init), 0o644); err != nil { //nolint:gosec // for the other user
		return fmt.Errorf("mysqltest: %w", err)
	}
	return nil
}

// watched runs the server until a line on standard input says how it ends. When
// nobody holds that open any more, that is, when the test process is gone, it
// ends too, and takes its directory along.
const watched = `
if [ "$1" -gt 0 ]; then
	trap '' XFSZ
	ulimit -f "$1" || exit
fi
shift
"$@" </dev/null & server=$!
if read -r how; then
	if [ "$how" = crash ]; then kill -KILL "$server"; else kill "$server"; fi
	wait "$server"
else
	kill -KILL "$server"
	wait "$server"
	dir=$PWD
	cd / && rm -rf "$dir"
fi 2>/dev/null`

// run starts the server and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	const block = 512
	args := append([]string{"-c", watched, "sh", strconv.FormatInt(s.options.MaxFile/block, 10), s.server}, s.datadir()...)
	args = append(args, "--socket="+s.socket, "--pid-file="+filepath.Join(s.dir, "pid"), "--skip-networking", "--init-file="+filepath.Join(s.dir, "init.sql"))
	args = append(args, s.only...)
	settings := map[string]string{
		"max_connections": "400", "innodb_buffer_pool_size": "256M",
		// What a store has to say otherwise for its sessions.
		"sql_mode": "", "character_set_server": "latin1", "collation_server": "latin1_swedish_ci", "default_time_zone": "+05:30",
		"transaction_isolation": "SERIALIZABLE",
	}
	for name, value := range s.options.Settings {
		settings[name] = value
	}
	for name, value := range settings {
		args = append(args, "--"+name+"="+value)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("mysqltest: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	// The server outlives the call, and ends by its standard input.
	cmd := s.command(context.WithoutCancel(ctx), "/bin/sh", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("mysqltest: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("mysqltest: %w", err)
	}
	s.cmd = cmd
	if err := s.ready(ctx); err != nil {
		return errors.Join(err, s.end("crash"))
	}
	return nil
}

// aborted is the last line of the log of a server that does not start, with a
// number and the part of the server in MySQL.
var aborted = regexp.MustCompile(`\[ERROR\] (\[MY-\d+\] \[Server\] )?Aborting`)

// ready waits until the server greets who connects.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // for a server that hangs
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.greeted(ctx)
		if err == nil {
			return nil
		}
		if log := s.Log(); aborted.MatchString(log) {
			return fmt.Errorf("mysqltest: the server does not start:\n%s", log)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("mysqltest: the server does not answer: %w: %w\n%s", ctx.Err(), err, s.Log())
		case <-tick.C:
		}
	}
}

func (s *Server) greeted(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, err = io.ReadFull(conn, make([]byte, 5))
	return errors.Join(err, conn.Close())
}

// DSN is the address of a database, which need not be there, for a user who may
// do everything with databases whose names begin with "enroll_", and nothing
// else.
func (s *Server) DSN(database string) string { return "enroll@unix(" + s.socket + ")/" + database }

// AdminDSN is the address of the server for who may do everything.
func (s *Server) AdminDSN() string { return "root@unix(" + s.socket + ")/" }

// Socket is where the server listens.
func (s *Server) Socket() string { return s.socket }

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

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
	if s.cmd == nil {
		return errors.New("mysqltest: the server does not run")
	}
	return s.end("crash")
}

// Restart starts the server again after Crash.
func (s *Server) Restart(ctx context.Context) error { return s.run(ctx) }

// end tells how the server is to end and waits for that.
func (s *Server) end(how string) error {
	if s.cmd == nil {
		return nil
	}
	_, err := io.WriteString(s.stdin, how+"\n")
	waited := s.cmd.Wait()
	s.cmd = nil
	var exit *exec.ExitError
	if errors.As(waited, &exit) { // how it exits does not matter any more
		waited = nil
	}
	return errors.Join(err, waited)
}

// Stop ends the server and removes its directory.
func (s *Server) Stop() error {
	if s.dir == "" {
		return nil
	}
	return errors.Join(s.end("crash"), os.RemoveAll(s.dir))
}
