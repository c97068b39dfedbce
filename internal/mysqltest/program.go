package mysqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program is the environment variable that names the mysqld of a MySQL, to be
// started instead of the MariaDB that is installed.
const Program = "ENROLLKIT_TEST_MYSQLD"

// ErrMissing: the programs of MariaDB are not installed, and Program names none.
var ErrMissing = errors.New("mysqltest: no mariadbd and mariadb-install-db in PATH or /usr/sbin (Debian: apt-get install mariadb-server), and no mysqld in " + Program)

// programs are those of one of the servers, and what it wants in a way of its
// own.
type programs struct {
	server string
	// always are settings that making the database and running it share.
	always []string
	// install is the command that makes the database.
	install []string
	// only are settings that making the database does not have.
	only []string
}

// find finds the programs. It asks the one that Program names what it is.
func find(ctx context.Context) (programs, error) {
	if name := os.Getenv(Program); name != "" {
		out, err := exec.CommandContext(ctx, name, "--no-defaults", "--version").CombinedOutput() //nolint:gosec // who runs the tests names it
		if err != nil {
			return programs{}, fmt.Errorf("mysqltest: %s: %w\n%s", Program, err, out)
		}
		if strings.Contains(string(out), "MariaDB") {
			return programs{}, fmt.Errorf("mysqltest: %s names a MariaDB: %s", Program, out)
		}
		return programs{
			server:  name,
			always:  []string{"--secure-file-priv=NULL", "--loose-innodb-redo-log-capacity=32M"}, // not before 8.0.30
			install: []string{name, "--initialize-insecure"},
			only:    []string{"--mysqlx=OFF"}, // another port, and another socket
		}, nil
	}
	server, err := program("mariadbd")
	if err != nil {
		return programs{}, err
	}
	install, err := program("mariadb-install-db")
	if err != nil {
		return programs{}, err
	}
	return programs{
		server:  server,
		always:  []string{"--innodb-log-file-size=32M"},
		install: []string{install, "--auth-root-authentication-method=normal", "--skip-test-db"},
	}, nil
}

// program finds a program, also where only root's PATH leads.
func program(name string) (string, error) {
	for _, path := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/usr/local/sbin", name)} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", ErrMissing
}
