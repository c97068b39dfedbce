package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/storage"
)

// A key is changed by the four steps of the guide, with a phone that is enrolled
// and more secrets than one step takes.
func TestReseal(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	fresh, err := randomKey()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "new.key"), fresh, 0o600))
	reseal := func(code int, keys string) string {
		t.Helper()
		var out bytes.Buffer
		environ := []string{variable("database.keys") + "=" + keys}
		require.Equal(t, code, run(t.Context(), []string{"-config", w.config, "-reseal"}, environ, &out, &out), out.String())
		return out.String()
	}
	const dropped = "the others can be dropped"

	r := w.serve()
	address := r.public.Addr().String()
	network := w.towards(address)
	p := w.phone(mdmtest.Config{Transport: network, OSVersion: "17.6"})
	require.NoError(t, p.SignIn(t.Context(), r.portal.URL(), "bob@example.com", password))
	_, err = p.Download(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Install(t.Context()))
	for range resealed {
		_, err := r.devices.Enqueue(t.Context(), p.Identity().ID(), command.DeviceInformation{Queries: []string{"OSVersion"}})
		require.NoError(t, err)
	}
	require.NoError(t, r.end())
	network.CloseIdleConnections()
	require.Contains(t, reseal(1, "new.key"), storage.ErrKey.Error())

	restarted := func(keys ...string) *running {
		w.settings.Database.Keys = keys
		next := w.serve()
		w.moved(address, next.public.Addr().String())
		return next
	}
	require.NoError(t, restarted("seal.key", "new.key").end())
	first := restarted("new.key", "seal.key")
	out := reseal(0, "new.key,seal.key")
	require.Contains(t, out, dropped)
	require.Regexp(t, `\b1002 rows looked at\n`, out, "the enrollment and its commands, twice")
	require.Contains(t, reseal(0, "new.key,seal.key"), " 501 rows looked at\n")
	require.NoError(t, first.end())
	require.Contains(t, reseal(1, "seal.key"), storage.ErrKey.Error())

	alone := restarted("new.key")
	require.NoError(t, p.AwaitPush(t.Context()), "the new key opens the push token")
	executed, err := p.Connect(t.Context())
	for err != nil && executed <= resealed { // a phone does not take that many at once
		var more int
		more, err = p.Connect(t.Context())
		executed += more
	}
	require.NoError(t, err)
	require.Equal(t, resealed, executed, "and the commands")
	require.NoError(t, alone.end())

	db, err := pgx.Connect(t.Context(), w.settings.Database.DSN)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "UPDATE enrollments SET token = 'broken'")
	require.NoError(t, err)
	require.NoError(t, db.Close(t.Context()))
	broken := reseal(1, "new.key")
	require.Contains(t, broken, "the other keys are still needed")
	require.NotContains(t, broken, dropped)
}
