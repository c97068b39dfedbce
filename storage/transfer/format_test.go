package transfer_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/transfer"
)

var update = flag.Bool("update", false, "write the golden files")

// TestTheFormatStays holds the first version. A later one is a file beside it.
func TestTheFormatStays(t *testing.T) {
	path := filepath.Join("testdata", "v1.jsonl")
	b := write(t, cursors(sample()))
	if *update {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join("testdata", "v1-sealed.jsonl"), write(t, cursors(sample()), key(1)), 0o600))
	}
	golden, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(golden), string(b))
	entries, err := read(golden)
	require.NoError(t, err)
	require.Equal(t, cursors(sample()), entries)

	sealed, err := os.ReadFile(filepath.Join("testdata", "v1-sealed.jsonl"))
	require.NoError(t, err)
	entries, err = read(sealed, key(2), key(1))
	require.NoError(t, err)
	require.Equal(t, cursors(sample()), entries)
}

func TestEveryKindIsInTheSample(t *testing.T) {
	seen := map[transfer.Kind]bool{}
	for _, r := range sample() {
		seen[r.Kind()] = true
	}
	require.Len(t, seen, len(transfer.Kinds()))
}

func TestASealedFileShowsNothing(t *testing.T) {
	sealed := string(write(t, cursors(sample()), key(1)))
	for _, secret := range []string{"alice", "magic", "DeviceInformation", "7KQ2M9XC", "client", "cursor"} {
		require.NotContains(t, sealed, secret)
	}
}

func TestTheWriterRefuses(t *testing.T) {
	for what, r := range map[string]transfer.Record{
		"text that is not UTF-8": &transfer.Suspension{UserID: "\xff"},
		"what is malformed":      &transfer.Command{},
	} {
		w, err := transfer.NewWriter(&discard{}, transfer.WriteOptions{})
		require.NoError(t, err)
		require.ErrorIs(t, w.Write(transfer.Entry{Record: r}), transfer.ErrRecord, what)
	}
	w, err := transfer.NewWriter(&discard{}, transfer.WriteOptions{Kinds: []transfer.Kind{transfer.KindUser}})
	require.NoError(t, err)
	var kind *transfer.KindError
	require.ErrorAs(t, w.Write(transfer.Entry{Record: &transfer.Suspension{}}), &kind)
	require.Equal(t, transfer.KindSuspension, kind.Kind)
	_, err = transfer.NewWriter(&discard{}, transfer.WriteOptions{Kinds: []transfer.Kind{"rumour"}})
	require.ErrorAs(t, err, &kind)
	_, err = transfer.NewWriter(&discard{}, transfer.WriteOptions{Keys: [][]byte{{1}}})
	require.ErrorContains(t, err, "not 32")
	_, err = transfer.NewWriter(&discard{full: true}, transfer.WriteOptions{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// discard takes everything, or nothing.
type discard struct{ full bool }

func (d *discard) Write(b []byte) (int, error) {
	if d.full {
		return 0, os.ErrDeadlineExceeded
	}
	return len(b), nil
}
