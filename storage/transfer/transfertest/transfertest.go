package transfertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// Store is a store that can be moved into and out of.
type Store interface {
	storage.Store
	transfer.Source
	transfer.Sink
}

// Adapter makes stores.
type Adapter struct {
	// Name is for messages.
	Name string
	// Open opens the store at a place, an empty directory of its own. A store with
	// a Close method is closed at the end.
	Open func(place string) (Store, error)
	// Volatile: what is stored ends with the process.
	Volatile bool
}

// Memory is storage/memory.
func Memory() Adapter {
	return Adapter{Name: "memory", Volatile: true, Open: func(string) (Store, error) { return memory.New(), nil }}
}

// Run moves between an adapter and storage/memory, and from one store of the
// adapter to another, as subtests of t. It must be called by a test function of
// its own, and first.
func Run(t *testing.T, a Adapter) {
	if place := os.Getenv(childPlace); place != "" {
		child(t, a, place)
		return
	}
	t.Run("from memory", func(t *testing.T) { Between(t, Memory(), a) })
	t.Run("to memory", func(t *testing.T) { Between(t, a, Memory()) })
	t.Run("to another", func(t *testing.T) { Between(t, a, a) })
	t.Run("what cannot be", func(t *testing.T) { refusals(t, a) })
	if a.Volatile {
		t.Logf("NOT PROMISED: survives being killed: the store is volatile")
		return
	}
	t.Run("survives being killed", func(t *testing.T) { killed(t, a) })
}

// Between moves a fleet from a store of one adapter to one of another.
func Between(t *testing.T, from, to Adapter) {
	key := bytes.Repeat([]byte{7}, 32)
	source := open(t, from)
	f, err := grow(t.Context(), source)
	ok(t, err, "the fleet, at "+from.Name)
	want := records(t, source, 100)
	if short := records(t, source, 1); !slices.Equal(short, want) {
		t.Fatalf("%s gives other records when it is asked for one at a time:\n%s", from.Name, difference(short, want))
	}
	file := export(t, source, key)

	t.Run("everything is there", func(t *testing.T) {
		s := open(t, to)
		done, err := transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{Keys: [][]byte{key}, Batch: 7})
		ok(t, err, "Import into "+to.Name)
		if done.Records != int64(len(want)) || done.Added != done.Records {
			t.Errorf("of %d records %d were read and %d added", len(want), done.Records, done.Added)
		}
		same(t, source, s, want)
		done, err = transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{Keys: [][]byte{key}})
		ok(t, err, "Import again")
		if done.Added != 0 {
			t.Errorf("the same file again added %d records", done.Added)
		}
		same(t, source, s, want)
	})
	t.Run("stopped and begun again", func(t *testing.T) {
		for n := 1; n < len(want)/5; n += 3 {
			for _, before := range []bool{true, false} {
				s := open(t, to)
				_, err := transfer.Import(t.Context(), bytes.NewReader(file), &stopping{Sink: s, at: n, before: before},
					transfer.ImportOptions{Keys: [][]byte{key}, Batch: 5})
				is(t, err, errStopped, "Import that is stopped")
				_, err = transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{Keys: [][]byte{key}})
				ok(t, err, "Import again")
				same(t, source, s, want)
			}
		}
	})
	t.Run("goes on", func(t *testing.T) {
		s := open(t, to)
		_, err := transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{Keys: [][]byte{key}})
		ok(t, err, "Import into "+to.Name)
		got, stayed := goOn(t.Context(), s, f.claimed), goOn(t.Context(), source, f.claimed)
		if diff := difference(got, stayed); diff != "" {
			t.Fatalf("after the move %s answers in another way than %s:\n%s", to.Name, from.Name, diff)
		}
		if diff := difference(records(t, s, 100), records(t, source, 100)); diff != "" {
			t.Fatalf("after all that %s holds something else than %s:\n%s", to.Name, from.Name, diff)
		}
	})
}

func open(t *testing.T, a Adapter) Store {
	t.Helper()
	s, err := a.Open(t.TempDir())
	ok(t, err, "open a store of "+a.Name)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s Store) {
	t.Helper()
	if c, closes := s.(io.Closer); closes {
		ok(t, c.Close(), "close")
	}
}

func export(t *testing.T, s Store, key []byte) []byte {
	t.Helper()
	var file bytes.Buffer
	_, err := transfer.Export(t.Context(), &file, s, transfer.ExportOptions{Keys: [][]byte{key}, Page: 9})
	ok(t, err, "Export")
	return file.Bytes()
}

// records are the lines of an export, without cursors and in clear.
func records(t *testing.T, s transfer.Source, page int) []string {
	t.Helper()
	var file strings.Builder
	w, err := transfer.NewWriter(&file, transfer.WriteOptions{Random: strings.NewReader(strings.Repeat("0", 16))})
	ok(t, err, "NewWriter")
	file.Reset()
	for _, k := range transfer.Kinds() {
		for after := ""; ; {
			list, err := s.ExportPage(t.Context(), k, after, page)
			ok(t, err, "ExportPage of "+string(k))
			if len(list) > page {
				t.Fatalf("a page of %d records of the kind %s has %d", page, k, len(list))
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				after = e.Cursor
				e.Cursor = ""
				ok(t, w.Write(e), "Write")
			}
		}
	}
	return strings.Split(strings.TrimSuffix(file.String(), "\n"), "\n")
}

// same fails unless a store holds what the source does.
func same(t *testing.T, source, s Store, want []string) {
	t.Helper()
	if diff := difference(records(t, s, 100), want); diff != "" {
		t.Fatalf("what is there differs:\n%s", diff)
	}
	got, err := s.State(t.Context())
	ok(t, err, "State")
	held, err := source.State(t.Context())
	ok(t, err, "State")
	if g, h := show(got), show(held); g != h {
		t.Fatalf("State differs:\n got  %s\n want %s", g, h)
	}
}

// show is a state as a text.
func show(s storage.State) string {
	a := after{}
	a.said("State", s, nil)
	return a.log[0]
}

var errStopped = errors.New("stopped")

// stopping is a sink that fails once, before or after it has done what it was
// asked to.
type stopping struct {
	transfer.Sink
	at     int
	before bool
}

func (s *stopping) ImportBatch(ctx context.Context, records []transfer.Record) (int, error) {
	if s.at--; s.at == 0 && s.before {
		return 0, errStopped
	}
	n, err := s.Sink.ImportBatch(ctx, records)
	if s.at == 0 && err == nil {
		err = errStopped
	}
	return n, err
}

// refusals gives a store what it cannot take: it says so, and takes nothing of it.
func refusals(t *testing.T, a Adapter) {
	s := open(t, a)
	_, err := grow(t.Context(), s)
	ok(t, err, "the fleet")
	before := records(t, s, 100)
	busy := digestOf("c-busy")
	ticket := enroll.Ticket{ID: "new", Way: mdm.WayProfile, State: enroll.TicketIssued, Downloads: 1}
	for what, c := range map[string]struct {
		record transfer.Record
		want   error
	}{
		"a person under another ID": {&transfer.User{User: jit.User{ID: "new", Issuer: "https://idp.example.com", Subject: "alice"}}, transfer.ErrConflict},
		"a challenge of another ticket": {
			&transfer.Ticket{Ticket: ticket, Challenges: []transfer.Challenge{{Digest: id("new"), Download: 1}, {Digest: id("c-busy"), Download: 1}}}, transfer.ErrConflict,
		},
		"an identity of another ticket":         {&transfer.Ticket{Ticket: ticket, Identities: []transfer.Identity{{Digest: busy}}}, transfer.ErrConflict},
		"a device without an identity":          {&transfer.Enrollment{Enrollment: mdm.Enrollment{ID: "new", TicketID: "t-busy", Certificate: id("new"), Way: mdm.WayProfile, State: mdm.StateEnrolled}}, transfer.ErrMissing},
		"a device with one of another ticket":   {&transfer.Enrollment{Enrollment: mdm.Enrollment{ID: "new", TicketID: "t-idle", Certificate: busy, Way: mdm.WayProfile, State: mdm.StateEnrolled}}, transfer.ErrMissing},
		"a device with one of another device":   {&transfer.Enrollment{Enrollment: mdm.Enrollment{ID: "new", TicketID: "t-busy", Certificate: busy, Way: mdm.WayProfile, State: mdm.StateEnrolled}}, transfer.ErrConflict},
		"a grant for a ticket that is not":      {&transfer.Grant{TicketID: "nothing", Generations: []transfer.Generation{{Tokens: enroll.Tokens{Access: id("new")}}}}, transfer.ErrMissing},
		"a grant for an enrollment that is not": {&transfer.Grant{EnrollmentID: "nothing", Generations: []transfer.Generation{{Tokens: enroll.Tokens{Access: id("new")}}}}, transfer.ErrMissing},
		"a grant with another's token": {
			&transfer.Grant{TicketID: "t-often", Redeemed: true, Code: &enroll.AuthorizationCode{Code: id("new")}, Generations: []transfer.Generation{
				{Tokens: enroll.Tokens{Access: id("new")}}, {Tokens: enroll.Tokens{Access: id("often 19")}},
			}}, transfer.ErrConflict,
		},
		"a grant with another's refresh token": {
			&transfer.Grant{TicketID: "t-often", Redeemed: true, Code: &enroll.AuthorizationCode{Code: id("new")}, Generations: []transfer.Generation{
				{Tokens: enroll.Tokens{Access: id("new"), Refresh: id("refresh often 19")}},
			}}, transfer.ErrConflict,
		},
		"a command of a device that is not": {&transfer.Command{Command: mdm.Command{EnrollmentID: "nothing", UUID: "new", Status: mdm.CommandQueued}}, transfer.ErrMissing},
	} {
		n, err := s.ImportBatch(t.Context(), []transfer.Record{c.record})
		is(t, err, c.want, what)
		if n != 0 {
			t.Errorf("%s: %d records were added", what, n)
		}
		if diff := difference(records(t, s, 100), before); diff != "" {
			t.Fatalf("%s left a trace:\n%s", what, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.ImportBatch(ctx, []transfer.Record{&transfer.Suspension{UserID: "new"}})
	is(t, err, context.Canceled, "a call whose context is over")
	_, err = s.ExportPage(ctx, transfer.KindUser, "", 1)
	is(t, err, context.Canceled, "a call whose context is over")
	var unknown *transfer.KindError
	if _, err = s.ExportPage(t.Context(), "rumour", "", 1); !errors.As(err, &unknown) {
		t.Errorf("an unknown kind: %v", err)
	}
	if diff := difference(records(t, s, 100), before); diff != "" {
		t.Fatalf("a call whose context was over left a trace:\n%s", diff)
	}
}

func ok(t *testing.T, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func is(t *testing.T, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, and not %v", what, err, want)
	}
}
