package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "enroll.db"), Options{AllowUnsealed: true})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// suspend is a step that can be told apart: it writes one row, by name.
func suspend(user string) func(*tx) error {
	return func(t *tx) error {
		_, err := t.exec(`INSERT INTO suspended_users (user_id) VALUES (?)`, user)
		return err
	}
}

// stored are the names that suspend wrote.
func stored(t *testing.T, s *Store) []string {
	t.Helper()
	names := []string{}
	require.NoError(t, s.readers.tx(t.Context()).each(`SELECT user_id FROM suspended_users ORDER BY user_id`, nil,
		func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			names = append(names, name)
			return err
		}))
	return names
}

// held starts a first step that waits, so that what comes meanwhile is one group.
func held(t *testing.T, s *Store) (release func()) {
	t.Helper()
	began, wait, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.writer.do(context.Background(), func(*tx) error {
			close(began)
			<-wait
			return nil
		})
	}()
	<-began
	return func() {
		close(wait)
		require.NoError(t, <-done)
	}
}

// waits returns when so many steps wait for their turn.
func waits(t *testing.T, s *Store, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		return len(s.writer.waiting) == n
	}, time.Minute, time.Millisecond)
}

func TestStepsThatWaitAreOneTransaction(t *testing.T) {
	s := openTest(t)
	release := held(t, s)
	const n = 20
	groups, errs := make(chan *tx, n), make(chan error, n)
	for i := range n {
		go func() {
			errs <- s.writer.do(context.Background(), func(t *tx) error {
				groups <- t
				return suspend(string(rune('a' + i)))(t)
			})
		}()
	}
	waits(t, s, n)
	release()
	first := <-groups
	for range n - 1 {
		require.Same(t, first, <-groups, "a step had a transaction of its own")
	}
	for range n {
		require.NoError(t, <-errs)
	}
	require.Len(t, stored(t, s), n)
}

func TestAGroupIsBounded(t *testing.T) {
	s := openTest(t)
	release := held(t, s)
	const n = maxGroup + 1
	groups, errs := make(chan *tx, n), make(chan error, n)
	for range n {
		go func() {
			errs <- s.writer.do(context.Background(), func(t *tx) error {
				groups <- t
				return nil
			})
		}()
	}
	waits(t, s, n)
	release()
	size := map[*tx]int{}
	for range n {
		require.NoError(t, <-errs)
		size[<-groups]++
	}
	require.Len(t, size, 2)
}

func TestAStepThatFailsIsUndoneAlone(t *testing.T) {
	s := openTest(t)
	release := held(t, s)
	refused := errors.New("refused")
	names := []string{"a", "wrong", "b", "broken", "c", "panics", "d"}
	errs := map[string]chan error{}
	for i, name := range names {
		errs[name] = make(chan error, 1)
		go func() {
			errs[name] <- s.writer.do(context.Background(), func(t *tx) error {
				if err := suspend(name)(t); err != nil {
					return err
				}
				switch name {
				case "wrong":
					return refused
				case "panics":
					panic("a mistake of ours")
				case "broken":
					_, err := t.exec(`INSERT INTO suspended_users (user_id) VALUES (NULL)`)
					return err
				}
				return nil
			})
		}()
		waits(t, s, i+1)
	}
	release()
	for _, name := range names {
		switch err := <-errs[name]; name {
		case "wrong":
			require.ErrorIs(t, err, refused)
		case "broken":
			require.ErrorContains(t, err, "NOT NULL")
		case "panics":
			require.ErrorContains(t, err, "a mistake of ours")
		default:
			require.NoError(t, err)
		}
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, stored(t, s))
	require.ErrorContains(t, s.writer.do(t.Context(), func(*tx) error { panic("alone") }), "alone")
	require.NoError(t, s.writer.do(t.Context(), suspend("e")))
}

func TestACallerThatGivesUp(t *testing.T) {
	s := openTest(t)

	t.Run("before its turn", func(t *testing.T) {
		release := held(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		gone, stays := make(chan error, 1), make(chan error, 1)
		go func() { gone <- s.writer.do(ctx, suspend("gone")) }()
		waits(t, s, 1)
		go func() { stays <- s.writer.do(context.Background(), suspend("stays")) }()
		waits(t, s, 2)
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		waits(t, s, 1)
		release()
		require.NoError(t, <-stays)
		require.Equal(t, []string{"stays"}, stored(t, s))
	})

	t.Run("in its turn, and leading", func(t *testing.T) {
		release := held(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		leader, follower := make(chan error, 1), make(chan error, 1)
		go func() {
			leader <- s.writer.do(ctx, func(t *tx) error {
				cancel()
				return suspend("leader")(t)
			})
		}()
		waits(t, s, 1)
		go func() { follower <- s.writer.do(context.Background(), suspend("follower")) }()
		waits(t, s, 2)
		release()
		require.NoError(t, <-leader, "it was too late to withdraw")
		require.NoError(t, <-follower)
		require.Equal(t, []string{"follower", "leader", "stays"}, stored(t, s))
	})

	t.Run("before it called", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.writer.do(ctx, suspend("never")), context.Canceled)
		require.Len(t, stored(t, s), 3)
	})
}

func TestCloseWaitsForWhatHasBegun(t *testing.T) {
	s := openTest(t)
	release := held(t, s)
	last := make(chan error, 1)
	go func() { last <- s.writer.do(context.Background(), suspend("last")) }()
	waits(t, s, 1)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	release()
	require.NoError(t, <-last)
	require.NoError(t, <-closed)
	require.ErrorIs(t, s.writer.do(t.Context(), suspend("late")), errClosed)
}
