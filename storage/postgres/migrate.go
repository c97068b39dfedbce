package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/enrollkit/enrollkit/storage"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The tables of goose are ours: an application may use it for tables of its own.
const (
	versionTable = "enrollkit_schema"
	lockTable    = "enrollkit_schema_lock"
)

// How long a node waits for another one that migrates. That one renews its lease
// while it does; of one that died, the lease ends.
const (
	lockProbe  = 250 * time.Millisecond
	lockProbes = 20 * 60 * 4
	lockLease  = 15 * time.Second
)

// migrate brings the schema up to date. Each migration is a transaction of its
// own that also records its version. Of several nodes that start at once one
// migrates, by a lock in a table, and the others wait.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	source, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	// Connections of its own: it holds several, and the pool may have one.
	db := stdlib.OpenDB(*pool.Config().ConnConfig)
	defer func() { _ = db.Close() }() // nothing of it is needed any more
	inner, err := database.NewStore(database.DialectPostgres, versionTable)
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresTableLocker(lock.WithTableName(lockTable), lock.WithTableLeaseDuration(lockLease),
		lock.WithTableHeartbeatInterval(lockLease/3), lock.WithTableLockTimeout(lockProbe, lockProbes), lock.WithTableLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, source, goose.WithStore(versions{inner}),
		goose.WithLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	done, err := current(ctx, db, p)
	if err != nil || done {
		return err
	}
	_, upErr := p.Up(ctx)
	// A newer node may have been the one that migrated.
	done, err = current(ctx, db, p)
	switch {
	case err != nil:
		return errors.Join(err, upErr)
	case !done:
		return fmt.Errorf("migrate: %w", upErr)
	}
	return nil
}

// current reports whether the schema is of the newest version. A newer one is an
// error.
func current(ctx context.Context, db *sql.DB, p *goose.Provider) (bool, error) {
	there, err := versions{}.TableExists(ctx, db)
	if err != nil || !there {
		return false, err
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	var found sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM `+versionTable).Scan(&found); err != nil {
		return false, fmt.Errorf("read the schema's version: %w", err)
	}
	if found.Int64 > known {
		return false, &storage.SchemaError{Found: found.Int64, Known: known}
	}
	return found.Int64 == known, nil
}

// versions is goose's table of versions, in which a version can be recorded once
// only: when a lease ends too early, the second node's migration is rolled back
// whole.
type versions struct{ database.Store }

// CreateVersionTable implements database.Store.
func (v versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	if err := v.Store.CreateVersionTable(ctx, db); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, "CREATE UNIQUE INDEX "+versionTable+"_version ON "+versionTable+" (version_id)")
	return err
}

// TableExists implements database.StoreExtender.
func (v versions) TableExists(ctx context.Context, db database.DBTxConn) (there bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1)`, versionTable).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for the schema: %w", err)
	}
	return there, nil
}
