package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

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
		if _, err := db.ExecContext(b.Context(), crowd(100_000)); err != nil {
			return nil, err
		}
		return openPlace(place)
	}))
}

// BenchmarkFloor is what the steps stand on: one prepared statement that changes
// one row, committed and synced, and one that reads one row.
func BenchmarkFloor(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "enroll.db"), sqlite.Options{})
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
