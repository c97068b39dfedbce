package push_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

func certificate(t testing.TB, apns *pushtest.Server) *push.Certificate {
	t.Helper()
	c, err := push.ParseCertificate(apns.PushCertificate())
	require.NoError(t, err)
	return c
}

// newClient makes a client of the stand-in, which has time: sockets are as slow as
// the machine.
func newClient(t testing.TB, apns *pushtest.Server, change ...func(*push.ClientConfig)) *push.Client {
	t.Helper()
	cfg := push.ClientConfig{Certificate: certificate(t, apns), Host: apns.URL(), RootCAs: apns.RootCAs(), Timeout: time.Minute}
	for _, c := range change {
		c(&cfg)
	}
	client, err := push.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// over makes the client connect through the network, with the default timeout.
func over(n *network) func(*push.ClientConfig) {
	return func(c *push.ClientConfig) { c.DialContext, c.Timeout = n.dial, 0 }
}

// device is a target with a token and a magic of its own.
func device(i int) push.Target {
	return push.Target{
		EnrollmentID: fmt.Sprintf("enrollment-%d", i),
		Topic:        pushtest.DefaultTopic,
		Token:        bytes.Repeat([]byte{0xa0, byte(i >> 8), byte(i)}, 11)[:32],
		Magic:        fmt.Sprintf("5EC12E7-MAGIC-%d", i),
	}
}

// store is a push.Store of its contract's letter, with failures on demand.
type store struct {
	mu     sync.Mutex // guards the fields below
	rows   []*row
	fail   error // of both methods
	claims int
}

type row struct {
	target           push.Target
	stored           time.Time // when the token was
	due              time.Time
	settled, request int64
	last             push.Result
	results          int
}

// want asks for a push of each target.
func (s *store) want(targets ...push.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range targets {
		i := slices.IndexFunc(s.rows, func(r *row) bool { return r.target.EnrollmentID == t.EnrollmentID })
		if i < 0 {
			i = len(s.rows)
			s.rows = append(s.rows, &row{target: t, stored: time.Now()})
		}
		s.rows[i].request++
	}
}

// tokenUpdate stores another token, which makes due what waits for one.
func (s *store) tokenUpdate(t push.Target, token []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.target.EnrollmentID == t.EnrollmentID {
			r.target.Token, r.stored, r.due = token, time.Now(), time.Time{}
		}
	}
}

// pending are the enrollments with a request that is not done.
func (s *store) pending() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.request > r.settled {
			ids = append(ids, r.target.EnrollmentID)
		}
	}
	return ids
}

// row returns a copy.
func (s *store) row(t push.Target) row {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if r.target.EnrollmentID == t.EnrollmentID {
			return *r
		}
	}
	return row{}
}

func (s *store) tokens() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rows {
		if len(r.target.Token) > 0 {
			n++
		}
	}
	return n
}

func (s *store) claimed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims
}

func (s *store) broken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *store) ClaimPushes(_ context.Context, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	if s.fail != nil {
		return nil, s.fail
	}
	var due []*row
	for _, r := range s.rows {
		if r.request > r.settled && len(r.target.Token) > 0 && !r.due.After(now) {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *row) int { return a.due.Compare(b.due) })
	var targets []push.Target
	for _, r := range due[:min(len(due), limit)] {
		r.due = now.Add(lease)
		t := r.target
		t.Request = r.request
		targets = append(targets, t)
	}
	return targets, nil
}

func (s *store) SettlePushes(_ context.Context, results ...push.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, result := range results {
		for _, r := range s.rows {
			if r.target.EnrollmentID != result.Target.EnrollmentID {
				continue
			}
			r.last = result
			r.results++
			same := bytes.Equal(r.target.Token, result.Target.Token)
			switch {
			case result.Dead && !same:
				r.due = time.Time{}
			case result.Dead && (result.DeadAt.IsZero() || !r.stored.After(result.DeadAt)):
				r.target.Token = nil
			case !result.Retry.IsZero():
				r.due = result.Retry
				r.target.Attempt++
			default:
				r.settled = max(r.settled, result.Target.Request)
				r.due = time.Time{}
				r.target.Attempt = 0
			}
		}
	}
	return nil
}

// spy is an Observer that remembers.
type spy struct {
	mu      sync.Mutex // guards the fields below
	results []push.Result
	pauses  []pause
}

type pause struct {
	at, until time.Time
	err       error
}

func (s *spy) Pushed(_ context.Context, r push.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
}

func (s *spy) Paused(_ context.Context, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pauses = append(s.pauses, pause{time.Now().UTC(), until, err})
}

func (s *spy) paused() []pause {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pauses)
}

func (s *spy) pushed() []push.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.results)
}
