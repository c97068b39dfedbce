package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/sqlite"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// fetching is the certificate of a device with a command in its queue.
func fetching(t testing.TB, s *sqlite.Store, name string) [32]byte {
	t.Helper()
	ctx, at, digest := t.Context(), time.Unix(1000, 0), [32]byte([]byte(fmt.Sprintf("%-32s", name)))
	k := ticket("t-" + name)
	k.Session, k.Issued = digest, at
	require.NoError(t, s.IssueTicket(ctx, k, [32]byte{}))
	_, err := s.Download(ctx, enroll.DownloadStep{
		TicketID: k.ID, Challenge: digest, At: at, Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour}, MaxDownloads: 1, MaxAge: time.Hour,
	})
	require.NoError(t, err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: digest, Key: digest, Certificate: []byte(name), Digest: digest, At: at})
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: digest, EnrollmentID: "E-" + name, At: at})
	require.NoError(t, err)
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{
		Certificate: digest, EnrollmentID: "E-" + name, Token: []byte("token"), PushMagic: "magic", At: at, Planned: true,
		Plan: []mdm.Command{{UUID: "c1", EnrollmentID: "E-" + name, RequestType: "DeviceInformation", Payload: []byte("payload"), Queued: at}},
	})
	require.NoError(t, err)
	return digest
}

// exported is everything that a store holds.
func exported(t testing.TB, s *sqlite.Store) string {
	t.Helper()
	var b bytes.Buffer
	_, err := transfer.Export(t.Context(), &b, s, transfer.ExportOptions{Random: strings.NewReader(strings.Repeat("0", 16))})
	require.NoError(t, err)
	return b.String()
}

func TestBackupAndRestore(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	o := sqlite.Options{Keys: [][]byte{bytes.Repeat([]byte{1}, 32)}}
	s := open(t, filepath.Join(dir, "enroll.db"), o)
	certificate := fetching(t, s, "p")
	before := exported(t, s)
	require.NoError(t, s.Backup(ctx, filepath.Join(dir, "backup.db")))
	require.NoError(t, s.SuspendUser(ctx, "u1", true), "the store goes on")
	require.NoError(t, s.Close())

	after := func(path string) {
		t.Helper()
		_, err := sqlite.Open(ctx, path, sqlite.Options{Keys: [][]byte{bytes.Repeat([]byte{2}, 32)}})
		require.ErrorIs(t, err, storage.ErrKey)
		s := open(t, path, o)
		require.Equal(t, before, exported(t, s))
		out, err := s.Exchange(ctx, mdm.ExchangeStep{Certificate: certificate, EnrollmentID: "E-p", Idle: true, At: time.Unix(2000, 0)})
		require.NoError(t, err)
		require.Equal(t, "c1", out.Next.UUID)
		require.NoError(t, s.Close())
	}
	require.NoError(t, sqlite.Restore(ctx, filepath.Join(dir, "backup.db"), filepath.Join(dir, "restored.db")))
	after(filepath.Join(dir, "restored.db"))
	require.NoError(t, sqlite.Restore(ctx, filepath.Join(dir, "backup.db"), filepath.Join(dir, "again.db")))
	after(filepath.Join(dir, "again.db"))
	after(filepath.Join(dir, "backup.db"))
	require.NoError(t, sqlite.Restore(ctx, filepath.Join(dir, "backup.db"), filepath.Join(dir, "opened.db")), "a backup that was opened meanwhile, and closed")

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 5, "something was left")
	if runtime.GOOS != "windows" {
		for _, e := range entries {
			info, err := e.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
		}
	}
}

// TestBackupWhileOthersWrite has writers that issue tickets one after the other:
// each backup has what was acknowledged before it began, and nothing that has a gap.
func TestBackupWhileOthersWrite(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
	const writers, backups, between = 8, 4, 100
	var acknowledged [writers]atomic.Int64
	done := make(chan struct{}, 1<<20)
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	errs := make([]error, writers)
	for w := range writers {
		all.Go(func() {
			for n := int64(1); ctx.Err() == nil && errs[w] == nil; n++ {
				k := ticket(fmt.Sprint("t", w, "-", n))
				k.Session = [32]byte{byte(w), byte(n), byte(n >> 8), byte(n >> 16)}
				if errs[w] = s.IssueTicket(context.Background(), k, [32]byte{}); errs[w] == nil {
					acknowledged[w].Store(n)
					done <- struct{}{}
				}
			}
		})
	}
	var paths []string
	var least [backups][writers]int64
	for i := range backups {
		for range between {
			<-done
		}
		for w := range writers {
			least[i][w] = acknowledged[w].Load()
		}
		paths = append(paths, filepath.Join(dir, fmt.Sprint("backup", i, ".db")))
		require.NoError(t, s.Backup(t.Context(), paths[i]))
	}
	stop()
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	for i, path := range paths {
		restored := filepath.Join(dir, fmt.Sprint("restored", i, ".db"))
		require.NoError(t, sqlite.Restore(t.Context(), path, restored))
		state, err := open(t, restored, sqlite.Options{AllowUnsealed: true}).State(t.Context())
		require.NoError(t, err)
		var got [writers]int64
		for _, k := range state.Tickets {
			var w int
			var n int64
			_, err := fmt.Sscanf(k.ID, "t%d-%d", &w, &n)
			require.NoError(t, err)
			require.Equal(t, got[w]+1, n, "a ticket is missing before %s", k.ID)
			got[w] = n
		}
		for w := range writers {
			require.GreaterOrEqual(t, got[w], least[i][w], "backup %d lacks tickets of writer %d that were acknowledged", i, w)
		}
	}
}

func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "enroll.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true})
	fetching(t, s, "p")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Backup(cancelled, filepath.Join(dir, "backup.db")), context.Canceled)
	require.ErrorIs(t, s.Backup(t.Context(), path), fs.ErrExist, "the database itself")
	require.ErrorIs(t, s.Backup(t.Context(), filepath.Join(dir, "nothing", "backup.db")), fs.ErrNotExist)
	require.ErrorContains(t, s.Backup(t.Context(), ""), "no path")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 3, "something was left beside the database and its log")
	_, err = s.Ticket(t.Context(), "t-p")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Error(t, s.Backup(t.Context(), filepath.Join(dir, "backup.db")), "a closed store")
}

func TestRestoreRefuses(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
	for i := range 50 {
		fetching(t, s, fmt.Sprint("p", i))
	}
	backup := filepath.Join(dir, "backup.db")
	require.NoError(t, s.Backup(ctx, backup))
	whole, err := os.ReadFile(backup)
	require.NoError(t, err)

	for what, b := range map[string][]byte{
		"nothing":            {},
		"a text":             []byte(strings.Repeat("no database ", 500)),
		"a part":             whole[:len(whole)/2],
		"zeros in the index": append(append(bytes.Clone(whole[:len(whole)/2]), make([]byte, 4096)...), whole[len(whole)/2+4096:]...),
	} {
		damaged := filepath.Join(dir, "damaged.db")
		require.NoError(t, os.WriteFile(damaged, b, 0o600))
		require.Error(t, sqlite.Restore(ctx, damaged, filepath.Join(dir, "restored.db")), what)
		require.NoFileExists(t, filepath.Join(dir, "restored.db"), what)
		after, err := os.ReadFile(damaged)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, after), "%s: the backup was changed", what)
		require.NoError(t, os.Remove(damaged))
	}
	for _, there := range []string{"", "-wal", "-shm"} {
		path := filepath.Join(dir, "old"+there+".db")
		require.NoError(t, os.WriteFile(path+there, []byte("what was there"), 0o600))
		require.ErrorIs(t, sqlite.Restore(ctx, backup, path), fs.ErrExist, there)
	}
	require.ErrorContains(t, sqlite.Restore(ctx, filepath.Join(dir, "enroll.db"), filepath.Join(dir, "restored.db")), "-wal", "a database that is open")
	require.ErrorIs(t, sqlite.Restore(ctx, filepath.Join(dir, "nothing.db"), filepath.Join(dir, "restored.db")), fs.ErrNotExist)
	require.NoError(t, sqlite.Restore(ctx, backup, filepath.Join(dir, "restored.db")))
}

// backupChild tells a child of TestBackupIsKilled where its database is.
const backupChild = "ENROLLKIT_BACKUP_CHILD"

// TestBackupIsKilled kills a process that makes one backup after the other: each
// that has its name is whole.
func TestBackupIsKilled(t *testing.T) {
	if dir := os.Getenv(backupChild); dir != "" {
		s := open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
		for i := 0; ; i++ {
			require.NoError(t, s.Backup(t.Context(), filepath.Join(dir, fmt.Sprint("backup", i, ".db"))))
			fmt.Println("made", i)
		}
	}
	for round := range 5 {
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
		for i := range 20 {
			fetching(t, s, fmt.Sprint("p", i))
		}
		want := exported(t, s)
		require.NoError(t, s.Close())
		binary, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestBackupIsKilled$")
		cmd.Env = append(os.Environ(), backupChild+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		n, err := fmt.Fscanln(out, new(string), new(int))
		require.NoError(t, err)
		require.Equal(t, 2, n)
		<-time.After(time.Duration(round) * 3 * time.Millisecond) // anywhere in a later one
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		made, err := filepath.Glob(filepath.Join(dir, "backup*.db"))
		require.NoError(t, err)
		require.NotEmpty(t, made)
		for i, path := range made {
			restored := filepath.Join(dir, fmt.Sprint("restored", i, ".db"))
			require.NoError(t, sqlite.Restore(t.Context(), path, restored))
			require.Equal(t, want, exported(t, open(t, restored, sqlite.Options{AllowUnsealed: true})))
		}
		require.Equal(t, want, exported(t, open(t, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})), "the database itself")
	}
}

func BenchmarkBackup(b *testing.B) {
	dir := b.TempDir()
	s := open(b, filepath.Join(dir, "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.NoError(b, s.Do(func(tx *sqlite.Tx) error {
		for statement := range strings.SplitSeq(strings.TrimSpace(crowd(20_000)), ";\n") {
			if err := tx.Exec(statement); err != nil {
				return err
			}
		}
		return nil
	}))
	for i := 0; b.Loop(); i++ {
		path := filepath.Join(dir, fmt.Sprint("backup", i, ".db"))
		require.NoError(b, s.Backup(b.Context(), path))
		info, err := os.Stat(path)
		require.NoError(b, err)
		b.SetBytes(info.Size())
		require.NoError(b, os.Remove(path))
	}
}
