package main

import (
	"crypto/x509"
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/internal/porttest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/storage"
)

// What is over goes at the next start, when it has been over for long enough: soon
// if it has an expiry of its own. Devices go on.
func TestRetention(t *testing.T) {
	dir, addr := dataDir(t), porttest.Address(t)
	w := open(t, "-data", dir, "-addr", addr)
	p := w.enrolled()
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	stranger := w.do(http.MethodGet, w.server.portal()+"/login", nil, func(r *http.Request) {
		r.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1")
	})
	require.Equal(t, http.StatusSeeOther, stranger.StatusCode)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "enrollkit.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	count := func(table string) (n int) {
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	passes := func(d time.Duration) {
		w.server.close()
		for _, aged := range []string{"sso_states SET expires = expires - ?", "sessions SET expires = expires - ?", "commands SET updated = updated - ?"} {
			_, err := db.ExecContext(t.Context(), "UPDATE "+aged, d.Microseconds())
			require.NoError(t, err)
		}
		w = open(t, "-data", dir, "-addr", addr)
	}
	left := func() []int {
		// Nobody tells when the turn of the start is over; after one more it is.
		_, err := w.server.retention(enroll.Clocks{}).Prune(t.Context())
		require.NoError(t, err)
		return []int{count("sso_states"), count("sessions"), count("commands")}
	}
	require.Equal(t, []int{2, 1, 1}, left())
	passes(time.Hour)
	require.Equal(t, []int{2, 1, 1}, left(), "they were over for less than an hour")
	passes(storage.DefaultKeep - 2*time.Hour)
	require.Equal(t, []int{0, 0, 1}, left(), "the command was over for less than a week")
	passes(5 * time.Hour)
	require.Eventually(t, func() bool { return count("commands") == 0 }, time.Minute, 20*time.Millisecond)
	require.Len(t, w.state()["tickets"], 1, "that of the enrollment")

	devices, err := mdm.New(mdm.Config{Store: w.server.store, Identity: x509.NewCertPool(), Topic: w.server.apns.Topic()})
	require.NoError(t, err)
	_, err = devices.Enqueue(t.Context(), p.Identity().ID(), command.DeviceInformation{Queries: []string{"OSVersion"}})
	require.NoError(t, err)
	n, err = p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the device goes on")
}

// However long a device may take after the last download of its ticket, that is
// not forgotten before.
func TestRetentionWaitsForTickets(t *testing.T) {
	clocks := enroll.Clocks{Wait: time.Minute, Window: enroll.MaxWindow, Grace: 30 * 24 * time.Hour}
	require.Greater(t, (&server{}).retention(clocks).Keep, enroll.DefaultMaxAge+clocks.Window+clocks.Grace)
}
