package push_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// BenchmarkPush is the time of one push to a stand-in in the same process; bare is
// the same request by net/http over its own HTTP/2, the floor that it stands on.
func BenchmarkPush(b *testing.B) {
	for _, inFlight := range []int{1, 100} {
		b.Run(fmt.Sprintf("client/inflight=%d", inFlight), func(b *testing.B) {
			client := newClient(b, pushtest.New(b))
			send(b, inFlight, func(ctx context.Context) error {
				_, err := client.Push(ctx, device(1))
				return err
			})
		})
		b.Run(fmt.Sprintf("bare/inflight=%d", inFlight), func(b *testing.B) {
			apns := pushtest.New(b)
			pair, err := tls.X509KeyPair(apns.PushCertificate())
			require.NoError(b, err)
			transport := &http.Transport{
				TLSClientConfig:   &tls.Config{RootCAs: apns.RootCAs(), Certificates: []tls.Certificate{pair}},
				ForceAttemptHTTP2: true, MaxConnsPerHost: 1,
			}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			target := device(1)
			url := apns.URL() + "/3/device/" + hex.EncodeToString(target.Token)
			body := []byte(`{"mdm":"` + target.Magic + `"}`)
			send(b, inFlight, func(ctx context.Context) error {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
				if err != nil {
					return err
				}
				r.Header.Set("Apns-Topic", target.Topic)
				r.Header.Set("Apns-Push-Type", "mdm")
				r.Header.Set("Apns-Priority", "10")
				res, err := client.Do(r)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
					return fmt.Errorf("status %d: %w", res.StatusCode, err)
				}
				return nil
			})
		})
	}
}

// send makes b.N pushes, so many at a time.
func send(b *testing.B, inFlight int, push func(context.Context) error) {
	require.NoError(b, push(b.Context())) // it connects
	b.ReportAllocs()
	b.ResetTimer()
	todo := make(chan struct{})
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for range todo {
				if err := push(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
}

// BenchmarkWorker is the time in which a worker wakes 1000 devices of a store in
// memory.
func BenchmarkWorker(b *testing.B) {
	done := make(chan struct{}, 1)
	all := &sync.WaitGroup{}
	apns := pushtest.New(b)
	store := &store{}
	observer := settled(func() { all.Done() })
	worker, err := push.NewWorker(push.WorkerConfig{Store: store, Pusher: newClient(b, apns), Observer: observer})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	go func() {
		defer close(done)
		if err := worker.Run(ctx); err != nil {
			b.Error(err)
		}
	}()
	targets := devices(1000)
	for b.Loop() {
		all.Add(len(targets))
		store.want(targets...)
		worker.Kick()
		all.Wait()
	}
	cancel()
	<-done
	b.ReportMetric(float64(b.N*len(targets))/b.Elapsed().Seconds(), "pushes/s")
}

// settled is an Observer that counts.
type settled func()

func (f settled) Pushed(context.Context, push.Result) { f() }

func (settled) Paused(_ context.Context, until time.Time, err error) {}
