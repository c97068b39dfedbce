package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// tx runs statements: in the transaction of a step, or each by itself.
type tx struct {
	ctx     context.Context
	in      runner
	secrets *seal.Ring
}

// runner is a transaction, a connection, or the pool.
type runner interface {
	ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// args are the values for the parameters of a statement, in their order.
type args []any

// exec runs a statement and returns how many rows it found to change, whether
// or not they were different.
func (t *tx) exec(query string, values ...any) (int64, error) {
	result, err := t.in.ExecContext(t.ctx, query, values...)
	if err != nil {
		return 0, fmt.Errorf("mysql: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("mysql: %w", err)
	}
	return n, nil
}

// insert adds one row and returns its seq.
func (t *tx) insert(query string, values ...any) (int64, error) {
	result, err := t.in.ExecContext(t.ctx, query, values...)
	if err != nil {
		return 0, fmt.Errorf("mysql: %w", err)
	}
	seq, err := result.LastInsertId()
	if err != nil {
		return 0, fmt.Errorf("mysql: %w", err)
	}
	return seq, nil
}

// get reads the only row of a query and reports whether there is one.
func (t *tx) get(query string, values args, into ...any) (found bool, err error) {
	err = t.each(query, values, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	})
	return found, err
}

// each calls row, which is to scan it and do nothing else with the database,
// for each row of a query.
func (t *tx) each(query string, values args, row func(scan func(into ...any) error) error) error {
	rows, err := t.in.QueryContext(t.ctx, query, values...)
	if err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return fmt.Errorf("mysql: %w", err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("mysql: %w", err)
	}
	return nil
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

// digest scans a SHA-256; none is zero.
type digest [32]byte

// Scan implements sql.Scanner.
func (d *digest) Scan(value any) error {
	b, ok := value.([]byte)
	if value == nil {
		*d = digest{}
		return nil
	}
	if !ok || len(b) != len(d) {
		return fmt.Errorf("%T of %d bytes is not a digest", value, len(b))
	}
	copy(d[:], b)
	return nil
}

// text scans a string of any type into to; none is empty.
type text[S ~string] struct{ to *S }

// Scan implements sql.Scanner.
func (t text[S]) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*t.to = ""
	case []byte:
		*t.to = S(v)
	case string:
		*t.to = S(v)
	default:
		return fmt.Errorf("%T is not a text", value)
	}
	return nil
}

// maybe is text, of a row that may be missing.
func maybe[S ~string](to *S) text[S] { return text[S]{to} }
