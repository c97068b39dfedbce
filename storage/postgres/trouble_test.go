package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/internal/troubletest"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// ours fails unless an error is none that names what is wrong with a caller:
// devices are answered 503 then, and people that they may try again.
func ours(t testing.TB, err error, what string) {
	t.Helper()
	require.Error(t, err, what)
	for _, named := range []error{
		enroll.ErrUnknownTicket, enroll.ErrTicketExpired, enroll.ErrTicketSuperseded, enroll.ErrTicketSpent, enroll.ErrTicketExhausted,
		enroll.ErrChallenge, enroll.ErrNoSession, enroll.ErrSessionUsed, enroll.ErrAnotherPerson, enroll.ErrGrant, enroll.ErrToken,
		mdm.ErrUnknownIdentity, mdm.ErrForeignCertificate, mdm.ErrNotAuthenticated, mdm.ErrEnded, mdm.ErrSuspended, mdm.ErrDeviceLimit,
		mdm.ErrChannel, mdm.ErrBearer, mdm.ErrPlanNeeded, mdm.ErrUnknownEnrollment, jit.ErrSuspended, jit.ErrUnknownUser, sso.ErrStateUsed,
	} {
		require.NotErrorIs(t, err, named, what)
	}
}

// steps are one of each kind of method.
func steps(ctx context.Context, s *postgres.Store) map[string]func() error {
	return map[string]func() error{
		"Provision": func() error {
			_, _, err := s.Provision(ctx, jit.Profile{ID: "u9", Issuer: "i", Subject: "s", At: began})
			return err
		},
		"User":         func() error { _, err := s.User(ctx, "u1"); return err },
		"Suspend":      func() error { return s.Suspend(ctx, "u1", true) },
		"OpenState":    func() error { return s.OpenState(ctx, [32]byte{1}, began) },
		"ConsumeState": func() error { return s.ConsumeState(ctx, [32]byte{1}, began) },
		"PutSession":   func() error { return s.PutSession(ctx, enroll.Session{ID: [32]byte{1}}, [32]byte{2}) },
		"Session":      func() error { _, err := s.Session(ctx, [32]byte{1}, began); return err },
		"IssueTicket":  func() error { return s.IssueTicket(ctx, ticket("new"), [32]byte{}) },
		"Ticket":       func() error { _, err := s.Ticket(ctx, "t-a"); return err },
		"Download":     func() error { _, err := s.Download(ctx, downloadOf("open")); return err },
		"Challenge":    func() error { _, err := s.Challenge(ctx, [32]byte{1}, [32]byte{2}, began); return err },
		"Identify":     func() error { _, err := s.Identify(ctx, enroll.IdentifyStep{}); return err },
		"Devices":      func() error { _, err := s.Devices(ctx, "u1"); return err },
		"Authenticate": func() error { _, err := s.Authenticate(ctx, authenticateOf("a")); return err },
		"TokenUpdate":  func() error { _, err := s.TokenUpdate(ctx, tokenOf("a")); return err },
		"CheckOut": func() error {
			_, err := s.CheckOut(ctx, mdm.CheckOutStep{Certificate: certificateOf("a"), EnrollmentID: "E-a", At: began})
			return err
		},
		"Exchange":     func() error { _, err := s.Exchange(ctx, reportOf("a", "c1")); return err },
		"Idle":         func() error { _, err := s.Exchange(ctx, idleOf("a")); return err },
		"Enqueue":      func() error { return s.Enqueue(ctx, commandOf("a", "c9")) },
		"Enrollment":   func() error { _, err := s.Enrollment(ctx, "E-a"); return err },
		"Unenroll":     func() error { return s.Unenroll(ctx, "E-a", began) },
		"SuspendUser":  func() error { return s.SuspendUser(ctx, "u1", true) },
		"ClaimPushes":  func() error { _, err := s.ClaimPushes(ctx, began, time.Minute, 9); return err },
		"Grant":        func() error { return s.Grant(ctx, enroll.GrantStep{UserID: "u1", EnrollmentID: "E-a", At: began}) },
		"RedeemCode":   func() error { return s.RedeemCode(ctx, enroll.CodeStep{At: began}) },
		"Refresh":      func() error { return s.Refresh(ctx, enroll.RefreshStep{At: began}) },
		"TokenTicket":  func() error { _, err := s.TokenTicket(ctx, [32]byte{1}, began); return err },
		"RevokeTokens": func() error { return s.RevokeTokens(ctx, "E-a") },
		"State":        func() error { _, err := s.State(ctx); return err },
		"Ping":         func() error { return s.Ping(ctx) },
		"Prune": func() error {
			_, err := s.Prune(ctx, storage.PruneStep{ExpiredBefore: began, OverBefore: began, Limit: 9})
			return err
		},
		"Reseal": func() error { _, err := s.Reseal(ctx, 9); return err },
	}
}

// TestTroubles is the list of what may befall a database, while devices ask.
func TestTroubles(t *testing.T) {
	troubletest.List{
		WrongMasterKey:       func(t *testing.T) { schemaOf(t).WrongMasterKey(t) },
		FullDisk:             fullDisk,
		ReadOnlyDatabase:     readOnly,
		DroppedConnection:    droppedConnection,
		SerializationFailure: serializationFailure,
		FutureSchema:         func(t *testing.T) { schemaOf(t).FutureSchema(t) },
	}.Run(t)
}

// schemaOf is a new schema, for whoever opens it.
func schemaOf(t *testing.T) troubletest.Database {
	dsn := place(t)
	conn := raw(t, dsn)
	return troubletest.Database{
		Open: func(keys ...[]byte) (troubletest.Store, error) {
			return postgres.Open(t.Context(), keyed(dsn, keys...))
		},
		Dump: func() []byte { return []byte(dump(t, dsn)) },
		Version: func(n int64) {
			exec(t, conn, `DELETE FROM enrollkit_schema WHERE tstamp = 'infinity'`)
			if n > 0 {
				exec(t, conn, `INSERT INTO enrollkit_schema (version_id, is_applied, tstamp) SELECT max(version_id) + $1, true, 'infinity' FROM enrollkit_schema`, n)
			}
		},
		Rename: func(table, to string) { exec(t, conn, `ALTER TABLE `+table+` RENAME TO `+to) },
	}
}

// fullDisk has a server on a file system without room, which it needs for what
// is large.
func fullDisk(t *testing.T) {
	troubletest.SmallDisk(t, 256<<20, func(t *testing.T, d troubletest.Disk) {
		server := pgtest.StartTest(t, pgtest.Options{})
		s := open(t, keyed(server.DSN(), masterKey(1)))
		w := troubletest.New(t, s)
		conn := raw(t, server.DSN())
		exec(t, conn, `SELECT pg_switch_wal()`) // so that there is room in its log: it stops without
		exec(t, conn, `CREATE TABLE room (n int)`)
		free := d.Fill()
		w.Survives("No space left on device", troubletest.Report)
		free()
		w.Heals()
		require.NoError(t, server.Crash())
		require.NoError(t, server.Restart(t.Context()))
		w.Heals()
	})
}

// readOnly is a server that has become a standby, or a failover that left the
// wrong one.
func readOnly(t *testing.T) {
	dsn := place(t)
	w := troubletest.New(t, open(t, options(dsn+"&application_name=moves")))
	conn := raw(t, dsn)
	set := func(value string) {
		exec(t, conn, `ALTER SYSTEM SET default_transaction_read_only = `+value)
		exec(t, conn, `SELECT pg_reload_conf()`)
		seen := func(session *pgx.Conn) {
			require.Eventually(t, func() bool {
				var now string
				return session.QueryRow(t.Context(), `SHOW default_transaction_read_only`).Scan(&now) == nil && now == value
			}, time.Minute, 5*time.Millisecond)
		}
		seen(conn)
		seen(raw(t, dsn)) // the server has told every session before it takes another one
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), `ALTER SYSTEM RESET default_transaction_read_only`)
		require.NoError(t, err)
		_, err = conn.Exec(context.Background(), `SELECT pg_reload_conf()`)
		require.NoError(t, err)
	})
	set("on")
	sessions := func() (pids []uint32) {
		rows, err := conn.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = 'moves'`)
		require.NoError(t, err)
		pids, err = pgx.CollectRows(rows, pgx.RowTo[uint32])
		require.NoError(t, err)
		return pids
	}
	before := sessions()
	require.Len(t, before, 1, "one caller")
	w.Refuses("read-only transaction")
	// The server's name may lead to another one now.
	require.Eventually(t, func() bool { return !slices.Contains(sessions(), before[0]) }, time.Minute, 5*time.Millisecond, "the connection stays")
	set("off")
	w.Heals()
}

// blockedBy waits until as many sessions wait for one, and returns them.
func blockedBy(t *testing.T, watch *pgx.Conn, pid uint32, n int) (pids []uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		rows, err := watch.Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))`, pid)
		if err == nil {
			pids, err = pgx.CollectRows(rows, pgx.RowTo[uint32])
		}
		return err == nil && len(pids) >= n
	}, time.Minute, 2*time.Millisecond)
	return pids
}

// blocking waits until a session waits for another one.
func blocking(t *testing.T, watch *pgx.Conn, pid uint32) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waits bool
		err := watch.QueryRow(t.Context(), `SELECT cardinality(pg_blocking_pids($1)) > 0`, pid).Scan(&waits)
		return err == nil && waits
	}, time.Minute, 2*time.Millisecond)
}

// droppedConnection kills the sessions of steps in the middle of what they write,
// where they wait for what another transaction has, and then those that are idle.
func droppedConnection(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	w := troubletest.New(t, s)
	holder, watch := raw(t, dsn), raw(t, dsn)
	pid := holder.PgConn().PID()
	for _, cut := range []struct{ request, held string }{
		{troubletest.Authenticate, `SELECT 1 FROM identities FOR UPDATE`}, // there is an enrollment, and no certificate is bound to it
		{troubletest.TokenUpdate, `SELECT 1 FROM tickets FOR UPDATE`},     // it is enrolled, and the ticket is not spent
		{troubletest.Idle, `SELECT 1 FROM commands FOR UPDATE`},
		{troubletest.Report, `SELECT 1 FROM commands FOR UPDATE`},
		{troubletest.CheckOut, `SELECT 1 FROM tickets FOR UPDATE`}, // it has ended, and the ticket does not say so
		{troubletest.SignIn, `LOCK TABLE sso_states IN SHARE MODE`},
	} {
		tx, err := holder.Begin(t.Context())
		require.NoError(t, err)
		exec(t, tx, cut.held)
		w.InFlight(cut.request, "terminating connection", func() {
			for _, victim := range blockedBy(t, watch, pid, 1) {
				exec(t, watch, `SELECT pg_terminate_backend($1)`, victim)
			}
		})
		require.NoError(t, tx.Rollback(t.Context()))
	}
	exec(t, watch, `SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE pid NOT IN ($1, $2) AND backend_type = 'client backend'`, pid, watch.PgConn().PID())
	w.Heals()
}

// serializationFailure has transactions that the database cannot have beside
// each other. One such failure nobody sees; when they do not end, a device is
// told to come again.
func serializationFailure(t *testing.T) {
	const tries = 4
	var codes sync.Map // of errors that the store was given
	var left atomic.Int64
	trying, try := make(chan struct{}), make(chan struct{})
	dsn := place(t)
	o := options(dsn + "&default_transaction_isolation=serializable")
	o.Trace = func(context.Context, string, []any) func(error) {
		if left.Add(-1) >= 0 {
			select {
			case trying <- struct{}{}:
				<-try
			case <-t.Context().Done():
			}
		}
		return func(err error) {
			if p := (*pgconn.PgError)(nil); errors.As(err, &p) {
				codes.Store(p.Code, true)
			}
		}
	}
	failed := func(code string) {
		t.Helper()
		_, ok := codes.LoadAndDelete(code)
		require.True(t, ok, "no %s", code)
	}
	w := troubletest.New(t, open(t, o))
	watch := raw(t, dsn)
	deadlock(t, dsn, "t-"+troubletest.TokenUpdate, "E-"+troubletest.TokenUpdate, func(meanwhile func()) {
		w.Absorbs(troubletest.TokenUpdate, meanwhile)
	})
	failed("40P01")

	// A transaction has what the device wants, and commits.
	holder := raw(t, dsn)
	var tx pgx.Tx
	change := func() {
		var err error
		tx, err = holder.Begin(t.Context())
		require.NoError(t, err)
		exec(t, tx, `UPDATE commands SET updated = updated`)
	}
	commit := func() {
		blockedBy(t, watch, holder.PgConn().PID(), 1)
		require.NoError(t, tx.Commit(t.Context()))
	}
	change()
	w.Absorbs(troubletest.Idle, commit)
	failed("40001")

	// And so each time that the device tries.
	left.Store(tries)
	w.InFlight(troubletest.Report, "could not serialize access", func() {
		for range tries {
			select {
			case <-trying:
			case <-time.After(time.Minute):
				require.FailNow(t, "the device gave up early")
			}
			change()
			try <- struct{}{}
			commit()
		}
	})
	w.Heals()
}

func TestAServerThatIsGone(t *testing.T) {
	server := pgtest.StartTest(t, pgtest.Options{})
	s := open(t, keyed(server.DSN(), masterKey(1)))
	enrolled(t, s, "a")
	require.NoError(t, s.IssueTicket(t.Context(), ticket("open"), [32]byte{}))
	before, err := s.State(t.Context())
	require.NoError(t, err)
	require.NoError(t, server.Crash())
	for name, step := range steps(t.Context(), s) {
		ours(t, step(), name)
	}
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, s.Ping(t.Context()))
	after, err := s.State(t.Context())
	require.NoError(t, err, "the store does not heal")
	require.Equal(t, before, after)
	require.NoError(t, steps(t.Context(), s)["Exchange"]())
}

// TestAcknowledgedSurvivesTheCrashOfTheServer kills the server while devices are
// told commands and report on them, and asks the same store what is there.
func TestAcknowledgedSurvivesTheCrashOfTheServer(t *testing.T) {
	server := pgtest.StartTest(t, pgtest.Options{})
	s := open(t, keyed(server.DSN(), masterKey(1)))
	const devices = 4
	names := make([]string, devices)
	for i := range names {
		names[i] = fmt.Sprint("d", i)
		enrolled(t, s, names[i])
	}
	var mu sync.Mutex
	queued, answered := map[string]bool{}, map[string]bool{}
	note := func(in map[string]bool, name, uuid string) {
		mu.Lock()
		defer mu.Unlock()
		in["E-"+name+"/"+uuid] = true
	}
	progress := make(chan bool, 1)
	var all sync.WaitGroup
	ctx := context.Background()
	for _, name := range names {
		all.Go(func() {
			for n := 0; ; n++ {
				uuid := fmt.Sprint("n", n)
				if s.Enqueue(ctx, commandOf(name, uuid)) != nil {
					return
				}
				note(queued, name, uuid)
				out, err := s.Exchange(ctx, idleOf(name))
				if err != nil {
					return
				}
				if _, err := s.Exchange(ctx, reportOf(name, out.Next.UUID)); err != nil {
					return
				}
				note(answered, name, out.Next.UUID)
				if n == 20 {
					select {
					case progress <- true:
					default:
					}
				}
			}
		})
	}
	<-progress
	require.NoError(t, server.Crash())
	all.Wait()
	require.NoError(t, server.Restart(t.Context()))
	state, err := s.State(t.Context())
	require.NoError(t, err)
	status := map[string]mdm.CommandStatus{}
	for _, c := range state.Commands {
		status[c.EnrollmentID+"/"+c.UUID] = c.Status
	}
	require.Greater(t, len(answered), 20)
	for command := range queued {
		require.NotEmpty(t, status[command], "%s was acknowledged and is lost", command)
	}
	for command := range answered {
		require.Equal(t, mdm.CommandAcknowledged, status[command], "the result of %s was acknowledged and is lost", command)
	}
	// Every device finishes.
	for _, name := range names {
		x := idleOf(name)
		for {
			out, err := s.Exchange(t.Context(), x)
			require.NoError(t, err)
			if out.Next == nil {
				break
			}
			x = reportOf(name, out.Next.UUID)
		}
	}
}

func TestStepsAreNotTriedForEver(t *testing.T) {
	n := 0
	refused := errors.New("refused")
	require.ErrorIs(t, postgres.Again(t.Context(), func() error { n++; return refused }), refused)
	require.Equal(t, 1, n, "a refusal was tried again")
	for code, want := range map[string]int{"40001": 4, "40P01": 4, "23505": 1, "53100": 1, "57014": 1} {
		n = 0
		err := postgres.Again(t.Context(), func() error { n++; return postgres.CodeError(code) })
		require.ErrorContains(t, err, code)
		require.Equal(t, want, n, code)
		n = 0
		require.NoError(t, postgres.Again(t.Context(), func() error {
			if n++; n < want {
				return postgres.CodeError(code)
			}
			return nil
		}))
	}
	n = 0
	require.ErrorContains(t, postgres.Again(t.Context(), func() error { n++; return postgres.ErrChanged }), "again and again")
	require.Equal(t, 51, n)
	ctx, cancel := context.WithCancel(t.Context())
	n = 0
	require.ErrorIs(t, postgres.Again(ctx, func() error { n++; cancel(); return postgres.ErrChanged }), context.Canceled)
	require.Equal(t, 1, n)
}
