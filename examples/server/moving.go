package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// shown is how often progress is told anew.
const shown = 200 * time.Millisecond

// move exports the fleet to a file, or imports one, and shows how far it is. It
// can be stopped and be started again. The file is sealed with database.keys.
func (n *node) move(ctx context.Context, o flags, w io.Writer) (err error) {
	store, err := postgres.Open(ctx, n.options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	display := &display{w: w}
	var done transfer.Progress
	if o.export != "" {
		done, err = transfer.ExportFile(ctx, o.export, store, transfer.ExportOptions{Keys: n.parts.sealKeys, Progress: display.show})
	} else {
		done, err = n.importFile(ctx, o.imports, store, display)
	}
	display.last(done)
	return err
}

func (n *node) importFile(ctx context.Context, name string, into transfer.Sink, display *display) (transfer.Progress, error) {
	file, err := os.Open(name)
	if err != nil {
		return transfer.Progress{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return transfer.Import(ctx, file, into, transfer.ImportOptions{Keys: n.parts.sealKeys, Progress: display.show})
}

// display is one line that changes.
type display struct {
	w    io.Writer
	next time.Time
}

func (d *display) show(p transfer.Progress) {
	now := time.Now()
	if now.Before(d.next) {
		return
	}
	d.next = now.Add(shown)
	fmt.Fprintf(d.w, "\r%-10s %12d records %8.1f MiB", p.Kind, p.Records, float64(p.Bytes)/(1<<20))
}

func (d *display) last(p transfer.Progress) {
	fmt.Fprintf(d.w, "\r%-10s %12d records %8.1f MiB", "all", p.Records, float64(p.Bytes)/(1<<20))
	if p.Added > 0 {
		fmt.Fprintf(d.w, ", %d of them new here", p.Added)
	}
	fmt.Fprintln(d.w)
}
