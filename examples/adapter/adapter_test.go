package adapter_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/enrollkit/enrollkit/examples/adapter"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func suite() storagetest.Suite {
	return storagetest.Whole(func(place string) (*adapter.Store, error) {
		return adapter.Open(filepath.Join(place, "journal"))
	})
}

func TestMain(m *testing.M) { os.Exit(storagetest.Main(m, suite())) }

func TestConformance(t *testing.T) { storagetest.Run(t, suite()) }

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, suite()) }
