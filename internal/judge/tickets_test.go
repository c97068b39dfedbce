package judge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/judge"
	"github.com/enrollkit/enrollkit/mdm"
)

var began = time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)

// TestDownload takes away one reason after the other.
func TestDownload(t *testing.T) {
	k := enroll.Ticket{ID: "t1", State: enroll.TicketSuperseded, Issued: began, Downloads: 2}
	d := enroll.DownloadStep{MaxDownloads: 2, MaxAge: time.Hour, Clocks: enroll.Clocks{Wait: time.Minute}}
	at, known := began.Add(time.Hour+1), true
	for _, step := range []struct {
		err  error
		mend func()
	}{
		{enroll.ErrTicketSuperseded, func() { k.State = enroll.TicketEnrolled }},
		{enroll.ErrTicketSpent, func() { k.State, known = enroll.TicketIssued, false }},
		{enroll.ErrTicketExpired, func() { at = began.Add(time.Hour) }},
		{enroll.ErrTicketExhausted, func() { k.Downloads, at = 0, began.Add(time.Minute+1) }},
		{enroll.ErrTicketExpired, func() { at = began.Add(time.Minute) }}, // the first one has less time
	} {
		before := k
		repeat, err := judge.Download(&k, d, at, known, false)
		require.ErrorIs(t, err, step.err)
		require.False(t, repeat)
		require.Equal(t, before, k, "who is refused changes nothing")
		step.mend()
	}
	repeat, err := judge.Download(&k, d, at, false, false)
	require.NoError(t, err)
	require.False(t, repeat)
	require.Equal(t, enroll.Ticket{ID: "t1", State: enroll.TicketDownloaded, Issued: began, Downloads: 1, Downloaded: at}, k)

	k.State = enroll.TicketIdentified
	after := k
	repeat, err = judge.Download(&k, d, began.AddDate(1, 0, 0), true, true)
	require.NoError(t, err, "a repeat asks for no time")
	require.True(t, repeat)
	require.Equal(t, after, k)
	_, err = judge.Download(&k, d, at, true, false)
	require.ErrorContains(t, err, "another ticket")
	_, err = judge.Download(&k, d, at, false, false)
	require.NoError(t, err)
	require.Equal(t, enroll.TicketIdentified, k.State, "a further download takes nothing back")
}

func TestChallenge(t *testing.T) {
	key, other := [32]byte{1}, [32]byte{2}
	open := judge.Challenge{Known: true, Expires: began, Ticket: enroll.TicketDownloaded}
	redeemed := open
	redeemed.Key = key[:]
	spent := open
	spent.Ticket = enroll.TicketEnrolled
	for _, c := range []struct {
		what      string
		challenge judge.Challenge
		key       [32]byte
		at        time.Time
		err       error
	}{
		{"open", open, key, began.Add(-1), nil},
		{"unknown", judge.Challenge{Expires: began}, key, began.Add(-1), enroll.ErrChallenge},
		{"expired", open, key, began, enroll.ErrChallenge},
		{"of a spent ticket", spent, key, began.Add(-1), enroll.ErrChallenge},
		{"the key's own, long after", redeemed, key, began.AddDate(1, 0, 0), nil},
		{"another key's", redeemed, other, began.Add(-1), enroll.ErrChallenge},
	} {
		require.Equal(t, c.err, c.challenge.Judge(c.key, c.at), c.what)
	}
}

// TestClaim takes away one reason after the other.
func TestClaim(t *testing.T) {
	c := judge.Claim{User: "u1", Ticket: 5, Deadline: began, Holder: judge.Holder{User: "u2", Ticket: 5, Spent: true}, Others: 2}
	a, at := mdm.AuthenticateStep{DeviceLimit: 2}, began
	for _, step := range []struct {
		err  error
		mend func()
	}{
		{mdm.ErrUnknownIdentity, func() { at = began.Add(-1) }},
		{mdm.ErrForeignCertificate, func() { a.EnrollmentID = "E1" }},
		{mdm.ErrForeignCertificate, func() { c.Holder.User = "u1" }}, // another person's
		{mdm.ErrForeignCertificate, func() { c.Holder.Spent = false }},
		{mdm.ErrBearer, func() { c.Bearer, c.Holder.Ticket = true, 6 }},
		{mdm.ErrForeignCertificate, func() { c.Holder.Ticket, c.Holder.Spent = 4, true }}, // a later ticket's
		{mdm.ErrDeviceLimit, func() { c.Others = 1 }},
	} {
		require.Equal(t, step.err, c.Judge(a, at))
		step.mend()
	}
	require.NoError(t, c.Judge(a, at))
	c.Holder, c.Others, a.DeviceLimit = judge.Holder{}, 9, 0
	require.NoError(t, c.Judge(a, at), "nobody has it, and no limit")
}
