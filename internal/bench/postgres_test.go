package bench_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// statement is what a store asked its database last.
type statement struct {
	sql    string
	values []any
}

func (s *statement) trace(_ context.Context, sql string, values []any) func(error) {
	s.sql, s.values = sql, slices.Clone(values)
	return nil
}

// replaced are the values with another one in the place of each that is old.
func (s statement) replaced(old, fresh string) []any {
	values := slices.Clone(s.values)
	for i, v := range values {
		if v == any(old) {
			values[i] = fresh
		}
	}
	return values
}

// BenchmarkPostgres measures requests of the hot path on PostgreSQL. "x-floor" is
// how many times as long one takes as the bare check of a signature, the bare
// reading of the message and the one statement of the same step, prepared, bare;
// they take turns with the requests.
func BenchmarkPostgres(b *testing.B) {
	server := pgtest.StartTest(b, pgtest.Options{})
	var last statement
	store, err := postgres.Open(b.Context(), postgres.Options{DSN: server.DSN(), AllowUnsealed: true, Trace: last.trace})
	require.NoError(b, err)
	b.Cleanup(func() { store.Close() })
	conn, err := pgx.Connect(b.Context(), server.DSN())
	require.NoError(b, err)
	b.Cleanup(func() { conn.Close(context.Background()) })
	_, err = conn.Exec(b.Context(), "SET plan_cache_mode = force_generic_plan") // as the store does
	require.NoError(b, err)
	w := newWorld(b, store)
	bare := func(sql string, values []any) {
		rows, err := conn.Query(b.Context(), sql, values...)
		require.NoError(b, err)
		rows.Close()
		require.NoError(b, rows.Err())
	}
	run := func(b *testing.B, prepare, request func(), floor ...func()) {
		b.Helper()
		var whole, sum time.Duration
		for b.Loop() {
			prepare()
			begun := time.Now()
			request()
			whole += time.Since(begun)
			begun = time.Now()
			for _, part := range floor {
				part()
			}
			sum += time.Since(begun)
		}
		b.ReportMetric(float64(whole.Microseconds())/float64(b.N), "µs-request")
		b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "µs-floor")
		b.ReportMetric(float64(whole)/float64(sum), "x-floor")
	}
	again := func(r request) func(b *testing.B) {
		return func(b *testing.B) {
			w.send(r)
			step := last
			run(b, func() {}, func() { w.send(r) }, checked(b, w), parsed(b, r), func() { bare(step.sql, step.values) })
		}
	}
	b.Run("TokenUpdate", again(w.enrolled().tokenUpdate()))
	b.Run("Idle", again(w.enrolled().idle()))
	b.Run("ReportAndNext", func(b *testing.B) {
		// One phone's commands are reported in requests, the other's bare.
		p, other := w.enrolled(), w.enrolled()
		uuid := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012X", n) }
		enqueue := func(n int) {
			payload, err := command.Encode(uuid(n), command.DeviceInformation{Queries: []string{"OSVersion", "BuildVersion"}})
			require.NoError(b, err)
			now := time.Now()
			for _, p := range []phone{p, other} {
				require.NoError(b, store.Enqueue(b.Context(), mdm.Command{
					UUID: uuid(n), EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: payload, Status: mdm.CommandQueued, Queued: now, Updated: now,
				}))
			}
		}
		enqueue(0)
		w.send(p.idle())
		w.send(other.idle())
		enqueue(1)
		w.send(p.report(uuid(0)))
		w.send(other.report(uuid(0)))
		step, n := last, 1
		var r request
		run(b, func() {
			n++
			enqueue(n)
			r = p.report(uuid(n - 1))
		}, func() {
			if len(w.send(r)) == 0 {
				b.Fatal("no command")
			}
		}, checked(b, w), parsed(b, p.report(uuid(0))), func() { bare(step.sql, step.replaced(uuid(0), uuid(n-1))) })
		state, err := store.State(b.Context())
		require.NoError(b, err)
		for _, c := range state.Commands { // both did what they are said to do
			if c.UUID == uuid(n-1) {
				require.Equal(b, mdm.CommandAcknowledged, c.Status, c.EnrollmentID)
			}
		}
	})
}
