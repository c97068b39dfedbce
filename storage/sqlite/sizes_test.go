package sqlite_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// sizes asks for the table of TestSizes: go test -run Sizes -v -sizes 1000,100000
var sizes = flag.String("sizes", "", "compare stores of so many enrollments, such as 1000,100000,1000000")

// TestSizes is a table of what steps cost beside more and fewer enrollments. It
// takes minutes.
func TestSizes(t *testing.T) {
	if *sizes == "" {
		t.Log("no -sizes")
		return
	}
	list, err := storagetest.ParseSizes(*sizes)
	require.NoError(t, err)
	storagetest.Sizes(t, suite(openPlace), storagetest.SizesOptions{
		Enrollments: list, Queues: []int{1, 100, 10_000},
		Fill: func(place string, n int) error {
			db := raw(t, filepath.Join(place, "enroll.db"))
			// Nobody else is to be woken.
			script := crowd(n) + `UPDATE enrollments SET push_due = NULL; ANALYZE;`
			_, err := db.ExecContext(t.Context(), script)
			return err
		},
	})
}
