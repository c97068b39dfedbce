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
	m := moving(t, from, to)
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			m := *m
			m.TB = t
			c.check(&m)
		})
	}
}

// clause is something that is true of every move. The last one has the fleet go on
// in the store that it comes from.
type clause struct {
	name  string
	check func(m *move)
}

func clauses() []clause {
	return []clause{
		{"everything is there", (*move).everything},
		{"stopped and begun again", (*move).again},
		{"goes on", (*move).goesOn},
	}
}

// move is a fleet that is to be moved.
type move struct {
	testing.TB
	from, to Adapter
	fleet    *fleet
	source   Store
	want     []string
	file     []byte
	keys     [][]byte
}

func moving(t testing.TB, from, to Adapter) *move {
	t.Helper()
	m := &move{TB: t, from: from, to: to, source: open(t, from), keys: [][]byte{bytes.Repeat([]byte{7}, 32)}}
	var err error
	m.fleet, err = grow(t.Context(), m.source)
	ok(t, err, "the fleet, at "+from.Name)
	m.want = records(t, m.source, 100)
	if short := records(t, m.source, 1); !slices.Equal(short, m.want) {
		t.Fatalf("%s gives other records when it is asked for one at a time:\n%s", from.Name, difference(short, m.want))
	}
	var file bytes.Buffer
	_, err = transfer.Export(t.Context(), &file, m.source, transfer.ExportOptions{Keys: m.keys, Page: 9})
	ok(t, err, "Export")
	m.file = file.Bytes()
	return m
}

// into imports the whole file.
func (m *move) into(s transfer.Sink, batch int) transfer.Progress {
	m.Helper()
	done, err := transfer.Import(m.Context(), bytes.NewReader(m.file), s, transfer.ImportOptions{Keys: m.keys, Batch: batch})
	ok(m, err, "Import into "+m.to.Name)
	return done
}

func (m *move) everything() {
	s := open(m, m.to)
	if done := m.into(s, 7); done.Records != int64(len(m.want)) || done.Added != done.Records {
		m.Errorf("of %d records %d were read and %d added", len(m.want), done.Records, done.Added)
	}
	same(m, m.source, s, m.want)
	if done := m.into(s, 0); done.Added != 0 {
		m.Errorf("the same file again added %d records", done.Added)
	}
	same(m, m.source, s, m.want)
}

func (m *move) again() {
	for n := 1; n < len(m.want)/5; n += 10 {
		for _, before := range []bool{true, false} {
			s := open(m, m.to)
			_, err := transfer.Import(m.Context(), bytes.NewReader(m.file), &stopping{Sink: s, at: n, before: before},
				transfer.ImportOptions{Keys: m.keys, Batch: 5})
			is(m, err, errStopped, "Import that is stopped")
			m.into(s, 0)
			same(m, m.source, s, m.want)
		}
	}
}

func (m *move) goesOn() {
	s := open(m, m.to)
	m.into(s, 0)
	got, stayed := goOn(m.Context(), s, m.fleet.claimed), goOn(m.Context(), m.source, m.fleet.claimed)
	if diff := difference(got, stayed); diff != "" {
		m.Fatalf("after the move %s answers in another way than %s:\n%s", m.to.Name, m.from.Name, diff)
	}
	if diff := difference(records(m, remembering{s}, 100), records(m, remembering{m.source}, 100)); diff != "" {
		m.Fatalf("after all that %s holds something else than %s:\n%s", m.to.Name, m.from.Name, diff)
	}
	got, stayed = forget(m.Context(), s), forget(m.Context(), m.source)
	if diff := difference(got, stayed); len(got) > 0 && len(stayed) > 0 && diff != "" {
		m.Fatalf("after the move %s forgets something else than %s:\n%s", m.to.Name, m.from.Name, diff)
	}
}

// remembering leaves out of a store's grants what it may have forgotten.
type remembering struct{ transfer.Source }

func (r remembering) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	list, err := r.Source.ExportPage(ctx, kind, after, limit)
	for _, e := range list {
		if g, ok := e.Record.(*transfer.Grant); ok {
			g.Generations = g.Generations[max(0, len(g.Generations)-12):]
		}
	}
	return list, err
}

func open(t testing.TB, a Adapter) Store {
	t.Helper()
	s, err := a.Open(t.TempDir())
	ok(t, err, "open a store of "+a.Name)
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s Store) {
	t.Helper()
	if c, closes := s.(io.Closer); closes {
		ok(t, c.Close(), "close")
	}
}

// records are the lines of an export, without cursors and in clear.
func records(t testing.TB, s transfer.Source, page int) []string {
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
func same(t testing.TB, source, s Store, want []string) {
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
func refusals(t testing.TB, a Adapter) {
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

func ok(t testing.TB, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func is(t testing.TB, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, and not %v", what, err, want)
	}
}
