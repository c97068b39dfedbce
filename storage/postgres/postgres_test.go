package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// serverVariable tells the children of clauses on crashes where the server is.
const serverVariable = "ENROLLKIT_TEST_POSTGRES"

// child is whether this process is a child of a test.
var child bool

// at is the address of a schema of its own for a place.
func at(ctx context.Context, dsn, place string) (string, error) {
	digest := sha256.Sum256([]byte(place))
	schema := fmt.Sprintf("place_%x", digest[:8])
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+schema)
	return dsn + "&search_path=" + schema, errors.Join(err, conn.Close(ctx))
}

func options(dsn string) postgres.Options {
	key := sha256.Sum256([]byte("test"))
	return postgres.Options{DSN: dsn, Connections: 8, Keys: [][]byte{key[:]}, DangerouslyAllowLossyCommits: true}
}

// trace is postgres.Options.Trace.
type trace = func(ctx context.Context, statement string, values []any) (done func(error))

func openPlace(place string, trace trace) (*postgres.Store, error) {
	ctx := context.Background()
	dsn, err := at(ctx, os.Getenv(serverVariable), place)
	if err != nil {
		return nil, err
	}
	if child {
		dsn += "&application_name=child"
	} else if err := childrenEnded(ctx, dsn); err != nil {
		return nil, err
	}
	o := options(dsn)
	o.Trace = trace
	return postgres.Open(ctx, o)
}

// childrenEnded waits until the server knows that children are dead: it goes on with
// the statement, perhaps a commit, that one of them had sent when it was killed.
func childrenEnded(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for left := 1; left > 0; {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'child'`).Scan(&left); err != nil {
			return err
		}
	}
	return nil
}

func suite(trace trace) storagetest.Suite {
	s := storagetest.Whole(func(place string) (*postgres.Store, error) { return openPlace(place, trace) })
	s.Nodes = true
	return s
}

// TestMain starts a server for the tests, unless it runs as a child of one.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	child = os.Getenv(serverVariable) != ""
	if !child {
		// The server is not killed, so that it need not sync.
		s, err := pgtest.Start(context.Background(), pgtest.Options{NoSync: true})
		if err != nil && !errors.Is(err, pgtest.ErrMissing) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err == nil {
			defer s.Stop()
			os.Setenv(serverVariable, s.DSN())
		}
	}
	return storagetest.Main(m, suite(nil))
}

// needServer skips a test when there is no server.
func needServer(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv(serverVariable)
	if dsn == "" {
		pgtest.Missing(t)
	}
	return dsn
}

// TestConformance runs the suite, and then looks at how each statement that it
// took would find its rows among many.
func TestConformance(t *testing.T) {
	needServer(t)
	heard := &listener{statements: map[string]bool{}}
	storagetest.Run(t, suite(heard.trace))
	t.Run("databases that speak the protocol know the statements", func(t *testing.T) { checkDialect(t, heard.list()) })
	t.Run("no statement scans", func(t *testing.T) { checkPlans(t, append(heard.list(), postgres.Troubled()...)) })
}
