package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/storage"
)

// Options are the settings of a store.
type Options struct {
	// DSN names the database, as github.com/go-sql-driver/mysql does:
	// "user:password@tcp(db.example.com:3306)/enroll?tls=true". The database has
	// to exist. How text, times and statements travel, and the session's
	// settings that steps rely on, are set by this package, whatever the DSN
	// says. Timeouts that it does not name are 10 seconds to connect and 30
	// seconds for an answer.
	DSN string
	// Connections is how many connections may be open at once. Defaults to 16.
	Connections int
	// LockTimeout is how long a statement waits for a row that another step
	// has, in whole seconds; the step is then tried again, three times at most.
	// Defaults to 5 seconds.
	LockTimeout time.Duration
	// DangerouslyAllowLossyCommits opens a database on a server that answers
	// before a commit is on its disk. A loss of power then takes enrollments
	// and results that were acknowledged; what else makes them durable, such as
	// copies on other servers, is for the operator to see to.
	DangerouslyAllowLossyCommits bool
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
}

// Store is a storage.Store in MySQL or MariaDB. It is safe for concurrent use.
type Store struct {
	db       *sql.DB
	secrets  *seal.Ring
	resealed seal.Again
}

var _ storage.Store = (*Store)(nil)

// Open opens the database that o.DSN names and brings its schema up to date;
// ctx bounds that. Errors wrap storage.ErrKey when Options.Keys are not those of
// the database, a *storage.SchemaError when it is from a newer version, and a
// *ServerError when the server or one of its settings is unfit; none changes
// anything.
func Open(ctx context.Context, o Options) (*Store, error) {
	return openTraced(ctx, o, nil)
}

func openTraced(ctx context.Context, o Options, trace tracer) (*Store, error) {
	if o.Connections < 0 || o.LockTimeout < 0 || o.LockTimeout%time.Second != 0 {
		return nil, errors.New("mysql: open: Connections and LockTimeout must not be negative, and LockTimeout is in whole seconds")
	}
	if len(o.Keys) == 0 && !o.AllowUnsealed {
		return nil, errors.New("mysql: open: no Keys: secrets would be stored as they are, which AllowUnsealed allows")
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 5 * time.Second
	}
	secrets, err := seal.New(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("mysql: open: %w", err)
	}
	cfg, err := mysql.ParseDSN(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("mysql: open: %w", err)
	}
	if cfg.DBName == "" {
		return nil, errors.New("mysql: open: the DSN names no database")
	}
	if err := prepare(ctx, cfg.Clone(), o); err != nil {
		return nil, fmt.Errorf("mysql: open %s on %s: %w", cfg.DBName, cfg.Addr, err)
	}
	db, err := connect(cfg, o, trace)
	if err != nil {
		return nil, fmt.Errorf("mysql: open: %w", err)
	}
	db.SetMaxOpenConns(o.Connections)
	db.SetMaxIdleConns(o.Connections)
	// So that connections move to where the server's name leads.
	db.SetConnMaxLifetime(10 * time.Minute)
	s := &Store{db: db, secrets: secrets}
	if err := secrets.Admit(ctx, marks{s}, o.AllowUnsealed); err != nil {
		return nil, errors.Join(fmt.Errorf("mysql: open %s on %s: %w", cfg.DBName, cfg.Addr, err), db.Close())
	}
	return s, nil
}

// prepare looks at the server and brings the schema up to date. A migration may
// take longer than an answer to a step.
func prepare(ctx context.Context, cfg *mysql.Config, o Options) error {
	cfg.ReadTimeout = -1
	db, err := connect(cfg, o, nil)
	if err != nil {
		return err
	}
	err = checkServer(ctx, db, o)
	if err == nil {
		err = migrate(ctx, db)
	}
	return errors.Join(err, db.Close())
}

// connect returns a pool of connections with the settings that steps rely on.
func connect(cfg *mysql.Config, o Options, trace tracer) (*sql.DB, error) {
	if err := cfg.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, err
	}
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.MultiStatements, cfg.InterpolateParams = false, false // values never travel as text of a statement
	cfg.ClientFoundRows = true                                // steps count the rows that they found, changed or not
	cfg.CheckConnLiveness = true
	cfg.RejectReadOnly = false      // conn does that, and keeps the server's own words
	cfg.Logger = &mysql.NopLogger{} // what it says is in the errors too
	cfg.AllowAllFiles, cfg.AllowOldPasswords = false, false
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 30 * time.Second
	}
	if cfg.ReadTimeout < 0 {
		cfg.ReadTimeout = 0
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	for name := range cfg.Params {
		switch strings.ToLower(name) {
		case "sql_mode", "time_zone", "autocommit", "innodb_lock_wait_timeout", "transaction_isolation", "tx_isolation":
			delete(cfg.Params, name)
		}
	}
	inner, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(&connector{Connector: inner, trace: trace, session: []string{
		`SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`,
		// Nothing is cut to fit: what does not is an error.
		fmt.Sprintf(`SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1, innodb_lock_wait_timeout = %d`,
			int(o.LockTimeout.Seconds())),
	}}), nil
}

// Ping sends the database a statement and waits for the answer, for readiness. An
// error means that steps fail too.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("mysql: ping: %w", err)
	}
	return nil
}

// Close closes the connections once the steps that have begun are over. Calls
// that come later fail.
func (s *Store) Close() error {
	return s.db.Close()
}
