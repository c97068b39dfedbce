package postgres_test

import (
	"testing"

	"github.com/enrollkit/enrollkit/storage/transfer/transfertest"
)

func TestTransfer(t *testing.T) {
	needServer(t)
	transfertest.Run(t, transfertest.Adapter{Name: "postgres", Open: func(place string) (transfertest.Store, error) {
		return openPlace(place, nil)
	}})
}
