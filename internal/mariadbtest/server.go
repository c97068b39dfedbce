// Package mariadbtest runs a private MariaDB server for tests: in a directory of
// its own, on a Unix socket, as a user without rights when the tests run as
// root, and stopped when the tests end, however they end.
package mariadbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrMissing: MariaDB's server is not installed, or cannot run here.
var ErrMissing = errors.New("mariadbtest: MariaDB's server (Debian's mariadb-server) is missing")

// shared names the socket of a running server to a child of the process that
// started it.
const shared = "MARIADBTEST_SOCKET"

// prefix is what the names of a User's databases begin with.
const prefix = "enroll_"

// Server is a running MariaDB server.
type Server struct {
	dir    string // empty: another process has started it
	socket string

	keeper *exec.Cmd
	tell   io.WriteCloser // to the keeper
}

// Start makes and starts a server. In a child of the process that has started
// one it returns that. It is ErrMissing where there can be none. The server keeps
// every commit on its disk, and is otherwise set as no store would like it, so
// that a store has to say what it needs.
func Start() (*Server, error) {
	if socket := os.Getenv(shared); socket != "" {
		return &Server{socket: socket}, nil
	}
	install, err := program("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	if _, err := program("mariadbd"); err != nil {
		return nil, err
	}
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, socket: filepath.Join(dir, "s")}
	if err := s.install(install); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Run(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, os.Setenv(shared, s.socket)
}

// program finds a program, also where only root's PATH leads.
func program(name string) (string, error) {
	for _, path := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("%w: no %s", ErrMissing, name)
}

// newDir makes the server's directory. The path of a socket has to be short.
func newDir() (string, error) {
	dir, err := os.MkdirTemp("", "mariadb")
	if err == nil && len(dir) > 90 {
		if err := os.Remove(dir); err != nil {
			return "", err
		}
		dir, err = os.MkdirTemp("/tmp", "mariadb") //nolint:usetesting // there is no test to ask
	}
	return dir, err
}

// defaults are the settings of the server.
func (s *Server) defaults() []string {
	return []string{
		"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--innodb-log-file-size=32M",
	}
}

func (s *Server) install(program string) error {
	if err := give(s.dir); err != nil {
		return err
	}
	cmd := exec.Command(program, append(s.defaults(), "--auth-root-authentication-method=normal", "--skip-test-db")...) //nolint:gosec,noctx // it ends by itself
	if err := demote(cmd); err != nil {
		return err
	}
	cmd.Dir = s.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadbtest: make a data directory: %w: %s", err, out)
	}
	init := "CREATE USER enroll@localhost;\nGRANT ALL ON `" + strings.ReplaceAll(prefix, "_", `\_`) + "%`.* TO enroll@localhost;\n"
	return os.WriteFile(filepath.Join(s.dir, "init.sql"), []byte(init), 0o644) //nolint:gosec // the server's user reads it
}

// keeper runs the server until it is told otherwise, or its input ends because
// the tests are gone. Then it takes the directory along.
const keeper = `
dir=$1; shift
"$@" </dev/null >>"$dir/log" 2>&1 &
server=$!
if read -r how; then
	case $how in
	crash) kill -9 $server ;;
	*) kill $server ;;
	esac
	wait $server
else
	kill $server
	wait $server
	rm -rf "$dir"/*
fi
`

// Run starts the server again after Stop or Crash.
func (s *Server) Run() error {
	server, err := program("mariadbd")
	if err != nil {
		return err
	}
	args := append([]string{"-c", keeper, "keeper", s.dir, server}, s.defaults()...)
	args = append(args,
		"--socket="+s.socket, "--pid-file="+filepath.Join(s.dir, "pid"), "--skip-networking",
		"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=256M", "--max-connections=400",
		// As no store would like it.
		"--sql-mode=", "--character-set-server=latin1", "--collation-server=latin1_swedish_ci", "--default-time-zone=+05:30",
		"--transaction-isolation=SERIALIZABLE",
	)
	if _, err := os.Stat(filepath.Join(s.dir, "init.sql")); err == nil {
		args = append(args, "--init-file="+filepath.Join(s.dir, "init.sql"))
	}
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec,noctx // Stop ends it
	if err := demote(cmd); err != nil {
		return err
	}
	cmd.Dir = s.dir
	if s.tell, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("mariadbtest: %w", err)
	}
	s.keeper = cmd
	if err := s.wait(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return errors.Join(fmt.Errorf("mariadbtest: %w: %s", err, log), s.end("crash"))
	}
	// It runs once.
	if err := os.Remove(filepath.Join(s.dir, "init.sql")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// wait returns when the server answers.
func (s *Server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		if err == nil {
			// It greets when it is ready.
			err = conn.SetReadDeadline(time.Now().Add(time.Minute))
			if err == nil {
				_, err = io.ReadFull(conn, make([]byte, 5))
			}
			return errors.Join(err, conn.Close())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// DSN names a database of the server to github.com/go-sql-driver/mysql, for a
// user who may do everything with it and nothing else. The name must begin with
// that of Database.
func (s *Server) DSN(database string) string {
	return "enroll@unix(" + s.socket + ")/" + database
}

// AdminDSN is for who may do everything with the server.
func (s *Server) AdminDSN() string {
	return "root@unix(" + s.socket + ")/"
}

// Database is a name for a database that the user of DSN may make.
func Database(suffix string) string { return prefix + suffix }

// Crash kills the server, as if its process had died. Run starts it again.
func (s *Server) Crash() error { return s.end("crash") }

// Stop ends the server as its operator would. Run starts it again.
func (s *Server) Stop() error { return s.end("stop") }

func (s *Server) end(how string) error {
	if s.keeper == nil {
		return nil
	}
	_, err := io.WriteString(s.tell, how+"\n")
	var exit *exec.ExitError
	if waited := s.keeper.Wait(); !errors.As(waited, &exit) { // the server's own code is of no interest
		err = errors.Join(err, waited)
	}
	s.keeper = nil
	return err
}

// Close stops the server and removes what it had, unless another process has
// started it.
func (s *Server) Close() error {
	if s.dir == "" {
		return nil
	}
	return errors.Join(s.Crash(), os.Unsetenv(shared), os.RemoveAll(s.dir)) // nothing of it is needed any more
}
