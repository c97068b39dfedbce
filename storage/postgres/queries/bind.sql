WITH bound AS (
	INSERT INTO enrollments (id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, contact)
	SELECT $1::text, $2::text, t.id, $4::text, 'authenticated', $5::bytea, $6::text, $7::text, $8::text, $9::text, $10::timestamptz, $10::timestamptz
	FROM tickets t WHERE t.seq = $3::bigint
	ON CONFLICT (id) DO UPDATE SET ticket_id = excluded.ticket_id, way = excluded.way, state = excluded.state, certificate = excluded.certificate,
		topic = excluded.topic, os_version = excluded.os_version, build_version = excluded.build_version, product = excluded.product,
		created = excluded.created, enrolled = NULL, ended = NULL, contact = excluded.contact,
		token = NULL, magic = NULL, token_digest = NULL, token_stored = NULL
		WHERE $11::boolean -- it was known before, and may be taken over
	RETURNING *
), pushed AS (
	INSERT INTO pushes (enrollment, state)
	SELECT seq, 'authenticated' FROM bound
	ON CONFLICT (enrollment) DO UPDATE SET state = excluded.state, reachable = false
), identified AS (
	UPDATE identities i SET enrollment = bound.seq FROM bound WHERE i.digest = $5::bytea
), authenticated AS (
	UPDATE tickets t SET state = 'authenticated', authenticated = $10::timestamptz, enrollment_id = $1::text FROM bound WHERE t.seq = $3::bigint
)
SELECT seq, id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, created, enrolled, ended, contact FROM bound
