package postgres_test

import (
	"regexp"
	"testing"

	"github.com/enrollkit/enrollkit/internal/sqltest"
)

// own is what databases that speak PostgreSQL's protocol do not share, and what the
// package says that it does without.
var own = regexp.MustCompile(`(?i)\b(pg_(try_)?advisory\w*|LISTEN|NOTIFY|pg_notify|EXTENSION|FUNCTION|PROCEDURE|TRIGGER|RULE|TEMP|TEMPORARY|UNLOGGED|LOCK TABLE|` +
	`DO \$\w*\$|CALL|DECLARE|COPY|MERGE|TABLESAMPLE|LATERAL|ctid|xmin|dblink|gen_random_uuid|hstore|citext|jsonb?|regclass|ENUM|DOMAIN|EXCLUDE|GIN|GIST|PARTITION BY RANGE)\b`)

// checkDialect fails when a statement is not for all of these databases.
func checkDialect(t *testing.T, statements []string) {
	sqltest.Dialect(t, own, statements, []string{"migrations/*.sql", "queries/*.sql"}, []string{
		"SELECT pg_advisory_xact_lock(1)", "LISTEN pushes", "CREATE EXTENSION pgcrypto", "CREATE TEMP TABLE a (b int)", "create or replace function f()",
	})
}
