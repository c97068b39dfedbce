package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/storage"
)

// Options are the settings of a store.
type Options struct {
	// DSN names the database, as a URL or as keywords, as libpq does:
	// "postgres://enroll@db.example.com/enroll?sslmode=verify-full". What it
	// leaves out comes from the environment (PGHOST, PGPASSFILE, …). The tables
	// go to the first schema of search_path.
	DSN string
	// Connections is how many connections may be open at once. Defaults to
	// pool_max_conns of the DSN, or 16.
	Connections int
	// Keys seal what is secret: push tokens, push magics and the payloads of
	// commands, each for its row. A key is 32 random bytes that are not kept
	// beside the database. The first seals, all open; to change it, give every
	// node the new one as a further key, then put it first, call Store.Reseal
	// until it returns 0, and leave the old one out.
	Keys [][]byte
	// AllowUnsealed stores secrets as they are when there are no Keys: whoever
	// reads the database or a backup of it reads them. With Keys, it opens a
	// database with secrets from before there were any, which Reseal seals.
	AllowUnsealed bool
	// DangerouslyAllowLossyCommits opens a database on a server that answers
	// before a commit is on its disk (fsync or synchronous_commit off). A loss of
	// power then takes enrollments and results that were acknowledged.
	DangerouslyAllowLossyCommits bool
	// Trace is called before every statement with its values, of which secrets are
	// sealed when there are Keys, and what it returns after it, with its error.
	// Both may be nil. They are called by many goroutines, and must not change the
	// values. Every statement is also BEGIN and COMMIT, what is SET on a new
	// connection, and the migrations, but not the empty one of a ping.
	Trace func(ctx context.Context, statement string, values []any) (done func(error))
}

// Store is a storage.Store in PostgreSQL. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	secrets  *seal.Ring
	heads    [][]byte // of what secrets opens
	resealed seal.Again
}

var _ storage.Store = (*Store)(nil)

// Open connects to the database that o.DSN names and brings its schema up to
// date; ctx bounds that. Errors wrap storage.ErrKey when o.Keys are not those of
// the database, and are a *storage.SchemaError when it is from a newer version;
// neither changes anything.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.DSN == "" {
		return nil, errors.New("postgres: open: no DSN")
	}
	if o.Connections < 0 {
		return nil, errors.New("postgres: open: Connections is negative")
	}
	if len(o.Keys) == 0 && !o.AllowUnsealed {
		return nil, errors.New("postgres: open: no Keys: secrets would be stored as they are, which AllowUnsealed allows")
	}
	secrets, err := seal.New(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	cfg, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	connections(cfg, o)
	cfg.AfterConnect = planOnce
	cfg.ConnConfig.OnPgError = leaveReadOnly(cfg.ConnConfig.OnPgError)
	if o.Trace != nil {
		cfg.ConnConfig.Tracer = tracer(o.Trace)
	}
	s := &Store{secrets: secrets}
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	if err := s.prepare(ctx, o); err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("postgres: open %s on %s: %w", cfg.ConnConfig.Database, cfg.ConnConfig.Host, err)
	}
	return s, nil
}

// connections sets how many there may be.
func connections(cfg *pgxpool.Config, o Options) {
	switch {
	case o.Connections > 0:
		cfg.MaxConns = int32(min(o.Connections, 1<<20))
	case !strings.Contains(o.DSN, "pool_max_conns"):
		cfg.MaxConns = 16
	}
}

// planOnce asks for one plan for all values of a statement: to plan the hot path
// takes several times as long as to run it, and it is always the same. That plan may
// be made while a table is empty, so that it has to go by the indexes all the same. A
// database that does not know a setting may do as it likes.
func planOnce(ctx context.Context, conn *pgx.Conn) error {
	for _, setting := range []string{"plan_cache_mode = force_generic_plan", "enable_seqscan = off"} {
		_, err := conn.Exec(ctx, "SET "+setting)
		var p *pgconn.PgError
		if err != nil && !errors.As(err, &p) {
			return err
		}
	}
	return nil
}

// leaveReadOnly closes a connection whose server takes no changes: after a
// failover its name may lead to the one that does now.
func leaveReadOnly(stays pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		const readOnlyTransaction = "25006"
		return err.Code != readOnlyTransaction && stays(conn, err)
	}
}

// prepare looks at the server and brings the schema up to date.
func (s *Store) prepare(ctx context.Context, o Options) error {
	if err := s.checkServer(ctx, o); err != nil {
		return err
	}
	if err := migrate(ctx, s.pool); err != nil {
		return err
	}
	err := s.secrets.Admit(ctx, marks{s}, o.AllowUnsealed)
	s.heads = s.secrets.Heads()
	return err
}

// checkServer fails when the server answers before a commit is on its disk, and
// when the database does not keep all text.
func (s *Store) checkServer(ctx context.Context, o Options) error {
	for _, setting := range []string{"fsync", "synchronous_commit", "server_encoding"} {
		var value string
		err := s.pool.QueryRow(ctx, "SHOW "+setting).Scan(&value)
		var p *pgconn.PgError
		if errors.As(err, &p) && p.Code == "42704" {
			continue // another database that speaks the protocol
		}
		switch {
		case err != nil:
			return err
		case setting == "server_encoding" && value != "UTF8":
			return fmt.Errorf("the database's encoding is %s: make one with UTF8", value)
		case value == "off" && !o.DangerouslyAllowLossyCommits:
			return fmt.Errorf("%s is off: a loss of power takes what was acknowledged; turn it on, or set DangerouslyAllowLossyCommits", setting)
		}
	}
	return nil
}

// Ping sends the database a statement and waits for the answer, for readiness. An
// error means that steps fail too.
func (s *Store) Ping(ctx context.Context) error {
	return again(ctx, func() error {
		if err := s.pool.Ping(ctx); err != nil {
			return fmt.Errorf("postgres: ping: %w", err)
		}
		return nil
	})
}

// Close waits for the steps that have begun and closes the connections. Calls
// that come later fail.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}
