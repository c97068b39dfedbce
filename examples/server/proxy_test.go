package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dice are seeded randomness for many goroutines.
type dice struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{rng: rand.New(rand.NewPCG(seed, seed))} }

// n is one of the numbers below limit.
func (d *dice) n(limit int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rng.IntN(limit)
}

// chance is true so often in a hundred.
func (d *dice) chance(percent int) bool { return d.n(100) < percent }

// between is a duration.
func (d *dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.n(int(to-from)))
}

// proxy ends TLS in front of the nodes, gives each request to the next one, and
// is a bad network on top.
type proxy struct {
	*dice

	nodes []*process
	turn  atomic.Uint64
	late  sync.WaitGroup // duplicates that are on their way
	http  *http.Client

	lostRequests, lostAnswers, duplicates atomic.Int64
}

// startProxy listens until the test ends.
func startProxy(t *testing.T, w *trial, d *dice, listener net.Listener, nodes []*process) *proxy {
	t.Helper()
	p := &proxy{dice: d, nodes: nodes, http: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       20 * time.Second,
	}}
	pair, err := tls.LoadX509KeyPair(filepath.Join(w.dir, "tls-chain.pem"), filepath.Join(w.dir, "tls.key"))
	require.NoError(t, err)
	web := &http.Server{
		Handler: p, ReadHeaderTimeout: 5 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.ServeTLS(listener, "", "") })
	t.Cleanup(func() {
		_ = web.Close()
		serving.Wait()
		p.late.Wait()
	})
	return p
}

// answered is an answer, whole.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if p.chance(5) {
		p.lostRequests.Add(1)
		panic(http.ErrAbortHandler)
	}
	twice := p.chance(8)
	if twice {
		p.duplicates.Add(1)
		delay := time.Duration(0)
		if p.chance(50) { // long after the answer, when the phone goes on
			delay = p.between(0, 2*time.Second)
		}
		again := r.Clone(r.Context())
		p.late.Go(func() {
			pause(delay)
			_, _ = p.forward(again, body)
		})
	}
	a, err := p.forward(r, body)
	if err != nil {
		a = answered{status: http.StatusBadGateway}
	}
	if p.chance(6) {
		p.lostAnswers.Add(1)
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// forward gives a request to a node. One that does not listen has got nothing:
// then the next one gets it.
func (p *proxy) forward(r *http.Request, body []byte) (a answered, err error) {
	for range p.nodes {
		node := p.nodes[p.turn.Add(1)%uint64(len(p.nodes))]
		var req *http.Request
		// The request goes on when the client is gone.
		if req, err = http.NewRequest(r.Method, "http://"+node.listen+r.URL.RequestURI(), bytes.NewReader(body)); err != nil {
			return a, err
		}
		req.GetBody = nil // nothing is repeated but what chance repeats
		req.Header, req.Host = r.Header.Clone(), r.Host
		var resp *http.Response
		if resp, err = p.http.Do(req); err != nil {
			if refused(err) {
				continue
			}
			return a, err
		}
		defer resp.Body.Close()
		a.status, a.header = resp.StatusCode, resp.Header
		a.body, err = io.ReadAll(resp.Body)
		return a, err
	}
	return a, err
}
