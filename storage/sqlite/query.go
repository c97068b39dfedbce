package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// tx runs statements, each prepared once for a connection and used again: in
// the transaction of a step, or reading on a connection of the pool.
type tx struct {
	ctx     context.Context
	prepare func(ctx context.Context, query string) (statement, error)
	secrets *seal.Ring // in the transaction of a step
}

// statement is one that may run many times.
type statement interface {
	ExecContext(ctx context.Context, values ...any) (sql.Result, error)
	QueryContext(ctx context.Context, values ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, values ...any) *sql.Row
}

// prepared is a statement of a connection, or of the pool.
type prepared interface {
	statement
	Close() error
}

// args are the values for the parameters of a statement, in their order.
type args []any

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, values ...any) (int64, error) {
	st, err := t.prepare(t.ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := st.ExecContext(t.ctx, values...)
	if err != nil {
		return 0, fmt.Errorf("sqlite: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("sqlite: %w", err)
	}
	return n, nil
}

// get reads the first row of a query and reports whether there is one.
func (t *tx) get(query string, values args, into ...any) (bool, error) {
	st, err := t.prepare(t.ctx, query)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(t.ctx, values...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sqlite: %w", err)
	}
	return true, nil
}

// each calls row, which is to scan it, for each row of a query.
func (t *tx) each(query string, values args, row func(scan func(into ...any) error) error) error {
	st, err := t.prepare(t.ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, values...)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

// pool reads. Each statement sees what was committed when it began.
type pool struct {
	db         *sql.DB
	mu         sync.RWMutex
	statements map[string]prepared
}

// tx reads for one call.
func (p *pool) tx(ctx context.Context) *tx {
	return &tx{ctx: ctx, prepare: p.prepare}
}

func (p *pool) prepare(ctx context.Context, query string) (statement, error) {
	p.mu.RLock()
	st := p.statements[query]
	p.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if st := p.statements[query]; st != nil {
		return st, nil
	}
	st, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	p.statements[query] = st
	return st, nil
}

// micros is a time for the database.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// stamp is a time as it is kept: UTC, in microseconds.
func stamp(t time.Time) time.Time {
	return t.UTC().Truncate(time.Microsecond)
}

// when scans a time.
type when time.Time

// Scan implements sql.Scanner.
func (w *when) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*w = when{}
	case int64:
		*w = when(time.UnixMicro(v).UTC())
	default:
		return fmt.Errorf("%T is not a time", value)
	}
	return nil
}

// digest scans a SHA-256.
type digest [32]byte

// Scan implements sql.Scanner.
func (d *digest) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(d) {
		return fmt.Errorf("%T of %d bytes is not a digest", value, len(b))
	}
	copy(d[:], b)
	return nil
}
