package storagetest_test

import (
	"os"
	"testing"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// A vendor's test file has a suite, a TestMain and one test. The place that a
// store is opened at is a directory of its own; this one needs none, and keeps
// nothing when its process ends.
func Example() {
	suite := storagetest.Whole(func(place string) (*memory.Store, error) { return memory.New(), nil })
	suite.Volatile = true

	// These two are functions of the test file.
	TestMain := func(m *testing.M) { os.Exit(storagetest.Main(m, suite)) }
	TestConformance := func(t *testing.T) { storagetest.Run(t, suite) }

	_, _ = TestMain, TestConformance
}
