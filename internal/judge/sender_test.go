package judge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

// TestJudge takes away one reason after the other: each is named before those that
// come after it.
func TestJudge(t *testing.T) {
	f := judge.Sender{Suspended: true, Way: mdm.WayAccount, EnrollmentID: "E2", State: mdm.StateEnded}
	id, device := "E1", true
	for _, step := range []struct {
		err  error
		mend func()
	}{
		{mdm.ErrUnknownIdentity, func() { f.Known = true }},
		{mdm.ErrSuspended, func() { f.Suspended = false }},
		{mdm.ErrChannel, func() { device = false }},
		{mdm.ErrNotAuthenticated, func() { f.Bound = true }},
		{mdm.ErrForeignCertificate, func() { f.EnrollmentID = id }},
		{mdm.ErrEnded, func() { f.State = mdm.StateEnrolled }},
		{mdm.ErrBearer, func() { f.Bearer = true }},
	} {
		require.Equal(t, step.err, f.Judge(id, device))
		step.mend()
	}
	require.NoError(t, f.Judge(id, device))
	f.Way, f.Bearer = mdm.WayProfile, false
	require.NoError(t, f.Judge(id, device), "no bearer is asked for")
	f.Bound = false
	require.Equal(t, mdm.ErrNotAuthenticated, f.Judge("", true), "who does not name itself has no channel")
}
