package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
)

func TestTrace(t *testing.T) {
	var begun, ended int
	var failed []error
	o := options(place(t))
	o.Trace = func(_ context.Context, statement string, values []any) func(error) {
		if !strings.Contains(statement, "FROM enrollments") || len(values) != 1 || values[0] != "E-unknown" {
			return nil
		}
		begun++
		return func(err error) {
			ended++
			if err != nil {
				failed = append(failed, err)
			}
		}
	}
	s := open(t, o)
	_, err := s.Enrollment(t.Context(), "E-unknown")
	require.ErrorIs(t, err, mdm.ErrUnknownEnrollment)
	require.Equal(t, []int{1, 1}, []int{begun, ended})
	require.Empty(t, failed, "a row that is not there is no error of the statement")

	exec(t, raw(t, o.DSN), "ALTER TABLE enrollments RENAME TO gone")
	_, err = s.Enrollment(t.Context(), "E-unknown")
	require.Error(t, err)
	require.Equal(t, begun, ended)
	require.NotEmpty(t, failed)
}

// TestTraceHearsEveryStatement looks for those that no step names.
func TestTraceHearsEveryStatement(t *testing.T) {
	heard, s, _ := heardStore(t)
	require.NoError(t, s.SuspendUser(t.Context(), "u1", true))
	require.NoError(t, s.Ping(t.Context()))
	all := strings.ToLower(strings.Join(heard.list(), "\n"))
	for _, part := range []string{"begin", "commit", "set plan_cache_mode", "create table users", "insert into suspensions"} {
		require.Contains(t, all, part)
	}
	require.NotContains(t, all, "ping")
}
