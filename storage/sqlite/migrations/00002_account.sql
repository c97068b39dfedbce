-- +goose Up
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
	redeemed     INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX grants_user ON grants (user_id) WHERE revoked = 0;
CREATE INDEX grants_enrollment ON grants (enrollment) WHERE revoked = 0;

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
