package sqlite_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

func suite() storagetest.Suite {
	s := storagetest.Whole(func(place string) (*sqlite.Store, error) {
		return sqlite.Open(context.Background(), filepath.Join(place, "enroll.db"), sqlite.Options{})
	})
	s.Nodes = true
	return s
}

func TestMain(m *testing.M) { os.Exit(storagetest.Main(m, suite())) }

func TestConformance(t *testing.T) { storagetest.Run(t, suite()) }
