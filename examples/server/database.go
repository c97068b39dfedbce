package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/enrollkit/enrollkit/storage/postgres"
)

// openAgain is how long to wait before the next try to open the database,
// openLimit for how long one may take, migrations included, and openTold how often
// the same failure is told.
const (
	openAgain = time.Second
	openLimit = 10 * time.Minute
	openTold  = time.Minute
)

// retryAfter is when whoever came too early may come again, in seconds: what the
// rest of the server says when the database fails later.
const retryAfter = "30"

// database is the store, from the moment on at which it is open. The other parts
// are made before that, so that a mistake in them is told before anything is
// touched, and together with the others; whenOpen keeps everybody away from it
// until then.
type database struct {
	*postgres.Store

	opened atomic.Bool
	failed atomic.Pointer[error] // the last try to open it
}

// errNotOpen: no try to open the database has ended yet.
var errNotOpen = errors.New("the database is not open yet")

// open opens the database, and tries again until ctx ends: the node is alive
// meanwhile, and not ready. It also goes on with keys that are not those of the
// database, and with a schema from a newer version. Whoever starts the node sees
// the error in its log and by /readyz, and a rollout stops at a node that does not
// become ready; but devices are asked to come again, which an ended process cannot
// do, and a database that is put right, such as by restoring the right one, is
// used without anybody thinking of this node. What is wrong with this node's own
// keys or version needs a restart anyhow. Nothing of the database is changed by
// such a try.
func (d *database) open(ctx context.Context, o postgres.Options, log *slog.Logger) error {
	tick := time.NewTicker(openAgain)
	defer tick.Stop()
	var told string
	var toldAt time.Time
	for {
		limited, cancel := context.WithTimeout(ctx, openLimit)
		store, err := postgres.Open(limited, o)
		cancel()
		if err == nil {
			d.Store = store
			d.opened.Store(true)
			return nil
		}
		d.failed.Store(&err)
		if ctx.Err() != nil {
			return err
		}
		if err.Error() != told || time.Since(toldAt) >= openTold {
			told, toldAt = err.Error(), time.Now()
			log.Error("the database cannot be opened: devices are asked to come again, and it is tried again every second", "error", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// ping fails with what keeps the database from being used.
func (d *database) ping(ctx context.Context) error {
	if d.opened.Load() {
		return d.Ping(ctx)
	}
	if err := d.failed.Load(); err != nil {
		return *err
	}
	return errNotOpen
}

// whenOpen asks everybody to come again until the database is open.
func (d *database) whenOpen(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.opened.Load() {
			w.Header().Set("Retry-After", retryAfter)
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "not ready yet: come again in half a minute", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}
