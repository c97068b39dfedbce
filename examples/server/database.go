package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
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
type database struct{ storage.Store }

// open opens the database. One that cannot be reached is tried again until ctx
// ends: the node is alive meanwhile, and not ready.
func (d *database) open(ctx context.Context, o postgres.Options, log *slog.Logger) (*postgres.Store, error) {
	tick := time.NewTicker(openAgain)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, openLimit)
		store, err := postgres.Open(limited, o)
		cancel()
		if err == nil {
			d.Store = store
			return store, nil
		}
		if hopeless(err) || ctx.Err() != nil {
			return nil, err
		}
		log.Error("the database cannot be opened, trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil, err
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

// ping asks the database for what it does not have.
func ping(ctx context.Context, sessions enroll.SessionStore) error {
	_, err := sessions.Session(ctx, [32]byte{}, time.Now())
	if err == nil || errors.Is(err, enroll.ErrNoSession) {
		return nil
	}
	return fmt.Errorf("the database does not answer: %w", err)
}
