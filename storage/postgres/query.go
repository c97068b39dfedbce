package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// tx runs statements, each prepared once for a connection: in the transaction of
// a step, or each by itself.
type tx struct {
	ctx     context.Context
	in      querier
	secrets *seal.Ring
}

type querier interface {
	Exec(ctx context.Context, sql string, values ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, values ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, values ...any) pgx.Row
}

// args are the values for the parameters of a statement, in their order.
type args []any

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, values ...any) (int64, error) {
	tag, err := t.in.Exec(t.ctx, query, values...)
	if err != nil {
		return 0, fmt.Errorf("postgres: %w", err)
	}
	return tag.RowsAffected(), nil
}

// get reads the first row of a query and reports whether there is one.
func (t *tx) get(query string, values args, into ...any) (bool, error) {
	err := t.in.QueryRow(t.ctx, query, values...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("postgres: %w", err)
	}
	return true, nil
}

// each calls row, which is to scan it, for each row of a query.
func (t *tx) each(query string, values args, row func(scan func(into ...any) error) error) error {
	rows, err := t.in.Query(t.ctx, query, values...)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// alone runs statements that are each a transaction by itself.
func (s *Store) alone(ctx context.Context) *tx {
	return &tx{ctx: ctx, in: s.pool, secrets: s.secrets}
}

// atomic runs a step in one transaction. After an error nothing of it has
// happened. run may be called several times.
func (s *Store) atomic(ctx context.Context, run func(*tx) error) error {
	return again(ctx, func() error {
		in, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
		if err := run(&tx{ctx: ctx, in: in, secrets: s.secrets}); err != nil {
			// The pool drops a connection that cannot roll back, and so does the server.
			_ = in.Rollback(context.WithoutCancel(ctx))
			return err
		}
		if err := in.Commit(ctx); err != nil {
			return fmt.Errorf("postgres: commit: %w", err)
		}
		return nil
	})
}

// How often a step is tried again.
const (
	// maxRetries is for what the database could not do beside another
	// transaction.
	maxRetries = 3
	// maxChanged is for rows that another step changed first. That one has
	// succeeded, so that there is progress.
	maxChanged = 50
)

// errChanged: what a step had read was changed before it wrote.
var errChanged = errors.New("postgres: other steps change the same rows again and again")

// changedText is what a statement fails with that finds, in its last part, that
// rows which it had read are not those that it met when it wrote. It casts the
// text to a number: that undoes the whole statement, in SQL that all databases
// share.
const changedText = "changed meanwhile"

// changed reports whether a step is to be tried again on what is there now.
func changed(err error) bool {
	if errors.Is(err, errChanged) {
		return true
	}
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == "22P02" && strings.Contains(p.Message, changedText)
}

// inTheWay reports whether the database gave up on a step that may succeed when
// it is tried again: a serialization failure, a deadlock, or a connection that
// was dead before anything was sent on it.
func inTheWay(err error) bool {
	var p *pgconn.PgError
	if errors.As(err, &p) {
		return p.Code == "40001" || p.Code == "40P01"
	}
	return pgconn.SafeToRetry(err)
}

// again calls try until it succeeds, fails for good, or was called often enough.
func again(ctx context.Context, try func() error) error {
	for retries, changes := 0, 0; ; {
		err := ctx.Err()
		if err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
		err = try()
		switch {
		case err == nil:
			return nil
		case changed(err) && changes < maxChanged:
			changes++
		case inTheWay(err) && retries < maxRetries:
			retries++
		case changed(err):
			return errChanged
		default:
			return err
		}
	}
}

// unique reports whether a row could not be added because another one has its
// key.
func unique(err error) bool {
	var p *pgconn.PgError
	return errors.As(err, &p) && p.Code == "23505"
}

// moment is a time for the database.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

// stamp is a time as it is kept: UTC, in microseconds.
func stamp(t time.Time) time.Time {
	return t.UTC().Truncate(time.Microsecond)
}

// when scans a time.
type when time.Time

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (w *when) ScanTimestamptz(v pgtype.Timestamptz) error {
	switch {
	case !v.Valid:
		*w = when{}
	case v.InfinityModifier != pgtype.Finite:
		return errors.New("a time is infinite")
	default:
		*w = when(v.Time.UTC())
	}
	return nil
}

// digest scans a SHA-256, NULL as zero.
type digest [32]byte

// ScanBytes implements pgtype.BytesScanner.
func (d *digest) ScanBytes(v []byte) error {
	if v == nil {
		*d = digest{}
		return nil
	}
	if len(v) != len(d) {
		return fmt.Errorf("%d bytes are not a digest", len(v))
	}
	copy(d[:], v)
	return nil
}

// optional is a digest for the database, NULL when there is none.
func optional(d [32]byte) any {
	if d == [32]byte{} {
		return nil
	}
	return d[:]
}
