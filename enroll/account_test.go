package enroll_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// TestAccountDrivenEnrollment goes the account-driven ways end to end, with every
// document judged.
func TestAccountDrivenEnrollment(t *testing.T) {
	for _, c := range []struct {
		name, os  string
		adde      bool
		method    enroll.AccountMethod
		way       mdm.Way
		ownership enroll.Ownership
	}{
		{"byod, iOS 15", "15.8", false, enroll.MethodWeb, mdm.WayAccount, enroll.OwnershipPersonal},
		{"byod, iOS 17", "17.6.1", false, enroll.MethodWeb, mdm.WayAccount, enroll.OwnershipPersonal},
		{"byod, iOS 18", "18.6", false, enroll.MethodWeb, mdm.WayAccount, enroll.OwnershipPersonal},
		{"byod, iOS 26", "26.1", false, enroll.MethodWeb, mdm.WayAccount, enroll.OwnershipPersonal},
		{"byod, OAuth 2", "26.1", false, enroll.MethodOAuth2, mdm.WayAccount, enroll.OwnershipPersonal},
		{"adde", "26.1", true, enroll.MethodWeb, mdm.WayAccountDevice, enroll.OwnershipCompany},
		{"adde, OAuth 2", "17.6.1", true, enroll.MethodOAuth2, mdm.WayAccountDevice, enroll.OwnershipCompany},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAccountWorld(t, account(func(cfg *enroll.AccountConfig) { cfg.Method = c.method }))
			a.plan = []command.Command{command.DeviceInformation{Queries: []string{"OSVersion", "ProductName"}}}
			edit := func(cfg *mdmtest.Config) {
				cfg.OSVersion = c.os
				cfg.Account.HandBack = []int{308}
			}
			newPhone := a.phone
			if c.adde {
				a.adde()
				newPhone = a.devicePhone
			}
			p := newPhone(edit)
			account, err := p.EnrollAccount(t.Context(), "alice@example.com", "alice@example.com", "password")
			require.NoError(t, err, a.log)
			commands, err := p.Connect(t.Context())
			require.NoError(t, err, a.log)
			require.Equal(t, 1, commands)

			s := a.all()
			require.Len(t, s.Tickets, 1)
			require.Equal(t, []any{enroll.TicketEnrolled, c.way, c.ownership, 1},
				[]any{s.Tickets[0].State, s.Tickets[0].Way, s.Tickets[0].Ownership, s.Tickets[0].Downloads})
			require.Len(t, s.Enrollments, 1)
			e := s.Enrollments[0]
			require.Equal(t, []any{mdm.StateEnrolled, c.way, c.os}, []any{e.State, e.Way, e.OSVersion})
			require.Equal(t, p.Identity().ID(), e.ID)
			require.Equal(t, "alice@example.com", p.Identity().Profile.AssignedManagedAppleID)
			require.Equal(t, c.adde, p.Identity().Profile.AccessRights != 0)
			require.Equal(t, c.method == enroll.MethodOAuth2, account.Tokens.Refresh != "")
			require.Equal(t, mdm.CommandAcknowledged, s.Commands[0].Status)

			require.NoError(t, p.CheckOut(t.Context()))
			require.Equal(t, mdm.StateEnded, a.all().Enrollments[0].State)
		})
	}
}
