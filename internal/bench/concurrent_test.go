package bench_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// BenchmarkConcurrent measures requests of 64 phones that come at the same time,
// on SQLite, where one commit serves many. "x-one" is how many times as many are
// answered as when the same requests come one after the other, each with a commit
// of its own; the two take turns.
func BenchmarkConcurrent(b *testing.B) {
	const devices = 64
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	w := newWorld(b, store)
	// Run measures rounds of a request of each phone.
	run := func(b *testing.B, prepare func() []request) {
		b.Helper()
		var one, all []time.Duration
		for b.Loop() {
			b.StopTimer()
			list := prepare()
			begun := time.Now()
			for _, r := range list {
				w.send(r)
			}
			one = append(one, time.Since(begun))
			list = prepare()
			var phones sync.WaitGroup
			b.StartTimer()
			begun = time.Now()
			for _, r := range list {
				phones.Go(func() { w.send(r) })
			}
			phones.Wait()
			all = append(all, time.Since(begun))
		}
		middle := func(list []time.Duration) float64 {
			slices.Sort(list)
			return float64(list[len(list)/2].Microseconds()) / devices
		}
		b.ReportMetric(middle(one), "µs-one")
		b.ReportMetric(middle(all), "µs-of-64")
		b.ReportMetric(middle(one)/middle(all), "x-one")
	}
	b.Run("Authenticate", func(b *testing.B) {
		run(b, func() (list []request) {
			for range devices {
				list = append(list, w.phone().authenticate())
			}
			return list
		})
	})
	phones := make([]phone, devices)
	for i := range phones {
		phones[i] = w.enrolled()
	}
	b.Run("TokenUpdate", func(b *testing.B) {
		run(b, func() (list []request) {
			for _, p := range phones {
				list = append(list, p.tokenUpdate())
			}
			return list
		})
	})
	b.Run("ReportAndNext", func(b *testing.B) {
		n := 0
		enqueue := func() {
			var list []mdm.Command
			for _, p := range phones {
				list = append(list, mdm.Command{
					UUID: fmt.Sprint("C", n), EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: make([]byte, 400), Queued: time.Now(),
				})
			}
			require.NoError(b, store.Enqueue(b.Context(), list...))
			n++
		}
		enqueue()
		for _, p := range phones {
			w.send(p.idle())
		}
		run(b, func() (list []request) {
			enqueue()
			for _, p := range phones {
				list = append(list, p.report(fmt.Sprint("C", n-2)))
			}
			return list
		})
	})
}
