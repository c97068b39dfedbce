package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// execute runs statements in a database.
func execute(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, s := range statements {
		_, err := conn.Exec(t.Context(), s)
		require.NoError(t, err)
	}
}

// A node whose database cannot be opened is alive, asks devices to come again and
// says why it is not ready. It stops when it is told to, and heals when the
// database does.
func TestDatabaseCannotBeOpened(t *testing.T) {
	pg := pgtest.StartTest(t, pgtest.Options{})
	for _, c := range []struct {
		name        string
		spoil, heal func(dsn string)
		verdict     string
		log         string
	}{
		{
			"away",
			func(string) { require.NoError(t, pg.Crash()) }, func(string) { require.NoError(t, pg.Restart(t.Context())) },
			"failed", "connect",
		},
		{
			"wrong key",
			func(dsn string) {
				key, err := randomKey()
				require.NoError(t, err)
				store, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, Keys: [][]byte{key}})
				require.NoError(t, err)
				require.NoError(t, store.Close())
			},
			func(dsn string) { execute(t, dsn, "DELETE FROM seals") }, // as if it was the right one
			"failed: database.keys are not those of this database", storage.ErrKey.Error(),
		},
		{
			"schema from the future",
			func(dsn string) {
				store, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, AllowUnsealed: true})
				require.NoError(t, err)
				require.NoError(t, store.Close())
				execute(t, dsn, "DELETE FROM seals", "INSERT INTO enrollkit_schema (version_id, is_applied) VALUES (999, true)")
			},
			func(dsn string) { execute(t, dsn, "DELETE FROM enrollkit_schema WHERE version_id = 999") },
			"failed: the schema is from a newer version", "schema version 999 is newer",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dsn := schemaIn(t, pg.DSN())
			w := newTrial(t, dsn, trialBase, func(c *config) { c.Stop.Delay = duration(time.Hour) })
			c.spoil(dsn)
			p := newProcess(t, w.config)
			network := w.towards(p.listen)
			t.Cleanup(network.CloseIdleConnections)
			ask := func(method, path string) *http.Response {
				req, err := http.NewRequestWithContext(t.Context(), method, trialBase+path, strings.NewReader("body"))
				require.NoError(t, err)
				resp, err := network.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				return resp
			}
			waits := func() {
				t.Helper()
				p.start()
				require.Eventually(t, func() bool {
					if p.status("/healthz") != http.StatusOK {
						return false
					}
					_, checks := asked(t, p.admin, "/readyz/database")
					require.Contains(t, []string{"failed: not open yet", c.verdict}, checks["database"])
					return checks["database"] == c.verdict
				}, time.Minute, 50*time.Millisecond, "%s", p.log)
				require.Equal(t, http.StatusServiceUnavailable, p.status("/readyz"))
				for path, method := range map[string]string{
					"/mdm/checkin": http.MethodPut, "/mdm/connect": http.MethodPut, "/scep?operation=GetCACaps": http.MethodGet,
					"/enroll": http.MethodGet, "/enroll/profile": http.MethodPost,
				} {
					resp := ask(method, path)
					require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, path)
					require.Equal(t, retryAfter, resp.Header.Get("Retry-After"), path)
				}
			}
			waits()
			require.Zero(t, p.stop(), "it has nobody to wait for: %s", p.log)

			waits()
			c.heal(dsn)
			require.Eventually(t, func() bool { return p.status("/readyz") == http.StatusOK }, time.Minute, 50*time.Millisecond, "%s", p.log)
			require.Equal(t, http.StatusOK, ask(http.MethodGet, "/enroll").StatusCode)
			log := p.log.String()
			require.Contains(t, log, "the database cannot be opened")
			require.Contains(t, log, c.log)
		})
	}
}
