package mysql

import (
	"context"
	"errors"
	"fmt"
)

// retries is how often a step is tried again that another one was in the way of.
const retries = 3

// errChanged: what a step had read was changed before it wrote.
var errChanged = errors.New("mysql: another step changed the same rows, again and again")

// inTheWay reports whether another step was the reason of an error: a deadlock
// or a certification that failed, a lock that did not come, a row that another
// one added first.
func inTheWay(err error) bool {
	switch number(err) {
	case errDeadlock, errLockWait, errDuplicate, errCertification:
		return true
	}
	return errors.Is(err, errChanged)
}

// again calls try, up to three times more while another step is in its way.
func again(ctx context.Context, try func() error) error {
	for attempt := 0; ; attempt++ {
		err := ctx.Err()
		if err == nil {
			err = try()
		}
		if err == nil || attempt == retries || ctx.Err() != nil || !inTheWay(err) {
			return err
		}
	}
}

// step runs one step in a transaction and returns when that is on the disk.
// After an error nothing of it has happened. run may be called several times.
func (s *Store) step(ctx context.Context, run func(*tx) error) error {
	return again(ctx, func() error {
		transaction, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("mysql: %w", err)
		}
		// It is no error after the commit. The pool drops a connection that cannot
		// roll back, and so does the server then.
		defer transaction.Rollback()
		if err := run(s.in(ctx, transaction)); err != nil {
			return err
		}
		// From here on a context that ends is late: the driver does not look at it.
		if err := transaction.Commit(); err != nil {
			return fmt.Errorf("mysql: commit: %w", err)
		}
		return nil
	})
}

// alone runs a step that is one statement, which is a transaction by itself. It
// returns how many rows that found to change.
func (s *Store) alone(ctx context.Context, query string, values ...any) (n int64, err error) {
	err = again(ctx, func() error {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("mysql: %w", err)
		}
		// Once it has begun nobody may be told that it did not happen.
		n, err = s.in(context.WithoutCancel(ctx), conn).exec(query, values...)
		_ = conn.Close() // it goes back to the pool
		return err
	})
	return n, err
}

// read reads for one call. Each statement sees what was committed when it began.
func (s *Store) read(ctx context.Context) *tx {
	return s.in(ctx, s.db)
}

func (s *Store) in(ctx context.Context, r runner) *tx {
	return &tx{ctx: ctx, in: r, secrets: s.secrets}
}
