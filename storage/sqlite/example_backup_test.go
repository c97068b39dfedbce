package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// A backup is made while the server runs. When the disk is lost, it is put in the
// place of the database.
func ExampleStore_Backup() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enroll")
	must(err)
	defer os.RemoveAll(dir)
	path, backup := filepath.Join(dir, "enroll.db"), filepath.Join(dir, "2026-11-24.db")

	s, err := sqlite.Open(ctx, path, sqlite.Options{AllowUnsealed: true})
	must(err)
	must(s.SuspendUser(ctx, "u1", true))
	must(s.Backup(ctx, backup))
	must(s.Close())
	must(os.Remove(path)) // the disk is lost

	must(sqlite.Restore(ctx, backup, path))
	s, err = sqlite.Open(ctx, path, sqlite.Options{AllowUnsealed: true})
	must(err)
	defer s.Close()
	page, err := s.ExportPage(ctx, "suspension", "", 10)
	must(err)
	fmt.Println("suspended:", page[0].Record.Name())
	// Output: suspended: u1
}
