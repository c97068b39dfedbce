package postgres_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/postgres"
)

// listener remembers what statements ran.
type listener struct {
	mu         sync.Mutex
	statements map[string]bool
	all        []string // in their order
}

func (l *listener) trace(_ context.Context, statement string, _ []any) func(error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statements[statement] = true
	l.all = append(l.all, statement)
	return nil
}

// crowd fills the database: so many enrollments, each with a ticket, a challenge,
// an identity, a user, a push, a grant and a command, and as many commands of one
// of them, half of which are open.
func crowd(n int) string {
	return fmt.Sprintf(`
INSERT INTO users (id, issuer, subject, display_name, groups, groups_stale, managed_apple_account)
	SELECT 'u' || i, 'iss', 's' || i, '', '{}', false, '' FROM generate_series(1, %[1]d) i;
INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, issued, enrollment_id)
	SELECT 't' || i, '', 'u' || i, 'profile', 'personal', CASE WHEN i %% 10 = 0 THEN 'issued' ELSE 'enrolled' END, sha256(('s' || i)::bytea), now(), 'E' || i
	FROM generate_series(1, %[1]d) i;
INSERT INTO ticket_sessions (session, issued) SELECT session, issued FROM tickets;
INSERT INTO challenges (digest, ticket, download, expires) SELECT sha256(('c' || seq)::bytea), seq, 1, now() FROM tickets;
INSERT INTO identities (digest, ticket, user_id, way) SELECT sha256(('i' || seq)::bytea), seq, user_id, way FROM tickets;
INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, contact, token, magic, token_digest, token_stored)
	SELECT 'E' || ticket, user_id, 't' || ticket, way, 'enrolled', digest, 'topic', '17', '', '', now(), '\x00', '\x00', digest, now() FROM identities ORDER BY ticket;
UPDATE identities i SET enrollment = e.seq FROM enrollments e WHERE e.certificate = i.digest;
INSERT INTO pushes (enrollment, state, reachable, due, request) SELECT seq, 'enrolled', true, CASE WHEN seq %% 50 = 0 THEN now() END, 1 FROM enrollments;
INSERT INTO push_requests (enrollments, due) SELECT ARRAY[seq], ARRAY[now()] FROM enrollments;
INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT 7, 'c' || i, 'DeviceInformation', CASE WHEN i %% 2 = 0 THEN 'Acknowledged' ELSE 'Queued' END, CASE WHEN i %% 2 = 0 THEN NULL ELSE 1 + i %% 3 / 2 END, now(), now(), '\x00'
	FROM generate_series(1, %[1]d) i;
INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT seq, 'c', 'DeviceInformation', 'Acknowledged', NULL, now(), now(), '\x00' FROM enrollments;
INSERT INTO sso_states (key, expires) SELECT digest, now() FROM challenges;
INSERT INTO sessions (id, user_id, ticket_id, expires) SELECT session, user_id, id, now() FROM tickets;
INSERT INTO web_sessions (digest, expires) SELECT digest, now() FROM challenges;
INSERT INTO grants (user_id, ticket, enrollment, client_id, redirect_uri, code, revoked)
	SELECT user_id, seq, seq, 'c', 'r', sha256(('g' || seq)::bytea), seq %% 5 = 0 FROM tickets;
INSERT INTO tokens (of_grant, generation, access, refresh) SELECT seq, 0, code, sha256(code) FROM grants;
INSERT INTO suspensions (user_id, suspended) SELECT id, seq %% 100 = 0 FROM users;
VACUUM ANALYZE;`, n)
}

// fill gives a place a crowd.
func fill(t testing.TB, dsn string, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for statement := range strings.SplitSeq(crowd(n), ";\n") {
		_, err = conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// scans are what a plan must not do with a table.
var scans = regexp.MustCompile(`Seq Scan on (\w+)`)

// checkPlans looks at how statements find their rows among 100 000.
func checkPlans(t *testing.T, statements []string) {
	dsn, err := at(t.Context(), needServer(t), t.TempDir())
	require.NoError(t, err)
	s, err := postgres.Open(t.Context(), options(dsn))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	fill(t, dsn, 100_000)
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	// As after a while: one plan for all values.
	_, err = conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan")
	require.NoError(t, err)
	explained, scanning := 0, postgres.Scanning()
	for i, statement := range statements {
		first, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
		migrates := strings.Contains(statement, "enrollkit_schema") || strings.Contains(statement, "pg_tables")
		if migrates || !slices.Contains([]string{"SELECT", "UPDATE", "INSERT", "DELETE", "WITH"}, first) {
			continue
		}
		if scanning[statement] != "" {
			continue
		}
		name := fmt.Sprint("p", i)
		d, err := conn.Prepare(t.Context(), name, statement)
		require.NoError(t, err, statement)
		execute := "EXPLAIN EXECUTE " + name
		if n := len(d.ParamOIDs); n > 0 {
			execute += "(" + strings.Repeat("NULL, ", n-1) + "NULL)"
		}
		rows, err := conn.Query(t.Context(), execute)
		require.NoError(t, err, statement)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, statement)
		for _, scan := range scans.FindAllStringSubmatch(strings.Join(plan, "\n"), -1) {
			if scan[1] != "seals" { // as many rows as there are keys
				t.Errorf("%s\nin: %s\n%s", scan[0], statement, strings.Join(plan, "\n"))
			}
		}
		explained++
	}
	require.Greater(t, explained, 60, "the suite's statements were not found")
	t.Logf("%d statements", explained)
}

// heardStore is a store whose statements are heard, and its DSN.
func heardStore(t *testing.T) (*listener, *postgres.Store, string) {
	t.Helper()
	heard := &listener{statements: map[string]bool{}}
	o := options(place(t))
	o.Trace = heard.trace
	return heard, open(t, o), o.DSN
}

// list is the statements in an order.
func (l *listener) list() []string { return slices.Sorted(maps.Keys(l.statements)) }
