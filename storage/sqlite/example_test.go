package sqlite_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// What was acknowledged is there when the server starts again.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enroll")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "enroll.db")

	s, err := sqlite.Open(ctx, path, sqlite.Options{AllowUnsealed: true})
	must(err)
	must(s.IssueTicket(ctx, enroll.Ticket{
		ID: "t1", Ref: "7KQ2M9XC", UserID: "u1", Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		Session: sha256.Sum256([]byte("session")), Issued: time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC),
	}, [32]byte{}))
	must(s.Close())

	s, err = sqlite.Open(ctx, path, sqlite.Options{AllowUnsealed: true})
	must(err)
	t, err := s.Ticket(ctx, "t1")
	must(err)
	fmt.Println(t.Ref, t.State, t.Issued)
	must(s.Close())
	// Output: 7KQ2M9XC issued 2026-11-24 09:00:00 +0000 UTC
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
