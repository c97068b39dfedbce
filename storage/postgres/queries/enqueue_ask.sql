, wanted AS (
	-- In one order, so that two fan-outs at the same time do not wait for each other.
	SELECT enrollment, count(*) AS n, min(queued) AS due FROM queued GROUP BY enrollment ORDER BY enrollment
), asked AS (
	UPDATE pushes p SET request = p.request + w.n,
		due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > w.due THEN w.due ELSE p.due END
	FROM wanted w WHERE p.enrollment = w.enrollment AND p.state = 'enrolled'
	RETURNING 1
)
SELECT known.n,
	CAST(CASE WHEN (SELECT count(*) FROM asked) <> (SELECT count(*) FROM wanted) THEN 'changed meanwhile' ELSE '0' END AS integer)
FROM known
