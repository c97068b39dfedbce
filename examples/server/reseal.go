package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/enrollkit/enrollkit/storage/postgres"
)

// resealed is how many rows are looked at in one step: devices that come
// meanwhile hardly notice it.
const resealed = 500

// reseal seals with the first of database.keys what another one has sealed, so
// that the others can go, and shows how far it is. Nodes go on meanwhile, and all
// of them must have that key first already: what one seals with another key is
// found and sealed again, but not what it seals afterwards. It can be stopped and
// be started again.
func (n *node) reseal(ctx context.Context, stdout, stderr io.Writer) (err error) {
	store, err := postgres.Open(ctx, n.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	const line = "reseal     %12d rows looked at"
	display, sum := &display{w: stderr}, 0
	for {
		looked, err := store.Reseal(ctx, resealed)
		if err != nil || looked == 0 {
			display.last(line, sum)
		}
		if err != nil {
			return fmt.Errorf("the other keys are still needed: %w", err)
		}
		if looked == 0 {
			fmt.Fprintln(stdout, "the first of database.keys opens everything: the others can be dropped, on every node")
			return nil
		}
		sum += looked
		display.show(line, sum)
	}
}
