package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// What has expired goes soon, the rest that is over after the configured time and
// not before, and devices go on.
func TestRetention(t *testing.T) {
	keep := 48 * time.Hour
	w := newTrial(t, emptyDatabase(t), trialBase, func(c *config) {
		c.Retention = retentionConfig{Keep: duration(keep), Every: duration(20 * time.Millisecond)}
	})
	r := w.serve()
	network := w.towards(r.public.Addr().String())
	t.Cleanup(network.CloseIdleConnections)
	db, err := pgx.Connect(t.Context(), w.settings.Database.DSN)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(t.Context())) })
	count := func(table string) (n int) {
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}

	p := w.phone(mdmtest.Config{Transport: network, OSVersion: "17.6"})
	require.NoError(t, p.SignIn(t.Context(), r.portal.URL(), "alice@example.com", password))
	_, err = p.Download(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Install(t.Context()))
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	attempts := count("sso_states")
	resp, err := network.RoundTrip(request(t, trialBase+"/enroll/login")) // a stranger, who leaves it at that
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, attempts+1, count("sso_states"))

	// Time passes: not long enough, long enough for what has an expiry of its own,
	// and long enough for the command.
	pass := func(d time.Duration) {
		for _, aged := range []string{"sso_states SET expires = expires - $1::interval", "sessions SET expires = expires - $1::interval", "commands SET updated = updated - $1::interval"} {
			_, err := db.Exec(t.Context(), "UPDATE "+aged, d)
			require.NoError(t, err)
		}
	}
	pass(time.Hour)
	turns(t, r)
	require.Equal(t, []int{attempts + 1, 1, 1}, []int{count("sso_states"), count("sessions"), count("commands")})
	pass(keep - 2*time.Hour)
	turns(t, r)
	require.Equal(t, []int{0, 0, 1}, []int{count("sso_states"), count("sessions"), count("commands")})
	pass(2 * time.Hour)
	turns(t, r)
	require.Zero(t, count("commands"))

	uuid, err := r.devices.Enqueue(t.Context(), p.Identity().ID(), command.DeviceInformation{Queries: []string{"OSVersion"}})
	require.NoError(t, err)
	n, err = p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the device goes on")
	state, err := r.database.State(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Commands, 1)
	require.Equal(t, uuid, state.Commands[0].UUID)
	require.Len(t, state.Tickets, 1, "that of the enrollment")
}

// request is an iPhone's.
func request(t testing.TB, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1")
	return r
}

// turns returns when the node has pruned since: what was over before is gone.
func turns(t testing.TB, r *running) {
	t.Helper()
	mark := [32]byte{1}
	require.NoError(t, r.database.OpenState(t.Context(), mark, time.Now().Add(-10*365*24*time.Hour)))
	db, err := pgx.Connect(t.Context(), r.config.Database.DSN)
	require.NoError(t, err)
	defer db.Close(t.Context())
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM sso_states WHERE key = $1", mark[:]).Scan(&n))
		return n == 0
	}, time.Minute, 20*time.Millisecond)
}
