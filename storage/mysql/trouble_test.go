package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/internal/troubletest"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// TestTroubles is the list of what may befall a database, while devices ask.
func TestTroubles(t *testing.T) {
	troubletest.List{
		WrongMasterKey:       func(t *testing.T) { databaseOf(t).WrongMasterKey(t) },
		FullDisk:             fullDisk,
		ReadOnlyDatabase:     readOnly,
		DroppedConnection:    droppedConnection,
		SerializationFailure: serializationFailure,
		FutureSchema:         func(t *testing.T) { databaseOf(t).FutureSchema(t) },
	}.Run(t)
}

// databaseOf is a new database, for whoever opens it.
func databaseOf(t *testing.T) troubletest.Database {
	dsn := newDSN(t)
	db := raw(t, dsn)
	return troubletest.Database{
		Open: func(keys ...[]byte) (troubletest.Store, error) {
			return mysql.Open(t.Context(), mysql.Options{DSN: dsn, Keys: keys})
		},
		Dump: func() []byte { return dump(t, dsn) },
		Version: func(n int64) {
			execute(t, db, `DELETE FROM enrollkit_schema WHERE tstamp = '2999-01-01'`)
			if n > 0 {
				execute(t, db, fmt.Sprint(`INSERT INTO enrollkit_schema (version_id, is_applied, tstamp) SELECT max(version_id) + `, n, `, 1, '2999-01-01' FROM enrollkit_schema`))
			}
		},
		Rename: func(table, to string) { execute(t, db, `RENAME TABLE `+table+` TO `+to) },
	}
}

func readOnly(t *testing.T) {
	w := troubletest.New(t, open(t, options(newDSN(t))))
	admin := raw(t, server.AdminDSN())
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), `SET GLOBAL read_only = 0`)
		require.NoError(t, err)
	})
	variable := "read_only"
	if onMySQL(t, admin) {
		variable = "super_read_only" // which sets the other one too
	}
	execute(t, admin, `SET GLOBAL `+variable+` = 1`)
	w.Refuses("read-only")
	execute(t, admin, `SET GLOBAL read_only = 0`)
	w.Heals()
}

// waiting waits until statements of a database wait for a row, and returns their
// connections.
func waiting(t *testing.T, dsn string) (ids []int64) {
	t.Helper()
	admin, name := raw(t, server.AdminDSN()), dsn[len(server.DSN("")):]
	require.Eventually(t, func() bool {
		rows, err := admin.QueryContext(t.Context(), `SELECT t.trx_mysql_thread_id FROM information_schema.innodb_trx t
			JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = ?`, name)
		if err != nil {
			return false
		}
		defer rows.Close()
		ids = nil
		for rows.Next() {
			var id int64
			if rows.Scan(&id) == nil {
				ids = append(ids, id)
			}
		}
		return rows.Err() == nil && len(ids) > 0
	}, time.Minute, 250*time.Millisecond) // the server shows again what it has shown, to who asks within a tenth of a second
	return ids
}

// holding has a transaction that has the rows of all devices.
func holding(t *testing.T, dsn string, tables ...string) *sql.Tx {
	t.Helper()
	db := raw(t, dsn)
	db.SetMaxIdleConns(-1)
	hold, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for _, table := range tables {
		var n int
		require.NoError(t, hold.QueryRowContext(t.Context(), `SELECT count(*) FROM (SELECT 1 FROM `+table+` FOR UPDATE) x`).Scan(&n))
	}
	return hold
}

// patient waits for locks for longer than a test takes to do something meanwhile.
func patient(dsn string) mysql.Options {
	o := options(dsn)
	o.LockTimeout = time.Minute
	return o
}

// droppedConnection kills the connections of steps that wait for a row, and then
// those that are idle.
func droppedConnection(t *testing.T) {
	dsn := newDSN(t)
	w := troubletest.New(t, open(t, patient(dsn)))
	admin := raw(t, server.AdminDSN())
	for _, request := range []string{troubletest.TokenUpdate, troubletest.Idle, troubletest.Report, troubletest.CheckOut} {
		hold := holding(t, dsn, "enrollments", "commands")
		w.InFlight(request, "connection", func() {
			for _, id := range waiting(t, dsn) {
				execute(t, admin, fmt.Sprint(`KILL CONNECTION `, id))
			}
		})
		require.NoError(t, hold.Rollback())
	}
	killAll(t, admin, dsn)
	w.Heals()
}

// serializationFailure is a deadlock and a lock that comes late, of which devices
// do not learn, and a lock that does not come.
func serializationFailure(t *testing.T) {
	dsn := newDSN(t)
	s, hasty := open(t, patient(dsn)), open(t, mysql.Options{DSN: dsn, LockTimeout: time.Second})
	w := troubletest.New(t, s)
	deadlocks := func() (n int) {
		require.NoError(t, raw(t, server.AdminDSN()).QueryRowContext(t.Context(), `SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'`).Scan(&n))
		return n
	}
	before := deadlocks()
	hold := holding(t, dsn, "commands")
	// The server gives up the transaction that has changed less.
	_, err := hold.ExecContext(t.Context(), `INSERT INTO suspended_users (user_id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT CONCAT('other', i) FROM n`)
	require.NoError(t, err)
	w.Absorbs(troubletest.CheckOut, func() {
		waiting(t, dsn) // it has the enrollment
		_, err := hold.ExecContext(t.Context(), `UPDATE enrollments SET contact = contact`)
		require.NoError(t, err)
		require.NoError(t, hold.Rollback())
	})
	require.Equal(t, before+1, deadlocks())

	hold = holding(t, dsn, "enrollments", "commands")
	w.On(hasty)
	w.Refuses("Lock wait timeout", troubletest.Idle)
	w.On(s)
	_, err = s.State(t.Context())
	require.NoError(t, err, "reading waits for nobody")
	w.Absorbs(troubletest.Report, func() {
		waiting(t, dsn)
		require.NoError(t, hold.Rollback())
	})
	w.Heals()
}

// ownServer starts a server for one test, with a store on it.
func ownServer(t *testing.T, settings map[string]string, o mysql.Options) (*mysqltest.Server, *mysql.Store) {
	t.Helper()
	needServer(t)
	own := mysqltest.StartTest(t, mysqltest.Options{NoSync: true, Settings: settings})
	dsn, err := makeDatabase(own, t.TempDir())
	require.NoError(t, err)
	o.DSN = dsn
	return own, open(t, o)
}

// several issues tickets at the same time and notes which were acknowledged.
func several(t *testing.T, s *mysql.Store, prefix string, kept map[string]bool) (failed error) {
	t.Helper()
	const n = 8
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			k := ticket(fmt.Sprint(prefix, i))
			k.Session[1] = byte(i)
			errs[i] = s.IssueTicket(t.Context(), k, [32]byte{})
		})
	}
	all.Wait()
	for i, err := range errs {
		kept[fmt.Sprint(prefix, i)] = err == nil
	}
	return errors.Join(errs...)
}

// there fails unless what was acknowledged is there, and nothing else; with
// unknown, what was not may be.
func there(t *testing.T, s *mysql.Store, kept map[string]bool, unknown bool) {
	t.Helper()
	for id, acknowledged := range kept {
		_, err := s.Ticket(t.Context(), id)
		if acknowledged || !unknown {
			require.Equal(t, acknowledged, err == nil, "ticket %s: acknowledged is %v", id, acknowledged)
		}
	}
}

// TestAServerThatCrashes kills the server again and again while steps are on
// their way. What was acknowledged is there, and the store goes on by itself.
func TestAServerThatCrashes(t *testing.T) {
	own, s := ownServer(t, nil, mysql.Options{})
	kept := map[string]bool{}
	for round := range 3 {
		require.NoError(t, several(t, s, fmt.Sprint("before", round, "-"), kept), "round %d: healed without a restart", round)
		var all sync.WaitGroup
		all.Go(func() {
			for n := 0; ; n++ {
				if several(t, s, fmt.Sprint("during", round, "-", n, "-"), kept) != nil {
					return
				}
			}
		})
		<-time.After(50 * time.Millisecond) // real time: somewhere in the middle
		require.NoError(t, own.Crash())
		all.Wait()
		err := s.IssueTicket(t.Context(), ticket("down"), [32]byte{})
		require.ErrorContains(t, err, "mysql: ", "while the server is down")
		_, err = s.Ticket(t.Context(), "before0-0")
		require.ErrorContains(t, err, "mysql: ", "while the server is down")
		require.ErrorContains(t, s.Ping(t.Context()), "mysql: ping: ")
		require.NoError(t, own.Restart(t.Context()))
		require.NoError(t, s.Ping(t.Context()))
	}
	// A step whose connection broke at its commit may have happened.
	there(t, s, kept, true)
}

// TestAConnectionThatBreaks kills the connections of a step in its middle, and
// those that wait in the pool.
func TestAConnectionThatBreaks(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, options(dsn))
	admin := raw(t, server.AdminDSN())
	err := mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
		var id int64
		if _, err := tx.Get(`SELECT connection_id()`, &id); err != nil {
			return err
		}
		if err := tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1')`); err != nil {
			return err
		}
		execute(t, admin, fmt.Sprint(`KILL CONNECTION `, id))
		return tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u2')`)
	})
	require.ErrorContains(t, err, "mysql: ")
	var found bool
	require.NoError(t, mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
		_, err := tx.Get(`SELECT count(*) > 0 FROM suspended_users`, &found)
		return err
	}), "the next step")
	require.False(t, found, "half a step happened")

	kept := map[string]bool{}
	require.NoError(t, several(t, s, "a", kept))
	killAll(t, admin, dsn)
	require.NoError(t, several(t, s, "b", kept), "after the idle connections were killed")
	there(t, s, kept, false)
}

// TestALockThatDoesNotCome has a row that a step needs.
func TestALockThatDoesNotCome(t *testing.T) {
	dsn := newDSN(t)
	s, longer := open(t, mysql.Options{DSN: dsn, LockTimeout: time.Second}), open(t, patient(dsn))
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	hold, err := raw(t, dsn).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = hold.ExecContext(t.Context(), `SELECT * FROM ticket_sessions FOR UPDATE`)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, longer.IssueTicket(ctx, ticket("t2"), [32]byte{}), context.DeadlineExceeded, "a caller may give up")
	require.ErrorContains(t, s.IssueTicket(t.Context(), ticket("t2"), [32]byte{}), "Lock wait timeout")
	_, err = s.Ticket(t.Context(), "t1")
	require.NoError(t, err, "reading waits for nobody")
	_, err = s.State(t.Context())
	require.NoError(t, err)
	require.NoError(t, hold.Rollback())
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t3"), [32]byte{}))
	there(t, s, map[string]bool{"t1": true, "t2": false, "t3": true}, false)
}

// TestDeadlocksAreTriedAgain lets two steps lock two rows in opposite orders, so
// that each round has a victim.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	s := open(t, patient(newDSN(t)))
	require.NoError(t, mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
		return tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1'), ('u2')`)
	}))
	const lock = `SELECT user_id FROM suspended_users WHERE user_id = ? FOR UPDATE`
	var mu sync.Mutex
	tries := 0
	both := make(chan struct{}, 2)
	errs := make([]error, 2)
	var all sync.WaitGroup
	for i, users := range [][2]string{{"u1", "u2"}, {"u2", "u1"}} {
		all.Go(func() {
			first := true
			errs[i] = mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
				mu.Lock()
				tries++
				mu.Unlock()
				if err := tx.Exec(lock, users[0]); err != nil {
					return err
				}
				if first {
					first = false
					both <- struct{}{}
					for len(both) < 2 {
						<-time.After(time.Millisecond) // real time: until the other one has its first row
					}
				}
				return tx.Exec(lock, users[1])
			})
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 3, tries, "one of two is tried again")

	tries = 0
	err := mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
		tries++
		return tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1')`)
	})
	require.ErrorContains(t, err, "Duplicate entry")
	require.Equal(t, 4, tries, "three times more, and no more")
}

func TestWhatIsTriedAgain(t *testing.T) {
	for number, want := range map[uint16]bool{
		1213: true, // a deadlock, and a certification by Galera that failed
		3101: true, // a certification by group replication that failed
		1205: true, // a lock that did not come
		1062: true, // a row that another step added first
		1114: false, 1290: false, 1598: false,
	} {
		require.Equal(t, want, mysql.InTheWay(fmt.Errorf("mysql: commit: %w", &driver.MySQLError{Number: number})), number)
	}
	require.False(t, mysql.InTheWay(driver.ErrInvalidConn), "nobody knows what happened")
}

func TestAStepThatPanics(t *testing.T) {
	s := open(t, mysql.Options{DSN: newDSN(t), Connections: 1})
	require.PanicsWithValue(t, "a bug", func() {
		mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
			require.NoError(t, tx.Exec(`INSERT INTO suspended_users (user_id) VALUES ('u1')`))
			panic("a bug")
		})
	})
	var found bool
	require.NoError(t, mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
		_, err := tx.Get(`SELECT count(*) > 0 FROM suspended_users`, &found)
		return err
	}), "the only connection came back")
	require.False(t, found, "half a step happened")
}

// TestFewConnections has more callers than connections.
func TestFewConnections(t *testing.T) {
	s := open(t, mysql.Options{DSN: newDSN(t), Connections: 1})
	kept := map[string]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := s.State(t.Context())
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, several(t, s, "t", kept))
	all.Wait()
	there(t, s, kept, false)
}

// TestStatementsArePreparedOnce counts what the server is asked to prepare.
func TestStatementsArePreparedOnce(t *testing.T) {
	s := open(t, mysql.Options{DSN: newDSN(t), Connections: 1})
	prepared := func() (n int) {
		require.NoError(t, mysql.Step(t.Context(), s, func(tx *mysql.Tx) error {
			var name string
			_, err := tx.Get(`SHOW SESSION STATUS LIKE 'Com_stmt_prepare'`, &name, &n)
			return err
		}))
		return n
	}
	for i := range 3 {
		require.NoError(t, s.IssueTicket(t.Context(), ticket(fmt.Sprint("t", i)), [32]byte{}))
	}
	before := prepared()
	for i := range 20 {
		require.NoError(t, s.IssueTicket(t.Context(), ticket(fmt.Sprint("u", i)), [32]byte{}))
	}
	require.Equal(t, before, prepared())
}

// TestTheServerHasNoRoomForStatements makes connections give theirs up.
func TestTheServerHasNoRoomForStatements(t *testing.T) {
	own, s := ownServer(t, nil, mysql.Options{Connections: 1})
	admin := raw(t, own.AdminDSN())
	require.NoError(t, s.IssueTicket(t.Context(), ticket("t1"), [32]byte{}))
	execute(t, admin, `SET GLOBAL max_prepared_stmt_count = 3`)
	for i := range 3 {
		require.NoError(t, s.IssueTicket(t.Context(), ticket(fmt.Sprint("u", i)), [32]byte{}))
		_, err := s.State(t.Context())
		require.NoError(t, err)
	}
}

// connections are those to a database.
func connections(t *testing.T, admin *sql.DB, dsn string) (ids []int64) {
	t.Helper()
	rows, err := admin.QueryContext(t.Context(), `SELECT id FROM information_schema.processlist WHERE user = 'enroll' AND db = ?`, dsn[len(server.DSN("")):])
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return ids
}

// killAll kills the connections to a database, and returns when they have ended:
// then whoever takes one from a pool can see it.
func killAll(t *testing.T, admin *sql.DB, dsn string) {
	t.Helper()
	killed := 0
	for _, id := range connections(t, admin, dsn) {
		_, err := admin.ExecContext(t.Context(), fmt.Sprint(`KILL CONNECTION `, id))
		var refused *driver.MySQLError
		if errors.As(err, &refused) && refused.Number == 1094 { // one of the test's own, which was about to end
			continue
		}
		require.NoError(t, err)
		killed++
	}
	require.Positive(t, killed)
	require.Eventually(t, func() bool { return len(connections(t, admin, dsn)) == 0 }, time.Minute, 10*time.Millisecond)
}
