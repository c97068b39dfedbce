package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/enrollkit/enrollkit/storage"
)

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is ours: an application may use goose for tables of its own.
const versionTable = "enrollkit_schema"

// migrate brings the schema up to date. Each migration is a transaction of its
// own that also records its version. Of several processes that start at once
// one wins each migration, the others fail, and see on their next try that it
// is done.
func migrate(ctx context.Context, db *sql.DB) error {
	source, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	inner, err := database.NewStore(database.DialectSQLite3, versionTable)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, source,
		goose.WithStore(versions{inner}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	before := int64(-1)
	for {
		found, known, err := p.GetVersions(ctx)
		if err != nil {
			return fmt.Errorf("read the schema's version: %w", err)
		}
		if found > known {
			return &storage.SchemaError{Found: found, Known: known}
		}
		_, err = p.Up(ctx)
		if err == nil {
			return nil
		}
		if found == before {
			return fmt.Errorf("migrate from schema version %d: %w", found, err)
		}
		before = found
	}
}

// versions is goose's table of versions, in which a version can be recorded
// once only: a migration that another process has applied is rolled back whole,
// even if its statements could run twice.
type versions struct{ database.Store }

// CreateVersionTable implements database.Store. Another process may have come
// first; goose would wait a second and look again.
func (v versions) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	var exists bool
	err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = '"+versionTable+"')").Scan(&exists)
	if err != nil || exists {
		return err
	}
	if err := v.Store.CreateVersionTable(ctx, db); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "CREATE UNIQUE INDEX "+versionTable+"_version ON "+versionTable+" (version_id)")
	return err
}

// Insert implements database.Store. Version 0 is the table itself.
func (v versions) Insert(ctx context.Context, db database.DBTxConn, r database.InsertRequest) error {
	if r.Version > 0 {
		return v.Store.Insert(ctx, db, r)
	}
	_, err := db.ExecContext(ctx, "INSERT INTO "+versionTable+" (version_id, is_applied) VALUES (0, 1) ON CONFLICT DO NOTHING")
	return err
}
