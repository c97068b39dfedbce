-- +goose Up
-- Times are microseconds since 1970 in UTC, NULL when it has not happened.
-- Digests are 32 bytes. seq is the order in which rows came.

CREATE TABLE users (
	seq                   INTEGER PRIMARY KEY,
	id                    TEXT NOT NULL UNIQUE,
	issuer                TEXT NOT NULL,
	subject               TEXT NOT NULL,
	display_name          TEXT NOT NULL,
	groups                TEXT NOT NULL, -- a JSON array
	groups_stale          INTEGER NOT NULL,
	managed_apple_account TEXT NOT NULL,
	suspended             INTEGER NOT NULL DEFAULT 0,
	created               INTEGER,
	last_sign_in          INTEGER,
	UNIQUE (issuer, subject)
) STRICT;

-- Users may live in another database, so suspension is a list of its own.
CREATE TABLE suspended_users (
	user_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE sso_states (
	key      BLOB PRIMARY KEY,
	expires  INTEGER,
	consumed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX sso_states_expires ON sso_states (expires);

CREATE TABLE sessions (
	id        BLOB PRIMARY KEY,
	user_id   TEXT NOT NULL,
	ticket_id TEXT NOT NULL,
	expires   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE tickets (
	seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- a later ticket never has a lower one
	id            TEXT NOT NULL UNIQUE,
	ref           TEXT NOT NULL,
	user_id       TEXT NOT NULL,
	way           TEXT NOT NULL,
	ownership     TEXT NOT NULL,
	state         TEXT NOT NULL,
	session       BLOB NOT NULL,
	issued        INTEGER,
	downloads     INTEGER NOT NULL DEFAULT 0,
	downloaded    INTEGER,
	identified    INTEGER,
	authenticated INTEGER,
	enrolled      INTEGER,
	ended         INTEGER,
	enrollment_id TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX tickets_session ON tickets (session);
CREATE INDEX tickets_issued ON tickets (issued) WHERE state <> 'enrolled';

CREATE TABLE challenges (
	digest      BLOB NOT NULL UNIQUE,
	ticket      INTEGER NOT NULL REFERENCES tickets,
	download    INTEGER NOT NULL, -- which of the ticket's opened it
	expires     INTEGER,
	void        INTEGER NOT NULL DEFAULT 0,
	key         BLOB, -- who redeemed it, NULL while open
	certificate BLOB  -- for what, in DER
) STRICT;
CREATE INDEX challenges_ticket ON challenges (ticket);

CREATE TABLE identities (
	digest     BLOB PRIMARY KEY, -- of the certificate
	ticket     INTEGER NOT NULL REFERENCES tickets,
	user_id    TEXT NOT NULL,
	way        TEXT NOT NULL,
	not_after  INTEGER,
	deadline   INTEGER, -- for the first Authenticate
	replaced   INTEGER NOT NULL DEFAULT 0,
	enrollment INTEGER REFERENCES enrollments -- bound by Authenticate
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_ticket ON identities (ticket);

CREATE TABLE enrollments (
	seq            INTEGER PRIMARY KEY,
	id             TEXT NOT NULL UNIQUE,
	user_id        TEXT NOT NULL,
	suspended      INTEGER NOT NULL DEFAULT 0, -- as in suspended_users
	ticket_id      TEXT NOT NULL,
	way            TEXT NOT NULL,
	state          TEXT NOT NULL,
	certificate    BLOB NOT NULL, -- of identities, which refers to this too
	topic          TEXT NOT NULL,
	os_version     TEXT NOT NULL,
	build_version  TEXT NOT NULL,
	product        TEXT NOT NULL,
	created        INTEGER,
	enrolled       INTEGER,
	ended          INTEGER,
	contact        INTEGER,
	-- Sealed; NULL until TokenUpdate and after the token died.
	token          BLOB,
	magic          BLOB,
	token_stored   INTEGER,
	-- Requests for a push are numbered; those up to push_settled are done.
	push_request   INTEGER NOT NULL DEFAULT 0,
	push_settled   INTEGER NOT NULL DEFAULT 0,
	push_due       INTEGER, -- NULL: no request is pending
	push_fixed     INTEGER NOT NULL DEFAULT 0, -- a new request does not make it due earlier
	push_attempt   INTEGER NOT NULL DEFAULT 0,
	-- The last attempt.
	push_status    INTEGER,
	push_attempted INTEGER
) STRICT;
CREATE INDEX enrollments_user ON enrollments (user_id, state);
CREATE INDEX enrollments_push ON enrollments (push_due, seq)
	WHERE push_due IS NOT NULL AND token IS NOT NULL AND suspended = 0;

CREATE TABLE commands (
	seq          INTEGER PRIMARY KEY,
	enrollment   INTEGER NOT NULL REFERENCES enrollments,
	uuid         TEXT NOT NULL,
	request_type TEXT NOT NULL,
	status       TEXT NOT NULL,
	place        INTEGER, -- 1: waits; 2: answered NotNow in this session; NULL: final
	queued       INTEGER,
	updated      INTEGER,
	result       BLOB,
	payload      BLOB NOT NULL, -- sealed
	UNIQUE (enrollment, uuid)
) STRICT;
CREATE INDEX commands_open ON commands (enrollment, place, seq) WHERE place IS NOT NULL;
CREATE INDEX commands_final ON commands (updated) WHERE place IS NULL;

-- A grant is one account-driven sign-in, by a code or at once.
CREATE TABLE grants (
	seq          INTEGER PRIMARY KEY AUTOINCREMENT, -- a later grant never has a lower one
	user_id      TEXT NOT NULL,
	ticket       INTEGER REFERENCES tickets, -- NULL: an enrolled device signed in again
	enrollment   INTEGER REFERENCES enrollments, -- bound by Authenticate, or from the start
	revoked      INTEGER NOT NULL DEFAULT 0,
	client_id    TEXT NOT NULL,
	redirect_uri TEXT NOT NULL,
	code         BLOB UNIQUE,
	code_expires INTEGER,
	redeemed     INTEGER NOT NULL DEFAULT 0,
	-- When all its tokens and the code are over, or its enrollment has ended;
	-- NULL: not by time.
	ends         INTEGER
) STRICT;
CREATE INDEX grants_user ON grants (user_id) WHERE revoked = 0;
CREATE INDEX grants_enrollment ON grants (enrollment);
CREATE INDEX grants_ends ON grants (ends) WHERE ends IS NOT NULL;
CREATE INDEX grants_ticket ON grants (ticket);

-- The tokens of one answer, by their digests.
CREATE TABLE tokens (
	seq             INTEGER PRIMARY KEY,
	of_grant        INTEGER NOT NULL REFERENCES grants,
	generation      INTEGER NOT NULL,
	access          BLOB NOT NULL UNIQUE,
	access_expires  INTEGER, -- NULL: never
	refresh         BLOB UNIQUE,
	refresh_expires INTEGER, -- NULL: never
	used            INTEGER NOT NULL DEFAULT 0,
	ended           INTEGER NOT NULL DEFAULT 0, -- a later generation was used
	UNIQUE (of_grant, generation)
) STRICT;

-- Web sessions that handed back.
CREATE TABLE web_sessions (
	digest  BLOB PRIMARY KEY,
	expires INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX web_sessions_expires ON web_sessions (expires);

-- The keys that have sealed in this database, see package internal/seal.
CREATE TABLE seals (
	number INTEGER PRIMARY KEY,
	id     TEXT NOT NULL UNIQUE, -- of the key; empty: secrets as they are
	value  BLOB NOT NULL
) STRICT;
