WITH given AS (
	SELECT e.seq AS enrollment, x.*
	FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[]) WITH ORDINALITY AS x(id, uuid, request_type, queued, payload, n)
	JOIN enrollments e ON e.id = x.id AND e.state = 'enrolled'
), queued AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT enrollment, uuid, request_type, 'Queued', 1, queued, queued, payload FROM given ORDER BY n
	ON CONFLICT (enrollment, uuid) DO NOTHING
	RETURNING enrollment, queued
), asked AS (
	-- There is a row for each. Adding it again takes the rows one by one in this
	-- order, so that two fan-outs at the same time never wait for each other.
	INSERT INTO pushes (enrollment, state, request, due)
	SELECT enrollment, 'enrolled', count(*), min(queued) FROM queued GROUP BY enrollment ORDER BY enrollment
	ON CONFLICT (enrollment) DO UPDATE SET request = pushes.request + excluded.request,
		due = CASE WHEN pushes.due IS NULL OR NOT pushes.fixed AND pushes.due > excluded.due THEN excluded.due ELSE pushes.due END
		WHERE pushes.state = 'enrolled'
	RETURNING enrollment
)
SELECT (SELECT count(*) FROM given),
	CAST(CASE WHEN (SELECT count(*) FROM asked) <> (SELECT count(DISTINCT enrollment) FROM queued) THEN 'changed meanwhile' ELSE '0' END AS integer)
