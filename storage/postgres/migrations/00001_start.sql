-- +goose Up
-- Times are NULL when it has not happened. Digests are 32 bytes. seq is the order
-- in which rows came.

CREATE TABLE users (
	seq                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id                    text NOT NULL UNIQUE,
	issuer                text NOT NULL,
	subject               text NOT NULL,
	display_name          text NOT NULL,
	groups                text[] NOT NULL,
	groups_stale          boolean NOT NULL,
	managed_apple_account text NOT NULL,
	suspended             boolean NOT NULL DEFAULT false,
	created               timestamptz,
	last_sign_in          timestamptz,
	UNIQUE (issuer, subject)
);

-- Users may live in another database, so suspension is a list of its own. A user
-- who was given a grant has a row too: it is what SuspendUser and Grant lock.
CREATE TABLE suspensions (
	user_id   text PRIMARY KEY,
	suspended boolean NOT NULL
);

CREATE TABLE sso_states (
	key      bytea PRIMARY KEY,
	expires  timestamptz,
	consumed boolean NOT NULL DEFAULT false
);
CREATE INDEX sso_states_expires ON sso_states (expires);

CREATE TABLE sessions (
	id        bytea PRIMARY KEY,
	user_id   text NOT NULL,
	ticket_id text NOT NULL,
	expires   timestamptz
);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE tickets (
	seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id            text NOT NULL UNIQUE,
	ref           text NOT NULL,
	user_id       text NOT NULL,
	way           text NOT NULL,
	ownership     text NOT NULL,
	state         text NOT NULL,
	session       bytea NOT NULL,
	issued        timestamptz,
	downloads     integer NOT NULL DEFAULT 0,
	downloaded    timestamptz,
	identified    timestamptz,
	authenticated timestamptz,
	enrolled      timestamptz,
	ended         timestamptz,
	enrollment_id text NOT NULL DEFAULT ''
);
CREATE INDEX tickets_session ON tickets (session) WHERE state NOT IN ('enrolled', 'superseded');
CREATE INDEX tickets_issued ON tickets (issued) WHERE state <> 'enrolled';

-- The sessions that tickets were issued in: what two IssueTickets of one session
-- lock.
CREATE TABLE ticket_sessions (
	session bytea PRIMARY KEY,
	issued  timestamptz -- the last ticket
);
CREATE INDEX ticket_sessions_issued ON ticket_sessions (issued);

CREATE TABLE challenges (
	digest      bytea PRIMARY KEY,
	ticket      bigint NOT NULL REFERENCES tickets,
	download    integer NOT NULL, -- which of the ticket's opened it
	expires     timestamptz,
	void        boolean NOT NULL DEFAULT false,
	key         bytea, -- who redeemed it, NULL while open
	certificate bytea  -- for what, in DER
);
CREATE INDEX challenges_ticket ON challenges (ticket);

CREATE TABLE identities (
	digest     bytea PRIMARY KEY, -- of the certificate
	ticket     bigint NOT NULL REFERENCES tickets,
	user_id    text NOT NULL,
	way        text NOT NULL,
	not_after  timestamptz,
	deadline   timestamptz, -- for the first Authenticate
	replaced   boolean NOT NULL DEFAULT false,
	enrollment bigint -- bound by Authenticate
);
CREATE INDEX identities_ticket ON identities (ticket);

CREATE TABLE enrollments (
	seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id            text NOT NULL UNIQUE,
	user_id       text NOT NULL,
	ticket_id     text NOT NULL,
	way           text NOT NULL,
	state         text NOT NULL,
	certificate   bytea NOT NULL,
	topic         text NOT NULL,
	os_version    text NOT NULL,
	build_version text NOT NULL,
	product       text NOT NULL,
	created       timestamptz,
	enrolled      timestamptz,
	ended         timestamptz,
	contact       timestamptz,
	-- Sealed; NULL until TokenUpdate and after the token died.
	token         bytea,
	magic         bytea,
	token_digest  bytea,
	token_stored  timestamptz
) WITH (fillfactor = 80);
CREATE INDEX enrollments_user ON enrollments (user_id, state);

-- Who is to be woken: a row for each enrollment, apart from it, because asking
-- for a push is most of what changes.
CREATE TABLE pushes (
	enrollment bigint PRIMARY KEY,
	-- As in enrollments.
	state      text NOT NULL,
	reachable  boolean NOT NULL DEFAULT false, -- there is a token
	suspended  boolean NOT NULL DEFAULT false, -- as in suspensions
	-- Requests for a push are numbered; those up to settled are done.
	request    bigint NOT NULL DEFAULT 0,
	settled    bigint NOT NULL DEFAULT 0,
	due        timestamptz, -- NULL: no request is pending
	fixed      boolean NOT NULL DEFAULT false, -- a new request does not make it due earlier
	attempt    integer NOT NULL DEFAULT 0,
	-- The last attempt.
	status     integer NOT NULL DEFAULT 0,
	attempted  timestamptz,
	-- Of push_requests up to this one: they are due since a token came, or void if
	-- none came after the enrollment had ended.
	mark       bigint NOT NULL DEFAULT 0,
	reached    timestamptz
) WITH (fillfactor = 80);
CREATE INDEX pushes_due ON pushes (due, enrollment) WHERE due IS NOT NULL AND reachable AND NOT suspended;

-- What Enqueue requests, until it is counted in pushes. To change a row of pushes
-- for each command takes half as long as the commands do.
CREATE TABLE push_requests (
	seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	enrollments bigint[] NOT NULL, -- one for each command
	due         timestamptz[] NOT NULL
);

-- The enrollment is no foreign key: Enqueue has just found and locked it, and would
-- do so again. Enrollments are not deleted while they have commands.
CREATE TABLE commands (
	seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	enrollment   bigint NOT NULL,
	uuid         text NOT NULL,
	request_type text NOT NULL,
	status       text NOT NULL,
	place        smallint, -- 1: waits; 2: answered NotNow in this session; NULL: final
	queued       timestamptz,
	updated      timestamptz,
	result       bytea,
	payload      bytea NOT NULL, -- sealed
	UNIQUE (enrollment, uuid)
);
CREATE INDEX commands_waiting ON commands (enrollment, seq) WHERE place = 1;
CREATE INDEX commands_held ON commands (enrollment, seq) WHERE place = 2;
CREATE INDEX commands_final ON commands (updated) WHERE place IS NULL;

-- A grant is one account-driven sign-in, by a code or at once.
CREATE TABLE grants (
	seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id      text NOT NULL,
	ticket       bigint REFERENCES tickets, -- NULL: an enrolled device signed in again
	enrollment   bigint, -- bound by Authenticate, or from the start
	revoked      boolean NOT NULL DEFAULT false,
	client_id    text NOT NULL,
	redirect_uri text NOT NULL,
	code         bytea UNIQUE,
	code_expires timestamptz,
	redeemed     boolean NOT NULL DEFAULT false,
	-- When all its tokens and the code are over, or its enrollment has ended;
	-- NULL: not by time.
	ends         timestamptz
);
CREATE INDEX grants_user ON grants (user_id) WHERE NOT revoked;
CREATE INDEX grants_enrollment ON grants (enrollment);
CREATE INDEX grants_ends ON grants (ends) WHERE ends IS NOT NULL;
CREATE INDEX grants_ticket ON grants (ticket);

-- The tokens of one answer, by their digests.
CREATE TABLE tokens (
	seq             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	of_grant        bigint NOT NULL REFERENCES grants,
	generation      integer NOT NULL,
	access          bytea NOT NULL UNIQUE,
	access_expires  timestamptz, -- NULL: never
	refresh         bytea UNIQUE,
	refresh_expires timestamptz, -- NULL: never
	used            boolean NOT NULL DEFAULT false,
	ended           boolean NOT NULL DEFAULT false, -- a later generation was used
	UNIQUE (of_grant, generation)
);

-- Web sessions that handed back.
CREATE TABLE web_sessions (
	digest  bytea PRIMARY KEY,
	expires timestamptz
);
CREATE INDEX web_sessions_expires ON web_sessions (expires);

-- The keys that have sealed in this database, see package internal/seal.
CREATE TABLE seals (
	number integer PRIMARY KEY,
	id     text NOT NULL UNIQUE, -- of the key; empty: secrets as they are
	value  bytea NOT NULL
);
