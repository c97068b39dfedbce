package transfer_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/transfer"
)

func TestExport(t *testing.T) {
	var told []transfer.Progress
	var b bytes.Buffer
	done, err := transfer.Export(t.Context(), &b, &source{records: sample()}, transfer.ExportOptions{
		Page: 1, Progress: func(p transfer.Progress) { told = append(told, p) }, Random: strings.NewReader("0123456789abcdef"),
	})
	require.NoError(t, err)
	require.Equal(t, string(write(t, cursors(sample()))), b.String())
	require.Equal(t, transfer.Progress{Kind: transfer.KindCommand, Records: int64(len(sample())), Bytes: int64(b.Len())}, done)
	require.Len(t, told, len(sample())+1, "a page each, and the end")
	require.Equal(t, done, told[len(sample())])
}

func TestExportOfSomeKinds(t *testing.T) {
	var b bytes.Buffer
	_, err := transfer.Export(t.Context(), &b, &source{records: sample()}, transfer.ExportOptions{Kinds: []transfer.Kind{transfer.KindCommand, transfer.KindUser}})
	require.NoError(t, err)
	entries, err := read(b.Bytes())
	require.NoError(t, err)
	require.Len(t, entries, 4)
	require.Equal(t, transfer.KindUser, entries[0].Record.Kind(), "what others refer to comes first")
	_, err = read(append(bytes.Clone(b.Bytes()[:bytes.IndexByte(b.Bytes(), '\n')+1]), `{"kind":"suspension","record":{"user":"u"}}`+"\n"...))
	var kind *transfer.KindError
	require.ErrorAs(t, err, &kind, "a kind that the header does not name")
}

func TestExportOfWhatCannotBe(t *testing.T) {
	_, err := transfer.Export(t.Context(), &discard{}, &source{records: []transfer.Record{&transfer.Suspension{UserID: "\xff"}}}, transfer.ExportOptions{})
	require.ErrorIs(t, err, transfer.ErrRecord)
	_, err = transfer.Export(t.Context(), &discard{full: true}, &source{records: sample()}, transfer.ExportOptions{})
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = transfer.Export(ctx, &discard{}, &source{records: sample()}, transfer.ExportOptions{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = transfer.Export(t.Context(), &discard{}, stuck{}, transfer.ExportOptions{})
	require.ErrorContains(t, err, "cursor")
}

// stuck gives the same page for ever.
type stuck struct{}

func (stuck) ExportPage(context.Context, transfer.Kind, string, int) ([]transfer.Entry, error) {
	return cursors(sample()[:1]), nil
}

// TestExportFileGoesOn stops an export at each page, and cuts the file at and
// around the end of each line.
func TestExportFileGoesOn(t *testing.T) {
	for _, keys := range [][][]byte{nil, {key(1)}} {
		dir := t.TempDir()
		path := filepath.Join(dir, "fleet.jsonl")
		o := transfer.ExportOptions{Keys: keys, Page: 1}
		check := func(what string, n int) {
			t.Helper()
			done, err := transfer.ExportFile(t.Context(), path, &source{records: sample()}, o)
			require.NoError(t, err, "%s %d", what, n)
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, int64(len(b)), done.Bytes)
			require.Equal(t, int64(len(sample())), done.Records)
			entries, err := read(b, keys...)
			require.NoError(t, err, "%s %d", what, n)
			require.Equal(t, cursors(sample()), entries, "%s %d", what, n)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 1)
			require.NoError(t, os.Remove(path))
		}
		for n := 1; n <= len(sample())+len(transfer.Kinds()); n++ {
			_, err := transfer.ExportFile(t.Context(), path, &source{records: sample(), pages: n}, o)
			require.ErrorIs(t, err, errPage)
			require.NoFileExists(t, path)
			check("stopped at page", n)
		}
		whole := write(t, cursors(sample()), keys...)
		for n := range len(whole) + 1 {
			if around := whole[max(0, n-2):min(len(whole), n+1)]; !bytes.Contains(around, []byte("\n")) && n > 2 && n%400 != 0 {
				continue
			}
			for _, rest := range []string{"", "\x00\x00", "?\n", strings.Repeat("[", 20) + "\n"} { // what a machine that stopped may leave
				if n < bytes.IndexByte(whole, '\n')+1 && rest != "" || rest != "" && n != 0 && whole[n-1] != '\n' || rest != "" && n == len(whole) {
					continue
				}
				require.NoError(t, os.WriteFile(path+".part", append(bytes.Clone(whole[:n]), rest...), 0o600))
				check("cut at", n)
			}
		}
	}
}

func TestExportFileRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fleet.jsonl")
	from := &source{records: sample()}
	_, err := transfer.ExportFile(t.Context(), path, from, transfer.ExportOptions{})
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	_, err = transfer.ExportFile(t.Context(), path, from, transfer.ExportOptions{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = transfer.ExportFile(t.Context(), filepath.Join(dir, "nothing", "fleet.jsonl"), from, transfer.ExportOptions{})
	require.ErrorIs(t, err, fs.ErrNotExist)

	sealed := write(t, cursors(sample()), key(1))
	users := bytes.Replace(write(t, cursors(sample())), []byte(`,"suspension"`), nil, 1)
	for what, c := range map[string]struct {
		begun []byte
		o     transfer.ExportOptions
		want  string
	}{
		"no export":       {[]byte("my diary\n"), transfer.ExportOptions{}, "not an export"},
		"a later version": {[]byte(`{"format":"enrollkit transfer","version":2}` + "\n"), transfer.ExportOptions{}, "version 2"},
		"another key":     {sealed, transfer.ExportOptions{Keys: [][]byte{key(2)}}, "not the key"},
		"no key":          {sealed, transfer.ExportOptions{}, "not the key"},
		"other kinds":     {users[:bytes.IndexByte(users, '\n')+1], transfer.ExportOptions{}, "begun with the kinds"},
		"no cursors":      {withoutEnd(write(t, []transfer.Entry{{Record: sample()[0]}})), transfer.ExportOptions{}, "no cursors"},
	} {
		path := filepath.Join(dir, "other.jsonl")
		require.NoError(t, os.WriteFile(path+".part", c.begun, 0o600))
		_, err := transfer.ExportFile(t.Context(), path, from, c.o)
		require.ErrorContains(t, err, c.want, what)
		after, err := os.ReadFile(path + ".part")
		require.NoError(t, err)
		require.Equal(t, string(c.begun), string(after), "%s: what was refused was changed", what)
	}
}

// withoutEnd is a file that lacks its last line.
func withoutEnd(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }
