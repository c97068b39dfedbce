package mysql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/storage/mysql"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// server is what the tests use, each in databases of its own; noServer is why
// there is none.
var (
	server   *mysqltest.Server
	noServer error
)

// serverSocket tells the children of the clauses on crashes which server it is.
const serverSocket = "ENROLLKIT_TEST_MYSQL"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if socket := os.Getenv(serverSocket); socket != "" {
		server = mysqltest.At(socket)
		return storagetest.Main(m, suite(openPlace))
	}
	// What is killed are the processes of nodes, and the server in tests that
	// have one of their own: nothing asks for a sync.
	if server, noServer = mysqltest.Start(context.Background(), mysqltest.Options{NoSync: true}); noServer == nil {
		defer func() {
			if err := server.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		if err := os.Setenv(serverSocket, server.Socket()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return storagetest.Main(m, suite(openPlace))
}

// needServer skips a test where there is no server, but for CI.
func needServer(t testing.TB) {
	t.Helper()
	if errors.Is(noServer, mysqltest.ErrMissing) {
		mysqltest.Missing(t)
	}
	require.NoError(t, noServer)
}

// makeDatabase makes the database of a place, if it is not there, and returns
// its DSN.
func makeDatabase(on *mysqltest.Server, place string) (string, error) {
	named := sha256.Sum256([]byte(place))
	name := "enroll_" + hex.EncodeToString(named[:8])
	db, err := sql.Open("mysql", on.AdminDSN())
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(context.Background(), "CREATE DATABASE IF NOT EXISTS "+name)
	return on.DSN(name), errors.Join(err, db.Close())
}

func options(dsn string) mysql.Options {
	return mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}}
}

// unsealed is for databases that are filled by statements.
func unsealed(dsn string) mysql.Options { return mysql.Options{DSN: dsn, AllowUnsealed: true} }

// opened are the databases that this process has opened.
var opened sync.Map

// placeDSN is the DSN of a place. When it is opened for the first time nobody has it
// but children that were killed: the server goes on with the statement, perhaps a
// commit, that one of them had sent, and placeDSN waits until it has ended.
func placeDSN(place string) (string, error) {
	dsn, err := makeDatabase(server, place)
	if err != nil {
		return "", err
	}
	if _, again := opened.LoadOrStore(dsn, true); again {
		return dsn, nil
	}
	admin, err := sql.Open("mysql", server.AdminDSN())
	if err != nil {
		return "", err
	}
	defer admin.Close()
	for left := 1; left > 0 && err == nil; {
		err = admin.QueryRowContext(context.Background(), `SELECT count(*) FROM information_schema.processlist WHERE db = ?`, dsn[len(server.DSN("")):]).Scan(&left)
	}
	return dsn, err
}

func openPlace(place string) (*mysql.Store, error) {
	dsn, err := placeDSN(place)
	if err != nil {
		return nil, err
	}
	return mysql.Open(context.Background(), options(dsn))
}

func suite(open func(string) (*mysql.Store, error)) storagetest.Suite {
	s := storagetest.Whole(open)
	s.Nodes = true
	return s
}

// TestConformance runs the suite, and then looks at how each statement that it
// took would find its rows among many.
func TestConformance(t *testing.T) {
	needServer(t)
	taken := &statements{texts: map[string]bool{}}
	storagetest.Run(t, suite(func(place string) (*mysql.Store, error) {
		dsn, err := placeDSN(place)
		if err != nil {
			return nil, err
		}
		return mysql.OpenNoting(context.Background(), options(dsn), taken.note)
	}))
	t.Run("both servers know the statements", func(t *testing.T) { checkDialect(t, taken.list()) })
	t.Run("no statement scans", func(t *testing.T) { checkPlans(t, taken.list()) })
}
