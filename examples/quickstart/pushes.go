package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// openPushes starts the APNs stand-in, on a port of its own, and makes the
// worker that wakes devices through it. The topic is kept: devices never change
// theirs.
func openPushes(dir string, store push.Store, deliver func(pushtest.Push), observer push.Observer, logger *slog.Logger) (*pushtest.Server, *push.Worker, error) {
	topic, err := keep(dir, "push-topic", newTopic)
	if err != nil {
		return nil, nil, err
	}
	apns, err := pushtest.Open(pushtest.Config{Topic: string(topic), Deliver: deliver})
	if err != nil {
		return nil, nil, err
	}
	certificate, err := push.ParseCertificate(apns.PushCertificate())
	if err != nil {
		return nil, nil, errors.Join(err, apns.Close())
	}
	client, err := push.NewClient(push.ClientConfig{Certificate: certificate, Host: apns.URL(), RootCAs: apns.RootCAs()})
	if err != nil {
		return nil, nil, errors.Join(err, apns.Close())
	}
	worker, err := push.NewWorker(push.WorkerConfig{
		Store: store, Pusher: client, Observer: observer, Logger: logger,
		// APNs is next door here, and a process that was killed must not keep
		// its devices for long.
		Interval: time.Second, Lease: 4 * time.Second,
	})
	if err != nil {
		return nil, nil, errors.Join(err, apns.Close())
	}
	return apns, worker, nil
}

// newTopic is what Apple puts into a push certificate.
func newTopic() ([]byte, error) {
	b, err := randomKey(16)()
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "com.apple.mgmt.External.%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// pushResults is told what came of each push, and tells who waits for it.
type pushResults struct {
	push.NopObserver

	mu       sync.Mutex // guards the fields below
	accepted map[string]push.Result
	changed  chan struct{} // closed when accepted changes
}

func newPushResults() *pushResults {
	return &pushResults{accepted: map[string]push.Result{}, changed: make(chan struct{})}
}

// Pushed implements push.Observer.
func (p *pushResults) Pushed(_ context.Context, r push.Result) {
	if r.Status != http.StatusOK {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted[r.Target.EnrollmentID] = r
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns the push to an enrollment that APNs accepted last.
func (p *pushResults) await(ctx context.Context, enrollmentID string) (push.Result, error) {
	for {
		p.mu.Lock()
		r, ok := p.accepted[enrollmentID]
		changed := p.changed
		p.mu.Unlock()
		if ok {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, fmt.Errorf("APNs accepted no push: %w", context.Cause(ctx))
		}
	}
}
