package push_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

func TestWorkerWakesAtAKick(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		all := devices(250) // more than are in flight at once
		p.want(all...)
		require.Empty(t, p.store.pending())
		require.Zero(t, time.Since(p.start), "no time passes for what is due")
		require.Len(t, p.reached(), 250)
		require.Equal(t, 1, p.apns.Connections())

		results := p.spy.pushed()
		require.Len(t, results, 250)
		last := p.store.row(all[0]).last
		require.Equal(t, 200, last.Status)
		require.Equal(t, p.start.UTC(), last.At)
		require.Equal(t, all[0].Token, last.Target.Token)
		require.Len(t, last.ID, 36)
		require.Contains(t, results, last)

		p.want(all[7])
		require.Equal(t, 2, p.reached()[all[7].Magic])
		require.Equal(t, 1, p.apns.Connections())
	})
}

func TestWorkerLooksByItself(t *testing.T) {
	inPlant(t, func(c *push.WorkerConfig) { c.Interval = 3 * time.Second }, func(t *testing.T, p *plant) {
		p.store.want(device(1)) // by another process
		p.pass(3*time.Second - 1)
		require.Empty(t, p.apns.Pushes())
		p.pass(1)
		require.Len(t, p.apns.Pushes(), 1)

		before := p.store.claimed()
		p.pass(time.Minute)
		require.Equal(t, before+20, p.store.claimed(), "it does nothing between two looks")
	})
}

func TestWorkerCoalesces(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Delay: time.Second} })
		for range 50 {
			p.store.want(device(1))
		}
		p.want()
		for range 50 { // while the push is in flight
			p.want(device(1))
		}
		p.pass(time.Minute)
		require.Len(t, p.apns.Pushes(), 2, "what was asked for after the claim is not settled by it")
		require.Empty(t, p.store.pending())
	})
}

// TestWorkerOneDeviceDelaysNoOther: slow, asked to wait for an hour, or of another
// topic.
func TestWorkerOneDeviceDelaysNoOther(t *testing.T) {
	slow, busy, strange := device(1000), device(1001), device(1002)
	strange.Topic = "com.apple.mgmt.External.other"
	inPlant(t, nil, func(t *testing.T, p *plant) {
		p.apns.Script(func(push pushtest.Push) pushtest.Reply {
			switch push.Magic {
			case slow.Magic:
				return pushtest.Reply{Fault: pushtest.Silent}
			case busy.Magic:
				return pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "3600"}
			}
			return pushtest.Reply{}
		})
		p.store.want(slow, busy, strange)
		p.want(devices(300)...)
		require.Len(t, p.reached(), 300)
		require.Zero(t, time.Since(p.start))

		require.Equal(t, 429, p.store.row(busy).last.Status)
		require.Equal(t, p.start.Add(time.Hour).UTC(), p.store.row(busy).last.Retry)
		require.WithinRange(t, p.store.row(strange).last.Retry, p.start.Add(5*time.Second), p.start.Add(10*time.Second))
		require.False(t, p.store.row(strange).last.Dead)
		require.Zero(t, p.store.row(slow).results, "it is still waited for")

		p.pass(10 * time.Second)
		last := p.store.row(slow).last
		require.Equal(t, push.Result{Target: last.Target, ID: last.ID, At: p.start.Add(10 * time.Second).UTC(), Retry: last.Retry}, last)
		require.WithinRange(t, last.Retry, last.At.Add(5*time.Second), last.At.Add(10*time.Second))

		p.apns.Accept()
		p.pass(30 * time.Second)
		require.Equal(t, 1, p.reached()[slow.Magic])
		p.pass(time.Hour - 41*time.Second)
		require.Zero(t, p.reached()[busy.Magic])
		p.pass(6 * time.Second)
		require.Equal(t, 1, p.reached()[busy.Magic])
		require.Empty(t, p.spy.paused())
		require.Equal(t, []string{strange.EnrollmentID}, p.store.pending())
		require.Equal(t, 1, p.apns.Connections())
	})
}

func TestWorkerRetries(t *testing.T) {
	for name, c := range map[string]struct {
		reply  pushtest.Reply
		fewest int // attempts within a day
		most   int
	}{
		"HTML 502":               {pushtest.Reply{Fault: pushtest.HTML}, 24, 60},
		"200 MB":                 {pushtest.Reply{Fault: pushtest.Giant}, 24, 60},
		"503":                    {pushtest.Reply{Status: 503, Reason: "Shutdown"}, 24, 60},
		"GOAWAY":                 {pushtest.Reply{Fault: pushtest.GoAway, Reason: "Shutdown"}, 24, 60},
		"silence":                {pushtest.Reply{Fault: pushtest.Silent}, 24, 60},
		"redirect":               {pushtest.Reply{Fault: pushtest.Redirect}, 24, 60},
		"unknown reason":         {pushtest.Reply{Status: 400, Reason: "InventedTomorrow"}, 24, 60},
		"429":                    {pushtest.Reply{Status: 429, Reason: "TooManyRequests"}, 24, 60},
		"429 for two hours":      {pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "7200"}, 12, 12},
		"429 for ten years":      {pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "315360000"}, 1, 1},
		"429 with no Retry":      {pushtest.Reply{Status: 429, Reason: "TooManyRequests", RetryAfter: "-1"}, 24, 60},
		"503 for two hours":      {pushtest.Reply{Status: 503, Reason: "ServiceUnavailable", RetryAfter: "7200"}, 12, 12},
		"413 that is not APNs's": {pushtest.Reply{Status: 413, Fault: pushtest.HTML}, 24, 60},
	} {
		t.Run(name, func(t *testing.T) {
			inPlant(t, seldom, func(t *testing.T, p *plant) {
				p.apns.Script(func(pushtest.Push) pushtest.Reply { return c.reply })
				p.want(device(1))
				p.pass(24*time.Hour - time.Minute)
				row := p.store.row(device(1))
				require.GreaterOrEqual(t, row.results, c.fewest)
				require.LessOrEqual(t, row.results, c.most)
				require.Contains(t, []int{row.results, row.results + 1}, p.apns.Requests(), "one may be in flight")
				require.Equal(t, c.reply.Reason, row.last.Reason)
				require.False(t, row.last.Dead)

				p.apns.Accept()
				p.pass(25 * time.Hour)
				require.Len(t, p.apns.Pushes(), 1, "it is not given up")
				require.Empty(t, p.store.pending())
			})
		})
	}
}

func TestWorkerDeadTokens(t *testing.T) {
	hour := time.Hour
	for name, c := range map[string]struct {
		status int
		reason string
		since  func(now time.Time) time.Time
		dead   func(now time.Time) time.Time
		kept   bool
	}{
		"Unregistered": {
			410, "Unregistered",
			func(now time.Time) time.Time { return now.Add(hour) }, func(now time.Time) time.Time { return now }, false,
		},
		"ExpiredToken": {
			410, "ExpiredToken",
			func(now time.Time) time.Time { return now }, func(now time.Time) time.Time { return now }, false,
		},
		"Unregistered without a time": {410, "Unregistered", nil, nil, false},
		"older than the last TokenUpdate": {
			410, "Unregistered",
			func(now time.Time) time.Time { return now.Add(-hour) }, func(now time.Time) time.Time { return now.Add(-hour) }, true,
		},
		"BadDeviceToken":         {400, "BadDeviceToken", nil, nil, false},
		"DeviceTokenNotForTopic": {400, "DeviceTokenNotForTopic", nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			inPlant(t, nil, func(t *testing.T, p *plant) {
				var since, dead time.Time
				if c.since != nil {
					since, dead = c.since(p.start).UTC(), c.dead(p.start).UTC()
				}
				p.apns.Reject(c.status, c.reason, since)
				p.want(device(1))
				last := p.store.row(device(1)).last
				require.True(t, last.Dead)
				require.Equal(t, dead, last.DeadAt)
				require.Equal(t, c.status, last.Status)
				require.Equal(t, c.reason, last.Reason)

				p.apns.Accept()
				p.pass(time.Hour)
				if c.kept {
					require.Len(t, p.apns.Pushes(), 1, "the token is newer than its death: it is tried again")
					return
				}
				require.Empty(t, p.apns.Pushes())
				require.Equal(t, 1, p.apns.Requests())
				p.store.tokenUpdate(device(1), []byte("another token"))
				p.worker.Kick()
				synctest.Wait()
				require.Equal(t, []byte("another token"), p.apns.Pushes()[0].Token)
			})
		})
	}
}

// TestWorkerNewTokenWhileInFlight: the death of the old token is not the end of
// what was asked for.
func TestWorkerNewTokenWhileInFlight(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		p.apns.Script(func(push pushtest.Push) pushtest.Reply {
			if bytes.Equal(push.Token, device(1).Token) {
				return pushtest.Reply{Status: 410, Reason: "Unregistered", Delay: time.Second}
			}
			return pushtest.Reply{}
		})
		p.want(device(1))
		p.store.tokenUpdate(device(1), []byte("another token"))
		p.pass(time.Minute)
		require.Equal(t, []byte("another token"), p.apns.Pushes()[0].Token)
		require.Empty(t, p.store.pending())
	})
}

// TestWorkerKeepsTokensOfAWholeFleet: with the wrong host or certificate APNs knows
// none of the tokens, which must not be forgotten for that.
func TestWorkerKeepsTokensOfAWholeFleet(t *testing.T) {
	for _, reason := range []string{"BadDeviceToken", "DeviceTokenNotForTopic"} {
		t.Run(reason, func(t *testing.T) {
			inPlant(t, seldom, func(t *testing.T, p *plant) {
				p.apns.Reject(400, reason, time.Time{})
				p.want(devices(500)...)
				require.Equal(t, 500-push.BadStreak, p.store.tokens())
				p.pass(24 * time.Hour)
				require.Equal(t, 500-push.BadStreak, p.store.tokens())
				pauses := p.spy.paused()
				require.ErrorIs(t, pauses[0].err, push.ErrTokens)
				require.Less(t, p.apns.Requests(), 1000, "one in five minutes")

				p.apns.Accept()
				p.pass(time.Hour)
				require.Len(t, p.reached(), 500-push.BadStreak)
			})
		})
	}
}

// TestWorkerWithACertificateOfAnotherTopic: nothing is sent and nothing forgotten,
// and all is well again with the right one.
func TestWorkerWithACertificateOfAnotherTopic(t *testing.T) {
	var swap swapped
	inPlant(t, func(c *push.WorkerConfig) { swap.Pusher, c.Pusher = c.Pusher, &swap }, func(t *testing.T, p *plant) {
		created, err := push.ParseCertificate(issue(t, p.apns, "com.apple.mgmt.External.other"))
		require.NoError(t, err)
		right := swap.Pusher
		swap.use(newClient(t, p.apns, over(p.net), func(c *push.ClientConfig) { c.Certificate = created }))
		p.want(devices(500)...)
		p.pass(time.Minute)
		require.Zero(t, p.apns.Requests())
		require.Zero(t, p.net.dialed())
		require.Len(t, p.store.pending(), 500)
		require.Equal(t, 500, p.store.tokens())
		require.True(t, strings.Contains(p.log.String(), "level=ERROR"))
		require.True(t, strings.Contains(p.log.String(), "renew the certificate"))

		swap.use(right)
		p.pass(2 * time.Minute)
		require.Empty(t, p.store.pending())
		require.Len(t, p.reached(), 500)
	})
}

// swapped is a Pusher that is another one from time to time.
type swapped struct {
	mu sync.Mutex // guards the field below
	push.Pusher
}

func (s *swapped) use(p push.Pusher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Pusher = p
}

func (s *swapped) Push(ctx context.Context, target push.Target) (push.Answer, error) {
	s.mu.Lock()
	p := s.Pusher
	s.mu.Unlock()
	return p.Push(ctx, target)
}

// TestWorkerStopsWhenRefused: nothing is sent but one push now and then, until the
// certificate is put right.
func TestWorkerStopsWhenRefused(t *testing.T) {
	for name, reply := range map[string]pushtest.Reply{
		"403":                 {Status: 403, Reason: "BadCertificate"},
		"403 environment":     {Status: 403, Reason: "BadCertificateEnvironment"},
		"400 topic":           {Status: 400, Reason: "TopicDisallowed"},
		"GOAWAY":              {Fault: pushtest.GoAway, Reason: "BadCertificate"},
		"413":                 {Status: 413, Reason: "PayloadTooLarge"},
		"a page with no JSON": {Status: 403, Fault: pushtest.HTML},
	} {
		t.Run(name, func(t *testing.T) {
			inPlant(t, nil, func(t *testing.T, p *plant) {
				p.apns.Script(func(pushtest.Push) pushtest.Reply { return reply })
				p.want(devices(500)...)
				require.LessOrEqual(t, p.apns.Requests(), 200, "what was in flight already, and repeated by HTTP/2")
				pauses := p.spy.paused()
				require.Len(t, pauses, 1)
				_, ok := errors.AsType[*push.RefusedError](pauses[0].err)
				require.True(t, ok, "%v", pauses[0].err)
				require.WithinRange(t, pauses[0].until, pauses[0].at.Add(5*time.Second), pauses[0].at.Add(10*time.Second))

				before := p.apns.Requests()
				p.worker.Kick()
				p.pass(time.Until(pauses[0].until) - 1)
				if reply.Fault != pushtest.GoAway { // of which HTTP/2 repeats what was not seen
					require.Equal(t, before, p.apns.Requests(), "a kick does not end the pause")
				}
				p.pass(time.Hour)
				require.LessOrEqual(t, p.apns.Requests(), 200+30, "one at a time, ever more seldom")
				require.LessOrEqual(t, p.apns.Connections(), 10+30)
				for _, pause := range p.spy.paused() {
					require.LessOrEqual(t, pause.until.Sub(pause.at), 5*time.Minute)
				}
				require.Len(t, p.store.pending(), 500)
				require.Equal(t, 500, p.store.tokens())

				p.apns.Accept()
				p.pass(time.Hour)
				require.Empty(t, p.store.pending())
				require.Len(t, p.reached(), 500)
				require.Contains(t, p.log.String(), "level=ERROR")
			})
		})
	}
}

// TestWorkerSurvivesOutages: APNs cannot be reached, or has trouble itself.
func TestWorkerSurvivesOutages(t *testing.T) {
	for name, c := range map[string]struct {
		begin, end func(*plant)
	}{
		"no route":     {func(p *plant) { p.net.unplug(errors.New("no route")) }, func(p *plant) { p.net.unplug(nil) }},
		"a black hole": {func(p *plant) { p.apns.BlackHole(true) }, func(p *plant) { p.apns.BlackHole(false) }},
		"503": {
			func(p *plant) { p.apns.Reject(503, "ServiceUnavailable", time.Time{}) }, func(p *plant) { p.apns.Accept() },
		},
		"GOAWAY each time": {
			func(p *plant) {
				p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.GoAway} })
			}, func(p *plant) { p.apns.Accept() },
		},
		"silence": {
			func(p *plant) {
				p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Fault: pushtest.Silent} })
			}, func(p *plant) { p.apns.Accept() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inPlant(t, nil, func(t *testing.T, p *plant) {
				c.begin(p)
				p.want(devices(500)...)
				p.pass(time.Hour)
				require.NotEmpty(t, p.spy.paused())
				require.LessOrEqual(t, p.net.dialed(), 150, "an outage is no reason to hammer")
				require.LessOrEqual(t, p.apns.Requests(), 300)
				require.Empty(t, p.apns.Pushes())
				require.Equal(t, 500, p.store.tokens())

				c.end(p)
				p.pass(90 * time.Minute)
				require.Empty(t, p.store.pending())
				require.Len(t, p.reached(), 500)
			})
		})
	}
}

func TestWorkerGoAwayMidFlight(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		var once sync.Once
		p.apns.Script(func(push pushtest.Push) (reply pushtest.Reply) {
			if push.Magic == device(30).Magic {
				once.Do(func() { reply = pushtest.Reply{Fault: pushtest.GoAway, Reason: "Shutdown"} })
			}
			return reply
		})
		p.want(devices(300)...)
		p.pass(time.Minute)
		require.Empty(t, p.store.pending())
		require.Len(t, p.reached(), 300)
		require.LessOrEqual(t, p.apns.Connections(), 3)
	})
}

func TestWorkerSurvivesItsStore(t *testing.T) {
	t.Run("claims fail", func(t *testing.T) {
		inPlant(t, nil, func(t *testing.T, p *plant) {
			p.store.broken(errors.New("disk is full"))
			p.want(device(1))
			p.pass(time.Minute)
			require.Empty(t, p.apns.Pushes())
			p.store.broken(nil)
			p.pass(5 * time.Second)
			require.Len(t, p.apns.Pushes(), 1)
			require.Contains(t, p.log.String(), "disk is full")
		})
	})
	t.Run("results are not taken", func(t *testing.T) {
		inPlant(t, func(c *push.WorkerConfig) { c.Lease = time.Hour }, func(t *testing.T, p *plant) {
			p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Delay: time.Second} })
			p.want(devices(3)...)
			p.store.broken(errors.New("disk is full"))
			p.pass(time.Minute)
			require.Len(t, p.apns.Pushes(), 3)
			require.Len(t, p.store.pending(), 3)
			require.Empty(t, p.spy.pushed(), "told after it is durable")
			p.store.broken(nil)
			p.pass(5 * time.Second)
			require.Empty(t, p.store.pending())
			require.Len(t, p.spy.pushed(), 3)
			require.Len(t, p.apns.Pushes(), 3, "nothing was sent twice")
		})
	})
	t.Run("not even at the end", func(t *testing.T) {
		inPlant(t, nil, func(t *testing.T, p *plant) {
			p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Delay: time.Second} })
			p.want(device(1))
			disk := errors.New("disk is full")
			p.store.broken(disk)
			require.ErrorIs(t, p.stop(), disk)

			p.store.broken(nil)
			p.run()
			require.Len(t, p.store.pending(), 1)
			p.pass(2 * time.Minute) // the lease is over
			require.Empty(t, p.store.pending())
		})
	})
}

func TestWorkerDrains(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		quick, slow := device(1), device(2)
		p.apns.Script(func(push pushtest.Push) pushtest.Reply {
			if push.Magic == slow.Magic {
				return pushtest.Reply{Fault: pushtest.Silent}
			}
			return pushtest.Reply{Delay: time.Second}
		})
		p.want(quick, slow)
		p.store.want(device(3))
		require.NoError(t, p.stop())
		require.Equal(t, 5*time.Second, time.Since(p.start), "the time to drain, by the bubble's clock")
		require.Equal(t, 200, p.store.row(quick).last.Status)
		require.Equal(t, time.Now().UTC(), p.store.row(slow).last.Retry, "the next worker need not wait for the lease")
		require.Zero(t, p.store.row(device(3)).results, "nothing is claimed any more")

		p.apns.Accept()
		p.run()
		require.Empty(t, p.store.pending())
	})
}

func TestWorkerRunsOnce(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		require.ErrorIs(t, p.worker.Run(t.Context()), push.ErrRunning)
		for range 10 {
			p.worker.Kick() // never blocks, also when nobody runs
		}
		require.NoError(t, p.stop())
		p.worker.Kick()
		p.worker.Kick()
		p.run()
	})
}

// TestWorkersShareAStore: many on one store wake each device once.
func TestWorkersShareAStore(t *testing.T) {
	inPlant(t, nil, func(t *testing.T, p *plant) {
		p.apns.Script(func(pushtest.Push) pushtest.Reply { return pushtest.Reply{Delay: time.Second} })
		p.store.want(devices(500)...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			other, err := push.NewWorker(push.WorkerConfig{Store: p.store, Pusher: newClient(t, p.apns, over(p.net))})
			require.NoError(t, err)
			wg.Go(func() {
				if err := other.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		p.pass(time.Minute)
		cancel()
		wg.Wait()
		require.Len(t, p.apns.Pushes(), 500)
		require.Len(t, p.reached(), 500)
		require.Empty(t, p.store.pending())
	})
}

func TestNewWorkerJudgesItsConfigWhole(t *testing.T) {
	_, err := push.NewWorker(push.WorkerConfig{
		Concurrency: 5000, Interval: -1, Lease: 1, Drain: -1,
		RetryMin: time.Hour, RetryMax: time.Minute, PauseMin: time.Hour, PauseMax: time.Minute,
	})
	require.ErrorIs(t, err, push.ErrConfig)
	for _, want := range []string{"Store", "Pusher", "Concurrency", "Interval", "Lease", "Drain", "RetryMin", "PauseMin"} {
		require.ErrorContains(t, err, want)
	}
}
