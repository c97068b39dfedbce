WITH queued AS (
	INSERT INTO commands (enrollment, uuid, request_type, status, place, queued, updated, payload)
	SELECT e.seq, x.uuid, x.request_type, 'Queued', 1, x.queued, x.queued, x.payload
	FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[]) WITH ORDINALITY AS x(id, uuid, request_type, queued, payload, n)
	JOIN enrollments e ON e.id = x.id AND e.state = 'enrolled'
	ORDER BY x.n
	RETURNING enrollment, queued
), known AS (
	SELECT count(*) AS n FROM queued
)
