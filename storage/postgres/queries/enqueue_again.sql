WITH given AS MATERIALIZED ( -- without the payloads, which are large together
	SELECT e.seq AS enrollment, x.queued, x.n
	FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS x(id, queued, n) JOIN enrollments e ON e.id = x.id AND e.state = 'enrolled'
	FOR KEY SHARE OF e -- which its end waits for
), queued AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT given.enrollment, x.uuid, x.request_type, 'Queued', 1, given.queued, given.queued, x.payload
	FROM unnest($3::text[], $4::text[], $5::bytea[]) WITH ORDINALITY AS x(uuid, request_type, payload, n) JOIN given ON given.n = x.n
	ORDER BY x.n
	ON CONFLICT (enrollment, uuid) DO NOTHING
	RETURNING enrollment, queued
), requested AS (
	INSERT INTO push_requests (enrollments, due)
	SELECT array_agg(enrollment), array_agg(queued) FROM (SELECT *, row_number() OVER () - 1 AS n FROM queued) q GROUP BY n / 100
)
SELECT count(*) FROM given
