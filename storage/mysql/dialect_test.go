package mysql_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/enrollkit/enrollkit/internal/sqltest"
)

// foreign is what only one of the servers knows, or knows in another way, and
// words that MySQL 8 and 9 reserve and MariaDB takes for names.
var foreign = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	`RETURNING`, `FOR SHARE`, `VALUES ROW`, `OR REPLACE`, `(NEXT|PREVIOUS) VALUE`, `EXECUTE IMMEDIATE`, `GET_LOCK`, `JSON_\w+`,
	`CUBE`, `CUME_DIST`, `DENSE_RANK`, `EMPTY`, `EXCEPT`, `FIRST_VALUE`, `FUNCTION`, `GROUPING`, `GROUPS`, `INTERSECT`, `LAG`, `LAST_VALUE`, `LATERAL`, `LEAD`,
	`LIBRARY`, `MANUAL`, `NTH_VALUE`, `NTILE`, `OF`, `OVER`, `PARALLEL`, `PERCENT_RANK`, `QUALIFY`, `RANK`, `RECURSIVE`, `ROW`, `ROWS`, `ROW_NUMBER`, `SYSTEM`,
	`TABLESAMPLE`, `WINDOW`,
}, `|`) + `)\b|VALUES?\s*\([a-z_]+\)|ADD COLUMN IF NOT EXISTS|DROP COLUMN IF EXISTS|CREATE INDEX IF NOT EXISTS|utf8mb4_(0900|nopad|uca1400)`)

// checkDialect fails when a statement is not for both servers. Only one of them is
// here to say so itself.
func checkDialect(t *testing.T, statements []string) {
	sqltest.Dialect(t, foreign, statements, []string{"migrations/*.sql"}, []string{
		"INSERT INTO a (b) VALUES (?) RETURNING b", "SELECT groups FROM users", "INSERT INTO a VALUES (?) ON DUPLICATE KEY UPDATE b = VALUES(b)",
	})
}
