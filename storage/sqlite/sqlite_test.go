package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// patient waits for another node for longer than a slow disk takes.
func patient() sqlite.Options {
	return sqlite.Options{AllowUnsealed: true, BusyTimeout: time.Minute}
}

func openPlace(place string) (*sqlite.Store, error) {
	return sqlite.Open(context.Background(), filepath.Join(place, "enroll.db"), patient())
}

func suite(open func(string) (*sqlite.Store, error)) storagetest.Suite {
	s := storagetest.Whole(open)
	s.Nodes = true
	return s
}

func TestMain(m *testing.M) { os.Exit(storagetest.Main(m, suite(openPlace))) }

// TestConformance runs the suite, and then looks at how each statement that it
// took would find its rows among many.
func TestConformance(t *testing.T) {
	var mu sync.Mutex
	var stores []*sqlite.Store
	storagetest.Run(t, suite(func(place string) (*sqlite.Store, error) {
		s, err := openPlace(place)
		mu.Lock()
		defer mu.Unlock()
		stores = append(stores, s)
		return s, err
	}))
	t.Run("no statement scans", func(t *testing.T) {
		var statements []string
		for _, s := range stores {
			statements = append(statements, s.Statements()...)
		}
		slices.Sort(statements)
		checkPlans(t, slices.Compact(statements))
	})
}

// crowd fills the database: enrollments, each with a ticket, an identity, a
// challenge and a user, and as many commands of one of them, half of which are
// open.
func crowd(n int) string { return strings.ReplaceAll(crowdOf, "100000", strconv.Itoa(n)) }

const crowdOf = `
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO users (seq, id, issuer, subject, display_name, groups, groups_stale, managed_apple_account)
	SELECT i, 'u' || i, 'iss', 's' || i, '', '[]', 0, '' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO tickets (seq, id, ref, user_id, way, ownership, state, session, issued)
	SELECT i, 't' || i, '', 'u' || i, 'profile', 'personal', 'enrolled', randomblob(32), i FROM n;
INSERT INTO challenges (digest, ticket, download, expires) SELECT randomblob(32), seq, 1, seq FROM tickets;
INSERT INTO identities (digest, ticket, user_id, way) SELECT randomblob(32), seq, user_id, way FROM tickets;
INSERT INTO enrollments (seq, id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, push_due, token, magic)
	SELECT i.ticket, 'E' || i.ticket, i.user_id, 't' || i.ticket, 'profile', 'enrolled', i.digest, '', '', '', '',
		CASE WHEN i.ticket % 50 = 0 THEN i.ticket END, x'01', x'01' FROM identities i;
UPDATE identities SET enrollment = ticket;
INSERT INTO commands (enrollment, uuid, request_type, status, place, payload)
	SELECT 7, 'c' || seq, 'DeviceInformation', CASE WHEN seq % 2 THEN 'Queued' ELSE 'Acknowledged' END, CASE WHEN seq % 2 THEN 1 END, x'00' FROM tickets;
INSERT INTO sso_states (key, expires) SELECT randomblob(32), seq FROM tickets;
INSERT INTO sessions (id, user_id, ticket_id, expires) SELECT randomblob(32), user_id, id, seq FROM tickets;
INSERT INTO web_sessions (digest, expires) SELECT randomblob(32), seq FROM tickets;
INSERT INTO grants (seq, user_id, ticket, enrollment, client_id, redirect_uri, code) SELECT seq, user_id, seq, seq, 'c', 'r', randomblob(32) FROM tickets;
INSERT INTO tokens (of_grant, generation, access, refresh) SELECT seq, 0, randomblob(32), randomblob(32) FROM grants;
INSERT INTO suspended_users (user_id) SELECT id FROM users WHERE seq % 100 = 0;`

func checkPlans(t *testing.T, statements []string) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	require.NoError(t, open(t, path, sqlite.Options{AllowUnsealed: true}).Close())
	db := raw(t, path)
	n := 100_000
	if raceDetector { // it makes SQLite, which is Go here, ten times slower
		n = 2000
	}
	for _, prepare := range []string{crowd(n), `ANALYZE`} {
		_, err := db.ExecContext(t.Context(), prepare)
		require.NoError(t, err)
		explain(t, db, statements)
	}
}

func explain(t *testing.T, db *sql.DB, statements []string) {
	t.Helper()
	explained := 0
	for _, statement := range statements {
		first, _, _ := strings.Cut(strings.TrimSpace(statement), " ")
		if !slices.Contains([]string{"SELECT", "UPDATE", "INSERT", "DELETE", "WITH"}, first) {
			continue
		}
		explained++
		for _, detail := range plan(t, db, statement) {
			if detail == "SCAN seals" || detail == "SCAN picked" {
				continue // as many rows as there are keys, and at most one
			}
			if detail == "SCAN head" {
				continue // as many rows as commands are queued
			}
			if statement == sqlite.AskAllSQL && (detail == "SCAN w" || detail == "USE TEMP B-TREE FOR GROUP BY") {
				continue // as many rows as commands were queued
			}
			if strings.Contains(detail, "SCAN ") && !strings.Contains(detail, "SCAN CONSTANT ROW") || strings.Contains(detail, "TEMP B-TREE") {
				t.Errorf("%s\nin: %s", detail, statement)
			}
		}
	}
	require.Greater(t, explained, 50, "the suite's statements were not found")
	t.Logf("%d statements", explained)
}

func plan(t *testing.T, db *sql.DB, statement string) (details []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+statement, make([]any, parameters(statement))...)
	require.NoError(t, err, statement)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		details = append(details, detail)
	}
	require.NoError(t, rows.Err())
	return details
}

// parameters is how many values a statement takes: plain ones take the number
// after the highest before them.
func parameters(statement string) int {
	highest := 0
	for i := 0; i < len(statement); i++ {
		if statement[i] != '?' {
			continue
		}
		n := 0
		for ; i+1 < len(statement) && statement[i+1] >= '0' && statement[i+1] <= '9'; i++ {
			n = 10*n + int(statement[i+1]-'0')
		}
		if n == 0 {
			n = highest + 1
		}
		highest = max(highest, n)
	}
	return highest
}
