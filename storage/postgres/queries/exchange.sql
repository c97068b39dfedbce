, mine AS MATERIALIZED ( -- the command that the report concerns
	SELECT admitted.enrollment, CASE
		WHEN NOT $6::boolean THEN NULL
		-- The command sent last is the first that waits: sending takes the first.
		WHEN $7::boolean THEN (SELECT f.seq FROM (
			SELECT c.seq, c.status FROM commands c WHERE c.enrollment = admitted.enrollment AND c.place = 1 ORDER BY c.seq LIMIT 1
		) f WHERE f.status = 'Sent')
		ELSE (SELECT c.seq FROM commands c WHERE c.enrollment = admitted.enrollment AND c.uuid = $8::text
			AND c.place IS NOT NULL AND ($10::smallint IS NULL OR c.place <> $10::smallint))
		END AS reported
	FROM admitted WHERE admitted.contact >= $13::timestamptz -- the first contact of a day is noted before
), held AS MATERIALIZED ( -- Idle offers again what was answered NotNow
	SELECT mine.enrollment, mine.reported, CASE WHEN $12::boolean
		THEN ARRAY(SELECT c.seq FROM commands c WHERE c.enrollment = mine.enrollment AND c.place = 2 ORDER BY c.seq)
		ELSE '{}'::bigint[] END AS offered,
		(SELECT c.seq FROM commands c WHERE c.enrollment = mine.enrollment AND c.place = 1 AND c.seq IS DISTINCT FROM mine.reported
			ORDER BY c.seq LIMIT 1) AS waits
	FROM mine
), picked AS MATERIALIZED (
	SELECT held.reported, least(held.waits, held.offered[1]) AS next,
		held.offered || array_remove(ARRAY[held.reported, CASE WHEN held.waits > held.offered[1] THEN NULL ELSE held.waits END], NULL) AS all_of_them,
		-- Only what was answered NotNow is left, and a push is to be asked for.
		$14::boolean AND held.waits IS NULL AND EXISTS (
			SELECT 1 FROM commands c WHERE c.enrollment = held.enrollment AND c.place = 2 AND c.seq IS DISTINCT FROM held.reported)
		-- Or one is sealed with a key that is not here, which is to undo the step.
		OR $15::bytea[] IS NOT NULL AND EXISTS (
			SELECT 1 FROM commands c WHERE c.seq IN (held.reported, held.waits, held.offered[1])
			AND substring(c.payload FROM 1 FOR 9) <> ALL ($15::bytea[]) AND substring(c.payload FROM 1 FOR 1) <> ALL ($15::bytea[])) AS asks
	FROM held
), written AS (
	UPDATE commands c SET
		status = CASE WHEN c.seq = picked.reported THEN $9::text WHEN c.seq = picked.next THEN 'Sent' ELSE c.status END,
		place = CASE WHEN c.seq = picked.reported THEN $10::smallint ELSE 1 END,
		result = CASE WHEN c.seq = picked.reported THEN $11::bytea ELSE c.result END,
		updated = CASE WHEN c.seq = picked.reported OR c.seq = picked.next AND c.status <> 'Sent' THEN $3::timestamptz ELSE c.updated END
	FROM picked
	WHERE c.seq = ANY (picked.all_of_them) AND NOT picked.asks
		-- As when it was picked, or another step was faster.
		AND CASE WHEN c.seq = picked.reported THEN c.place IS NOT NULL AND ($10::smallint IS NULL OR c.place <> $10::smallint)
			ELSE c.place = 1 OR $12::boolean AND c.place = 2 END
	RETURNING c.seq, c.uuid, c.request_type, c.status, c.payload, c.result, c.queued, c.updated
)
