package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// ServerError is a server that a store cannot keep its promises on.
type ServerError struct {
	// Setting is the name of a system variable, or "version".
	Setting string
	// Found is its value, and Need what it has to be.
	Found, Need string
}

// Error implements error.
func (e *ServerError) Error() string {
	return fmt.Sprintf("the server's %s is %s, and has to be %s", e.Setting, e.Found, e.Need)
}

// minPacket lets a command and a result of a MiB travel in one row.
const minPacket = 8 << 20

// checkServer reads what the store relies on and cannot set for its session.
func checkServer(ctx context.Context, db *sql.DB, o Options) error {
	found := map[string]string{}
	rows, err := db.QueryContext(ctx, `SHOW VARIABLES WHERE Variable_name IN
		('version', 'max_allowed_packet', 'innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog', 'binlog_format')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		found[name] = value
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return unfit(found, o.DangerouslyAllowLossyCommits)
}

// unfit is a *ServerError for the first variable that a store cannot live with.
func unfit(found map[string]string, lossy bool) error {
	is := func(name, value string) bool { return strings.EqualFold(found[name], value) }
	packet, err := strconv.Atoi(found["max_allowed_packet"])
	logged := is("log_bin", "ON") || is("log_bin", "1")
	var name, need string
	switch {
	case !knownServer(found["version"]):
		name, need = "version", "MySQL 8.0.13 or later, or MariaDB 10.6 or later"
	case err != nil || packet < minPacket:
		name, need = "max_allowed_packet", strconv.Itoa(minPacket)+" or more"
	case logged && is("binlog_format", "STATEMENT"):
		name, need = "binlog_format", "ROW or MIXED: READ COMMITTED cannot be replicated by statements"
	case !lossy && !is("innodb_flush_log_at_trx_commit", "1"):
		name, need = "innodb_flush_log_at_trx_commit", "1, or a loss of power takes what was acknowledged"
	case !lossy && logged && !is("sync_binlog", "1"):
		name, need = "sync_binlog", "1 where log_bin is on, or a loss of power takes what was acknowledged"
	default:
		return nil
	}
	return &ServerError{Setting: name, Found: found[name], Need: need}
}

// knownServer reports whether a server of this version has what the statements
// use.
func knownServer(version string) bool {
	least := [3]int{8, 0, 13}
	if strings.Contains(strings.ToLower(version), "mariadb") {
		least = [3]int{10, 6, 0}
		version = strings.TrimPrefix(version, "5.5.5-") // before the real one, for old replicas
	}
	number, _, _ := strings.Cut(version, "-")
	for i, part := range strings.SplitN(number, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		if n != least[i] {
			return n > least[i]
		}
	}
	return true
}
