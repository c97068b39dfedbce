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
), known AS (
	SELECT count(*) AS n FROM given
)
