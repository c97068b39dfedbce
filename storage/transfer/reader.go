package transfer

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/internal/seal"
)

const (
	formatName    = "enrollkit transfer"
	formatVersion = 1
	kindEnd       = Kind("end")

	// DefaultMaxLine is enough for a command and a result of a MiB each, sealed.
	DefaultMaxLine = 8 << 20
	// maxDepth is more than the deepest record has: a line, a ticket, its
	// challenges, one of them.
	maxDepth = 8
)

// header is the first line.
type header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	ID      text   `json:"id"`
	Kinds   []Kind `json:"kinds"`
	Sealed  bool   `json:"sealed,omitempty"`
}

// line is any other line.
type line struct {
	Kind Kind `json:"kind"`
	body
	Sealed []byte `json:"sealed,omitempty"`
}

// body is what is sealed.
type body struct {
	Cursor text            `json:"cursor,omitempty"`
	Record json.RawMessage `json:"record,omitempty"`
}

// end is the record of the last line.
type end struct {
	Records int64  `json:"records"`
	SHA256  digest `json:"sha256"`
}

// place names a record within all files, so that it cannot be moved.
func (h *header) place(k Kind, n int64) []string {
	return []string{string(h.ID), strconv.FormatInt(n, 10), string(k)}
}

const sealedColumn = "transfer.record"

// Entry is a record in a file.
type Entry struct {
	Record Record
	// Cursor is where the store that exported it goes on after it.
	Cursor string
}

// ReadOptions are the settings of a Reader. The zero value reads files that are
// not sealed.
type ReadOptions struct {
	// Keys open the records of a sealed file, of 32 bytes each; one of them
	// sealed it. A file that is not sealed is refused then.
	Keys [][]byte
	// MaxLine is how long a line may be in bytes. Defaults to DefaultMaxLine.
	MaxLine int
}

// Reader reads a file record by record.
type Reader struct {
	in     *bufio.Reader
	max    int
	ring   *seal.Ring
	header header
	sum    hash.Hash
	lines  int64
	whole  int64 // how many bytes of the file are lines that were read well
	n      int64 // records
	err    error
}

// NewReader reads the header of a file.
func NewReader(r io.Reader, o ReadOptions) (*Reader, error) {
	ring, err := seal.New(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	in := &Reader{in: bufio.NewReaderSize(r, 64<<10), max: o.MaxLine, ring: ring, sum: sha256.New()}
	if err := in.readHeader(); err != nil {
		return nil, &LineError{1, err}
	}
	return in, nil
}

func (r *Reader) readHeader() error {
	b, err := r.line()
	if errors.Is(err, io.EOF) {
		return ErrIncomplete
	}
	if err != nil {
		return err
	}
	// Of another version only these two fields are known.
	var first struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &first); err != nil || first.Format != formatName {
		return ErrFormat
	}
	if first.Version != formatVersion {
		return &VersionError{Found: first.Version, Known: formatVersion}
	}
	if err := strict(b, &r.header); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	for i, k := range r.header.Kinds {
		if !slices.Contains(Kinds(), k) || slices.Contains(r.header.Kinds[:i], k) {
			return &KindError{k}
		}
	}
	if r.header.Sealed != r.ring.Sealed() {
		return fmt.Errorf("%w: sealed is %v, and keys were given is %v", ErrKey, r.header.Sealed, r.ring.Sealed())
	}
	r.took(b)
	return nil
}

// took notes that a line was read well.
func (r *Reader) took(b []byte) {
	r.sum.Write(b)
	r.whole += int64(len(b))
}

// line reads one line, with its end.
func (r *Reader) line() ([]byte, error) {
	r.lines++
	var b []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(b)+len(part) > r.max {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLong, r.max)
		}
		b = append(b, part...)
		switch {
		case err == nil:
			return b, wellFormed(b)
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(b) > 0:
			return nil, ErrIncomplete
		default:
			return nil, err
		}
	}
}

// wellFormed refuses what encoding/json would change or follow too far.
func wellFormed(b []byte) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: it is not UTF-8", ErrRecord)
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return ErrTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// Next returns the next record. At the end of a file that is whole it returns
// io.EOF; every other error is a *LineError, and comes again from then on.
func (r *Reader) Next() (Entry, error) {
	if r.err != nil {
		return Entry{}, r.err
	}
	e, err := r.next()
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, errEnd):
		r.err = io.EOF
	default:
		r.err = &LineError{r.lines, err}
	}
	return Entry{}, r.err
}

// errEnd is the end of a file that is whole. An io.EOF from elsewhere must never
// be taken for it.
var errEnd = errors.New("transfer: end")

func (r *Reader) next() (Entry, error) {
	b, err := r.line()
	if errors.Is(err, io.EOF) {
		return Entry{}, ErrIncomplete
	}
	if err != nil {
		return Entry{}, err
	}
	var l line
	if err := strict(b, &l); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if err := r.open(&l); err != nil {
		return Entry{}, err
	}
	if l.Kind == kindEnd {
		return Entry{}, r.end(l.Record, len(b))
	}
	if !slices.Contains(r.header.Kinds, l.Kind) {
		return Entry{}, &KindError{l.Kind}
	}
	parsed, err := parse(l.Kind, l.Record)
	if err != nil {
		return Entry{}, err
	}
	r.took(b)
	r.n++
	return Entry{Record: parsed, Cursor: string(l.Cursor)}, nil
}

// open opens what is sealed in a line.
func (r *Reader) open(l *line) error {
	switch {
	case !r.header.Sealed && len(l.Sealed) == 0:
		return nil
	case !r.header.Sealed || len(l.Record) > 0 || l.Cursor != "":
		return fmt.Errorf("%w: what is sealed is not what the header says", ErrDamaged)
	}
	b, err := r.ring.Open(l.Sealed, sealedColumn, r.header.place(l.Kind, r.n)...)
	switch {
	case errors.Is(err, seal.ErrKey):
		return fmt.Errorf("%w: the record is sealed with another one", ErrKey)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := wellFormed(b); err != nil {
		return err
	}
	if err := strict(b, &l.body); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// end compares the file with what its last line says, and returns errEnd.
func (r *Reader) end(record []byte, length int) error {
	var e end
	if err := strict(record, &e); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if e.Records != r.n || string(e.SHA256[:]) != string(r.sum.Sum(nil)) {
		return fmt.Errorf("%w: it has %d records and should have %d", ErrDamaged, r.n, e.Records)
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	}
	r.whole += int64(length)
	return errEnd
}
