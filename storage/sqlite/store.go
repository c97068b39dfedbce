package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/storage"
)

// Options are the settings of a store. The zero value is right for most.
type Options struct {
	// BusyTimeout is how long a step waits for another process that writes to
	// the same file. Defaults to 5 seconds.
	BusyTimeout time.Duration
	// Readers is how many calls may read at once. Defaults to 4.
	Readers int
	// Keys seal what is secret: push tokens, push magics and the payloads of
	// commands, each for its row. A key is 32 random bytes that are not kept
	// beside the file. The first seals, all open; to change it, put the new one
	// first, call Store.Reseal until it returns 0, and leave the old one out.
	Keys [][]byte
	// AllowUnsealed stores secrets as they are when there are no Keys: whoever
	// reads the file or a copy of it reads them. With Keys, it opens a database
	// with secrets from before there were any, which Reseal seals.
	AllowUnsealed bool
}

// Store is a storage.Store in a file. It is safe for concurrent use.
type Store struct {
	readers  *pool
	writer   *writer
	resealed seal.Again
}

var _ storage.Store = (*Store)(nil)

// Open opens the database in the file at path, which is made, for its owner
// only, when it is missing; its directory must exist. The schema is brought up
// to date; ctx bounds that. Errors wrap storage.ErrKey when Options.Keys are not
// those of the database, and a *storage.SchemaError when it is from a newer version;
// neither changes anything.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if path == "" {
		return nil, errors.New("sqlite: open: no path")
	}
	if o.BusyTimeout < 0 || o.Readers < 0 {
		return nil, errors.New("sqlite: open: an option is negative")
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	if len(o.Keys) == 0 && !o.AllowUnsealed {
		return nil, errors.New("sqlite: open: no Keys: secrets would be stored as they are, which AllowUnsealed allows")
	}
	secrets, err := seal.New(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	// SQLite would make the file readable to others.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}

	write, err := connect(path, o, 1, "_txlock=immediate")
	if err != nil {
		return nil, err
	}
	if err = enter(ctx, write, o.BusyTimeout); err == nil {
		err = migrate(ctx, write)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), write.Close())
	}
	w := &writer{db: write, secrets: secrets}
	if err := secrets.Admit(ctx, marks{w}, o.AllowUnsealed); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: open %s: %w", path, err), w.close())
	}
	read, err := connect(path, o, o.Readers, "_query_only=1")
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return &Store{readers: &pool{db: read, statements: map[string]prepared{}}, writer: w}, nil
}

func connect(path string, o Options, connections int, more string) (*sql.DB, error) {
	slashed := filepath.ToSlash(path)
	if slashed[0] != '/' {
		slashed = "/" + slashed // such as /C:/data/enroll.db
	}
	u := url.URL{Scheme: "file", Path: slashed}
	u.RawQuery = fmt.Sprintf("_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_dqs=0&%s",
		o.BusyTimeout.Milliseconds(), more)
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Ping reads from the file, for readiness. An error means that steps fail too.
func (s *Store) Ping(ctx context.Context) error {
	var version int64
	if err := s.readers.db.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version); err != nil {
		return fmt.Errorf("sqlite: ping: %w", err)
	}
	return nil
}

// Close waits for the steps that have begun and closes the file. Calls that
// come later fail.
func (s *Store) Close() error {
	return errors.Join(s.writer.close(), s.readers.db.Close())
}
