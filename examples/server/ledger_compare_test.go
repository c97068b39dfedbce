package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// The comparison of TestFleet finds each thing that must not be.
func TestLedger(t *testing.T) {
	fill := func() (*ledger, storage.State, map[string]int) {
		l := newLedger()
		l.enrollments["e1"], l.queued["c1"], l.results["c1"] = [32]byte{1}, "e1", mdm.CommandAcknowledged
		return l, storage.State{
			Enrollments: []mdm.Enrollment{{ID: "e0", TicketID: "t1", State: mdm.StateReplaced}, {ID: "e1", TicketID: "t1", State: mdm.StateEnrolled, Certificate: [32]byte{1}}},
			Commands:    []mdm.Command{{UUID: "c1", EnrollmentID: "e1", Status: mdm.CommandAcknowledged, Result: []byte("<string>c1</string>")}},
		}, map[string]int{"c1": 1}
	}
	for name, c := range map[string]struct {
		spoil func(l *ledger, s *storage.State, finals map[string]int)
		want  string
	}{
		"nothing":               {func(*ledger, *storage.State, map[string]int) {}, ""},
		"an enrollment is gone": {func(_ *ledger, s *storage.State, _ map[string]int) { s.Enrollments = nil }, "enrollment e1 was acknowledged"},
		"another certificate":   {func(_ *ledger, s *storage.State, _ map[string]int) { s.Enrollments[1].Certificate[0] = 2 }, "enrollment e1 was acknowledged"},
		"two of one ticket":     {func(_ *ledger, s *storage.State, _ map[string]int) { s.Enrollments[0].State = mdm.StateEnrolled }, "ticket t1 became"},
		"of no phone":           {func(l *ledger, _ *storage.State, _ map[string]int) { clear(l.enrollments) }, "enrollment e1 is no phone's"},
		"a command is gone":     {func(l *ledger, _ *storage.State, _ map[string]int) { l.queued["c2"] = "e1" }, "command c2 was queued"},
		"a result is gone":      {func(_ *ledger, s *storage.State, _ map[string]int) { s.Commands[0].Result = nil }, "the result Acknowledged of command c1"},
		"another result":        {func(_ *ledger, s *storage.State, _ map[string]int) { s.Commands[0].Status = mdm.CommandError }, "the result Acknowledged of command c1"},
		"not finished":          {func(_ *ledger, s *storage.State, _ map[string]int) { s.Commands[0].Status = mdm.CommandSent }, "command c1 is still Sent"},
		"final twice":           {func(_ *ledger, _ *storage.State, finals map[string]int) { finals["c1"] = 2 }, "command c1 became final 2 times"},
		"final from nowhere":    {func(_ *ledger, _ *storage.State, finals map[string]int) { clear(finals) }, "never became so"},
		"a device was refused":  {func(l *ledger, _ *storage.State, _ map[string]int) { l.wrong = []string{"phone 1 was answered 401"} }, "phone 1"},
	} {
		t.Run(name, func(t *testing.T) {
			l, s, finals := fill()
			c.spoil(l, &s, finals)
			wrong := l.compare(s, finals)
			if c.want == "" {
				require.Empty(t, wrong)
				return
			}
			require.Contains(t, strings.Join(wrong, "\n"), c.want)
		})
	}
}
