package memory_test

import (
	"testing"

	"github.com/enrollkit/enrollkit/storage/transfer/transfertest"
)

func TestTransfer(t *testing.T) { transfertest.Run(t, transfertest.Memory()) }
