package postgres_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// count remembers the statements of a step.
func (l *listener) count(t *testing.T, step func() error) []string {
	t.Helper()
	l.mu.Lock()
	before := len(l.all)
	l.mu.Unlock()
	require.NoError(t, step())
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all[before:])
}

// TestTheHotPathIsOneStatement counts what a device's steps take once their
// statements are prepared.
func TestTheHotPathIsOneStatement(t *testing.T) {
	heard, s, dsn := heardStore(t)
	enrolled(t, s, "a")
	ctx := t.Context()
	exchange := func(x mdm.ExchangeStep) func() error {
		return func() error { _, err := s.Exchange(ctx, x); return err }
	}
	conn := raw(t, dsn)
	tomorrow, notNow, left := idleOf("a"), reportOf("a", "c2"), reportOf("a", "c3")
	tomorrow.At = began.AddDate(0, 0, 1)
	notNow.Status, notNow.NotNowRetry, left.NotNowRetry = mdm.CommandNotNow, time.Minute, time.Minute
	for _, step := range []struct {
		what string
		at   int // statements
		do   func() error
	}{
		{"Idle with a command", 1, exchange(idleOf("a"))},
		{"report", 1, exchange(reportOf("a", "c1"))},
		{"Idle with nothing", 1, exchange(idleOf("a"))},
		{"Idle on another day", 7, exchange(tomorrow)},
		{"Idle on the same day", 1, exchange(tomorrow)},
		{"Enqueue", 3, func() error { return s.Enqueue(ctx, commandOf("a", "c2"), commandOf("a", "c3")) }},       // begin, commit
		{"Enqueue again", 6, func() error { return s.Enqueue(ctx, commandOf("a", "c2"), commandOf("a", "c3")) }}, // begin, rollback, begin, commit
		{"NotNow", 1, exchange(notNow)},
		{"report when one is left that was answered NotNow", 8, exchange(left)},
		{"Idle that offers it again", 1, exchange(idleOf("a"))},
		{"TokenUpdate", 1, func() error { _, err := s.TokenUpdate(ctx, tokenOf("a")); return err }},
		{"a claim", 5, func() error { _, err := s.ClaimPushes(ctx, began, time.Minute, 9); return err }}, // is there any, what was requested, begin, commit
		{"an export, when nothing was requested since", 2, func() error { _, err := s.ExportPage(ctx, transfer.KindEnrollment, "", 9); return err }},
		{"a claim of nobody", 1, func() error { _, err := s.ClaimPushes(ctx, began, time.Minute, 9); return err }},
		{"report of a command whose key is not here", 7, func() error {
			exec(t, conn, `UPDATE commands SET payload = '\x01' || decode(repeat('00', 64), 'hex') WHERE uuid = 'c2'`)
			x := reportOf("a", "c2")
			x.At = tomorrow.At
			_, err := s.Exchange(ctx, x)
			require.ErrorIs(t, err, storage.ErrKey)
			return nil
		}},
	} {
		require.Len(t, heard.count(t, step.do), step.at, step.what)
	}
	identified(t, s, "b")
	require.Len(t, heard.count(t, func() error { _, err := s.Authenticate(ctx, authenticateOf("b")); return err }), 6, "the first Authenticate")
	first := heard.count(t, func() error { _, err := s.TokenUpdate(ctx, tokenOf("b")); return err })
	require.Len(t, first, 1, "the first TokenUpdate, with a plan")
	require.Len(t, heard.count(t, func() error { _, err := s.Authenticate(ctx, authenticateOf("b")); return err }), 2, "Authenticate again")
}

// TestAnIdleWithNothingToDoWritesNothing looks at the transactions that a server
// of its own has counted: one that writes takes a number.
func TestAnIdleWithNothingToDoWritesNothing(t *testing.T) {
	server := pgtest.StartTest(t, pgtest.Options{NoSync: true, Settings: map[string]string{"autovacuum": "off"}})
	s := open(t, options(server.DSN()))
	enrolled(t, s, "a")
	_, err := s.Exchange(t.Context(), idleOf("a"))
	require.NoError(t, err)
	_, err = s.Exchange(t.Context(), reportOf("a", "c1"))
	require.NoError(t, err)
	conn := raw(t, server.DSN())
	numbers := func() (n int64) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&n))
		return n
	}
	before := numbers()
	for range 20 {
		out, err := s.Exchange(t.Context(), idleOf("a"))
		require.NoError(t, err)
		require.Equal(t, mdm.Exchanged{}, out)
		_, err = s.Exchange(t.Context(), reportOf("a", "c1")) // a repeat
		require.NoError(t, err)
		_, err = s.Authenticate(t.Context(), authenticateOf("a"))
		require.NoError(t, err)
		_, err = s.ClaimPushes(t.Context(), began.Add(-time.Hour), time.Minute, 10)
		require.NoError(t, err)
	}
	require.Equal(t, before, numbers(), "transactions that wrote")
	tomorrow := idleOf("a")
	tomorrow.At = began.AddDate(0, 0, 1)
	_, err = s.Exchange(t.Context(), tomorrow)
	require.NoError(t, err)
	require.Equal(t, before+1, numbers(), "the contact of another day")
}

// TestWaysInStatements holds the ways that statements name against what mdm says
// of them.
func TestWaysInStatements(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayProfile, mdm.WayAccount, mdm.WayAccountDevice, mdm.WayDevice} {
		require.Equal(t, way.Mode() == mdm.ModeDevice, strings.Contains(postgres.DeviceWays, "'"+string(way)+"'"), way)
		require.Equal(t, way.Account(), strings.Contains(postgres.AccountWays, "'"+string(way)+"'"), way)
	}
}
