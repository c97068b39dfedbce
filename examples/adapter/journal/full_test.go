//go:build linux || darwin

package journal_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAFullDisk lets a file grow no further. What was refused is not there when
// the journal is opened again, and what was acknowledged is.
func TestAFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _ := open(t, path)
	add(t, j, "one")
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 16, Max: limit.Max}))
	j.Append([]byte("with the one that is too long"))
	err := j.Sync(j.Append([]byte(strings.Repeat("x", 1<<17))))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.ErrorIs(t, err, syscall.EFBIG)
	require.ErrorIs(t, j.Sync(j.Last()), syscall.EFBIG, "for who looks at what was not stored")
	require.ErrorIs(t, j.Sync(j.Append([]byte("more"))), syscall.EFBIG, "until it is opened again")
	require.NoError(t, j.Sync(1), "what was stored before")
	require.ErrorIs(t, j.Close(), syscall.EFBIG)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(100), "the part of a line that was written")
	j, records := open(t, path)
	require.Equal(t, []string{"one"}, records)
	add(t, j, "two")
}
