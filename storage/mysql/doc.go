// Package mysql keeps everything in MySQL (8.0.13 or later) or MariaDB (10.6 or
// later), for any number of stateless nodes. The driver is pure Go.
//
// The tests have run on MySQL 9.7.4 and on MariaDB 10.11.19, both as Debian builds
// them; CI has MariaDB. Other versions, MySQL 8 among them, are not tested: the
// statements keep to what both servers document, see below. The tests run on a
// MySQL when they are told where it is:
//
//	ENROLLKIT_TEST_MYSQLD=/opt/mysql/bin/mysqld go test ./storage/mysql
//
// # Steps
//
// A step is on the server's disk when its method returns: Open refuses a server
// that acknowledges commits earlier, see Options.DangerouslyAllowLossyCommits.
//
// Isolation is READ COMMITTED. A step locks the rows that it decides on and reads
// them after that; what it then sees is what is committed now, where REPEATABLE
// READ would show it the past beside what it has locked. Locks are on rows and on
// no gaps between them, so that steps for different devices do not meet. Where
// there is no row to lock yet, a unique key decides: who comes second tries again
// and finds the row.
//
// What the hot path takes is one reading statement and, when there is something
// to write, one transaction of one statement for each row that changes, which
// changes it only as it was read; alone it needs no BEGIN and no COMMIT. Only when
// another step was faster, the enrollment is locked and read again.
//
// A step that another one was in the way of (deadlock, lock wait, duplicate key)
// is tried again, three times at most. A connection that breaks is an error; the
// next step takes another one. When it breaks in a commit nobody knows whether the
// step has happened, and repeating it is safe, as always. A connection to a server
// that has become read-only is given up, so that the next one may lead to the
// server that took over.
//
// # A full disk
//
// A step that finds no room is an error, and has not happened. With a binary log,
// which MySQL has unless it is told otherwise, the server does not say so: it
// waits in the commit, and looks for room once a minute. Steps then fail when the
// answer is late (readTimeout in Options.DSN), may have happened, and succeed a
// minute after there is room. A MySQL without any room may also end; what was
// acknowledged is there when it starts again.
//
// # What is pending
//
// The servers have no partial indexes. Instead, an index over a generated column
// finds what is pending and leaves the rest at one end: commands.queue is NULL in
// commands that are final, pushes.wake is as late as can be for devices that are
// not to be woken, and there are two more for what Prune looks for. No statement
// but those of State reads a table from end to end.
//
// # Names
//
// What is compared is VARBINARY, because the collations for text that the servers
// share ignore trailing spaces. Times are BIGINT, microseconds since 1970 in UTC.
//
// # Schema
//
// The schema is brought up to date when the store is opened, also by several
// nodes at once: one has a lease on the work, and a node that dies in the middle
// is followed by another. Only that needs the right to define tables; what is
// needed always is SELECT, INSERT, UPDATE and DELETE. A database that a newer
// version of this package has brought further is refused with a
// *storage.SchemaError.
//
// With Options.Keys, push tokens, push magics and the payloads of commands are
// sealed: AES-256-GCM, bound to their row. Bearer tokens, challenges and sessions
// are digests anyway. What devices answered is not sealed.
//
// # What of the servers is used
//
// InnoDB; SELECT FOR UPDATE, LOCK IN SHARE MODE and SKIP LOCKED; INSERT of several
// rows, ON DUPLICATE KEY UPDATE that changes nothing, and REPLACE; stored generated
// columns; FORCE INDEX; prepared statements. Not used: RETURNING, upserts,
// partial or functional indexes, foreign keys, triggers, procedures, JSON,
// GET_LOCK, LOAD DATA, several statements at once.
//
// With Galera or group replication, let all nodes write to one server: a lock on
// a row that is not changed is not seen by the others.
package mysql
