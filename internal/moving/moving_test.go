package moving_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/storage/mysql"
	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/transfer/transfertest"
)

// keys are those of one database.
func keys(b byte) [][]byte { return [][]byte{bytes.Repeat([]byte{b}, 32)} }

// name is a name for a place in a database server.
func name(place string) string {
	digest := sha256.Sum256([]byte(place))
	return fmt.Sprintf("enroll_%x", digest[:8])
}

func onSQLite() transfertest.Adapter {
	return transfertest.Adapter{Name: "sqlite", Open: func(place string) (transfertest.Store, error) {
		return sqlite.Open(context.Background(), filepath.Join(place, "enroll.db"), sqlite.Options{Keys: keys(1)})
	}}
}

func onPostgres(t *testing.T) transfertest.Adapter {
	dsn := pgtest.StartTest(t, pgtest.Options{NoSync: true}).DSN()
	return transfertest.Adapter{Name: "postgres", Open: func(place string) (transfertest.Store, error) {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+name(place)); err != nil {
			return nil, err
		}
		return postgres.Open(ctx, postgres.Options{
			DSN: dsn + "&search_path=" + name(place), Connections: 4, Keys: keys(2), DangerouslyAllowLossyCommits: true,
		})
	}}
}

func onMySQL(t *testing.T) transfertest.Adapter {
	server := mysqltest.StartTest(t, mysqltest.Options{NoSync: true})
	return transfertest.Adapter{Name: "mysql", Open: func(place string) (transfertest.Store, error) {
		ctx := context.Background()
		db, err := sql.Open("mysql", server.AdminDSN())
		if err != nil {
			return nil, err
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+name(place)); err != nil {
			return nil, err
		}
		return mysql.Open(ctx, mysql.Options{DSN: server.DSN(name(place)), Connections: 4, Keys: keys(3)})
	}}
}

// TestFromEachToEach leaves out storage/memory and an adapter itself: the tests of
// the adapters move to and from those.
func TestFromEachToEach(t *testing.T) {
	for _, pair := range []struct {
		what string
		a, b func(t *testing.T) transfertest.Adapter
	}{
		{"sqlite and postgres", func(*testing.T) transfertest.Adapter { return onSQLite() }, onPostgres},
		{"sqlite and mysql", func(*testing.T) transfertest.Adapter { return onSQLite() }, onMySQL},
		{"postgres and mysql", onPostgres, onMySQL},
	} {
		t.Run(pair.what, func(t *testing.T) {
			a, b := pair.a(t), pair.b(t)
			require.NotEqual(t, a.Name, b.Name)
			t.Run("there", func(t *testing.T) { transfertest.Between(t, a, b) })
			t.Run("back", func(t *testing.T) { transfertest.Between(t, b, a) })
		})
	}
}
