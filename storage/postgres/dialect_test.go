package postgres_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// own is what databases that speak PostgreSQL's protocol do not share, and what the
// package says that it does without.
var own = regexp.MustCompile(`(?i)\b(pg_(try_)?advisory\w*|LISTEN|NOTIFY|pg_notify|EXTENSION|FUNCTION|PROCEDURE|TRIGGER|RULE|TEMP|TEMPORARY|UNLOGGED|LOCK TABLE|` +
	`DO \$\w*\$|CALL|DECLARE|COPY|MERGE|TABLESAMPLE|LATERAL|ctid|xmin|dblink|gen_random_uuid|hstore|citext|jsonb?|regclass|ENUM|DOMAIN|EXCLUDE|GIN|GIST|PARTITION BY RANGE)\b`)

// quoted are strings and comments.
var quoted = regexp.MustCompile(`'[^']*'|--[^\n]*`)

// checkDialect fails when a statement is not for all of these databases.
func checkDialect(t *testing.T, statements []string) {
	for _, pattern := range []string{"migrations/*.sql", "queries/*.sql"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, name := range files {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			statements = append(statements, string(b))
		}
	}
	for _, statement := range statements {
		require.Empty(t, own.FindString(quoted.ReplaceAllString(statement, "")), statement)
	}
	for _, bad := range []string{"SELECT pg_advisory_xact_lock(1)", "LISTEN pushes", "CREATE EXTENSION pgcrypto", "CREATE TEMP TABLE a (b int)", "create or replace function f()"} {
		require.True(t, own.MatchString(bad), bad)
	}
}
