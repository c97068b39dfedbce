package mysql_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// TestManyAtOnce lets devices, workers and administrators loose on two nodes.
// Nobody gets an error but devices of a suspended user, and every command is
// answered once.
func TestManyAtOnce(t *testing.T) {
	const devices, fanOuts = 24, 12
	o := patient(newDSN(t))
	nodes := []*mysql.Store{open(t, o), open(t, o)}
	for i := range devices {
		enrolled(t, nodes[0], fmt.Sprint(i))
	}
	var mu sync.Mutex
	answered := map[string]int{}
	over := make(chan struct{})
	var admins, others sync.WaitGroup
	failed := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := t.Context()

	for n := range fanOuts { // to all, in one order and the other
		admins.Go(func() {
			commands := make([]mdm.Command, devices)
			for i := range commands {
				commands[i] = mdm.Command{UUID: fmt.Sprint("fan", n), EnrollmentID: fmt.Sprint("E-", (i*(2*(n%2)-1)+devices)%devices), Queued: sealedAt}
			}
			for range 2 { // and again
				failed("Enqueue", nodes[n%2].Enqueue(ctx, commands...))
			}
		})
	}
	admins.Go(func() {
		for n := range 40 {
			failed("SuspendUser", nodes[n%2].SuspendUser(ctx, "u1", n%2 == 0))
			failed("RevokeTokens", nodes[n%2].RevokeTokens(ctx, fmt.Sprint("E-", n%devices)))
		}
	})
	for n := range 3 { // who pushes
		others.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // to be repeated, not secret
			for !done(over) {
				targets, err := nodes[n%2].ClaimPushes(ctx, sealedAt.Add(time.Hour), time.Minute, 10)
				failed("ClaimPushes", err)
				var results []push.Result
				for _, target := range targets {
					r := push.Result{Target: target, Status: 200, At: sealedAt}
					if rng.IntN(3) == 0 {
						r.Status, r.Retry = 503, sealedAt.Add(time.Minute)
					}
					results = append(results, r)
				}
				rng.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
				failed("SettlePushes", nodes[(n+1)%2].SettlePushes(ctx, results...))
			}
		})
	}
	for i := range devices {
		for n := range 2 { // a device that comes by two ways at the same time
			others.Go(func() {
				work(ctx, nodes[n], i, over, func(err error) { failed("device", err) }, func(uuid string) {
					mu.Lock()
					answered[fmt.Sprint(i, " ", uuid)]++
					mu.Unlock()
				})
			})
		}
	}
	admins.Wait()
	close(over)
	others.Wait()

	state, err := nodes[1].State(ctx)
	require.NoError(t, err)
	require.Len(t, state.Commands, devices*(fanOuts+1))
	for _, c := range state.Commands {
		require.Equal(t, mdm.CommandAcknowledged, c.Status, c.UUID)
	}
	require.Len(t, answered, devices*(fanOuts+1))
	for what, n := range answered {
		require.Equal(t, 1, n, what)
	}
}

func done(over chan struct{}) bool {
	select {
	case <-over:
		return true
	default:
		return false
	}
}

// work is a device that fetches, answers, says NotNow and sends tokens, until
// it is told to end and nothing is left.
func work(ctx context.Context, s *mysql.Store, i int, over chan struct{}, failed func(error), answered func(uuid string)) {
	certificate, id := sha256.Sum256(fmt.Append(nil, i)), fmt.Sprint("E-", i)
	rng := rand.New(rand.NewPCG(uint64(i), 2)) //nolint:gosec // to be repeated, not secret
	x := mdm.ExchangeStep{Idle: true}
	for {
		last := done(over)
		x.Certificate, x.EnrollmentID, x.At, x.NotNowRetry = certificate, id, sealedAt, time.Minute
		out, err := s.Exchange(ctx, x)
		if errors.Is(err, mdm.ErrSuspended) {
			continue
		}
		failed(err)
		if out.Reported != nil && out.Reported.Status == mdm.CommandAcknowledged {
			answered(out.Reported.UUID)
		}
		if err != nil || last && out.Next == nil && x.Idle {
			return
		}
		if rng.IntN(10) == 0 {
			_, err := s.TokenUpdate(ctx, mdm.TokenUpdateStep{Certificate: certificate, EnrollmentID: id, Token: []byte("t"), PushMagic: "m", At: sealedAt})
			if !errors.Is(err, mdm.ErrSuspended) {
				failed(err)
			}
		}
		x = mdm.ExchangeStep{Idle: true}
		if out.Next != nil {
			x = mdm.ExchangeStep{CommandUUID: out.Next.UUID, Status: mdm.CommandAcknowledged}
			if rng.IntN(4) == 0 && !last {
				x.Status = mdm.CommandNotNow
			}
		}
	}
}
