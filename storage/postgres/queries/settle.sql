WITH given AS (
	SELECT e.seq AS enrollment, x.*,
		e.token_digest IS NOT NULL AS has_token,
		-- The token died, and there is another one, or none, by now.
		x.dead AND e.token_digest IS DISTINCT FROM x.token AS former,
		-- It died, and was not stored again after that.
		x.dead AND e.token_digest = x.token AND (x.dead_at IS NULL OR e.token_stored <= x.dead_at) AS forgotten
	FROM unnest($1::text[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::integer[], $6::timestamptz[], $7::boolean[], $8::timestamptz[], $9::bytea[])
		AS x(id, status, at, request, attempt, retry, dead, dead_at, token)
	JOIN enrollments e ON e.id = x.id
), locked AS (
	SELECT p.enrollment FROM pushes p WHERE p.enrollment IN (SELECT enrollment FROM given) ORDER BY p.enrollment FOR UPDATE
), settled AS (
	UPDATE pushes p SET
		status = CASE WHEN p.attempted IS NULL OR g.at >= p.attempted THEN g.status ELSE p.status END,
		attempted = CASE WHEN p.attempted IS NULL OR g.at >= p.attempted THEN g.at ELSE p.attempted END,
		reachable = p.reachable AND NOT coalesce(g.forgotten, false),
		-- Requests up to the target's are done by a result that neither tells of a
		-- token's end nor is to be tried again, nor comes too late to matter.
		settled = CASE WHEN g.former OR g.forgotten OR g.request <= p.settled OR g.retry IS NOT NULL THEN p.settled ELSE least(g.request, p.request) END,
		due = CASE
			WHEN g.former THEN CASE WHEN g.has_token AND p.request > p.settled AND g.request > p.settled THEN g.at ELSE p.due END
			WHEN g.forgotten OR g.request <= p.settled THEN p.due
			WHEN g.retry IS NOT NULL THEN CASE WHEN g.attempt = p.attempt THEN g.retry ELSE p.due END
			WHEN g.request < p.request THEN g.at
			END,
		fixed = CASE
			WHEN g.former THEN p.fixed AND NOT (g.has_token AND p.request > p.settled AND g.request > p.settled)
			WHEN g.forgotten OR g.request <= p.settled THEN p.fixed
			WHEN g.retry IS NOT NULL THEN p.fixed OR g.attempt = p.attempt
			ELSE false END,
		attempt = CASE
			WHEN g.former THEN CASE WHEN g.has_token AND p.request > p.settled AND g.request > p.settled THEN 0 ELSE p.attempt END
			WHEN g.forgotten OR g.request <= p.settled THEN p.attempt
			WHEN g.retry IS NOT NULL THEN CASE WHEN g.attempt = p.attempt THEN p.attempt + 1 ELSE p.attempt END
			ELSE 0 END
	FROM given g JOIN locked l ON l.enrollment = g.enrollment
	WHERE p.enrollment = g.enrollment AND p.state IN ('authenticated', 'enrolled')
	RETURNING p.enrollment
)
UPDATE enrollments e SET token = NULL, magic = NULL, token_digest = NULL, token_stored = NULL
FROM given g JOIN settled s ON s.enrollment = g.enrollment
WHERE e.seq = g.enrollment AND g.forgotten
