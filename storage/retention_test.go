package storage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// heap is a Pruner with so many records that are over.
type heap struct {
	left  int
	fails []error // of the next calls, nil for one that does not
	calls []call
}

type call struct {
	at   time.Time
	step storage.PruneStep
	went int
}

// Prune implements storage.Pruner.
func (h *heap) Prune(ctx context.Context, p storage.PruneStep) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(h.fails) > 0 {
		err := h.fails[0]
		h.fails = h.fails[1:]
		if err != nil {
			h.calls = append(h.calls, call{time.Now(), p, 0})
			return 0, err
		}
	}
	n := min(h.left, p.Limit)
	h.left -= n
	h.calls = append(h.calls, call{time.Now(), p, n})
	return n, nil
}

// turns tells the calls by their minutes since a time: when, before when what went
// had expired or was over, and how much went.
func (h *heap) turns(since time.Time) (list [][4]int) {
	minutes := func(t time.Time) int { return int(t.Sub(since).Minutes()) }
	for _, c := range h.calls {
		list = append(list, [4]int{minutes(c.at), minutes(c.step.ExpiredBefore), minutes(c.step.OverBefore), c.went})
	}
	return list
}

func TestRetention(t *testing.T) {
	const week = 7 * 24 * 60
	away := errors.New("the database is away")
	for name, c := range map[string]struct {
		heap      heap
		retention storage.Retention
		runs      time.Duration
		want      [][4]int
		says      []string // in the log, once each
	}{
		"nothing is over": {
			runs: 40 * time.Minute,
			want: [][4]int{{0, -60, -week, 0}, {15, -45, 15 - week, 0}, {30, -30, 30 - week, 0}},
		},
		"batches until nothing is left": {
			heap: heap{left: 1200}, runs: time.Minute,
			want: [][4]int{{0, -60, -week, 500}, {0, -60, -week, 500}, {0, -60, -week, 200}, {0, -60, -week, 0}},
			says: []string{"records=1200"},
		},
		"periods": {
			heap: heap{left: 1}, retention: storage.Retention{Keep: 150 * time.Minute, Every: 7 * time.Minute}, runs: 8 * time.Minute,
			want: [][4]int{{0, -60, -150, 1}, {0, -60, -150, 0}, {7, -53, -143, 0}},
			says: []string{"records=1"},
		},
		"another clock": {
			retention: storage.Retention{Now: func() time.Time { return time.Now().Add(week * time.Minute) }}, runs: time.Minute,
			want: [][4]int{{0, week - 60, 0, 0}},
		},
		"an error is for the next turn": {
			heap: heap{left: 3, fails: []error{away}}, runs: 16 * time.Minute,
			want: [][4]int{{0, -60, -week, 0}, {15, -45, 15 - week, 3}, {15, -45, 15 - week, 0}},
			says: []string{"the database is away", "records=3"},
		},
		"an error in the middle": {
			heap: heap{left: 501, fails: []error{nil, away}}, runs: 16 * time.Minute,
			want: [][4]int{{0, -60, -week, 500}, {0, -60, -week, 0}, {15, -45, 15 - week, 1}, {15, -45, 15 - week, 0}},
			says: []string{"records=500", "the database is away", "records=1\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				began := time.Now()
				c.retention.Store, c.retention.Logger = &c.heap, slog.New(slog.NewTextHandler(&log, nil))
				ctx, cancel := context.WithTimeout(t.Context(), c.runs)
				defer cancel()
				require.NoError(t, c.retention.Run(ctx))
				require.Equal(t, c.runs, time.Since(began), "it ends with its context")
				require.Equal(t, c.want, c.heap.turns(began))
				for _, s := range c.says {
					require.Equal(t, 1, strings.Count(log.String(), s), "%s: %s", s, log.String())
				}
				require.Equal(t, len(c.says), strings.Count(log.String(), "\n"), log.String())
			})
		})
	}
}

// A stop in the middle of a turn is no failure.
func TestRetentionStops(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	endless := prunes(func(context.Context) (int, error) {
		cancel()
		return 500, ctx.Err()
	})
	require.NoError(t, storage.Retention{Store: endless, Logger: slog.New(slog.NewTextHandler(&log, nil))}.Run(ctx))
	require.NotContains(t, log.String(), "failed")
}

// prunes is a Pruner.
type prunes func(context.Context) (int, error)

// Prune implements storage.Pruner.
func (p prunes) Prune(ctx context.Context, _ storage.PruneStep) (int, error) { return p(ctx) }

func TestRetentionRefuses(t *testing.T) {
	store := memory.New()
	for name, c := range map[string]struct {
		retention storage.Retention
		want      []string
	}{
		"nothing":           {storage.Retention{}, []string{"no Store"}},
		"a short Keep":      {storage.Retention{Store: store, Keep: storage.MinKeep - 1}, []string{"Keep is 1h59m59.999999999s, and at least 2h0m0s"}},
		"a negative Keep":   {storage.Retention{Store: store, Keep: -time.Hour}, []string{"Keep"}},
		"a negative Every":  {storage.Retention{Store: store, Every: -1}, []string{"Every is negative"}},
		"all at once":       {storage.Retention{Keep: 1, Every: -1}, []string{"no Store", "Keep", "Every"}},
		"the shortest Keep": {storage.Retention{Store: store, Keep: storage.MinKeep}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.retention.Prune(t.Context())
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(c.want))
			for _, part := range c.want {
				require.ErrorContains(t, err, part)
			}
			require.Equal(t, err, c.retention.Run(t.Context()), "Run ends at once, and says the same")
		})
	}
}

// What a stranger leaves is gone soon, however long commands are kept.
func TestRetentionOfStrangers(t *testing.T) {
	store := memory.New()
	began := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	for i := range 1200 {
		require.NoError(t, store.OpenState(t.Context(), [32]byte{byte(i), byte(i >> 8)}, began.Add(10*time.Minute)))
	}
	for _, c := range []struct {
		passed time.Duration
		went   int
	}{{10 * time.Minute, 0}, {70 * time.Minute, 0}, {85 * time.Minute, 1200}} {
		n, err := storage.Retention{Store: store, Keep: 365 * 24 * time.Hour, Now: func() time.Time { return began.Add(c.passed) }}.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.went, n, "after %v", c.passed)
	}
}

// A ticket that was downloaded at the last moment is there until its device can
// come no more, and so is an identity that was issued for it.
func TestRetentionOfTickets(t *testing.T) {
	ctx := t.Context()
	store := memory.New()
	issued := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	clocks := enroll.Clocks{Wait: enroll.DefaultWait, Window: enroll.DefaultWindow, Grace: enroll.DefaultGrace}
	last := issued.Add(enroll.DefaultMaxAge)
	over := last.Add(clocks.Window + clocks.Grace)
	now := over.Add(-time.Microsecond)
	turn := func() int {
		n, err := storage.Retention{Store: store, Keep: storage.MinKeep, Now: func() time.Time { return now }}.Prune(ctx)
		require.NoError(t, err)
		return n
	}
	name := func(kind string) [32]byte { return sha256.Sum256([]byte(kind)) }
	identify := func(ticket string, at time.Time) error {
		_, err := store.Identify(ctx, enroll.IdentifyStep{
			Challenge: name("last of " + ticket), Key: name("key"), Certificate: []byte(ticket), Digest: sha256.Sum256([]byte(ticket)), At: at,
		})
		return err
	}
	authenticate := func(ticket string) error {
		_, err := store.Authenticate(ctx, mdm.AuthenticateStep{Certificate: sha256.Sum256([]byte(ticket)), EnrollmentID: "E-" + ticket, At: now})
		return err
	}
	for _, ticket := range []string{"begun", "identified", "left"} {
		require.NoError(t, store.IssueTicket(ctx, enroll.Ticket{ID: ticket, Session: name(ticket), UserID: "u1", Way: mdm.WayProfile, Issued: issued}, [32]byte{}))
		for _, d := range []enroll.DownloadStep{
			{TicketID: ticket, Challenge: name("first of " + ticket), At: issued.Add(clocks.Wait)},
			{TicketID: ticket, Challenge: name("last of " + ticket), At: last},
		} {
			d.Clocks, d.MaxDownloads, d.MaxAge = clocks, enroll.DefaultMaxDownloads, enroll.DefaultMaxAge
			_, err := store.Download(ctx, d)
			require.NoError(t, err)
		}
	}
	require.NoError(t, identify("identified", last))

	require.Zero(t, turn())
	_, err := store.Challenge(ctx, name("last of begun"), name("key"), now)
	require.NoError(t, err)
	require.NoError(t, identify("begun", now))
	require.Zero(t, turn())
	require.NoError(t, authenticate("begun"))
	require.NoError(t, authenticate("identified"))

	_, err = store.Challenge(ctx, name("last of left"), name("key"), over)
	require.ErrorIs(t, err, enroll.ErrChallenge, "it ends just here")
	now = issued.Add(storage.MinKeep + time.Microsecond)
	require.Equal(t, 1, turn(), "the one by which nobody came")
	_, err = store.Ticket(ctx, "left")
	require.ErrorIs(t, err, enroll.ErrUnknownTicket)
}

// Several of them on a store take each record once.
func TestRetentionsSideBySide(t *testing.T) {
	store := memory.New()
	const attempts, several = 2600, 4
	over := time.Now().Add(-2 * time.Hour)
	for i := range attempts {
		require.NoError(t, store.OpenState(t.Context(), [32]byte{byte(i), byte(i >> 8)}, over))
	}
	open := [32]byte{1, 2, 3}
	require.NoError(t, store.OpenState(t.Context(), open, time.Now().Add(time.Minute)))
	went := make(chan int, several)
	for range several {
		go func() {
			n, err := storage.Retention{Store: store}.Prune(t.Context())
			if err != nil {
				n = -attempts
			}
			went <- n
		}()
	}
	sum := 0
	for range several {
		sum += <-went
	}
	require.Equal(t, attempts, sum)
	require.ErrorIs(t, store.ConsumeState(t.Context(), [32]byte{}, over.Add(-time.Hour)), sso.ErrStateUsed)
	require.NoError(t, store.ConsumeState(t.Context(), open, time.Now()))
}
