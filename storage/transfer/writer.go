package transfer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// WriteOptions are the settings of a Writer. The zero value writes records of all
// kinds in clear.
type WriteOptions struct {
	// Kinds are those that the file has. Defaults to Kinds().
	Kinds []Kind
	// Keys seal the records, with the first of them; 32 bytes each.
	Keys [][]byte
	// Random makes the name of the file. Defaults to crypto/rand.Reader.
	Random io.Reader
}

// Writer writes a file record by record.
type Writer struct {
	out    io.Writer
	ring   *seal.Ring
	header header
	sum    hash.Hash
	n      int64 // records
	bytes  int64
}

// NewWriter writes the header of a file.
func NewWriter(w io.Writer, o WriteOptions) (*Writer, error) {
	out := &Writer{out: w, sum: sha256.New(), header: header{Format: formatName, Version: formatVersion, Kinds: o.Kinds}}
	if out.header.Kinds == nil {
		out.header.Kinds = Kinds()
	}
	for i, k := range out.header.Kinds {
		if !slices.Contains(Kinds(), k) || slices.Contains(out.header.Kinds[:i], k) {
			return nil, &KindError{k}
		}
	}
	var err error
	if out.ring, err = seal.New(o.Keys); err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	out.header.Sealed = out.ring.Sealed()
	if o.Random == nil {
		o.Random = rand.Reader
	}
	id := make([]byte, 16)
	if _, err := io.ReadFull(o.Random, id); err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	out.header.ID = text(hex.EncodeToString(id))
	return out, out.write(out.header)
}

// Write writes a record. It is refused with ErrRecord when a Reader would refuse
// it.
func (w *Writer) Write(e Entry) error {
	k := e.Record.Kind()
	if !slices.Contains(w.header.Kinds, k) {
		return &KindError{k}
	}
	record, err := json.Marshal(wireOf(e.Record))
	if err == nil {
		err = e.Record.check()
	}
	if err != nil {
		return fmt.Errorf("%w: %s %q: %w", ErrRecord, k, e.Record.Name(), err)
	}
	if err := w.line(line{Kind: k, body: body{Cursor: text(e.Cursor), Record: record}}); err != nil {
		return err
	}
	w.n++
	return nil
}

// Close writes the last line. It does not close what the Writer writes to.
func (w *Writer) Close() error {
	record, err := json.Marshal(end{Records: w.n, SHA256: digest(w.sum.Sum(nil))})
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	return w.line(line{Kind: kindEnd, body: body{Record: record}})
}

// line seals the body of a line, if there are keys, and writes it.
func (w *Writer) line(l line) error {
	if w.header.Sealed {
		b, err := json.Marshal(l.body)
		if err == nil {
			l.Sealed, err = w.ring.Seal(b, sealedColumn, w.header.place(l.Kind, w.n)...)
		}
		if err != nil {
			return fmt.Errorf("transfer: %w", err)
		}
		l.body = body{}
	}
	return w.write(l)
}

func (w *Writer) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	b = append(b, '\n')
	if _, err := w.out.Write(b); err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	w.sum.Write(b)
	w.bytes += int64(len(b))
	return nil
}
