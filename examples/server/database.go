package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// openAgain is how long to wait before the next try to open the database, and
// openLimit for how long one may take, migrations included.
const (
	openAgain = time.Second
	openLimit = 10 * time.Minute
)

// database is the store, from the moment on at which it is open: the other parts
// are made before that, so that a mistake in them is told before anything is
// touched, and together with the others. Nobody uses them earlier.
type database struct{ *postgres.Store }

// open opens the database. One that cannot be reached is tried again until ctx
// ends: the node is alive meanwhile, and not ready.
func (d *database) open(ctx context.Context, o postgres.Options, log *slog.Logger) error {
	tick := time.NewTicker(openAgain)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, openLimit)
		store, err := postgres.Open(limited, o)
		cancel()
		if err == nil {
			d.Store = store
			return nil
		}
		if hopeless(err) || ctx.Err() != nil {
			return err
		}
		log.Error("the database cannot be opened, trying again", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// hopeless reports whether an error stays until somebody does something about
// this node's keys or version.
func hopeless(err error) bool {
	var schema *storage.SchemaError
	return errors.Is(err, storage.ErrKey) || errors.As(err, &schema)
}
