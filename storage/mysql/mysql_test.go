package mysql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/enrollkit/enrollkit/internal/mariadbtest"
	"github.com/enrollkit/enrollkit/storage/mysql"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// server is what all tests use, each in databases of its own; noServer is why
// there is none.
var (
	server   *mariadbtest.Server
	noServer error
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	server, noServer = mariadbtest.Start()
	if noServer == nil {
		defer func() {
			if err := server.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	return storagetest.Main(m, suite(openPlace))
}

// needServer skips a test where there is no server, but for CI.
func needServer(t testing.TB) {
	t.Helper()
	switch {
	case errors.Is(noServer, mariadbtest.ErrMissing) && os.Getenv("CI") != "true":
		t.Skipf("SKIPPED: %v", noServer)
	case noServer != nil:
		t.Fatal(noServer)
	}
}

// makeDatabase makes the database of a place, if it is not there, and returns
// its DSN.
func makeDatabase(place string) (string, error) {
	name := mariadbtest.Database(fmt.Sprintf("%x", sha256.Sum256([]byte(place)))[:16])
	db, err := sql.Open("mysql", server.AdminDSN())
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(context.Background(), "CREATE DATABASE IF NOT EXISTS "+name)
	return server.DSN(name), errors.Join(err, db.Close())
}

func openPlace(place string) (*mysql.Store, error) {
	dsn, err := makeDatabase(place)
	if err != nil {
		return nil, err
	}
	return mysql.Open(context.Background(), mysql.Options{DSN: dsn})
}

func suite(open func(string) (*mysql.Store, error)) storagetest.Suite {
	s := storagetest.Whole(open)
	s.Nodes = true
	return s
}

func TestConformance(t *testing.T) {
	needServer(t)
	storagetest.Run(t, suite(openPlace))
}
