package mysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/enrollkit/enrollkit/storage"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The tables of versions and of who migrates are ours: an application may use
// goose for tables of its own.
const (
	versionTable = "enrollkit_schema"
	lockTable    = "enrollkit_schema_lock"
)

// migrate brings the schema up to date. Of several nodes that start at once one
// has the lock, and the others wait for it and find the work done. The lock is a
// row with a lease: should its holder die, another goes on when that is over,
// from the start of the migration that was interrupted.
func migrate(ctx context.Context, db *sql.DB) error {
	source, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	lease, err := lock.NewMySQLTableLocker(
		lock.WithTableName(lockTable),
		lock.WithTableLockTimeout(200*time.Millisecond, 3000), // ten minutes, unless ctx ends before
		lock.WithTableUnlockTimeout(200*time.Millisecond, 50),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return err
	}
	inner, err := database.NewStore(database.DialectMySQL, versionTable)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, source, goose.WithStore(versions{inner}),
		goose.WithLocker(lease), goose.WithIsolateDDL(true), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	sources := p.ListSources()
	known := sources[len(sources)-1].Version
	before := int64(-1)
	for {
		found, err := schemaVersion(ctx, db, inner)
		if err != nil {
			return fmt.Errorf("read the schema's version: %w", err)
		}
		if found > known {
			return &storage.SchemaError{Found: found, Known: known}
		}
		if found == known {
			return nil
		}
		if _, err = p.Up(ctx); err != nil && found == before {
			return fmt.Errorf("migrate from schema version %d: %w", found, err)
		}
		before = found
	}
}

// schemaVersion is 0 for a database without our tables. It changes nothing, so
// that a program that has nothing to migrate needs no right to.
func schemaVersion(ctx context.Context, db *sql.DB, table database.Store) (int64, error) {
	found, err := table.GetLatestVersion(ctx, db)
	if number(err) == errNoSuchTable || errors.Is(err, database.ErrVersionNotFound) {
		return 0, nil
	}
	return found, err
}

// versions is goose's table of versions, made so that a node that dies while it
// makes it is no obstacle to the next, and that a version is recorded once.
type versions struct{ database.Store }

// CreateVersionTable implements database.Store.
func (v versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+versionTable+` (
		id         BIGINT NOT NULL AUTO_INCREMENT,
		version_id BIGINT NOT NULL,
		is_applied BOOLEAN NOT NULL,
		tstamp     DATETIME NULL DEFAULT CURRENT_TIMESTAMP,
		PRIMARY KEY (id),
		UNIQUE KEY `+versionTable+`_version (version_id)
	) ENGINE=InnoDB`)
	return err
}
