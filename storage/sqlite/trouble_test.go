package sqlite_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/troubletest"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// TestTroubles is the list of what may befall a database, while devices ask.
func TestTroubles(t *testing.T) {
	troubletest.List{
		WrongMasterKey:       func(t *testing.T) { fileOf(t).WrongMasterKey(t) },
		FullDisk:             fullDisk,
		ReadOnlyDatabase:     readOnly,
		DroppedConnection:    droppedConnection,
		SerializationFailure: busy,
		FutureSchema:         func(t *testing.T) { fileOf(t).FutureSchema(t) },
	}.Run(t)
}

// fileOf is a new file, for whoever opens it.
func fileOf(t *testing.T) troubletest.Database {
	path := filepath.Join(t.TempDir(), "enroll.db")
	run := func(statement string) {
		_, err := raw(t, path).ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	return troubletest.Database{
		Open: func(keys ...[]byte) (troubletest.Store, error) {
			return sqlite.Open(t.Context(), path, sqlite.Options{Keys: keys})
		},
		Dump: func() []byte {
			wal, err := os.ReadFile(path + "-wal")
			require.True(t, err == nil || errors.Is(err, fs.ErrNotExist), err)
			return slices.Concat(files(t, path), wal)
		},
		Version: func(n int64) {
			run(`DELETE FROM enrollkit_schema WHERE tstamp = 'tomorrow'`)
			if n > 0 {
				run(fmt.Sprint(`INSERT INTO enrollkit_schema (version_id, is_applied, tstamp) SELECT max(version_id) + `, n, `, 1, 'tomorrow' FROM enrollkit_schema`))
			}
		},
		Rename: func(table, to string) { run(`ALTER TABLE ` + table + ` RENAME TO ` + to) },
	}
}

// fullDisk has the file on a file system without room.
func fullDisk(t *testing.T) {
	troubletest.SmallDisk(t, 16<<20, func(t *testing.T, d troubletest.Disk) {
		path := filepath.Join(d.Dir, "enroll.db")
		s := open(t, path, sqlite.Options{AllowUnsealed: true})
		w := troubletest.New(t, s)
		free := d.Fill()
		w.Survives("disk is full", troubletest.Report)
		free()
		w.Heals()
		require.NoError(t, s.Close())
		w.On(open(t, path, sqlite.Options{AllowUnsealed: true}))
		w.Heals()
	})
}

// readOnly makes SQLite refuse to write, and has a file system that is read-only
// when the file is opened. The store gives up a connection that cannot begin, so
// that each request has to be spoilt anew.
func readOnly(t *testing.T) {
	troubletest.SmallDisk(t, 16<<20, func(t *testing.T, d troubletest.Disk) {
		path := filepath.Join(d.Dir, "enroll.db")
		s := open(t, path, sqlite.Options{AllowUnsealed: true})
		w := troubletest.New(t, s)
		require.NoError(t, s.Close())
		d.ReadOnly(true)
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{AllowUnsealed: true})
		require.ErrorContains(t, err, "read-only file system")
		t.Logf("Open: %v", err)
		d.ReadOnly(false)
		w.On(open(t, path, sqlite.Options{AllowUnsealed: true}))
		w.Heals()
	})

	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	w := troubletest.New(t, s)
	for _, request := range troubletest.Requests {
		require.NoError(t, s.Do(func(tx *sqlite.Tx) error { return tx.Exec(`PRAGMA query_only = 1`) }))
		w.Refuses("readonly database", request)
	}
	w.Heals()
}

// droppedConnection loses the connection in the transaction that has the step of
// a request, after that step. TokenUpdate is left out: it is two steps, and the
// first one, which asks for a plan, changes nothing.
func droppedConnection(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	w := troubletest.New(t, s)
	waiting := func(n int) {
		require.Eventually(t, func() bool { return s.Waiting() == n }, time.Minute, time.Millisecond)
	}
	for _, request := range troubletest.Requests {
		if request == troubletest.TokenUpdate {
			continue
		}
		var all sync.WaitGroup
		var held, broken error
		begun, over := make(chan bool), make(chan bool)
		all.Go(func() { held = s.Do(func(*sqlite.Tx) error { close(begun); <-over; return nil }) })
		<-begun
		w.InFlight(request, "connection", func() { // it waits for the next transaction, and so does who breaks that
			defer close(over)
			waiting(1)
			all.Go(func() { broken = s.Do(func(*sqlite.Tx) error { s.LoseConnection(); return nil }) })
			waiting(2)
		})
		all.Wait()
		require.NoError(t, held)
		require.ErrorContains(t, broken, "connection")
	}
	w.Heals()
}

// holderVariable makes TestHolder the process that has a file locked.
const holderVariable = "ENROLLKIT_TEST_HOLDER"

// TestHolder locks a file until standard input ends.
func TestHolder(t *testing.T) {
	path := os.Getenv(holderVariable)
	if path == "" {
		return // it is no test, but another process of one
	}
	conn, err := raw(t, path).Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), `BEGIN IMMEDIATE`)
	require.NoError(t, err)
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
}

// busy has another process that writes for longer than a step waits.
func busy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true, BusyTimeout: 10 * time.Millisecond})
	w := troubletest.New(t, s)
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHolder$")
	holder.Env = append(os.Environ(), holderVariable+"="+path)
	in, err := holder.StdinPipe()
	require.NoError(t, err)
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	w.Refuses("database is locked")
	_, err = s.State(t.Context())
	require.NoError(t, err, "reading waits for nobody")
	require.NoError(t, in.Close())
	require.NoError(t, holder.Wait())
	w.Heals()
}

// TestAFullDisk fills the database; what was refused is not there, what was
// acknowledged is, and when there is room again the store goes on.
func TestAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true})
	var pages, limit int
	require.NoError(t, s.Do(func(tx *sqlite.Tx) error {
		if _, err := tx.Get(`PRAGMA page_count`, &pages); err != nil {
			return err
		}
		_, err := tx.Get(fmt.Sprint(`PRAGMA max_page_count = `, pages+4), &limit)
		return err
	}))
	kept := map[string]bool{}
	full := 0
	for round := 0; full < 3; round++ {
		require.Less(t, round, 1000, "the database does not fill")
		const n = 8
		errs := make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { errs[i] = s.IssueTicket(t.Context(), ticket(fmt.Sprint("t", round, "-", i)), [32]byte{}) })
		}
		all.Wait()
		for i, err := range errs {
			kept[fmt.Sprint("t", round, "-", i)] = err == nil
			if err != nil {
				require.ErrorContains(t, err, "full")
				full++
			}
		}
	}
	_, err := s.Ticket(t.Context(), "t0-0")
	require.NoError(t, err, "reading")
	require.NoError(t, s.Do(func(tx *sqlite.Tx) error {
		_, err := tx.Get(`PRAGMA max_page_count = 1000000`, &limit)
		return err
	}))
	require.NoError(t, s.IssueTicket(t.Context(), ticket("last"), [32]byte{}))
	require.NoError(t, s.Close())
	s = open(t, path, sqlite.Options{AllowUnsealed: true})
	for id, there := range kept {
		_, err := s.Ticket(t.Context(), id)
		require.Equal(t, there, err == nil, "ticket %s: acknowledged is %v", id, there)
	}
}

func TestATransactionThatBreaks(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	refused := errors.New("refused")
	require.ErrorIs(t, s.Do(func(tx *sqlite.Tx) error {
		if err := tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1')`); err != nil {
			return err
		}
		if err := tx.Exec(`ROLLBACK`); err != nil { // as SQLite does by itself in some errors
			return err
		}
		return refused
	}), refused)
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}), "the next step")
}

// TestAPanicOfTheDriver is outside of a step, where nobody is to blame.
func TestAPanicOfTheDriver(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	s.WithoutDatabase(func() {
		require.ErrorContains(t, s.IssueTicket(t.Context(), ticket("t2"), [32]byte{}), "panic in a transaction")
	})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t3"), [32]byte{}), "the next step")
	s.PanicNext()
	require.ErrorContains(t, s.IssueTicket(t.Context(), ticket("t4"), [32]byte{}), "panic in a transaction")
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t5"), [32]byte{}), "the next step")
	for id, there := range map[string]bool{"t1": true, "t2": false, "t3": true, "t4": false, "t5": true} {
		_, err := s.Ticket(t.Context(), id)
		require.Equal(t, there, err == nil, id)
	}
}

func TestManyReadersAndFewConnections(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true, Readers: 1})
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	var all sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		all.Go(func() {
			_, err := s.State(t.Context())
			_, other := s.Ticket(t.Context(), "t1")
			errs[i] = errors.Join(err, other)
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}
