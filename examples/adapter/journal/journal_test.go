package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/examples/adapter/journal"
)

// open opens a journal and returns its records too.
func open(t testing.TB, path string) (*journal.Journal, []string) {
	t.Helper()
	records, replay := collect()
	j, err := journal.Open(path, replay)
	require.NoError(t, err)
	t.Cleanup(func() { j.Close() })
	return j, *records
}

func collect() (*[]string, func([]byte) error) {
	list := &[]string{}
	return list, func(b []byte) error {
		*list = append(*list, string(b))
		return nil
	}
}

func add(t testing.TB, j *journal.Journal, records ...string) {
	t.Helper()
	for _, r := range records {
		j.Append([]byte(r))
	}
	require.NoError(t, j.Sync(j.Last()))
}

func TestRecordsComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, records := open(t, path)
	require.Empty(t, records)
	add(t, j, "a", "b\n,\x00\xff")
	add(t, j, strings.Repeat("x", 1<<20))
	require.NoError(t, j.Close())
	j, records = open(t, path)
	require.Equal(t, []string{"a", "b\n,\x00\xff", strings.Repeat("x", 1<<20)}, records)
	add(t, j, "c")
	require.NoError(t, j.Close())
	_, records = open(t, path)
	require.Len(t, records, 4)
}

func TestOneSyncServesMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _ := open(t, path)
	const n = 100
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		number := j.Append(fmt.Append(nil, i))
		all.Go(func() { errs[i] = j.Sync(number) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(b, []byte("\n")), n, "every record was synced alone")
	require.NoError(t, j.Close())
	_, records := open(t, path)
	require.Len(t, records, n)
	for i, r := range records {
		require.Equal(t, fmt.Sprint(i), r)
	}
}

// TestWhateverIsCutOff cuts the file at every place: the complete lines come
// back, and the journal goes on behind them.
func TestWhateverIsCutOff(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j, _ := open(t, path)
	add(t, j, "one")
	add(t, j, "two", "three")
	add(t, j, "four")
	require.NoError(t, j.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	want := [][]string{{}, {}, {"one"}, {"one", "two", "three"}, {"one", "two", "three", "four"}}
	for n := range len(whole) + 1 {
		for _, rest := range []string{"", "\x00\x00", "\x00\n"} { // what a file system may leave behind
			path := filepath.Join(dir, fmt.Sprint("cut", n, len(rest)))
			lines := bytes.Count(whole[:n], []byte("\n"))
			if lines == 0 && rest != "" {
				continue // the title says what kind of file it is
			}
			require.NoError(t, os.WriteFile(path, append(bytes.Clone(whole[:n]), rest...), 0o600))
			j, records := open(t, path)
			require.Equal(t, want[lines], append([]string{}, records...), "cut at %d", n)
			add(t, j, "next")
			require.NoError(t, j.Close())
			j, records = open(t, path)
			require.Equal(t, append(append([]string{}, want[lines]...), "next"), records, "cut at %d", n)
			require.NoError(t, j.Close())
		}
	}
}

// TestADamagedLineIsRefused changes every byte but those of the last line, and the
// end of the line before it.
func TestADamagedLineIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _ := open(t, path)
	add(t, j, "one")
	add(t, j, "two", "three")
	last := func() int64 {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Size()
	}()
	add(t, j, "four")
	require.NoError(t, j.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range last - 1 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, replay := collect()
		_, err := journal.Open(path, replay)
		require.ErrorIs(t, err, journal.ErrDamaged, "byte %d", i)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, damaged, after, "a journal that was refused was changed")
	}
	swapped := bytes.SplitAfter(whole, []byte("\n"))
	swapped[1], swapped[2] = swapped[2], swapped[1]
	require.NoError(t, os.WriteFile(path, bytes.Join(swapped, nil), 0o600))
	_, err = journal.Open(path, func([]byte) error { return nil })
	require.ErrorIs(t, err, journal.ErrDamaged, "lines in another order")
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	j, _ := open(t, path)
	add(t, j, "one")
	_, err := journal.Open(path, func([]byte) error { return nil })
	require.ErrorContains(t, err, "another process has it open")
	require.NoError(t, j.Close())
	refused := errors.New("refused")
	_, err = journal.Open(path, func([]byte) error { return refused })
	require.ErrorIs(t, err, refused)
	require.ErrorContains(t, err, "line 2")
	_, records := open(t, path)
	require.Equal(t, []string{"one"}, records, "what an error of replay has left")

	_, err = journal.Open(filepath.Join(dir, "nothing", "journal"), func([]byte) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist)
	other := filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(other, []byte("a text"), 0o600))
	_, err = journal.Open(other, func([]byte) error { return nil })
	require.ErrorIs(t, err, journal.ErrDamaged)
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _ := open(t, path)
	j.Append([]byte("waits"))
	require.NoError(t, j.Close())
	require.ErrorIs(t, j.Sync(j.Last()), journal.ErrClosed)
	require.ErrorIs(t, j.Sync(j.Append([]byte("late"))), journal.ErrClosed)
	require.ErrorIs(t, j.Close(), journal.ErrClosed)
	_, records := open(t, path)
	require.Equal(t, []string{"waits"}, records)
}

func BenchmarkSync(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			j, _ := open(b, filepath.Join(b.TempDir(), "journal"))
			record := make([]byte, 300)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range (b.N + callers - 1) / callers {
						if err := j.Sync(j.Append(record)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
