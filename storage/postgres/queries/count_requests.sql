WITH taken AS (
	DELETE FROM push_requests WHERE seq = ANY (ARRAY(SELECT seq FROM push_requests ORDER BY seq LIMIT $1 FOR UPDATE))
	RETURNING due, enrollments
), wanted AS (
	-- In the order in which results are settled, so that neither waits for the other in a circle.
	SELECT x.enrollment, count(*) AS n, min(taken.due) AS due FROM taken, unnest(taken.enrollments) AS x(enrollment)
	GROUP BY x.enrollment ORDER BY x.enrollment
), counted AS (
	UPDATE pushes p SET request = p.request + w.n,
		due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > w.due THEN w.due ELSE p.due END
	FROM wanted w WHERE p.enrollment = w.enrollment AND p.state IN ('authenticated', 'enrolled') -- or it has ended since
)
SELECT count(*) FROM taken
