package memory_test

import (
	"os"
	"testing"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func suite() storagetest.Suite {
	s := storagetest.Whole(func(string) (*memory.Store, error) { return memory.New(), nil })
	s.Volatile = true
	return s
}

func TestMain(m *testing.M) { os.Exit(storagetest.Main(m, suite())) }

func TestConformance(t *testing.T) { storagetest.Run(t, suite()) }
