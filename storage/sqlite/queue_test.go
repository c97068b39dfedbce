package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/sqltest"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// TestAFanOutMeetsNoLimit queues more than one statement takes.
func TestAFanOutMeetsNoLimit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	enrolled(t, s, "a")
	sqltest.FanOut(t, s, "E-a", sealedAt, func(step func() error) {
		heard, err := s.Listen(step)
		require.NoError(t, err)
		require.Len(t, withoutTransactions(heard.Writer), 5, "what is there, two, whether all are known, and the pushes")
	})
}
