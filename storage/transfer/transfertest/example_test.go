package transfertest_test

import (
	"testing"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer/transfertest"
)

// A vendor's adapter is one test. The place that a store is opened at is a
// directory of its own; this one needs none, and keeps nothing when its process
// ends.
func Example() {
	adapter := transfertest.Adapter{Name: "vendor", Volatile: true, Open: func(place string) (transfertest.Store, error) {
		return memory.New(), nil
	}}

	// This is a function of the test file.
	TestTransfer := func(t *testing.T) { transfertest.Run(t, adapter) }

	_ = TestTransfer
}
