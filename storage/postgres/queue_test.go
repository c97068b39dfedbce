package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/sqltest"
	"github.com/enrollkit/enrollkit/storage"
)

// TestAFanOutMeetsNoLimit queues more than one statement takes.
func TestAFanOutMeetsNoLimit(t *testing.T) {
	heard, s, _ := heardStore(t)
	enrolled(t, s, "a")
	sqltest.FanOut(t, s, "E-a", began, func(step func() error) {
		require.Len(t, heard.count(t, step), 8, "begin, two, rollback, begin, two, commit")
	})
}

// TestRequestsDoNotPileUp prunes where nobody claims pushes.
func TestRequestsDoNotPileUp(t *testing.T) {
	dsn := place(t)
	s := open(t, options(dsn))
	enrolled(t, s, "a")
	require.NoError(t, s.Enqueue(t.Context(), commandOf("a", "c2")))
	count := func() (n int) {
		require.NoError(t, raw(t, dsn).QueryRow(t.Context(), `SELECT count(*) FROM push_requests`).Scan(&n))
		return n
	}
	require.NotZero(t, count())
	_, err := s.Prune(t.Context(), storage.PruneStep{ExpiredBefore: began, OverBefore: began, Limit: 10})
	require.NoError(t, err)
	require.Zero(t, count())
	targets, err := s.ClaimPushes(t.Context(), began, time.Minute, 9)
	require.NoError(t, err)
	require.Len(t, targets, 1)
}
