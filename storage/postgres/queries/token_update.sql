, allowed AS ( -- the first one needs a plan
	SELECT *, state = 'authenticated' AS first FROM admitted WHERE state <> 'authenticated' OR $11::boolean
), updated AS (
	UPDATE enrollments e SET state = 'enrolled', enrolled = CASE WHEN allowed.first THEN $3::timestamptz ELSE e.enrolled END,
		topic = $6::text, token = $7::bytea, magic = $8::bytea, token_digest = $9::bytea, token_stored = $3::timestamptz,
		contact = CASE WHEN e.contact < $10::timestamptz THEN $3::timestamptz ELSE e.contact END
	FROM allowed
	WHERE e.seq = allowed.enrollment AND e.state = allowed.state AND e.certificate = $1::bytea
	RETURNING e.*
), spent AS ( -- after the enrollment, as all lock them
	UPDATE tickets t SET state = 'enrolled', enrolled = $3::timestamptz, ended = NULL FROM allowed JOIN updated ON updated.seq = allowed.enrollment
	WHERE allowed.first AND t.seq = allowed.ticket AND t.enrollment_id = allowed.id
	RETURNING t.seq
), asked AS ( -- a request that waits for a token is due; the first TokenUpdate makes one
	UPDATE pushes p SET state = 'enrolled', reachable = true,
		request = p.request + CASE WHEN allowed.first THEN 1 ELSE 0 END,
		due = CASE
			WHEN NOT p.reachable AND p.due IS NOT NULL THEN $3::timestamptz
			WHEN allowed.first AND (p.due IS NULL OR NOT p.fixed AND p.due > $3::timestamptz) THEN $3::timestamptz
			ELSE p.due END,
		fixed = p.fixed AND p.reachable,
		attempt = CASE WHEN p.reachable THEN p.attempt ELSE 0 END,
		mark = CASE WHEN p.reachable THEN p.mark ELSE coalesce((SELECT max(seq) FROM push_requests), 0) END,
		reached = CASE WHEN p.reachable THEN p.reached ELSE $3::timestamptz END
	FROM allowed
	WHERE p.enrollment = allowed.enrollment AND (allowed.first OR NOT p.reachable)
), planned AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT allowed.enrollment, x.uuid, x.request_type, 'Queued', 1, x.queued, x.queued, x.payload
	FROM allowed, unnest($12::text[], $13::text[], $14::timestamptz[], $15::bytea[]) WITH ORDINALITY AS x(uuid, request_type, queued, payload, n)
	WHERE allowed.first
	ORDER BY x.n
	ON CONFLICT (enrollment, uuid) DO NOTHING
)
