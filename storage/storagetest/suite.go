package storagetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage"
)

// Devices is the part of an adapter that has to be one database: tickets, what
// is issued for them, enrollments, queues and pushes.
type Devices interface {
	enroll.TicketStore
	mdm.Store
	push.Store
	// State is as in storage.Store; its Users are not looked at.
	State(ctx context.Context) (storage.State, error)
}

// Suite says what is tested. Each part opens its store at a place, see the
// package documentation; a nil part is not tested, and listed.
type Suite struct {
	Users    func(place string) (jit.Store, error)
	States   func(place string) (sso.StateStore, error)
	Sessions func(place string) (enroll.SessionStore, error)
	Devices  func(place string) (Devices, error)
	Accounts func(place string) (Accounts, error)
	// Retention is an adapter of all parts that also forgets what is over.
	Retention func(place string) (Retention, error)

	// Volatile: what is stored ends with the process.
	Volatile bool
	// Nodes: several processes may have the same place open.
	Nodes bool
	// Steps is how long a random history is. Defaults to 3000, and to 500 with
	// go test -short.
	Steps int
}

// Whole is the suite of an adapter that implements all parts in one type.
func Whole[S storage.Store](open func(place string) (S, error)) Suite {
	s := Suite{
		Users:    func(place string) (jit.Store, error) { return open(place) },
		States:   func(place string) (sso.StateStore, error) { return open(place) },
		Sessions: func(place string) (enroll.SessionStore, error) { return open(place) },
		Devices:  func(place string) (Devices, error) { return open(place) },
		Accounts: func(place string) (Accounts, error) { return open(place) },
	}
	var none S
	if _, ok := any(none).(Retention); ok {
		s.Retention = func(place string) (Retention, error) {
			opened, err := open(place)
			r, _ := any(opened).(Retention)
			return r, err
		}
	}
	return s
}

// Run runs the clauses as subtests of t.
func Run(t *testing.T, s Suite) {
	if os.Getenv(childPlace) != "" {
		t.Fatal("storagetest: TestMain does not call storagetest.Main")
	}
	for _, p := range s.parts() {
		t.Run(p.name, func(t *testing.T) {
			for _, c := range p.clauses {
				if c.missing != "" {
					t.Logf("NOT PROMISED: %s/%s: %s", p.name, c.name, c.missing)
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.run(t) })
			}
		})
	}
}

// part is a group of clauses for one interface.
type part struct {
	name    string
	clauses []runnable
}

// runnable is a clause for a store of this suite.
type runnable struct {
	name    string
	missing string // why it is not run
	run     func(reporter)
}

// parts are all clauses, with the suite's stores.
func (s Suite) parts() []part {
	return []part{
		makePart(s, "users", s.Users, userClauses()),
		makePart(s, "states", s.States, stateClauses()),
		makePart(s, "sessions", s.Sessions, sessionClauses()),
		makePart(s, "devices", s.Devices, deviceClauses()),
		makePart(s, "accounts", devicesOf(s.Accounts), accountClauses()),
		makePart(s, "retention", s.Retention, retentionClauses()),
	}
}

// devicesOf opens stores of Accounts as Devices, by which the clauses tell their
// stories.
func devicesOf(open func(string) (Accounts, error)) func(string) (Devices, error) {
	if open == nil {
		return nil
	}
	return func(place string) (Devices, error) { return open(place) }
}

// clause is one promise of a store of type S.
type clause[S any] struct {
	name string
	// rule is what is promised, and why.
	rule string
	// durable clauses are not for volatile stores.
	durable bool
	check   func(w *world[S])
}

func makePart[S any](s Suite, name string, open func(string) (S, error), clauses []clause[S]) part {
	p := part{name: name}
	if open == nil {
		p.clauses = []runnable{{name: name, missing: "the adapter does not implement it"}}
		return p
	}
	for _, c := range clauses {
		r := runnable{name: c.name, run: func(t reporter) { runClause(s, t, open, c) }}
		if c.durable && s.Volatile {
			r.missing = "the store is volatile"
		}
		p.clauses = append(p.clauses, r)
	}
	return p
}

func runClause[S any](s Suite, t reporter, open func(string) (S, error), c clause[S]) {
	t.Helper()
	w := &world[S]{reporter: t, rule: c.rule, open: open, place: t.TempDir(), suite: s}
	t.Cleanup(w.closeAll)
	w.store = w.node()
	c.check(w)
}

// reporter is what a clause needs of a testing.T.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Logf(format string, args ...any)
	Cleanup(func())
	TempDir() string
	Context() context.Context
}

var _ reporter = (*testing.T)(nil)

// world is where one clause is checked: a fresh store, and ways to say what is
// wrong with it.
type world[S any] struct {
	reporter
	rule  string
	suite Suite
	open  func(string) (S, error)
	place string
	store S
	nodes []any // to close
}

// node opens the place once more.
func (w *world[S]) node() S {
	w.Helper()
	s, err := w.open(w.place)
	if err != nil {
		w.fail("the store does not open: %v", err)
	}
	w.nodes = append(w.nodes, s)
	return s
}

// second is another node on the same data, or the same one where there can be
// only one.
func (w *world[S]) second() S {
	w.Helper()
	if w.suite.Nodes {
		return w.node()
	}
	return w.store
}

// reopen ends every node and opens the place again.
func (w *world[S]) reopen() {
	w.Helper()
	w.closeAll()
	w.store = w.node()
}

func (w *world[S]) closeAll() {
	w.Helper()
	for _, s := range w.nodes {
		if c, ok := s.(io.Closer); ok {
			if err := c.Close(); err != nil {
				w.Errorf("the store does not close: %v", err)
			}
		}
	}
	w.nodes = nil
}

// fail ends the clause.
func (w *world[S]) fail(format string, args ...any) {
	w.Helper()
	w.Errorf("%s\nRULE: %s", fmt.Sprintf(format, args...), strings.Join(strings.Fields(w.rule), " "))
	w.FailNow()
}

// Main is for TestMain: it runs the tests, or, in a child process of a clause
// on crashes, that child's part. It returns the code to exit with.
func Main(m *testing.M, s Suite) int {
	if place := os.Getenv(childPlace); place != "" {
		return child(s, place, os.Stdin, os.Stdout)
	}
	return m.Run()
}
