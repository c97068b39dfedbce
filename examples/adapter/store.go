package adapter

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/examples/adapter/journal"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// Store is a storage.Store in a journal. It is safe for concurrent use, by one
// process.
type Store struct {
	mu      sync.Mutex // held while a step is taken and noted, so that both have one order
	machine *memory.Store
	came    map[[32]byte]bool // codes, refresh and access tokens
	journal *journal.Journal  // nil while it is replayed
}

var (
	_ storage.Store  = (*Store)(nil)
	_ storage.Pruner = (*Store)(nil)
)

// Open opens the journal at path, which is made when it is missing; its
// directory must exist.
func Open(path string) (_ *Store, err error) {
	s := &Store{machine: memory.New(), came: map[[32]byte]bool{}}
	if s.journal, err = journal.Open(path, s.replay); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	return s, nil
}

// Close writes what was begun and closes the journal. Calls that come later fail.
func (s *Store) Close() error { return s.journal.Close() }

// record is a step as it is in the journal: a method of Store and its arguments
// after ctx, each a gob.
type record struct {
	Method string
	Args   [][]byte
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

// replay takes a step of the journal again.
func (s *Store) replay(b []byte) error {
	var r record
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&r); err != nil {
		return err
	}
	method := reflect.ValueOf(s).MethodByName(r.Method)
	if !method.IsValid() || method.Type().NumIn() != 1+len(r.Args) {
		return fmt.Errorf("there is no step %s with %d arguments", r.Method, len(r.Args))
	}
	in := []reflect.Value{reflect.ValueOf(context.Background())}
	for i, arg := range r.Args {
		value := reflect.New(method.Type().In(1 + i))
		if err := gob.NewDecoder(bytes.NewReader(arg)).DecodeValue(value); err != nil {
			return fmt.Errorf("%s: %w", r.Method, err)
		}
		in = append(in, value.Elem())
	}
	call := method.Call
	if method.Type().IsVariadic() {
		call = method.CallSlice
	}
	out := call(in)
	if err, _ := out[len(out)-1].Interface().(error); !counts(err) {
		return fmt.Errorf("%s was accepted, and is refused now: %w", r.Method, err)
	}
	return nil
}

// counts reports whether a step with this outcome may have changed something. A
// code or a refresh token that comes twice is refused, and revokes its grant.
func counts(err error) bool { return err == nil || errors.Is(err, enroll.ErrGrant) }

// step has the machine take a step, and notes it if take says that it changed
// something. It returns when that is on the disk.
func (s *Store) step(take func(*memory.Store) (changed bool, err error), method string, args ...any) error {
	r := record{Method: method}
	for _, arg := range args {
		b, err := encode(arg)
		if err != nil {
			return fmt.Errorf("adapter: %s: %w", method, err)
		}
		r.Args = append(r.Args, b)
	}
	b, err := encode(r)
	if err != nil {
		return fmt.Errorf("adapter: %s: %w", method, err)
	}
	s.mu.Lock()
	changed, err := take(s.machine)
	if s.journal != nil && changed && counts(err) {
		s.journal.Append(b)
	}
	return s.answer(err)
}

// look is a step that changes nothing.
func (s *Store) look(read func(*memory.Store) error) error {
	s.mu.Lock()
	return s.answer(read(s.machine))
}

// answer ends a step. It returns when everything that the machine's answer may
// have been made of is on the disk.
func (s *Store) answer(err error) error {
	if s.journal == nil {
		s.mu.Unlock()
		return err
	}
	last := s.journal.Last()
	s.mu.Unlock()
	if broken := s.journal.Sync(last); broken != nil {
		return fmt.Errorf("adapter: %w", broken)
	}
	return err
}

// done is the outcome of a step that changes something when it succeeds.
func done(err error) (bool, error) { return true, err }

// first reports whether a digest comes for the first time.
func (s *Store) first(digest [32]byte) bool {
	known := s.came[digest]
	s.came[digest] = true
	return !known
}
