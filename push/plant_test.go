package push_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// plant is all that a test of the Worker needs: stand-in, client, store and a
// running worker, in a synctest bubble, whose clock jumps when all wait.
type plant struct {
	*testing.T
	apns   *pushtest.Server
	net    *network
	client *push.Client
	store  *store
	spy    *spy
	worker *push.Worker
	log    *bytes.Buffer // safe to read after stop
	start  time.Time

	cancel context.CancelFunc
	ended  chan error
}

// inPlant runs test with a worker that ends after it. What was logged is searched
// for secrets.
func inPlant(t *testing.T, change func(*push.WorkerConfig), test func(*testing.T, *plant)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour) //nolint:forbidigo // the bubble's clock begins where our dates do, in 2000
		p := &plant{T: t, store: &store{}, spy: &spy{}, log: &bytes.Buffer{}, ended: make(chan error, 1), start: time.Now()}
		p.apns, p.net = inMemory(t)
		p.client = newClient(t, p.apns, over(p.net))
		cfg := push.WorkerConfig{
			Store: p.store, Pusher: p.client, Observer: p.spy,
			Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		if change != nil {
			change(&cfg)
		}
		var err error
		p.worker, err = push.NewWorker(cfg)
		require.NoError(t, err)
		p.run()
		test(t, p)
		if p.cancel != nil {
			require.NoError(t, p.stop())
		}
		requireNoSecret(t, p.log.String(), devices(1010)...)
	})
}

func (p *plant) run() {
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(p.Context())
	go func() { p.ended <- p.worker.Run(ctx) }()
	synctest.Wait()
}

// stop ends the worker and returns what Run does.
func (p *plant) stop() error {
	p.cancel()
	p.cancel = nil
	return <-p.ended
}

// want asks for pushes and kicks the worker.
func (p *plant) want(targets ...push.Target) {
	p.Helper()
	p.store.want(targets...)
	p.worker.Kick()
	synctest.Wait()
}

// pass lets time pass.
func (p *plant) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // of the bubble's clock
	synctest.Wait()
}

// reached are the magics of the devices that were woken.
func (p *plant) reached() map[string]int {
	magics := map[string]int{}
	for _, push := range p.apns.Pushes() {
		magics[push.Magic]++
	}
	return magics
}

// seldom lets the worker look once a minute, for tests that take days.
func seldom(c *push.WorkerConfig) { c.Interval = time.Minute }

func devices(n int) (targets []push.Target) {
	for i := range n {
		targets = append(targets, device(i))
	}
	return targets
}
