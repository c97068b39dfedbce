package sqlite_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/transfer/transfertest"
)

func TestTransfer(t *testing.T) {
	transfertest.Run(t, transfertest.Adapter{Name: "sqlite", Open: func(place string) (transfertest.Store, error) {
		return openPlace(place)
	}})
}

// TestTransferOfSealedSecrets moves from one key to another.
func TestTransferOfSealedSecrets(t *testing.T) {
	sealed := func(key byte) transfertest.Adapter {
		return transfertest.Adapter{Name: "sqlite with a key", Open: func(place string) (transfertest.Store, error) {
			return sqlite.Open(context.Background(), filepath.Join(place, "enroll.db"), sqlite.Options{Keys: [][]byte{bytes.Repeat([]byte{key}, 32)}})
		}}
	}
	transfertest.Between(t, sealed(1), sealed(2))
}
