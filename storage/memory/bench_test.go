package memory_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, suite()) }

// sizes asks for the table of TestSizes: go test -run Sizes -v -sizes 1000,100000
var sizes = flag.String("sizes", "", "compare stores of so many enrollments, such as 1000,100000,1000000")

// TestSizes is a table of what steps cost beside more and fewer enrollments.
func TestSizes(t *testing.T) {
	if *sizes == "" {
		t.Log("no -sizes")
		return
	}
	list, err := storagetest.ParseSizes(*sizes)
	require.NoError(t, err)
	storagetest.Sizes(t, suite(), storagetest.SizesOptions{Enrollments: list, Queues: []int{1, 100, 10_000}})
}
