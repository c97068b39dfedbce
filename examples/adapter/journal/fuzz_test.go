package journal_test

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/examples/adapter/journal"
)

// Whatever a file holds, it is refused as damaged and left as it is, or its
// records come back, now and when the journal went on. With line, it is the text
// of a line whose checksum is right.
func FuzzOpen(f *testing.F) {
	const title = "enrollkit example journal 1\n"
	path := filepath.Join(f.TempDir(), "good")
	j, _ := open(f, path)
	add(f, j, "one")
	add(f, j, "two", "three")
	require.NoError(f, j.Close())
	good, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(good, false)
	f.Add(good[:len(good)-3], false)
	f.Add(append([]byte("x"), good...), false)
	f.Add([]byte(title+"00000000 \n00000001 eA==\n00000000 \n"), false)
	f.Add([]byte("b25l,dHdv"), true)
	f.Add([]byte(",=,b25\r\n\n00000000 "), true)
	f.Fuzz(func(t *testing.T, b []byte, line bool) {
		if line {
			b = fmt.Appendf([]byte(title), "%08x %s\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)), b)
		}
		path := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		records, replay := collect()
		j, err := journal.Open(path, replay)
		if err != nil {
			require.ErrorIs(t, err, journal.ErrDamaged)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, b, after)
			return
		}
		add(t, j, "next")
		require.NoError(t, j.Close())
		again, replay := collect()
		j, err = journal.Open(path, replay)
		require.NoError(t, err)
		require.NoError(t, j.Close())
		require.Equal(t, append(*records, "next"), *again)
	})
}
