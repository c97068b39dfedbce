, contacted AS ( -- once a day
	UPDATE enrollments e SET contact = $3::timestamptz FROM admitted
	WHERE e.seq = admitted.enrollment AND admitted.contact < $13::timestamptz AND e.contact < $13::timestamptz AND e.state = admitted.state
	RETURNING e.seq
), mine AS ( -- the command that the report concerns
	SELECT admitted.enrollment, CASE
		WHEN NOT $6::boolean THEN NULL
		-- The command sent last is the first that waits: sending takes the first.
		WHEN $7::boolean THEN (SELECT f.seq FROM (
			SELECT c.seq, c.status FROM commands c WHERE c.enrollment = admitted.enrollment AND c.place = 1 ORDER BY c.seq LIMIT 1
		) f WHERE f.status = 'Sent')
		ELSE (SELECT c.seq FROM commands c WHERE c.enrollment = admitted.enrollment AND c.uuid = $8::text
			AND c.place IS NOT NULL AND ($10::smallint IS NULL OR c.place <> $10::smallint))
		END AS reported
	FROM admitted LEFT JOIN contacted ON true -- which is locked before its commands, as all lock them
), held AS ( -- Idle offers again what was answered NotNow
	SELECT mine.*, CASE WHEN $12::boolean
		THEN ARRAY(SELECT c.seq FROM commands c WHERE c.enrollment = mine.enrollment AND c.place = 2 ORDER BY c.seq)
		ELSE '{}'::bigint[] END AS offered,
		(SELECT c.seq FROM commands c WHERE c.enrollment = mine.enrollment AND c.place = 1 AND c.seq IS DISTINCT FROM mine.reported
			ORDER BY c.seq LIMIT 1) AS waits
	FROM mine
), picked AS (
	SELECT held.enrollment, held.reported, least(held.waits, held.offered[1]) AS next,
		held.offered || array_remove(ARRAY[held.reported, CASE WHEN held.waits > held.offered[1] THEN NULL ELSE held.waits END], NULL) AS all_of_them
	FROM held
), written AS (
	UPDATE commands c SET
		status = CASE WHEN c.seq = picked.reported THEN $9::text WHEN c.seq = picked.next THEN 'Sent' ELSE c.status END,
		place = CASE WHEN c.seq = picked.reported THEN $10::smallint ELSE 1 END,
		result = CASE WHEN c.seq = picked.reported THEN $11::bytea ELSE c.result END,
		updated = CASE WHEN c.seq = picked.reported OR c.seq = picked.next AND c.status <> 'Sent' THEN $3::timestamptz ELSE c.updated END
	FROM picked
	WHERE c.seq = ANY (picked.all_of_them)
		-- As when it was picked, or another step was faster.
		AND CASE WHEN c.seq = picked.reported THEN c.place IS NOT NULL AND ($10::smallint IS NULL OR c.place <> $10::smallint)
			ELSE c.place = 1 OR $12::boolean AND c.place = 2 END
	RETURNING c.seq, c.uuid, c.request_type, c.status, c.payload, c.result, c.queued, c.updated
), asked AS ( -- for a push, when only what was answered NotNow is left
	UPDATE pushes p SET request = p.request + 1,
		due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > $14::timestamptz THEN $14::timestamptz ELSE p.due END
	FROM picked
	WHERE p.enrollment = picked.enrollment AND $14::timestamptz IS NOT NULL AND NOT $12::boolean AND picked.next IS NULL
		AND EXISTS (SELECT 1 FROM commands c WHERE c.enrollment = picked.enrollment AND c.place = 2 AND c.seq IS DISTINCT FROM picked.reported)
		AND p.state IN ('authenticated', 'enrolled')
)
