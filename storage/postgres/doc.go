// Package postgres keeps everything in PostgreSQL, for any number of servers on
// one database. The driver is pgx, the schema is brought up to date when a store
// is opened, also by several nodes at once, and a newer one is refused with a
// *storage.SchemaError.
//
// # Steps
//
// What a device sends most, Exchange and TokenUpdate, is one prepared statement
// each: it finds the sender by its certificate, judges, writes, and returns what
// is needed to say which error it is. A few more are taken by what is rare: the
// first contact of a day, the first step with a new bearer token, which ends the
// former ones, the end of a session that leaves a command answered NotNow, and a
// command that is sealed with a key which this node was not given. Otherwise an
// Idle with nothing to do writes nothing, and takes no transaction number.
//
// Fan-out is one statement however many enrollments there are, or, of more than
// 64 MiB, one for every 64. When one of its CommandUUIDs exists already or comes
// twice, the server logs a duplicate, and a second statement adds the others. It
// requests a push for each in a row for every hundred; who claims, settles, exports
// or prunes counts these first, in transactions of bounded size, so that a fan-out
// does not wait for those who wake devices, nor they for it. What it waits for, and
// what waits for it, is the end of one of its enrollments, or that its EnrollmentID
// moves to another certificate.
//
// Who is to be woken is claimed in a transaction; that nobody is, is one statement.
//
// Nothing costs more with more enrollments, a longer queue or a longer history:
// what is pending is found by partial indexes. What is final is for Prune.
//
// # Transactions
//
// Steps of several statements run at READ COMMITTED, State at REPEATABLE READ, and
// steps of one statement at what is the database's default. A step of several
// statements locks first what it is about (ticket, enrollment, grant, in the order
// enrollment, pushes, ticket, commands) and reads after that, so that it sees what
// others have committed, and of two nodes one waits. At SERIALIZABLE the same two
// would fail and start over, as often as there are others: a phone that repeats, a
// fan-out that meets it. A step of one statement cannot read again after it has
// waited. It compares the rows that it meets with those that it had read, gives up
// as a whole when they differ, and runs again; the server logs that as an integer
// that says "changed meanwhile". A deadlock or a serialization failure is tried
// again three times. Steps are right at SERIALIZABLE too, which some databases
// always use, and not where READ COMMITTED means that a transaction sees one
// moment: there the end of an enrollment could miss a command that is being
// queued.
//
// A connection that is lost in a step is an error, which devices are answered 503
// for: nothing has happened, or everything, and the repeat finds out. The pool
// replaces it; a store need not be opened again after the server was. While a server
// takes no changes, each that it refuses costs a connection, so that the next one
// may lead to the server that took over.
//
// # What it asks of the database
//
// PostgreSQL 13 or later, or a database that speaks its protocol and has:
//
//   - common table expressions that write (each table at most once in a statement),
//     and MATERIALIZED ones; RETURNING; UPDATE … FROM
//   - INSERT … ON CONFLICT DO UPDATE with a condition, and DO NOTHING with and
//     without a target; INSERT … SELECT … ORDER BY, which numbers rows in that order
//   - SELECT … FOR UPDATE, also OF one table, with SKIP LOCKED and LIMIT, FOR NO KEY
//     UPDATE, and FOR KEY SHARE, also in INSERT … SELECT; DELETE … RETURNING
//   - row_number, and unnest of columns of a row
//   - correlated subqueries, EXISTS, OFFSET 0, IS DISTINCT FROM, aggregates
//     with FILTER and ORDER BY, least, greatest, coalesce, and CAST that fails
//   - the types bigint, integer, smallint, boolean, text, bytea, timestamptz and
//     arrays of them, also as a column
//   - ANY and ALL of arrays, their subscripts and ||, ARRAY of a list and of a
//     query, unnest of one and of several WITH ORDINALITY, array_agg,
//     array_position, array_remove and cardinality
//   - substring of bytea, and convert_to
//   - identity columns whose numbers grow, partial and unique indexes, primary and
//     foreign keys, defaults, fillfactor, and transactional DDL
//   - READ COMMITTED, and for State REPEATABLE READ, READ ONLY
//   - for the migrations pg_tables, current_schema(), timestamp, now() and intervals
//
// It was tried on PostgreSQL only. It uses no extension, no function or trigger of
// its own, no advisory lock, no LISTEN and no temporary table. SHOW tells it
// server_encoding, fsync and synchronous_commit; what a database does not know of
// these is not looked at. It would like plan_cache_mode = force_generic_plan and
// enable_seqscan = off, and does without. A pooler that gives each transaction
// another connection has to support prepared statements.
//
// The role needs a schema in which it may create tables: the first of search_path.
// The database's encoding has to be UTF-8. Text that is not UTF-8, or has a NUL, is
// refused by PostgreSQL.
//
// # Durability and secrets
//
// A step is on the disk when its method returns, if the server says so: one with
// fsync or synchronous_commit off is refused. That a standby has it too is for
// synchronous_standby_names.
//
// With Options.Keys, push tokens, push magics and the payloads of commands are
// sealed: AES-256-GCM, bound to their row. Bearer tokens, challenges and sessions
// are digests anyway. What devices answered is not sealed.
//
// What is sealed with a key that a node was not given is left to the others: such
// a command is an error before it is marked as sent, and such a push is passed
// over, and an error when there is no other. A payload that names a key of this
// node and does not open, since somebody changed it, is an error after its command
// was marked as sent.
package postgres
