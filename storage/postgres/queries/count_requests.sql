WITH taken AS (
	DELETE FROM push_requests WHERE seq = ANY (ARRAY(SELECT seq FROM push_requests WHERE seq <= $1 ORDER BY seq LIMIT $2 FOR UPDATE))
	RETURNING seq, enrollments, due
), single AS MATERIALIZED (
	SELECT taken.seq, x.enrollment, x.due FROM taken, unnest(taken.enrollments, taken.due) AS x(enrollment, due)
), locked AS MATERIALIZED ( -- in one order, so that this and results do not wait for each other
	SELECT p.enrollment, p.mark, p.reached FROM pushes p WHERE p.enrollment = ANY (ARRAY(SELECT DISTINCT enrollment FROM single))
	ORDER BY p.enrollment FOR UPDATE
), wanted AS (
	SELECT l.enrollment, count(*) AS n, min(CASE WHEN s.seq <= l.mark THEN l.reached ELSE s.due END) AS due
	FROM single s JOIN locked l ON l.enrollment = s.enrollment
	WHERE s.seq > l.mark OR l.reached IS NOT NULL
	GROUP BY l.enrollment
), counted AS (
	UPDATE pushes p SET request = p.request + w.n,
		due = CASE WHEN p.due IS NULL OR NOT p.fixed AND p.due > w.due THEN w.due ELSE p.due END
	FROM wanted w WHERE p.enrollment = w.enrollment
)
SELECT count(*) FROM taken
