package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Source is a store whose records Export lists.
type Source interface {
	// ExportPage returns at most limit records of a kind, in the order in which
	// they came to the store, from the one after that which had this cursor; ""
	// is the first. No record means that there are no more, or that the store
	// keeps none of this kind. Each entry has the cursor of its record, which is
	// not empty. The records are the caller's.
	ExportPage(ctx context.Context, kind Kind, after string, limit int) ([]Entry, error)
}

// Progress says how far an export or an import has come.
type Progress struct {
	// Kind is that of the last record.
	Kind Kind
	// Records is how many records were written or read, Added how many of those
	// read the store did not have.
	Records, Added int64
	// Bytes is how long the part of the file is that was written or read.
	Bytes int64
}

// ExportOptions are the settings of an export. The zero value exports everything
// in clear.
type ExportOptions struct {
	// Kinds are those to export. Defaults to all.
	Kinds []Kind
	// Keys seal the records, with the first of them; 32 bytes each.
	Keys [][]byte
	// Page is how many records are asked of the store at once. Defaults to 256,
	// and to 32 for commands, whose payload and result may be a MiB each.
	Page int
	// Progress is called after each page; nil tells nobody.
	Progress func(Progress)
	// Random makes the name of the file. Defaults to crypto/rand.Reader.
	Random io.Reader
}

// page is how many records of a kind are held in memory.
func (o ExportOptions) page(k Kind) int {
	switch {
	case o.Page > 0:
		return o.Page
	case k == KindCommand:
		return 32
	}
	return 256
}

// Export writes what a store holds to w.
func Export(ctx context.Context, w io.Writer, from Source, o ExportOptions) (Progress, error) {
	buffered := bufio.NewWriterSize(w, 64<<10)
	out, err := NewWriter(buffered, WriteOptions{Kinds: o.kinds(), Keys: o.Keys, Random: o.Random})
	if err != nil {
		return Progress{}, err
	}
	e := export{from: from, out: out, flush: buffered.Flush, o: o}
	err = e.run(ctx, Entry{})
	return e.done, err
}

// kinds are those to export, in their order.
func (o ExportOptions) kinds() []Kind {
	if o.Kinds == nil {
		return Kinds()
	}
	return slices.DeleteFunc(Kinds(), func(k Kind) bool { return !slices.Contains(o.Kinds, k) })
}

// export is an export under way.
type export struct {
	from  Source
	out   *Writer
	flush func() error
	o     ExportOptions
	done  Progress
}

// run exports everything that comes after an entry.
func (e *export) run(ctx context.Context, last Entry) error {
	kinds, after := e.out.header.Kinds, last.Cursor
	if last.Record != nil {
		kinds = kinds[slices.Index(kinds, last.Record.Kind()):]
	}
	for _, k := range kinds {
		if err := e.kind(ctx, k, after); err != nil {
			return err
		}
		after = ""
	}
	if err := e.out.Close(); err != nil {
		return err
	}
	return e.tell()
}

func (e *export) kind(ctx context.Context, k Kind, after string) error {
	for {
		page, err := e.from.ExportPage(ctx, k, after, e.o.page(k))
		if err != nil {
			return fmt.Errorf("transfer: export records of the kind %s: %w", k, err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, entry := range page {
			if entry.Record.Kind() != k || entry.Cursor == "" || entry.Cursor == after {
				return fmt.Errorf("transfer: export: the store gave a %s with the cursor %q after %q for a %s", entry.Record.Kind(), entry.Cursor, after, k)
			}
			if err := e.out.Write(entry); err != nil {
				return err
			}
			after, e.done.Kind = entry.Cursor, k
		}
		if err := e.tell(); err != nil {
			return err
		}
	}
}

// tell hands on what was written.
func (e *export) tell() error {
	if err := e.flush(); err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	e.done.Records, e.done.Bytes = e.out.n, e.out.bytes
	if e.o.Progress != nil {
		e.o.Progress(e.done)
	}
	return nil
}

// ExportFile makes the file at path, for its owner only. Until it is whole its
// name ends in ".part"; when there is such a file of an export that was stopped,
// it goes on behind the last record in it, which must be of the same store. A
// file at path is not written over: the error is fs.ErrExist.
func ExportFile(ctx context.Context, path string, from Source, o ExportOptions) (Progress, error) {
	if _, err := os.Lstat(path); err == nil {
		return Progress{}, fmt.Errorf("transfer: export: %s: %w", path, fs.ErrExist)
	}
	f, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Progress{}, fmt.Errorf("transfer: export: %w", err)
	}
	done, err := exportInto(ctx, f, from, o)
	if err != nil {
		return done, errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return done, fmt.Errorf("transfer: export: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return done, fmt.Errorf("transfer: export: %w", err)
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return done, fmt.Errorf("transfer: export: %w", err)
	}
	if err := errors.Join(directory.Sync(), directory.Close()); err != nil {
		return done, fmt.Errorf("transfer: export: %w", err)
	}
	return done, nil
}

// exportInto goes on with what a file has.
func exportInto(ctx context.Context, f *os.File, from Source, o ExportOptions) (Progress, error) {
	begun, last, err := readPart(f, o.Keys)
	if errors.Is(err, io.EOF) {
		return Progress{Records: begun.n, Bytes: begun.whole}, nil
	}
	if err != nil {
		return Progress{}, fmt.Errorf("transfer: export: %s cannot be gone on with: %w", f.Name(), err)
	}
	var whole int64
	if begun != nil {
		whole = begun.whole
	}
	if err := f.Truncate(whole); err != nil {
		return Progress{}, fmt.Errorf("transfer: export: %w", err)
	}
	if _, err := f.Seek(whole, io.SeekStart); err != nil {
		return Progress{}, fmt.Errorf("transfer: export: %w", err)
	}
	if begun == nil {
		return Export(ctx, f, from, o)
	}
	if !slices.Equal(o.kinds(), begun.header.Kinds) {
		return Progress{}, fmt.Errorf("transfer: export: %s was begun with the kinds %v: remove it to begin again", f.Name(), begun.header.Kinds)
	}
	buffered := bufio.NewWriterSize(f, 64<<10)
	e := export{
		from: from, flush: buffered.Flush, o: o,
		out: &Writer{out: buffered, ring: begun.ring, header: begun.header, sum: begun.sum, n: begun.n, bytes: begun.whole},
	}
	err = e.run(ctx, last)
	return e.done, err
}

// readPart reads what a file has up to the last record in it. The reader is nil
// when not even its header is whole; the error is io.EOF when everything is.
func readPart(f *os.File, keys [][]byte) (*Reader, Entry, error) {
	r, err := NewReader(f, ReadOptions{Keys: keys})
	if errors.Is(err, ErrIncomplete) {
		return nil, Entry{}, nil
	}
	var last Entry
	for err == nil {
		var e Entry
		if e, err = r.Next(); err == nil {
			last = e
		}
	}
	// A machine that stopped may have left anything behind the last line.
	if errors.Is(err, ErrIncomplete) || errors.Is(err, ErrRecord) || errors.Is(err, ErrTooLong) || errors.Is(err, ErrTooDeep) {
		err = nil
	}
	if err == nil && last.Record != nil && last.Cursor == "" {
		err = errors.New("its records have no cursors")
	}
	return r, last, err
}
