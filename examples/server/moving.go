package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// move exports the fleet to a file, or imports one, and shows how far it is. It
// can be stopped and be started again. The file is sealed with database.keys.
func (n *node) move(ctx context.Context, o flags, w io.Writer) (err error) {
	store, err := postgres.Open(ctx, n.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	display := &display{w: w}
	progress := func(p transfer.Progress) { display.show("%s", moved(p.Kind, p)) }
	var done transfer.Progress
	if o.export != "" {
		done, err = transfer.ExportFile(ctx, o.export, store, transfer.ExportOptions{Keys: n.parts.sealKeys, Progress: progress})
	} else {
		done, err = n.importFile(ctx, o.imports, store, progress)
	}
	line := moved("all", done)
	if done.Added > 0 {
		line += fmt.Sprintf(", %d of them new here", done.Added)
	}
	display.last("%s", line)
	return err
}

// moved is how far it is, for people.
func moved(what any, p transfer.Progress) string {
	return fmt.Sprintf("%-10s %12d records %8.1f MiB", what, p.Records, float64(p.Bytes)/(1<<20))
}

func (n *node) importFile(ctx context.Context, name string, into transfer.Sink, progress func(transfer.Progress)) (transfer.Progress, error) {
	file, err := os.Open(name)
	if err != nil {
		return transfer.Progress{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return transfer.Import(ctx, file, into, transfer.ImportOptions{Keys: n.parts.sealKeys, Progress: progress})
}
