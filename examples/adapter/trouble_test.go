package adapter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/examples/adapter"
	"github.com/enrollkit/enrollkit/examples/adapter/journal"
	"github.com/enrollkit/enrollkit/internal/troubletest"
)

// TestTroubles is the list of what may befall a journal, while devices ask.
func TestTroubles(t *testing.T) {
	troubletest.List{
		WrongMasterKey:       troubletest.DoesNotApply("a journal is not sealed"),
		FullDisk:             fullDisk,
		ReadOnlyDatabase:     readOnly,
		DroppedConnection:    troubletest.DoesNotApply("a file has no connection; storagetest kills its process"),
		SerializationFailure: anotherProcess,
		FutureSchema:         journalOfTomorrow,
	}.Run(t)
}

// fullDisk has the journal on a file system without room. It has to be opened
// again then: its machine may have taken steps that are not on the disk.
func fullDisk(t *testing.T) {
	troubletest.SmallDisk(t, 8<<20, func(t *testing.T, d troubletest.Disk) {
		path := filepath.Join(d.Dir, "journal")
		s := open(t, path)
		w := troubletest.New(t, s)
		free := d.Fill()
		w.Survives("no space left on device", troubletest.Report)
		free()
		w.Refuses("no space left on device")
		require.ErrorContains(t, s.Close(), "no space left on device")
		w.On(open(t, path))
		w.Heals()
	})
}

func readOnly(t *testing.T) {
	troubletest.SmallDisk(t, 8<<20, func(t *testing.T, d troubletest.Disk) {
		path := filepath.Join(d.Dir, "journal")
		s := open(t, path)
		w := troubletest.New(t, s)
		require.NoError(t, s.Close())
		w.Refuses(journal.ErrClosed.Error())
		d.ReadOnly(true)
		_, err := adapter.Open(path)
		require.ErrorContains(t, err, "read-only file system")
		d.ReadOnly(false)
		w.On(open(t, path))
		w.Heals()
	})
}

// anotherProcess is refused the journal, and who has it goes on.
func anotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	w := troubletest.New(t, open(t, path))
	_, err := adapter.Open(path)
	require.ErrorContains(t, err, path)
	t.Logf("Open: %v", err)
	w.Heals()
}

func journalOfTomorrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	s := open(t, path)
	w := troubletest.New(t, s)
	require.NoError(t, s.Close())
	today, err := os.ReadFile(path)
	require.NoError(t, err)
	tomorrow := bytes.Replace(today, []byte("journal 1\n"), []byte("journal 2\n"), 1)
	require.NotEqual(t, today, tomorrow)
	require.NoError(t, os.WriteFile(path, tomorrow, 0o600))
	_, err = adapter.Open(path)
	require.ErrorIs(t, err, journal.ErrDamaged)
	require.ErrorContains(t, err, "journal 2")
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, tomorrow, left)
	require.NoError(t, os.WriteFile(path, today, 0o600))
	w.On(open(t, path))
	w.Heals()
}
