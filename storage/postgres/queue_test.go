package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// TestAFanOutMeetsNoLimit queues more than one statement takes.
func TestAFanOutMeetsNoLimit(t *testing.T) {
	heard := &listener{statements: map[string]bool{}}
	o := options(place(t))
	o.Trace = heard.trace
	s := open(t, o)
	enrolled(t, s, "a")
	commands := make([]mdm.Command, 70)
	for i := range commands {
		commands[i] = commandOf("a", fmt.Sprint("large", i))
		commands[i].Payload = make([]byte, 1<<20)
	}
	before, err := s.State(t.Context())
	require.NoError(t, err)
	last := &commands[len(commands)-1]
	last.EnrollmentID = "E-unknown"
	require.ErrorIs(t, s.Enqueue(t.Context(), commands...), mdm.ErrUnknownEnrollment)
	after, err := s.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "the first ones are undone too")

	last.EnrollmentID, last.UUID = "E-a", commands[0].UUID
	require.Len(t, heard.count(t, func() error { return s.Enqueue(t.Context(), commands...) }), 8, "begin, two, rollback, begin, two, commit")
	after, err = s.State(t.Context())
	require.NoError(t, err)
	require.Len(t, after.Commands, len(before.Commands)+len(commands)-1, "one was there already")
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
