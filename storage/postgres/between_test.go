package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// between runs a step that has to wait for what another transaction has locked,
// and commits that one when the step waits.
func between[T any](t *testing.T, dsn string, first func(tx pgx.Tx), step func() (T, error)) (T, error) {
	t.Helper()
	conn := raw(t, dsn)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	first(tx)
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := step()
		done <- outcome{value, err}
	}()
	blockedBy(t, raw(t, dsn), conn.PgConn().PID(), 1)
	require.NoError(t, tx.Commit(t.Context()))
	select {
	case out := <-done:
		return out.value, out.err
	case <-time.After(time.Minute):
		t.Fatal("the step does not go on")
		panic("unreachable")
	}
}

// deadlock runs a step that has enrollments, and then wants a ticket, into a
// deadlock. PostgreSQL looks for one once, when a session has waited for a while
// without a change: two transactions share the ticket, so that the step waits for
// the first of them until the second one waits for the step, and only then for
// the second one, whose session is too patient to look.
func deadlock(t *testing.T, dsn, ticket, enrollment string, step func(meanwhile func())) {
	t.Helper()
	first, second, watch := raw(t, dsn), raw(t, dsn+"&deadlock_timeout=1h"), raw(t, dsn)
	begin := func(conn *pgx.Conn) pgx.Tx {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		exec(t, tx, `SELECT 1 FROM tickets WHERE id = $1 FOR SHARE`, ticket)
		return tx
	}
	one, other := begin(first), begin(second)
	step(func() {
		blockedBy(t, watch, first.PgConn().PID(), 1)
		waits := make(chan error, 1)
		go func() {
			_, err := other.Exec(t.Context(), `SELECT 1 FROM enrollments WHERE id = $1 FOR UPDATE`, enrollment)
			waits <- err
		}()
		blocking(t, watch, second.PgConn().PID())
		require.NoError(t, one.Rollback(t.Context()))
		require.NoError(t, <-waits, "the step is the victim")
		require.NoError(t, other.Rollback(t.Context()))
	})
}

// finish answers a command as another node does.
func finish(t *testing.T, uuid string) func(pgx.Tx) {
	return func(tx pgx.Tx) {
		exec(t, tx, `UPDATE commands SET status = 'Acknowledged', place = NULL WHERE uuid = $1`, uuid)
	}
}

func TestExchangeWhenTheCommandIsAnsweredMeanwhile(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c2"), commandOf("a", "c3")))

	out, err := between(t, dsn, finish(t, "c1"), func() (mdm.Exchanged, error) { return s.Exchange(context.Background(), idleOf("a")) })
	require.NoError(t, err)
	require.NotNil(t, out.Next, "a device was told that nothing waits")
	require.Equal(t, "c2", out.Next.UUID)

	out, err = between(t, dsn, finish(t, "c2"), func() (mdm.Exchanged, error) { return s.Exchange(context.Background(), reportOf("a", "c2")) })
	require.NoError(t, err)
	require.Nil(t, out.Reported, "a result was recorded twice")
	require.Equal(t, "c3", out.Next.UUID)

	// The report is recorded, and the next command is gone.
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c4"), commandOf("a", "c5")))
	out, err = between(t, dsn, finish(t, "c4"), func() (mdm.Exchanged, error) { return s.Exchange(context.Background(), reportOf("a", "c3")) })
	require.NoError(t, err)
	require.NotNil(t, out.Reported)
	require.Equal(t, "c5", out.Next.UUID)
}

func TestExchangeWhenTheEnrollmentEndsMeanwhile(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	out, err := between(t, dsn, func(tx pgx.Tx) {
		exec(t, tx, `UPDATE enrollments SET state = 'ended'`)
		exec(t, tx, `UPDATE pushes SET state = 'ended'`)
		exec(t, tx, `UPDATE commands SET status = 'Cancelled', place = NULL`)
	}, func() (mdm.Exchanged, error) { return s.Exchange(context.Background(), reportOf("a", "c1")) })
	require.ErrorIs(t, err, mdm.ErrEnded)
	require.Equal(t, mdm.Exchanged{}, out)
}

func TestTokenUpdateWhenTheAttemptStartsOverMeanwhile(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	identified(t, s, "a")
	_, err := s.Authenticate(t.Context(), authenticateOf("a"))
	require.NoError(t, err)
	second := downloadOf("a")
	second.Challenge = certificateOf("second")
	_, err = s.Download(t.Context(), second)
	require.NoError(t, err)
	_, err = between(t, dsn, func(tx pgx.Tx) { // as Identify
		exec(t, tx, `UPDATE identities SET replaced = true`)
		exec(t, tx, `UPDATE tickets SET state = 'identified', authenticated = NULL, enrollment_id = ''`)
	}, func() (mdm.Enrollment, error) { return s.TokenUpdate(context.Background(), tokenOf("a")) })
	require.ErrorIs(t, err, mdm.ErrUnknownIdentity)
	k, err := s.Ticket(t.Context(), "t-a")
	require.NoError(t, err)
	require.Equal(t, enroll.TicketIdentified, k.State, "the ticket was spent for a device that is locked out")
	e, err := s.Enrollment(t.Context(), "E-a")
	require.NoError(t, err)
	require.Equal(t, mdm.StateAuthenticated, e.State)
}

func TestEnqueueWhenTheEnrollmentEndsMeanwhile(t *testing.T) {
	for what, first := range map[string]mdm.Command{"new": commandOf("a", "c2"), "there already": commandOf("a", "c1")} {
		dsn := place(t)
		s := open(t, options(dsn))
		enrolled(t, s, "a")
		enrolled(t, s, "b")
		_, err := between(t, dsn, func(tx pgx.Tx) {
			exec(t, tx, `SELECT 1 FROM enrollments WHERE id = 'E-b' FOR UPDATE`)
			exec(t, tx, `UPDATE enrollments SET state = 'ended' WHERE id = 'E-b'`)
		}, func() (any, error) {
			return nil, s.Enqueue(context.Background(), first, commandOf("b", "c2"))
		})
		require.ErrorIs(t, err, mdm.ErrUnknownEnrollment, what)
		state, err := s.State(t.Context())
		require.NoError(t, err)
		require.Len(t, state.Commands, 2, "the plans of both, and nothing of what was refused")
	}
}

func TestTheEndFindsWhatIsBeingQueued(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	_, err := between(t, dsn, func(tx pgx.Tx) { // as Enqueue
		exec(t, tx, `SELECT 1 FROM enrollments FOR KEY SHARE`)
		exec(t, tx, `INSERT INTO commands (enrollment, uuid, request_type, status, place, payload) SELECT seq, 'c2', '', 'Queued', 1, '\x00' FROM enrollments`)
	}, func() (any, error) { return nil, s.Unenroll(context.Background(), "E-a", began) })
	require.NoError(t, err)
	state, err := s.State(t.Context())
	require.NoError(t, err)
	for _, c := range state.Commands {
		require.Equal(t, mdm.CommandCancelled, c.Status, c.UUID)
	}
}

func TestADeadlockIsTriedAgain(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	later := ticket("later")
	require.NoError(t, s.IssueTicket(t.Context(), later, [32]byte{}))
	_, err := s.Download(t.Context(), downloadOf("later"))
	require.NoError(t, err)
	digest := certificateOf("later")
	_, err = s.Identify(t.Context(), enroll.IdentifyStep{Challenge: digest, Key: digest, Certificate: digest[:], Digest: digest, At: began})
	require.NoError(t, err)
	step := authenticateOf("later")
	step.EnrollmentID = "E-a"

	done := make(chan error, 1)
	deadlock(t, dsn, "t-later", "E-a", func(meanwhile func()) {
		go func() {
			_, err := s.Authenticate(context.Background(), step) // has E-a, waits for t-later
			done <- err
		}()
		meanwhile()
	})
	require.NoError(t, <-done)
	e, err := s.Enrollment(t.Context(), "E-a")
	require.NoError(t, err)
	require.Equal(t, digest, e.Certificate)
}
