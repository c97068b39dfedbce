-- +goose Up
-- When all tokens and the code of a grant are over, or its enrollment has ended;
-- NULL: not by time.
ALTER TABLE grants ADD COLUMN ends INTEGER;
UPDATE grants SET ends = (
	SELECT CASE WHEN ifnull(max(k.access_expires IS NULL OR k.refresh IS NOT NULL AND k.refresh_expires IS NULL), 0) THEN NULL
		ELSE nullif(max(ifnull(max(k.access_expires), 0), ifnull(max(k.refresh_expires), 0), ifnull(grants.code_expires, 0)), 0) END
	FROM tokens k WHERE k.of_grant = grants.seq);
UPDATE grants SET ends = (SELECT min(ifnull(grants.ends, e.ended), e.ended) FROM enrollments e WHERE e.seq = grants.enrollment)
	WHERE enrollment IN (SELECT seq FROM enrollments WHERE state = 'ended');

-- What Prune looks for.
CREATE INDEX grants_ends ON grants (ends) WHERE ends IS NOT NULL;
CREATE INDEX sso_states_expires ON sso_states (expires);
CREATE INDEX sessions_expires ON sessions (expires);
CREATE INDEX commands_final ON commands (updated) WHERE place IS NULL;
CREATE INDEX tickets_issued ON tickets (issued) WHERE state <> 'enrolled';
-- What refers to what it deletes.
CREATE INDEX grants_of ON grants (enrollment);
CREATE INDEX grants_ticket ON grants (ticket);
CREATE INDEX enrollments_certificate ON enrollments (certificate);
