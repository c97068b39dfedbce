package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// maxGroup is how many steps are committed together at most.
const maxGroup = 256

// writer commits steps in groups. It has no goroutine of its own: the first
// caller leads, and commits its own step; who comes meanwhile waits; then one
// of them leads and commits all that wait. So one sync serves many when there
// are many, and nobody waits for company when there are not.
type writer struct {
	db      *sql.DB
	secrets *seal.Ring

	mu      sync.Mutex
	waiting []*step
	leading bool // somebody leads, and will look at waiting
	closed  bool
	active  sync.WaitGroup // calls of do

	// Only who leads touches these.
	conn       *sql.Conn
	statements map[string]prepared
}

// step is one call's part of a transaction.
type step struct {
	ctx context.Context
	run func(*tx) error
	err error
	// turn receives once: true when this call is to lead, false when its step
	// was committed or failed.
	turn chan bool
	// leads says that turn receives true; guarded by writer.mu.
	leads bool
}

var errClosed = errors.New("sqlite: store is closed")

// do runs one step in a transaction and returns when that is on the disk.
// After an error nothing of it has happened. run may read and write, and must
// not use ctx: a caller that gives up does not stop the steps of others. While
// its step waits for its turn, ctx can still withdraw it.
func (w *writer) do(ctx context.Context, run func(*tx) error) error {
	st := &step{ctx: ctx, run: run, turn: make(chan bool, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	w.active.Add(1)
	defer w.active.Done()
	w.waiting = append(w.waiting, st)
	lead := !w.leading
	w.leading = true
	w.mu.Unlock()

	if !lead {
		select {
		case lead = <-st.turn:
		case <-ctx.Done():
			if w.withdraw(st) {
				return ctx.Err()
			}
			lead = <-st.turn
		}
	}
	if lead {
		w.lead(st)
	}
	return st.err
}

// withdraw takes a step out that nobody has begun.
func (w *writer) withdraw(st *step) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if st.leads {
		return false
	}
	for i, other := range w.waiting {
		if other == st {
			w.waiting = append(w.waiting[:i], w.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// lead commits what waits, own among it, and passes the lead on.
func (w *writer) lead(own *step) {
	w.mu.Lock()
	n := min(len(w.waiting), maxGroup)
	group := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	w.mu.Unlock()

	w.commit(group)

	w.mu.Lock()
	w.leading = len(w.waiting) > 0
	if w.leading {
		w.waiting[0].leads = true
		w.waiting[0].turn <- true
	}
	w.mu.Unlock()
	for _, st := range group {
		if st != own {
			st.turn <- false
		}
	}
}

// commit runs the steps of a group in one transaction and sets their errors. A
// panic would leave everybody waiting, and the steps that come later too.
func (w *writer) commit(group []*step) {
	defer func() {
		if p := recover(); p != nil {
			fail(group, fmt.Errorf("sqlite: panic in a transaction: %v\n%s", p, debug.Stack()))
			if w.conn != nil {
				w.disconnect()
			}
		}
	}()
	ctx := context.WithoutCancel(group[0].ctx)
	if err := w.begin(ctx); err != nil {
		fail(group, err)
		return
	}
	t := &tx{ctx: ctx, prepare: w.prepare, secrets: w.secrets}
	err := w.runAll(t, group)
	if err == nil {
		_, err = t.exec("COMMIT")
	}
	if err == nil {
		return
	}
	fail(group, err) // every step is undone, also those that went well
	if _, err := t.exec("ROLLBACK"); err != nil {
		w.disconnect() // whatever state it is in, the next group gets a fresh one
	}
}

// fail gives an error to the steps that have none of their own.
func fail(group []*step, err error) {
	for _, st := range group {
		if st.err == nil {
			st.err = err
		}
	}
}

// runAll runs the steps, each as if it were alone: one that fails is undone and
// does not touch the others. An error is one of the whole transaction.
func (w *writer) runAll(t *tx, group []*step) error {
	for _, st := range group {
		if st.err = st.ctx.Err(); st.err != nil {
			continue
		}
		if len(group) == 1 {
			st.err = attempt(st, t)
			return st.err
		}
		if _, err := t.exec("SAVEPOINT step"); err != nil {
			return err
		}
		if st.err = attempt(st, t); st.err != nil {
			if _, err := t.exec("ROLLBACK TO step"); err != nil {
				return fmt.Errorf("another step of the same transaction broke it: %w", err)
			}
		}
		if _, err := t.exec("RELEASE step"); err != nil {
			return err
		}
	}
	return nil
}

// attempt runs one step. A panic would be another caller's, and leave everybody
// waiting; it is an error of the step that it is in.
func attempt(st *step, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqlite: panic in a step: %v\n%s", p, debug.Stack())
		}
	}()
	return st.run(t)
}

// begin starts a transaction that may write, on a fresh connection if need be.
func (w *writer) begin(ctx context.Context) error {
	if w.conn == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("sqlite: %w", err)
		}
		w.conn, w.statements = conn, map[string]prepared{}
	}
	t := &tx{ctx: ctx, prepare: w.prepare, secrets: w.secrets}
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
		w.disconnect()
		return err
	}
	return nil
}

// prepare returns a statement, which is prepared once for each connection.
func (w *writer) prepare(ctx context.Context, query string) (statement, error) {
	if st := w.statements[query]; st != nil {
		return st, nil
	}
	st, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	w.statements[query] = st
	return st, nil
}

// disconnect gives the connection up, whatever state it is in. It does not go
// back to the pool. Every statement is closed, since one that is not keeps the
// connection, and its lock, alive.
func (w *writer) disconnect() {
	conn := w.conn
	w.conn = nil
	attempt := func(do func() error) {
		defer func() { _ = recover() }() // it may be why the connection goes
		_ = do()
	}
	for _, st := range w.statements {
		attempt(st.Close)
	}
	attempt(func() error { return conn.Raw(func(any) error { return driver.ErrBadConn }) })
	attempt(conn.Close)
}

// close waits for the calls that have begun.
func (w *writer) close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.active.Wait()
	if w.conn != nil {
		w.disconnect()
	}
	return w.db.Close()
}
