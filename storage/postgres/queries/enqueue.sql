WITH queued AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT e.seq, x.uuid, x.request_type, 'Queued', 1, x.queued, x.queued, x.payload
	FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS x(id, queued, uuid, request_type, payload, n)
	JOIN enrollments e ON e.id = x.id AND e.state = 'enrolled'
	ORDER BY x.n
	FOR KEY SHARE OF e -- which its end waits for
	RETURNING enrollment, queued
), requested AS (
	INSERT INTO push_requests (enrollments, due)
	SELECT array_agg(enrollment), array_agg(queued) FROM (SELECT *, row_number() OVER () - 1 AS n FROM queued) q GROUP BY n / 100
)
SELECT count(*) FROM queued
