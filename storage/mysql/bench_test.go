package mysql_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/mysql"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// durable is a server whose commits are on a disk.
func durable(b *testing.B) *mysqltest.Server {
	b.Helper()
	return mysqltest.StartTest(b, mysqltest.Options{Settings: map[string]string{"innodb_buffer_pool_size": "1G"}})
}

// places opens a database on a server for each place.
func places(b testing.TB, on *mysqltest.Server, prepare func(dsn string)) storagetest.Suite {
	b.Helper()
	return suite(func(place string) (*mysql.Store, error) {
		dsn, err := makeDatabase(on, place)
		if err != nil {
			return nil, err
		}
		s, err := mysql.Open(b.Context(), unsealed(dsn))
		if err == nil {
			prepare(dsn)
		}
		return s, err
	})
}

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, places(b, durable(b), func(string) {})) }

// BenchmarkStepsInACrowd is the same beside 100 000 other enrollments.
func BenchmarkStepsInACrowd(b *testing.B) {
	storagetest.Benchmark(b, places(b, durable(b), func(dsn string) { fill(b, dsn, 100_000) }))
}

// BenchmarkFloor is what the steps stand on: one prepared statement that changes
// one row and is a transaction by itself, the same between BEGIN and COMMIT, and
// one that reads one row.
func BenchmarkFloor(b *testing.B) {
	dsn, err := makeDatabase(durable(b), b.TempDir())
	require.NoError(b, err)
	s := open(b, unsealed(dsn))
	fill(b, dsn, 1000)
	const write = `UPDATE tickets SET downloads = downloads + 1 WHERE id = 't7'`
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, mysql.Alone(b.Context(), s, write))
		}
	})
	b.Run("transaction", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, mysql.Step(b.Context(), s, func(tx *mysql.Tx) error { return tx.Exec(write) }))
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Ticket(b.Context(), "t7")
			require.NoError(b, err)
		}
	})
}

// BenchmarkFanOut queues one command for 10 000 enrollments, beside a bare INSERT
// … SELECT of the same rows.
func BenchmarkFanOut(b *testing.B) {
	const devices = 10_000
	dsn, err := makeDatabase(durable(b), b.TempDir())
	require.NoError(b, err)
	s := open(b, unsealed(dsn))
	fill(b, dsn, devices)
	db := raw(b, dsn)
	// Finished as soon as it is measured, so that each round meets the same.
	finish := func() {
		execute(b, db, `UPDATE commands SET place = NULL WHERE place IS NOT NULL`, `UPDATE pushes SET due = 9223372036854775807, settled = request`)
	}
	storagetest.FanOut{
		Devices: devices, Enqueue: s.Enqueue, Finish: finish,
		Floors: []storagetest.Floor{{Name: "bare", Prepare: func(commands []mdm.Command) func() {
			return func() {
				_, err := db.ExecContext(b.Context(), `INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
					SELECT seq, CONCAT(?, seq), 'DeviceInformation', 'Queued', 2, 1, 1, ? FROM enrollments WHERE state = 'enrolled'`, commands[0].UUID, commands[0].Payload)
				require.NoError(b, err)
			}
		}}},
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
	list, err := storagetest.ParseSizes(*sizes)
	require.NoError(t, err)
	server := mysqltest.StartTest(t, mysqltest.Options{Settings: map[string]string{"innodb_buffer_pool_size": "4G"}})
	storagetest.Sizes(t, places(t, server, func(string) {}), storagetest.SizesOptions{
		Enrollments: list, Queues: []int{1, 100, 10_000},
		Fill: func(place string, n int) error {
			dsn, err := makeDatabase(server, place)
			if err != nil {
				return err
			}
			fill(t, dsn, n)
			execute(t, raw(t, dsn), `UPDATE pushes SET due = 9223372036854775807, settled = request`, `ANALYZE TABLE pushes`)
			return nil
		},
	})
}
