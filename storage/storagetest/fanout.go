package storagetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// FanOut is a fan-out to be measured: one command for each of so many enrolled
// devices, whose EnrollmentIDs are E1, E2 and so on.
type FanOut struct {
	Devices int
	Enqueue func(ctx context.Context, commands ...mdm.Command) error
	// Finish ends all commands and pushes, so that each round meets the same.
	Finish func()
	// Floors are done bare in each round, with commands that have the same EnrollmentIDs
	// and payloads and UUIDs of their own.
	Floors []Floor
}

// Floor is what a database does beside a fan-out. What Prepare does is not
// measured.
type Floor struct {
	Name    string
	Prepare func(commands []mdm.Command) (run func())
}

// Benchmark reports how long the fan-out and its floors take in the middle of all
// rounds, since a checkpoint of the database in one of them says nothing, and how
// many times as long as each floor the fan-out does.
func (f FanOut) Benchmark(b *testing.B) {
	b.Helper()
	payload := make([]byte, 400)
	commands := func(prefix string) []mdm.Command {
		list, now := make([]mdm.Command, f.Devices), time.Now()
		for i := range list {
			list[i] = mdm.Command{
				UUID: fmt.Sprint(prefix, i), EnrollmentID: fmt.Sprint("E", i+1), RequestType: "DeviceInformation", Payload: payload, Queued: now,
			}
		}
		return list
	}
	var enqueued []time.Duration
	floors := make([][]time.Duration, len(f.Floors))
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		list := commands(fmt.Sprint("fan", round, "-"))
		f.Finish()
		b.StartTimer()
		begun := time.Now()
		err := f.Enqueue(b.Context(), list...)
		enqueued = append(enqueued, time.Since(begun))
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		for i, floor := range f.Floors {
			run := floor.Prepare(commands(fmt.Sprint(floor.Name, round, "-")))
			f.Finish()
			begun := time.Now()
			run()
			floors[i] = append(floors[i], time.Since(begun))
		}
		b.StartTimer()
	}
	b.ReportMetric(micros(enqueued)/1000, "ms-median")
	for i, floor := range f.Floors {
		b.ReportMetric(micros(floors[i])/1000, "ms-"+floor.Name)
		b.ReportMetric(micros(enqueued)/micros(floors[i]), "x-"+floor.Name)
	}
}
