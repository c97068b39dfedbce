package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// A phone goes on at the database that its fleet moved to.
func TestMoving(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	r := w.serve()
	before := w.towards(r.public.Addr().String())
	p := w.phone(mdmtest.Config{Transport: before, OSVersion: "17.6"})
	require.NoError(t, p.SignIn(t.Context(), r.portal.URL(), "alice@example.com", password))
	_, err := p.Download(t.Context())
	require.NoError(t, err)
	require.NoError(t, p.Install(t.Context()))
	require.NoError(t, r.end())
	before.CloseIdleConnections()

	file := filepath.Join(t.TempDir(), "fleet.jsonl")
	environ := []string{variable("database.dsn") + "=" + emptyDatabase(t)}
	do := func(code int, environ []string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		require.Equal(t, code, run(t.Context(), append([]string{"-config", w.config}, args...), environ, &out, &out), out.String())
		return out.String()
	}
	require.Contains(t, do(0, nil, "-export", file), "records")
	sealed, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "alice", "it is sealed")
	require.Contains(t, do(1, nil, "-export", file), "exist", "no file is written over")
	require.Contains(t, do(0, environ, "-import", file), "new here")
	require.NotContains(t, do(0, environ, "-import", file), "new here", "a repeat adds nothing")
	do(2, environ, "-import", file, "-export", file)
	do(1, environ, "-import", filepath.Join(t.TempDir(), "nothing"))

	w.settings.Database.DSN = environ[0][len(variable("database.dsn")+"="):]
	there := w.serve()
	old := r.public.Addr().String()
	require.NotEqual(t, old, there.public.Addr().String())
	w.moved(old, there.public.Addr().String())
	uuid, err := there.devices.Enqueue(t.Context(), p.Identity().ID(), command.DeviceInformation{Queries: []string{"OSVersion"}})
	require.NoError(t, err)
	require.NoError(t, p.AwaitPush(t.Context()), "the other server can wake it")
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n, "what waited, and %s", uuid)
}
