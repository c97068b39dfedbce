package bench_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// sizes asks for the table of TestSizes: go test -run Sizes -v -sizes 1000,100000
var sizes = flag.String("sizes", "", "compare stores of so many enrollments, such as 1000,100000,1000000")

// TestSizes is a table of what requests cost on the store in memory beside more
// and fewer enrollments, with longer and shorter queues and histories. The steps
// of that store alone are so short that caches of the processor show; tests beside
// the adapters have tables of steps.
func TestSizes(t *testing.T) {
	if *sizes == "" {
		t.Log("no -sizes")
		return
	}
	const rounds = 200
	list, err := storagetest.ParseSizes(*sizes)
	require.NoError(t, err)
	type place struct {
		enrollments, queue int
		phone
		fresh []request // first Authenticates
		took  [3][]time.Duration
	}
	var places []*place
	for _, n := range list {
		w := newWorld(t, memory.New())
		for i := range n {
			other(t, w.store, i)
		}
		for _, queue := range []int{1, 100, 10_000} {
			p := &place{enrollments: n, queue: queue, phone: w.enrolled()}
			for range rounds {
				p.fresh = append(p.fresh, w.phone().authenticate())
			}
			p.enqueue(t, 0, queue)
			w.send(p.idle())
			for i := range queue {
				w.send(p.report(fmt.Sprint(i)))
			}
			p.enqueue(t, queue, queue+1)
			w.send(p.idle())
			places = append(places, p)
		}
	}
	for round := range rounds {
		for _, p := range places { // in turns
			p.enqueue(t, 2*p.queue+1+round, 1) // one comes for each that goes
			for i, r := range []request{p.report(fmt.Sprint(p.queue + round)), p.tokenUpdate(), p.fresh[round]} {
				begun := time.Now()
				body := p.w.send(r)
				p.took[i] = append(p.took[i], time.Since(begun))
				require.Equal(t, i == 0, len(body) > 0, "a command is answered to a report, and to it alone")
			}
		}
	}
	t.Logf("medians of %d rounds, in µs\n%12s %8s %17s %17s %17s", rounds, "enrollments", "queue", "connect", "TokenUpdate", "Authenticate")
	for _, p := range places {
		line := fmt.Sprintf("%12d %8d", p.enrollments, p.queue)
		for i, took := range p.took {
			slices.Sort(took)
			slices.Sort(places[0].took[i])
			line += fmt.Sprintf(" %10.1f (%.2f)", float64(took[rounds/2].Nanoseconds())/1000, float64(took[rounds/2])/float64(places[0].took[i][rounds/2]))
		}
		t.Log(line)
	}
}

// enqueue gives the phone commands that are named by numbers.
func (p phone) enqueue(t *testing.T, from, n int) {
	t.Helper()
	var list []mdm.Command
	for i := from; i < from+n; i++ {
		list = append(list, mdm.Command{UUID: fmt.Sprint(i), EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: make([]byte, 400), Queued: time.Now()})
	}
	require.NoError(t, p.w.store.Enqueue(t.Context(), list...))
}

// other enrolls one more device by the steps of the store.
func other(t *testing.T, s storage.Store, n int) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	name := fmt.Sprint("other-", n)
	digest := sha256.Sum256([]byte(name))
	ticket := enroll.Ticket{
		ID: "t-" + name, Ref: "7KQ2M9XC", UserID: "user of " + name, Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		State: enroll.TicketIssued, Session: digest, Issued: now,
	}
	require.NoError(t, s.IssueTicket(ctx, ticket, [32]byte{}))
	_, err := s.Download(ctx, enroll.DownloadStep{
		TicketID: ticket.ID, Challenge: digest, At: now, MaxDownloads: 1, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour},
	})
	require.NoError(t, err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: digest, Key: digest, Certificate: digest[:], Digest: digest, NotAfter: now.Add(time.Hour), At: now})
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: digest, EnrollmentID: "E-" + name, Topic: topic, At: now})
	require.NoError(t, err)
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{
		Certificate: digest, EnrollmentID: "E-" + name, Topic: topic, Token: digest[:], PushMagic: name, Planned: true, At: now,
	})
	require.NoError(t, err)
}
