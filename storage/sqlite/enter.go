package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	driver "modernc.org/sqlite"
)

// enter makes the first connection. To bring a new file into WAL mode takes a
// lock that SQLite does not wait for: of several processes that open it at the
// same time all but one fail, and try again.
func enter(ctx context.Context, db *sql.DB, patience time.Duration) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil || !busy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-over.C:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// busy reports whether another connection has a lock that SQLite did not wait
// for, or waited for long enough.
func busy(err error) bool {
	const sqliteBusy = 5 // https://www.sqlite.org/rescode.html#busy
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqliteBusy
}
