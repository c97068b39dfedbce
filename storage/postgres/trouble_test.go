package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso"
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
		"Prune":        func() error { _, err := s.Prune(ctx, began, 9); return err },
		"Reseal":       func() error { _, err := s.Reseal(ctx, 9); return err },
	}
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

func TestADatabaseThatDoesNotWrite(t *testing.T) {
	server := pgtest.StartTest(t, pgtest.Options{NoSync: true})
	s := open(t, options(server.DSN()))
	enrolled(t, s, "a")
	before, err := s.State(t.Context())
	require.NoError(t, err)
	conn := raw(t, server.DSN())
	// As a standby, or after a failover that left the wrong one.
	readOnly := func(value string) {
		exec(t, conn, `ALTER SYSTEM SET default_transaction_read_only = `+value)
		exec(t, conn, `SELECT pg_reload_conf()`)
		require.Eventually(t, func() bool {
			var now string
			return raw(t, server.DSN()).QueryRow(t.Context(), `SHOW default_transaction_read_only`).Scan(&now) == nil && now == value
		}, 10*time.Second, 20*time.Millisecond)
	}
	readOnly("on")
	for _, name := range []string{"IssueTicket", "Download", "TokenUpdate", "Exchange", "CheckOut", "Enqueue", "Unenroll", "SuspendUser", "OpenState", "Provision", "Prune"} {
		require.Eventually(t, func() bool { return steps(t.Context(), s)[name]() != nil }, 10*time.Second, 20*time.Millisecond, name)
		ours(t, steps(t.Context(), s)[name](), name)
	}
	readOnly("off")
	require.Eventually(t, func() bool { return steps(t.Context(), s)["OpenState"]() == nil }, 10*time.Second, 20*time.Millisecond, "the store does not heal")
	after, err := s.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestAConnectionThatIsLostInTheMiddle(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	before, err := s.State(t.Context())
	require.NoError(t, err)
	conn := raw(t, dsn)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	exec(t, tx, `SELECT 1 FROM enrollments FOR UPDATE`)
	var pid int32
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid))
	watch := raw(t, dsn)
	for _, name := range []string{"TokenUpdate", "CheckOut", "Unenroll"} {
		done := make(chan error, 1)
		go func() { done <- steps(context.Background(), s)[name]() }()
		require.Eventually(t, func() bool {
			var killed int
			err := watch.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))`, pid).Scan(&killed)
			return err == nil && killed > 0
		}, 10*time.Second, 5*time.Millisecond)
		ours(t, <-done, name)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	after, err := s.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, steps(t.Context(), s)["TokenUpdate"]())
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
