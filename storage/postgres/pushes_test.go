package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// TestAFanOutWakesEachOnce has nodes claim at the same time what takes several
// transactions to count.
func TestAFanOutWakesEachOnce(t *testing.T) {
	const devices = 6000
	dsn := place(t)
	o := postgres.Options{DSN: dsn, AllowUnsealed: true, DangerouslyAllowLossyCommits: true}
	s := open(t, o)
	fill(t, dsn, devices)
	conn := raw(t, dsn)
	exec(t, conn, `UPDATE pushes SET due = NULL, settled = request`)
	exec(t, conn, `DELETE FROM push_requests`)
	commands := make([]mdm.Command, devices)
	for i := range commands {
		commands[i] = commandOf("a", "fan")
		commands[i].EnrollmentID = fmt.Sprint("E", i+1)
	}
	require.NoError(t, s.Enqueue(t.Context(), commands...))
	type outcome struct {
		targets []push.Target
		err     error
	}
	outcomes := make(chan outcome)
	nodes := 3
	for range nodes {
		node := open(t, o)
		go func() {
			targets, err := node.ClaimPushes(context.Background(), began, time.Minute, devices/3)
			outcomes <- outcome{targets, err}
		}()
	}
	var woken []string
	for range nodes {
		out := <-outcomes
		require.NoError(t, out.err)
		for _, target := range out.targets {
			woken = append(woken, target.EnrollmentID)
		}
	}
	for { // who was passed over because another node looked at it
		targets, err := s.ClaimPushes(t.Context(), began, time.Minute, devices)
		require.NoError(t, err)
		if len(targets) == 0 {
			break
		}
		for _, target := range targets {
			woken = append(woken, target.EnrollmentID)
		}
	}
	var counted int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pushes WHERE request - settled = 1`).Scan(&counted))
	require.Equal(t, devices, counted, "requests of some were counted twice, or not at all")
	slices.Sort(woken)
	require.Len(t, slices.Compact(slices.Clone(woken)), devices)
	require.Len(t, woken, devices, "some were woken twice")
}

// TestRequestsThatWait looks at what Enqueue requested while nobody has claimed.
func TestRequestsThatWait(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	claim := func(at time.Time) []push.Target {
		targets, err := s.ClaimPushes(t.Context(), at, time.Minute, 10)
		require.NoError(t, err)
		return targets
	}
	first := claim(began)
	require.Len(t, first, 1)

	// It is for a result to make it due, also if its time were later.
	later := commandOf("a", "c2")
	later.Queued = began.Add(time.Hour)
	require.NoError(t, s.Enqueue(t.Context(), later))
	require.NoError(t, s.SettlePushes(t.Context(), push.Result{Target: first[0], Status: 200, At: began}))
	second := claim(began)
	require.Len(t, second, 1, "what was requested since the claim is not due at once")
	require.Greater(t, second[0].Request, first[0].Request)
	require.NoError(t, s.SettlePushes(t.Context(), push.Result{Target: second[0], Status: 200, At: began}))

	// An export has them.
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c3"), commandOf("a", "c4")))
	list, err := s.ExportPage(t.Context(), transfer.KindEnrollment, "", 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	exported := list[0].Record.(*transfer.Enrollment).Push
	require.Equal(t, second[0].Request+2, exported.Request)
	require.Equal(t, began, exported.Due)

	// They end with the enrollment, and stay so when it begins again.
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c5")))
	require.NoError(t, s.Unenroll(t.Context(), "E-a", began))
	require.Empty(t, claim(began.AddDate(1, 0, 0)))
	request, due := pushOf(t, dsn)
	require.Nil(t, due, "who has ended is to be woken")
	require.Equal(t, exported.Request, request)
}

// TestRequestsOfAFormerLife has an enrollment end and begin again before anybody
// has counted what was requested.
func TestRequestsOfAFormerLife(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	before, _ := pushOf(t, dsn)
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c2"), commandOf("a", "c3")))
	require.NoError(t, s.Unenroll(t.Context(), "E-a", began))
	identified(t, s, "later")
	step := authenticateOf("later")
	step.EnrollmentID = "E-a"
	_, err := s.Authenticate(t.Context(), step)
	require.NoError(t, err)
	targets, err := s.ClaimPushes(t.Context(), began.AddDate(1, 0, 0), time.Minute, 10)
	require.NoError(t, err)
	require.Empty(t, targets)
	request, due := pushOf(t, dsn)
	require.Nil(t, due)
	require.Equal(t, before, request)
}

// pushOf is the last request of the one device there is that was counted, and when
// it is due.
func pushOf(t *testing.T, dsn string) (request int64, due *time.Time) {
	t.Helper()
	require.NoError(t, raw(t, dsn).QueryRow(t.Context(), `SELECT request, due FROM pushes`).Scan(&request, &due))
	return request, due
}

// TestAClaimEndsBesideRequests has requests come as fast as they are counted.
func TestAClaimEndsBesideRequests(t *testing.T) {
	dsn := place(t)
	conn := raw(t, dsn)
	rounds := 0
	o := options(dsn)
	more := func() {
		exec(t, conn, `INSERT INTO push_requests (enrollments, due) SELECT ARRAY[seq], ARRAY[now()] FROM enrollments, generate_series(1, 200)`)
	}
	o.Trace = func(_ context.Context, statement string, _ []any) func(error) {
		if statement == postgres.CountRequestsSQL && rounds < 20 {
			rounds++
			more()
		}
		return nil
	}
	s := open(t, o)
	enrolled(t, s, "a")
	more()
	_, err := s.ClaimPushes(t.Context(), began, time.Minute, 1)
	require.NoError(t, err)
	require.Equal(t, 2, rounds, "it counts what was there when it began, 128 rows at a time")
}
