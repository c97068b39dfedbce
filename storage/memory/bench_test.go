package memory_test

import (
	"testing"

	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func BenchmarkSteps(b *testing.B) { storagetest.Benchmark(b, suite()) }
