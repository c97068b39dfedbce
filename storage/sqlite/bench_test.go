package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, suite(openPlace)) }

// BenchmarkStepsInACrowd is the same beside 100 000 other enrollments.
func BenchmarkStepsInACrowd(b *testing.B) {
	storagetest.Benchmark(b, suite(func(place string) (*sqlite.Store, error) {
		s, err := openPlace(place)
		if err != nil {
			return nil, err
		}
		if err := s.Close(); err != nil {
			return nil, err
		}
		db := raw(b, filepath.Join(place, "enroll.db"))
		// Nobody else is to be woken.
		if _, err := db.ExecContext(b.Context(), crowd(100_000)+`UPDATE enrollments SET push_due = NULL`); err != nil {
			return nil, err
		}
		return openPlace(place)
	}))
}

// BenchmarkFloor is what the steps stand on: one prepared statement that changes
// one row, committed and synced, and one that reads one row.
func BenchmarkFloor(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.NoError(b, s.IssueTicket(b.Context(), ticket("t1"), [32]byte{}))
	n := 0
	b.Run("transaction", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n++
			require.NoError(b, s.Do(func(tx *sqlite.Tx) error {
				return tx.Exec(`UPDATE tickets SET downloads = ? WHERE id = 't1'`, n)
			}))
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Ticket(b.Context(), "t1")
			require.NoError(b, err)
		}
	})
}

// BenchmarkFanOut queues one command for 10 000 enrollments, and asks for a push
// for each, beside a bare INSERT … SELECT of as many that asks for none.
func BenchmarkFanOut(b *testing.B) {
	const devices = 10_000
	place := b.TempDir()
	s, err := openPlace(place)
	require.NoError(b, err)
	b.Cleanup(func() { s.Close() })
	db := raw(b, filepath.Join(place, "enroll.db"))
	_, err = db.ExecContext(b.Context(), crowd(devices))
	require.NoError(b, err)
	// Finished as soon as it is measured, so that each round meets the same.
	finish := func() {
		_, err := db.ExecContext(b.Context(), `UPDATE commands SET place = NULL WHERE place IS NOT NULL AND enrollment <> 7;
			UPDATE enrollments SET push_due = NULL, push_settled = push_request; PRAGMA wal_checkpoint(TRUNCATE)`)
		require.NoError(b, err)
	}
	storagetest.FanOut{
		Devices: devices, Enqueue: s.Enqueue, Finish: finish,
		Floors: []storagetest.Floor{{Name: "bare", Prepare: func(commands []mdm.Command) func() {
			return func() {
				_, err := db.ExecContext(b.Context(), `INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
					SELECT seq, ?1 || seq, 'DeviceInformation', 'Queued', 1, 1, 1, ?2 FROM enrollments WHERE state = 'enrolled'`, commands[0].UUID, commands[0].Payload)
				require.NoError(b, err)
			}
		}}},
	}.Benchmark(b)
}
