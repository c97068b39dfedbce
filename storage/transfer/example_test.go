package transfer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

// One store is exported to a sealed file, and another one takes it over.
func Example() {
	ctx, from, into := context.Background(), memory.New(), memory.New()
	_, _, err := from.Provision(ctx, jit.Profile{ID: "u1", Issuer: "https://idp.example.com", Subject: "1", DisplayName: "Alice", At: time.Now()})
	must(err)
	must(from.SuspendUser(ctx, "u1", true))

	dir, err := os.MkdirTemp("", "transfer")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "fleet.jsonl")
	keys := [][]byte{[]byte("32 random bytes, kept elsewhere.")}
	show := func(p transfer.Progress) { fmt.Println(p.Records, "records, the last one a", p.Kind) }
	_, err = transfer.ExportFile(ctx, path, from, transfer.ExportOptions{Keys: keys, Progress: show})
	must(err)

	file, err := os.Open(path)
	must(err)
	defer file.Close()
	done, err := transfer.Import(ctx, file, into, transfer.ImportOptions{Keys: keys})
	must(err)
	u, err := into.User(ctx, "u1")
	must(err)
	fmt.Println(done.Added, "records added, of", u.DisplayName)
	// Output:
	// 1 records, the last one a user
	// 2 records, the last one a suspension
	// 2 records, the last one a suspension
	// 2 records added, of Alice
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
