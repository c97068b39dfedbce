package storage_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// What help desks, audits and demonstrations ask is read off the state.
func ExampleStore() {
	ctx := context.Background()
	var store storage.Store = memory.New()
	for i, user := range []string{"u1", "u2"} {
		ticket := enroll.Ticket{
			ID: fmt.Sprint("t", i), Ref: "7KQ2M9X" + fmt.Sprint(i), UserID: user, Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
			Session: sha256.Sum256([]byte(user)), Issued: time.Date(2026, time.November, 24, 9, i, 0, 0, time.UTC),
		}
		if err := store.IssueTicket(ctx, ticket, [32]byte{}); err != nil {
			panic(err)
		}
	}
	state, err := store.State(ctx)
	if err != nil {
		panic(err)
	}
	for _, t := range state.Tickets {
		fmt.Println(t.Issued.Format(time.TimeOnly), t.Ref, t.UserID, t.State)
	}
	// Output:
	// 09:00:00 7KQ2M9X0 u1 issued
	// 09:01:00 7KQ2M9X1 u2 issued
}

// What is over goes after a while, a server's loop sees to it. Here is one turn
// of it, two hours later.
func ExampleRetention() {
	ctx := context.Background()
	store := memory.New()
	now := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	// Somebody opens the sign-in page and goes away.
	if err := store.OpenState(ctx, sha256.Sum256([]byte("a state")), now.Add(10*time.Minute)); err != nil {
		panic(err)
	}
	retention := storage.Retention{Store: store, Now: func() time.Time { return now }}
	for range 2 {
		n, err := retention.Prune(ctx) // Run(ctx) does so at the start and every quarter of an hour
		if err != nil {
			panic(err)
		}
		fmt.Println(now.Format(time.TimeOnly), n)
		now = now.Add(2 * time.Hour)
	}
	// Output:
	// 09:00:00 0
	// 11:00:00 1
}
