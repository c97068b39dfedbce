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
	var version string
	var packet, flush, synced int64
	var logged bool
	if err := db.QueryRowContext(ctx, `SELECT VERSION(), @@max_allowed_packet, @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog`).
		Scan(&version, &packet, &flush, &logged, &synced); err != nil {
		return err
	}
	if !knownServer(version) {
		return &ServerError{Setting: "version", Found: version, Need: "MySQL 8.0.13 or later, or MariaDB 10.6 or later"}
	}
	if packet < minPacket {
		return &ServerError{Setting: "max_allowed_packet", Found: strconv.FormatInt(packet, 10), Need: strconv.Itoa(minPacket) + " or more"}
	}
	if o.DangerouslyAllowLossyCommits {
		return nil
	}
	if flush != 1 {
		return &ServerError{Setting: "innodb_flush_log_at_trx_commit", Found: strconv.FormatInt(flush, 10), Need: "1, or a loss of power takes what was acknowledged"}
	}
	if logged && synced != 1 {
		return &ServerError{Setting: "sync_binlog", Found: strconv.FormatInt(synced, 10), Need: "1 where log_bin is on, or a loss of power takes what was acknowledged"}
	}
	return nil
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
