// Package journal is a file of records that is only ever appended to. It knows
// nothing of what the records say.
//
// A line of the file is what was synced at once: a checksum of all lines up to
// there, and records in base64. So whatever stops the machine, no more than the
// last line is incomplete, and nobody was told that what it has is stored: Open
// cuts it off.
package journal

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// title is the first line of every journal.
const title = "enrollkit example journal 1\n"

var (
	// ErrDamaged: the file is not what was written, and the difference is not
	// one that a stopped machine makes. It is left as it is.
	ErrDamaged = errors.New("journal: damaged")
	// ErrClosed: the journal is closed.
	ErrClosed = errors.New("journal: closed")
)

// Journal is an open journal. It is safe for concurrent use, by one process.
type Journal struct {
	mu      sync.Mutex // guards what follows
	waiting [][]byte   // in base64, not yet written
	last    int64      // the number of the last record
	synced  int64      // records up to this one are on the disk
	broken  error      // why no record can be appended any more

	disk sync.Mutex // held by who writes, which guards what follows
	file *os.File
	sum  uint32
	size int64
}

// Open opens the journal at path, or makes it, and hands its records to replay
// in their order. Its directory must exist. An error of replay ends it.
func Open(path string, replay func(record []byte) error) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{file: file}
	if err = lock(file); err == nil {
		err = j.read(replay)
	}
	if err == nil {
		err = j.begin()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: open %s: %w", path, err), file.Close())
	}
	return j, nil
}

// read replays every complete line.
func (j *Journal) read(replay func([]byte) error) error {
	for in, n := bufio.NewReader(j.file), 1; ; n++ {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && n == 1 && string(line) != title[:min(len(line), len(title))]:
			return fmt.Errorf("%w: it begins with %.30q", ErrDamaged, line)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == 1 && string(line) != title:
			return fmt.Errorf("%w: it begins with %.30q", ErrDamaged, line)
		case n > 1:
			records, sum, err := j.parse(line)
			if _, end := in.Peek(1); err != nil && errors.Is(end, io.EOF) {
				return nil // not all of its blocks had reached the disk
			}
			if err != nil {
				return fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err)
			}
			for _, record := range records {
				if err := replay(record); err != nil {
					return fmt.Errorf("line %d: %w", n, err)
				}
			}
			j.sum = sum
		}
		j.size += int64(len(line))
	}
}

// begin cuts off what is incomplete and makes sure that the rest is on the disk.
func (j *Journal) begin() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	if j.size == 0 {
		if _, err := j.file.WriteString(title); err != nil {
			return err
		}
		j.size = int64(len(title))
	}
	directory, err := os.Open(filepath.Dir(j.file.Name())) // which has the name of the file
	if err != nil {
		return err
	}
	return errors.Join(j.file.Sync(), directory.Sync(), directory.Close())
}

// parse returns the records of a line and its checksum.
func (j *Journal) parse(line []byte) (records [][]byte, sum uint32, err error) {
	head, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if sum = j.next(text); string(head) != fmt.Sprintf("%08x", sum) {
		return nil, 0, fmt.Errorf("its checksum is %.9q and not %08x", head, sum)
	}
	for encoded := range bytes.SplitSeq(text, []byte(",")) {
		record, err := base64.StdEncoding.AppendDecode(nil, encoded)
		if err != nil {
			return nil, 0, err
		}
		records = append(records, record)
	}
	return records, sum, nil
}

func (j *Journal) next(text []byte) uint32 {
	return crc32.Update(j.sum, crc32.MakeTable(crc32.Castagnoli), text)
}

// Append takes a record, which must not be empty, and returns its number. It is
// stored when Sync says so.
func (j *Journal) Append(record []byte) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.waiting = append(j.waiting, base64.StdEncoding.AppendEncode(nil, record))
	}
	j.last++
	return j.last
}

// Last is the number of the last record that was appended. Sync of it fails when
// the journal is broken or closed.
func (j *Journal) Last() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Sync returns when the records up to a number are on the disk. Of calls at the
// same time the first one writes the records of all. After an error every call
// fails, and the journal has to be opened again: it does not have the records
// whose Sync failed.
func (j *Journal) Sync(number int64) error {
	if done, err := j.done(number); done {
		return err
	}
	j.disk.Lock()
	defer j.disk.Unlock()
	if done, err := j.done(number); done {
		return err
	}
	j.mu.Lock()
	group, last := j.waiting, j.last
	j.waiting = nil
	j.mu.Unlock()
	err := j.write(bytes.Join(group, []byte(",")))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken = err; err == nil {
		j.synced = last
	}
	return err
}

// done reports whether there is nothing to wait for.
func (j *Journal) done(number int64) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if number <= j.synced {
		return true, nil
	}
	return j.broken != nil, j.broken
}

// write appends a line.
func (j *Journal) write(text []byte) error {
	sum := j.next(text)
	n, err := fmt.Fprintf(j.file, "%08x %s\n", sum, text)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil { // what is answered with an error is not to come back
		return fmt.Errorf("journal: %w", errors.Join(err, j.file.Truncate(j.size)))
	}
	j.sum, j.size = sum, j.size+int64(n)
	return nil
}

// Close syncs what was appended and closes the file.
func (j *Journal) Close() error {
	err := j.Sync(j.Last())
	j.disk.Lock()
	defer j.disk.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.broken, ErrClosed) {
		return ErrClosed
	}
	j.broken = ErrClosed
	j.last++ // a record that is never written
	return errors.Join(err, j.file.Close())
}
