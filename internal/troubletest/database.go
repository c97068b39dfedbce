package troubletest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/enrollkit/enrollkit/storage"
)

// Store is an adapter with keys and a schema.
type Store interface {
	storage.Store
	Reseal(ctx context.Context, limit int) (int, error)
	Close() error
}

// Database is an empty database of an adapter, for the troubles of those that
// open it.
type Database struct {
	// Open opens it with keys.
	Open func(keys ...[]byte) (Store, error)
	// Dump is what it has.
	Dump func() []byte
	// Version notes a version of the schema, above the known one by n, or, with
	// 0, takes that note back.
	Version func(n int64)
	// Rename renames a table, as a migration of tomorrow may.
	Rename func(table, to string)
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func (d Database) open(t *testing.T, keys ...[]byte) Store {
	t.Helper()
	s, err := d.Open(keys...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	return s
}

// refused fails unless the database is not opened with a key, and left as it is.
func (d Database) refused(t *testing.T, what string, with []byte) (err error) {
	t.Helper()
	before := d.Dump()
	s, err := d.Open(with)
	if err == nil {
		t.Fatal(what, "was opened", s.Close())
	}
	t.Logf("Open: %v", err)
	if !bytes.Equal(before, d.Dump()) {
		t.Fatal(what, "was refused and changed")
	}
	return err
}

// WrongMasterKey opens the database with a wrong key, which is refused, and has
// a node without the key that another one has sealed with: what that one sealed
// cannot be read, and it is there for whoever has the key.
func (d Database) WrongMasterKey(t *testing.T) {
	old := d.open(t, key(1))
	w := New(t, old)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.refused(t, "a database of another key", key(2)); !errors.Is(err, storage.ErrKey) {
		t.Fatalf("%v is no %v", err, storage.ErrKey)
	}

	old, next := d.open(t, key(1)), d.open(t, key(2), key(1))
	w.On(next)
	w.queue(Report, "of the next key")
	w.On(old)
	w.Is(storage.ErrKey, Report) // the command that it reports can be read, and not the one after it
	for {
		n, err := next.Reseal(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	for _, request := range []string{Idle, Again, Report} {
		w.Is(storage.ErrKey, request) // its command cannot be read
	}
	w.On(next)
	w.Heals()
}

// FutureSchema notes a version of tomorrow. Open refuses it and leaves it as it
// is. A store that was open before goes on while its tables are there; what it
// does not find any more is refused, and heals when it is there again.
func (d Database) FutureSchema(t *testing.T) {
	s := d.open(t, key(1))
	w := New(t, s)
	d.Version(7)
	var newer *storage.SchemaError
	if err := d.refused(t, "a database of tomorrow", key(1)); !errors.As(err, &newer) || newer.Found != newer.Known+7 {
		t.Fatalf("%v is no storage.SchemaError of version %d", err, 7)
	}
	if status, err := w.Ask(Idle); status != 200 {
		t.Fatalf("an open store was answered %d: %v", status, err)
	}
	w.note()
	d.Rename("enrollments", "enrollments_of_tomorrow")
	w.Refuses("enrollments", Authenticate, TokenUpdate, Idle, Again, Report, CheckOut)
	d.Rename("enrollments_of_tomorrow", "enrollments")
	d.Version(0)
	w.Heals()
	d.open(t, key(1))
}
