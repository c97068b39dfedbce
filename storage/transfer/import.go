package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Sink is a store that Import fills.
type Sink interface {
	// ImportBatch adds records in their order and returns how many the store did
	// not have. It is durable when it returns nil. A record that is there under
	// its name is left as it is there, with what belongs to it; so a repeat adds
	// nothing. The records are the store's. Each record is added whole or not at all; after an error those
	// before it may have been added. Errors wrap ErrMissing when a record refers
	// to what is not there, ErrConflict when something else has what must be
	// unique, *KindError when the store keeps no such records.
	ImportBatch(ctx context.Context, records []Record) (added int, err error)
}

// ImportOptions are the settings of an import. The zero value reads files that
// are not sealed.
type ImportOptions struct {
	// Keys open the records of a sealed file, of 32 bytes each; one of them
	// sealed it. A file that is not sealed is refused then.
	Keys [][]byte
	// MaxLine is how long a line may be in bytes. Defaults to DefaultMaxLine.
	MaxLine int
	// Batch is how many records are given to the store at once. Defaults to 256.
	Batch int
	// Progress is called after each batch; nil tells nobody.
	Progress func(Progress)
}

// batchBytes bounds a batch beside its number of records.
const batchBytes = 4 << 20

// Import gives the records of a file to a store. When it is stopped it is begun
// again with the same file: what the store has by then is skipped. Nothing may
// use the store before Import has returned nil.
//
// Errors wrap those of Reader and of Sink. After ErrIncomplete everything that
// the file has was imported, and it is not all.
func Import(ctx context.Context, r io.Reader, into Sink, o ImportOptions) (Progress, error) {
	var done Progress
	if o.Batch <= 0 {
		o.Batch = 256
	}
	in, err := NewReader(r, ReadOptions{Keys: o.Keys, MaxLine: o.MaxLine})
	if err != nil {
		return done, err
	}
	var batch []Record
	first := in.lines + 1
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		added, err := into.ImportBatch(ctx, batch)
		done.Added += int64(added)
		if err != nil {
			return fmt.Errorf("transfer: import lines %d to %d: %w", first, first+int64(len(batch))-1, err)
		}
		done.Kind, done.Records, done.Bytes = batch[len(batch)-1].Kind(), in.n, in.whole
		batch, first = nil, in.lines+1
		if o.Progress != nil {
			o.Progress(done)
		}
		return nil
	}
	for {
		e, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			err := flush()
			if err == nil {
				done.Bytes = in.whole
			}
			return done, err
		case errors.Is(err, ErrIncomplete):
			err := errors.Join(err, flush())
			return done, err
		case err != nil:
			return done, err
		}
		batch = append(batch, e.Record)
		if len(batch) == o.Batch || in.whole-done.Bytes >= batchBytes {
			if err := flush(); err != nil {
				return done, err
			}
		}
	}
}
