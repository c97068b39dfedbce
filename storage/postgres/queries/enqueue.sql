WITH given AS ( -- without the payloads, which are large together
	SELECT e.seq AS enrollment, x.n
	FROM unnest($1::text[]) WITH ORDINALITY AS x(id, n) JOIN enrollments e ON e.id = x.id AND e.state = 'enrolled'
), queued AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT g.enrollment, x.uuid, x.request_type, 'Queued', 1, x.queued, x.queued, x.payload
	FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bytea[]) WITH ORDINALITY AS x(uuid, request_type, queued, payload, n) JOIN given g ON g.n = x.n
	ORDER BY x.n
	ON CONFLICT (enrollment, uuid) DO NOTHING
	RETURNING enrollment, queued
), wanted AS (
	-- In one order, so that two fan-outs at the same time do not wait for each other.
	SELECT enrollment, count(*) AS n, min(queued) AS due FROM queued GROUP BY enrollment ORDER BY enrollment
), asked AS (
	UPDATE pushes p SET request = p.request + w.n,
		due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > w.due THEN w.due ELSE p.due END
	FROM wanted w WHERE p.enrollment = w.enrollment AND p.state = 'enrolled'
	RETURNING 1
)
SELECT (SELECT count(*) FROM given),
	CAST(CASE WHEN (SELECT count(*) FROM asked) <> (SELECT count(*) FROM wanted) THEN 'changed meanwhile' ELSE '0' END AS integer)
