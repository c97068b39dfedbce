-- +goose NO TRANSACTION
-- +goose Up
-- A statement that defines something commits by itself, so a node that dies in
-- the middle leaves half a migration. Each one must be fit to run again.
--
-- Times are microseconds since 1970 in UTC, NULL when it has not happened.
-- Digests are 32 bytes. seq is the order in which rows came. What is compared
-- byte by byte is VARBINARY: the collations for text that the servers share
-- ignore trailing spaces. There are no foreign keys: their checks lock rows in an
-- order of their own.

CREATE TABLE IF NOT EXISTS users (
	seq                   BIGINT NOT NULL AUTO_INCREMENT,
	id                    VARBINARY(255) NOT NULL,
	issuer                VARBINARY(1024) NOT NULL,
	subject               VARBINARY(1024) NOT NULL,
	display_name          TEXT NOT NULL,
	member_of             MEDIUMTEXT NOT NULL, -- groups, a JSON array
	groups_stale          BOOLEAN NOT NULL,
	managed_apple_account TEXT NOT NULL,
	suspended             BOOLEAN NOT NULL DEFAULT 0,
	created               BIGINT,
	last_sign_in          BIGINT,
	PRIMARY KEY (seq),
	UNIQUE KEY users_id (id),
	UNIQUE KEY users_person (issuer, subject)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Users may live in another database, so suspension is a list of its own.
CREATE TABLE IF NOT EXISTS suspended_users (
	user_id VARBINARY(255) NOT NULL,
	PRIMARY KEY (user_id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS sso_states (
	digest   BINARY(32) NOT NULL,
	expires  BIGINT,
	consumed BOOLEAN NOT NULL DEFAULT 0,
	PRIMARY KEY (digest),
	KEY sso_states_expires (expires)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS sessions (
	id        BINARY(32) NOT NULL,
	user_id   VARBINARY(255) NOT NULL,
	ticket_id VARBINARY(255) NOT NULL,
	expires   BIGINT,
	PRIMARY KEY (id),
	KEY sessions_expires (expires)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS tickets (
	seq           BIGINT NOT NULL AUTO_INCREMENT, -- a later ticket never has a lower one
	id            VARBINARY(255) NOT NULL,
	ref           VARBINARY(255) NOT NULL,
	user_id       VARBINARY(255) NOT NULL,
	way           VARBINARY(32) NOT NULL,
	ownership     VARBINARY(32) NOT NULL,
	state         VARBINARY(32) NOT NULL,
	session       BINARY(32) NOT NULL,
	issued        BIGINT,
	downloads     INT NOT NULL DEFAULT 0,
	downloaded    BIGINT,
	identified    BIGINT,
	authenticated BIGINT,
	enrolled      BIGINT,
	ended         BIGINT,
	enrollment_id VARBINARY(255) NOT NULL DEFAULT '',
	-- When it was issued, NULL when a device has authenticated by it.
	open_since    BIGINT GENERATED ALWAYS AS (CASE WHEN state NOT IN ('authenticated', 'enrolled') THEN issued END) STORED,
	PRIMARY KEY (seq),
	UNIQUE KEY tickets_id (id),
	KEY tickets_session (session),
	KEY tickets_open (open_since)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Who issues a ticket in a session has its row, so that two see each other.
CREATE TABLE IF NOT EXISTS ticket_sessions (
	session BINARY(32) NOT NULL,
	issued  BIGINT, -- the last one
	PRIMARY KEY (session),
	KEY ticket_sessions_issued (issued)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS challenges (
	digest      BINARY(32) NOT NULL,
	ticket      BIGINT NOT NULL,
	download    INT NOT NULL, -- which of the ticket's opened it
	expires     BIGINT,
	void        BOOLEAN NOT NULL DEFAULT 0,
	redeemer    BINARY(32), -- the key that redeemed it, NULL while open
	certificate BLOB, -- for what, in DER
	PRIMARY KEY (digest),
	KEY challenges_ticket (ticket)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS identities (
	digest     BINARY(32) NOT NULL, -- of the certificate
	ticket     BIGINT NOT NULL,
	user_id    VARBINARY(255) NOT NULL,
	way        VARBINARY(32) NOT NULL,
	not_after  BIGINT,
	deadline   BIGINT, -- for the first Authenticate
	replaced   BOOLEAN NOT NULL DEFAULT 0,
	enrollment BIGINT, -- bound by Authenticate
	PRIMARY KEY (digest),
	KEY identities_ticket (ticket)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS enrollments (
	seq           BIGINT NOT NULL AUTO_INCREMENT,
	id            VARBINARY(255) NOT NULL,
	user_id       VARBINARY(255) NOT NULL,
	ticket_id     VARBINARY(255) NOT NULL,
	way           VARBINARY(32) NOT NULL,
	state         VARBINARY(32) NOT NULL,
	certificate   BINARY(32) NOT NULL,
	topic         TEXT NOT NULL,
	os_version    TEXT NOT NULL,
	build_version TEXT NOT NULL,
	product       TEXT NOT NULL,
	created       BIGINT,
	enrolled      BIGINT,
	ended         BIGINT,
	contact       BIGINT,
	-- Sealed; NULL until TokenUpdate and after the token died.
	token         VARBINARY(2048),
	magic         VARBINARY(2048),
	token_stored  BIGINT,
	PRIMARY KEY (seq),
	UNIQUE KEY enrollments_id (id),
	KEY enrollments_user (user_id, state)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What is to be pushed, a row for each enrollment. It is narrow, and what changes
-- has a fixed width, because a fan-out changes many.
CREATE TABLE IF NOT EXISTS pushes (
	enrollment BIGINT NOT NULL,
	able       BOOLEAN NOT NULL DEFAULT 0, -- there is a token, and the user is not suspended
	-- Requests are numbered; those up to settled are done.
	request    BIGINT NOT NULL DEFAULT 0,
	settled    BIGINT NOT NULL DEFAULT 0,
	due        BIGINT NOT NULL DEFAULT 9223372036854775807, -- that is never
	fixed      BOOLEAN NOT NULL DEFAULT 0, -- a new request does not make it due earlier
	attempt    INT NOT NULL DEFAULT 0,
	-- The last attempt.
	status     INT,
	attempted  BIGINT,
	-- When the device is to be woken. An index on it finds who is due, however
	-- many are not.
	wake       BIGINT GENERATED ALWAYS AS (CASE WHEN able THEN due ELSE 9223372036854775807 END) STORED,
	PRIMARY KEY (enrollment),
	KEY pushes_wake (wake, enrollment)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS commands (
	seq          BIGINT NOT NULL AUTO_INCREMENT,
	enrollment   BIGINT NOT NULL,
	uuid         VARBINARY(255) NOT NULL,
	request_type VARBINARY(255) NOT NULL,
	status       VARBINARY(32) NOT NULL,
	place        TINYINT, -- 1: answered NotNow in this session; 2: waits; NULL: final
	queued       BIGINT,
	updated      BIGINT,
	result       MEDIUMBLOB,
	payload      MEDIUMBLOB,
	-- The enrollment while the command is open, NULL when it is final. An index on
	-- it finds what is pending, however long queue and history are.
	queue        BIGINT GENERATED ALWAYS AS (CASE WHEN place IS NOT NULL THEN enrollment END) STORED,
	-- When it became final, NULL while it is open.
	finished     BIGINT GENERATED ALWAYS AS (CASE WHEN place IS NULL THEN updated END) STORED,
	PRIMARY KEY (seq),
	UNIQUE KEY commands_uuid (enrollment, uuid),
	KEY commands_open (queue, place, seq),
	KEY commands_finished (finished)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A grant is one account-driven sign-in, by a code or at once.
CREATE TABLE IF NOT EXISTS grants (
	seq          BIGINT NOT NULL AUTO_INCREMENT, -- a later grant never has a lower one
	user_id      VARBINARY(255) NOT NULL,
	ticket       BIGINT, -- NULL: an enrolled device signed in again
	enrollment   BIGINT, -- bound by Authenticate, or from the start
	revoked      BOOLEAN NOT NULL DEFAULT 0,
	client_id    VARBINARY(1024) NOT NULL,
	redirect_uri VARBINARY(2048) NOT NULL,
	code         BINARY(32),
	code_expires BIGINT,
	redeemed     BOOLEAN NOT NULL DEFAULT 0,
	-- When all its tokens and the code are over, or its enrollment has ended;
	-- NULL: not by time.
	ends         BIGINT,
	PRIMARY KEY (seq),
	UNIQUE KEY grants_code (code),
	KEY grants_user (user_id, revoked),
	KEY grants_ends (ends),
	KEY grants_ticket (ticket),
	KEY grants_enrollment (enrollment, revoked, seq)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The tokens of one answer, by their digests.
CREATE TABLE IF NOT EXISTS tokens (
	seq             BIGINT NOT NULL AUTO_INCREMENT,
	of_grant        BIGINT NOT NULL,
	generation      INT NOT NULL,
	access          BINARY(32) NOT NULL,
	access_expires  BIGINT, -- NULL: never
	refresh         BINARY(32),
	refresh_expires BIGINT, -- NULL: never
	used            BOOLEAN NOT NULL DEFAULT 0,
	ended           BOOLEAN NOT NULL DEFAULT 0, -- a later generation was used
	PRIMARY KEY (seq),
	UNIQUE KEY tokens_access (access),
	UNIQUE KEY tokens_refresh (refresh),
	UNIQUE KEY tokens_generation (of_grant, generation)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Web sessions that handed back.
CREATE TABLE IF NOT EXISTS web_sessions (
	digest  BINARY(32) NOT NULL,
	expires BIGINT,
	PRIMARY KEY (digest),
	KEY web_sessions_expires (expires)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The keys that have sealed in this database, see package internal/seal.
CREATE TABLE IF NOT EXISTS seals (
	number INT NOT NULL,
	id     VARBINARY(64) NOT NULL, -- of the key; empty: secrets as they are
	value  VARBINARY(1024) NOT NULL,
	PRIMARY KEY (number),
	UNIQUE KEY seals_id (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
