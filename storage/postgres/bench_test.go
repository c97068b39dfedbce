package postgres_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// durable is a server that syncs, as one in use does.
func durable(b *testing.B) *pgtest.Server {
	b.Helper()
	return pgtest.StartTest(b, pgtest.Options{})
}

// places opens a schema on a server for each place, prepared by a function.
func places(b testing.TB, s *pgtest.Server, prepare func(dsn string)) storagetest.Suite {
	return storagetest.Whole(func(place string) (*postgres.Store, error) {
		dsn, err := at(b.Context(), s.DSN(), place)
		if err != nil {
			return nil, err
		}
		o := options(dsn)
		o.Connections = 16
		store, err := postgres.Open(b.Context(), o)
		if err == nil {
			prepare(dsn)
		}
		return store, err
	})
}

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, places(b, durable(b), func(string) {})) }

// BenchmarkFloor is what the steps stand on: one prepared statement that changes
// one row, committed and synced, and one that reads one row.
func BenchmarkFloor(b *testing.B) {
	pool, err := pgxpool.New(b.Context(), durable(b).DSN())
	require.NoError(b, err)
	defer pool.Close()
	_, err = pool.Exec(b.Context(), `CREATE TABLE bare (id text PRIMARY KEY, n bigint, payload bytea)`)
	require.NoError(b, err)
	_, err = pool.Exec(b.Context(), `INSERT INTO bare SELECT i::text, 0, decode(repeat('00', 300), 'hex') FROM generate_series(1, 1000) i`)
	require.NoError(b, err)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			_, err := pool.Exec(b.Context(), `UPDATE bare SET n = n + 1 WHERE id = $1`, "7")
			require.NoError(b, err)
		}
	})
	b.Run("read", func(b *testing.B) {
		var n int64
		for b.Loop() {
			require.NoError(b, pool.QueryRow(b.Context(), `SELECT n FROM bare WHERE id = $1`, "7").Scan(&n))
		}
	})
}

// BenchmarkFanOut queues one command for 10 000 enrollments, and asks for a push
// for each, beside a bare INSERT … SELECT of the same commands that asks for none
// ("bare"), and beside that and a bare UPDATE of the pushes ("asking").
func BenchmarkFanOut(b *testing.B) {
	const devices = 10_000
	dsn, err := at(b.Context(), durable(b).DSN(), b.TempDir())
	require.NoError(b, err)
	s, err := postgres.Open(b.Context(), options(dsn))
	require.NoError(b, err)
	b.Cleanup(func() { s.Close() })
	fill(b, dsn, devices)
	conn, err := pgx.Connect(b.Context(), dsn)
	require.NoError(b, err)
	b.Cleanup(func() { conn.Close(context.Background()) })
	// Finished as soon as it is measured, so that each round meets the same.
	finish := func() {
		for _, statement := range []string{
			`UPDATE commands SET place = NULL WHERE place IS NOT NULL AND enrollment <> 7`, `DELETE FROM push_requests`, `UPDATE pushes SET due = NULL, settled = request`, `VACUUM ANALYZE`, `CHECKPOINT`,
		} {
			_, err := conn.Exec(b.Context(), statement)
			require.NoError(b, err)
		}
	}
	// The floor is the statements alone: what they take is made before.
	bare := func(commands []mdm.Command, more ...string) (run func()) {
		ids, uuids, payloads := make([]string, devices), make([]string, devices), make([][]byte, devices)
		for i, c := range commands {
			ids[i], uuids[i], payloads[i] = c.EnrollmentID, c.UUID, append(c.Payload, make([]byte, 37)...)
		}
		return func() {
			tx, err := conn.Begin(b.Context())
			require.NoError(b, err)
			_, err = tx.Exec(b.Context(), `INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
				SELECT e.seq, x.uuid, 'DeviceInformation', 'Queued', 1, $3, $3, x.payload FROM unnest($1::text[], $2::text[], $4::bytea[]) x(id, uuid, payload)
				JOIN enrollments e ON e.id = x.id`, ids, uuids, time.Now(), payloads)
			require.NoError(b, err)
			for _, statement := range more {
				_, err = tx.Exec(b.Context(), statement, ids)
				require.NoError(b, err)
			}
			require.NoError(b, tx.Commit(b.Context()))
		}
	}
	const ask = `UPDATE pushes p SET request = p.request + 1, due = now() FROM unnest($1::text[]) x(id) JOIN enrollments e ON e.id = x.id WHERE p.enrollment = e.seq`
	storagetest.FanOut{
		Devices: devices, Enqueue: s.Enqueue, Finish: finish,
		Floors: []storagetest.Floor{
			{Name: "bare", Prepare: func(commands []mdm.Command) func() { return bare(commands) }},
			{Name: "asking", Prepare: func(commands []mdm.Command) func() { return bare(commands, ask) }},
		},
	}.Benchmark(b)
}

// sizes asks for the table of TestSizes: go test -run Sizes -v -sizes 1000,100000
var sizes = flag.String("sizes", "", "compare stores of so many enrollments, such as 1000,100000,1000000")

// TestSizes is a table of what steps cost beside more and fewer enrollments. It
// takes minutes.
func TestSizes(t *testing.T) {
	if *sizes == "" {
		t.Log("no -sizes")
		return
	}
	server := pgtest.StartTest(t, pgtest.Options{})
	list, err := storagetest.ParseSizes(*sizes)
	require.NoError(t, err)
	storagetest.Sizes(t, places(t, server, func(string) {}), storagetest.SizesOptions{
		Enrollments: list, Queues: []int{1, 100, 10_000},
		Fill: func(place string, n int) error {
			dsn, err := at(t.Context(), server.DSN(), place)
			if err == nil {
				fill(t, dsn, n)
				conn := raw(t, dsn)
				exec(t, conn, `UPDATE pushes SET due = NULL WHERE due IS NOT NULL`) // nobody else is to be woken
				exec(t, conn, `VACUUM ANALYZE pushes`)
			}
			return err
		},
	})
}
