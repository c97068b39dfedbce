package adapter_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/examples/adapter"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// People in one store, devices in another: each field takes the interface that it
// needs, and a step never crosses from one to the other.
func Example_mixed() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "adapter")
	must(err)
	defer os.RemoveAll(dir)
	devices, err := adapter.Open(filepath.Join(dir, "journal"))
	must(err)
	people := memory.New() // such as your directory
	provisioner, err := jit.New(jit.Config{Store: people})
	must(err)

	portal := enroll.Config{
		Tickets: devices, Sessions: people, States: people, Users: people,
		Provisioner: provisioner, Account: &enroll.AccountConfig{Store: devices},
	}
	server := mdm.Config{Store: devices}
	worker := push.WorkerConfig{Store: devices}

	user, _, err := portal.Provisioner.SignIn(ctx, jit.Identity{Issuer: "https://idp.example.com", Subject: "1", PreferredUsername: "alice@example.com"})
	must(err)
	at := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	must(portal.Tickets.IssueTicket(ctx, enroll.Ticket{ID: "t1", UserID: user.ID, Way: mdm.WayProfile, Issued: at}, [32]byte{}))
	must(server.Store.SuspendUser(ctx, user.ID, true)) // of the devices
	must(people.Suspend(ctx, user.ID, true))           // of the person
	_, err = worker.Store.ClaimPushes(ctx, at, time.Minute, 10)
	must(err)
	must(devices.Close())

	devices, err = adapter.Open(filepath.Join(dir, "journal"))
	must(err)
	defer devices.Close()
	ticket, err := devices.Ticket(ctx, "t1")
	must(err)
	fmt.Println(ticket.UserID == user.ID, ticket.State)
	_, err = devices.User(ctx, user.ID)
	fmt.Println("among the devices:", err)
	// Output:
	// true issued
	// among the devices: jit: unknown user
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
