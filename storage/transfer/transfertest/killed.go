package transfertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// The environment of a child that imports: where its store is, and which file.
const (
	childPlace = "TRANSFERTEST_CHILD"
	childFile  = "TRANSFERTEST_FILE"
)

// killed kills a process that imports after some of its batches, and begins the
// import again.
func killed(t testing.TB, a Adapter) {
	source := memory.New()
	_, err := grow(t.Context(), source)
	ok(t, err, "the fleet")
	want := records(t, source, 100)
	path := filepath.Join(t.TempDir(), "fleet.jsonl")
	_, err = transfer.ExportFile(t.Context(), path, source, transfer.ExportOptions{})
	ok(t, err, "ExportFile")
	file, err := os.ReadFile(path)
	ok(t, err, "read the export")
	for n := 1; n < len(want)/childBatch; n += 7 {
		place := t.TempDir()
		ok(t, killAfter(t.Context(), strings.Split(t.Name(), "/")[0], place, path, n), fmt.Sprintf("kill after %d batches", n))
		s, err := a.Open(place)
		ok(t, err, "open what the child had open")
		stored := records(t, s, 100)
		if len(stored) < n*childBatch {
			t.Fatalf("%d batches of %d records were acknowledged, and %d records are there", n, childBatch, len(stored))
		}
		if diff := difference(stored, want[:min(len(stored), len(want))]); diff != "" {
			t.Fatalf("what is there after %d batches:\n%s", n, diff)
		}
		done, err := transfer.Import(t.Context(), bytes.NewReader(file), s, transfer.ImportOptions{})
		ok(t, err, "Import again")
		if int(done.Added)+len(stored) != len(want) {
			t.Errorf("%d records were there, %d were added, and there are %d", len(stored), done.Added, len(want))
		}
		same(t, source, s, want)
		closeStore(t, s)
	}
}

// childBatch is how many records a child imports at once.
const childBatch = 6

// killAfter runs a child and kills it when so many batches are acknowledged.
func killAfter(ctx context.Context, test, place, file string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // for a child that hangs
	defer cancel()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+test+"$") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), childPlace+"="+place, childFile+"="+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for seen := 0; seen < n && err == nil; {
		if !lines.Scan() {
			err = errors.New("the child ended before")
		} else if strings.HasPrefix(lines.Text(), "imported ") {
			seen++
		}
	}
	if kill := cmd.Process.Kill(); err == nil {
		err = kill
	}
	_ = cmd.Wait() // it was killed
	return err
}

// child imports until it is killed.
func child(t testing.TB, a Adapter, place string) {
	f, err := os.Open(os.Getenv(childFile))
	ok(t, err, "open the export")
	defer func() { _ = f.Close() }()
	s, err := a.Open(place)
	ok(t, err, "open")
	_, err = transfer.Import(t.Context(), f, s, transfer.ImportOptions{Batch: childBatch, Progress: func(p transfer.Progress) {
		fmt.Println("imported", p.Records)
	}})
	ok(t, err, "Import")
}
