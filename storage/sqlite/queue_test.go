package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// TestAFanOutMeetsNoLimit queues more than one statement takes.
func TestAFanOutMeetsNoLimit(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	enrolled(t, s, "a")
	commands := make([]mdm.Command, 70)
	for i := range commands {
		commands[i] = mdm.Command{UUID: fmt.Sprint("large", i), EnrollmentID: "E-a", Payload: make([]byte, 1<<20), Queued: sealedAt}
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
	heard, err := s.Listen(func() error { return s.Enqueue(t.Context(), commands...) })
	require.NoError(t, err)
	require.Len(t, withoutTransactions(heard.Writer), 5, "what is there, two, whether all are known, and the pushes")
	after, err = s.State(t.Context())
	require.NoError(t, err)
	require.Len(t, after.Commands, len(before.Commands)+len(commands)-1, "one was there already")
}
