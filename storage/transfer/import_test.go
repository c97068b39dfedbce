package transfer_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

func TestImport(t *testing.T) {
	file := write(t, cursors(sample()), key(1))
	var told []transfer.Progress
	var into sink
	done, err := transfer.Import(t.Context(), bytes.NewReader(file), &into, transfer.ImportOptions{
		Keys: [][]byte{key(1)}, Batch: 5, Progress: func(p transfer.Progress) { told = append(told, p) },
	})
	require.NoError(t, err)
	require.Equal(t, sample(), into.records)
	require.Equal(t, []int{5, 5, len(sample()) - 10}, into.batches)
	require.Len(t, told, 3)
	require.Equal(t, done, told[2])
	n := int64(len(sample()))
	require.Equal(t, transfer.Progress{Kind: transfer.KindCommand, Records: n, Added: n, Bytes: int64(len(file))}, done)
}

// TestABatchIsBounded has commands of half a MiB.
func TestABatchIsBounded(t *testing.T) {
	var list []transfer.Entry
	for range 20 {
		list = append(list, transfer.Entry{Record: &transfer.Command{
			Command: mdm.Command{EnrollmentID: "E", Status: mdm.CommandQueued, Payload: make([]byte, 1<<19)},
		}})
	}
	var into sink
	_, err := transfer.Import(t.Context(), bytes.NewReader(write(t, list)), &into, transfer.ImportOptions{})
	require.NoError(t, err)
	require.Len(t, into.records, 20)
	for _, n := range into.batches {
		require.LessOrEqual(t, n, 7, "a batch has more than 4 MiB and a record")
	}
}

func TestImportOfAPart(t *testing.T) {
	file := write(t, cursors(sample()))
	s := memory.New()
	n := bytes.LastIndexByte(file[:len(file)-1], '\n') // without the end
	_, err := transfer.Import(t.Context(), bytes.NewReader(file[:n]), s, transfer.ImportOptions{})
	require.ErrorIs(t, err, transfer.ErrIncomplete)
	done, err := transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, int64(1), done.Added, "the last record, whose line was not whole")
}

func TestImportStops(t *testing.T) {
	file := write(t, cursors(sample()))
	ctx, cancel := context.WithCancel(t.Context())
	var into sink
	done, err := transfer.Import(ctx, bytes.NewReader(file), &into, transfer.ImportOptions{Batch: 2, Progress: func(transfer.Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, into.records, 2)
	require.Equal(t, int64(2), done.Records)

	s := memory.New()
	_, err = transfer.Import(t.Context(), bytes.NewReader(write(t, cursors(sample()[7:]))), s, transfer.ImportOptions{})
	require.ErrorIs(t, err, transfer.ErrMissing)
	require.ErrorContains(t, err, "lines 2 to")
	require.ErrorContains(t, err, `enrollment "E1"`)
	_, err = transfer.Import(t.Context(), bytes.NewReader(nil), s, transfer.ImportOptions{})
	require.ErrorIs(t, err, transfer.ErrIncomplete)
}
