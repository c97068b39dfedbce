package jit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

var (
	background = context.Background()
	start      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// world is a provisioner over a store, and what it told.
type world struct {
	*jit.Provisioner
	t     *testing.T
	store *memory.Store
	now   time.Time
	log   bytes.Buffer
	seen  []string
}

// SignedIn implements jit.Observer.
func (w *world) SignedIn(_ context.Context, u jit.User, created bool) {
	stored, err := w.store.User(background, u.ID)
	require.NoError(w.t, err, "told before it was durable")
	require.Equal(w.t, stored, u)
	w.seen = append(w.seen, fmt.Sprint(u.Subject, " ", created))
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: memory.New(), now: start}
	var err error
	w.Provisioner, err = jit.New(jit.Config{
		Store: w.store, Now: func() time.Time { return w.now }, Observer: w,
		Logger: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	require.NoError(t, err)
	return w
}

func (w *world) state() storage.State {
	s, err := w.store.State(background)
	require.NoError(w.t, err)
	return s
}

func alice(state jit.GroupState, groups ...string) jit.Identity {
	return jit.Identity{Issuer: "https://idp.example.com", Subject: "alice-1", PreferredUsername: "alice@example.com",
		Email: "alice@example.com", Name: "Alice", Groups: groups, GroupState: state}
}

func TestFirstSignInCreatesLaterOnesRefresh(t *testing.T) {
	w := newWorld(t)
	u, created, err := w.SignIn(background, alice(jit.GroupsPresent, "byod", "engineering", "byod"))
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, jit.User{
		ID: u.ID, Issuer: "https://idp.example.com", Subject: "alice-1", DisplayName: "Alice",
		Groups: []string{"byod", "engineering"}, ManagedAppleAccount: "alice@example.com", Created: start, LastSignIn: start,
	}, u)
	require.Len(t, u.ID, 36)

	w.now = start.Add(time.Hour).In(time.FixedZone("CET", 3600))
	id := alice(jit.GroupsPresent, "pilots")
	id.Name, id.PreferredUsername = "Alice Liddell", "liddell@example.com"
	again, created, err := w.SignIn(background, id)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, jit.User{
		ID: u.ID, Issuer: u.Issuer, Subject: u.Subject, DisplayName: "Alice Liddell",
		Groups: []string{"pilots"}, ManagedAppleAccount: "liddell@example.com", Created: start, LastSignIn: start.Add(time.Hour),
	}, again)
	require.Equal(t, []string{"alice-1 true", "alice-1 false"}, w.seen)
	require.Empty(t, w.log.String())
}

// The four states of the group claim, for a person who is known and for one who
// is new.
func TestGroups(t *testing.T) {
	tooMany := make([]string, 1001)
	for i := range tooMany {
		tooMany[i] = fmt.Sprint("g", i)
	}
	for name, c := range map[string]struct {
		state  jit.GroupState
		groups []string
		known  []string // of a person who was in "old" before
		fresh  []string // of a new person
		stale  bool
	}{
		"present":             {jit.GroupsPresent, []string{"new"}, []string{"new"}, []string{"new"}, false},
		"empty":               {jit.GroupsEmpty, nil, nil, nil, false},
		"empty with a list":   {jit.GroupsEmpty, []string{"forged"}, nil, nil, false},
		"absent":              {jit.GroupsAbsent, nil, []string{"old"}, nil, true},
		"truncated":           {jit.GroupsTruncated, []string{"new"}, []string{"old"}, nil, true},
		"of no known state":   {jit.GroupState(9), []string{"new"}, []string{"old"}, nil, true},
		"more than 1000":      {jit.GroupsPresent, tooMany, []string{"old"}, nil, true},
		"one that is unclean": {jit.GroupsPresent, []string{"new", "a\x00"}, []string{"old"}, nil, true},
		"one of 300 runes":    {jit.GroupsPresent, []string{"new", strings.Repeat("g", 300)}, []string{"old"}, nil, true},
		"one that is empty":   {jit.GroupsPresent, []string{"new", ""}, []string{"old"}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, _, err := w.SignIn(background, alice(jit.GroupsPresent, "old"))
			require.NoError(t, err)
			u, _, err := w.SignIn(background, alice(c.state, c.groups...))
			require.NoError(t, err)
			require.Equal(t, c.known, u.Groups)
			require.Equal(t, c.stale, u.GroupsStale)
			require.Equal(t, c.stale, strings.Contains(w.log.String(), "known groups are kept"))

			w = newWorld(t)
			u, created, err := w.SignIn(background, alice(c.state, c.groups...))
			require.NoError(t, err)
			require.True(t, created)
			require.Equal(t, c.fresh, u.Groups)
			require.Equal(t, c.stale, u.GroupsStale)
		})
	}

	w := newWorld(t)
	for _, state := range []jit.GroupState{jit.GroupsPresent, jit.GroupsTruncated, jit.GroupsAbsent, jit.GroupsPresent} {
		_, _, err := w.SignIn(background, alice(state, "byod"))
		require.NoError(t, err)
	}
	require.False(t, w.state().Users[0].GroupsStale, "a whole answer heals")
}

func TestSuspended(t *testing.T) {
	w := newWorld(t)
	u, _, err := w.SignIn(background, alice(jit.GroupsPresent, "byod"))
	require.NoError(t, err)
	require.NoError(t, w.store.Suspend(background, u.ID, true))
	before := w.state()
	w.now = start.Add(time.Hour)
	id := alice(jit.GroupsPresent, "engineering")
	id.Name = "Mallory"
	for range 2 {
		got, created, err := w.SignIn(background, id)
		require.ErrorIs(t, err, jit.ErrSuspended)
		require.False(t, created)
		require.Zero(t, got)
	}
	require.Equal(t, before, w.state(), "nothing was changed")
	require.Len(t, w.seen, 1)

	require.NoError(t, w.store.Suspend(background, u.ID, false))
	_, created, err := w.SignIn(background, id)
	require.NoError(t, err)
	require.False(t, created)
}

func TestIdentityWithoutAKey(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*jit.Identity){
		"no issuer":              func(id *jit.Identity) { id.Issuer = "" },
		"no subject":             func(id *jit.Identity) { id.Subject = "" },
		"a long issuer":          func(id *jit.Identity) { id.Issuer = strings.Repeat("i", 513) },
		"a long subject":         func(id *jit.Identity) { id.Subject = strings.Repeat("s", 256) },
		"NUL in the subject":     func(id *jit.Identity) { id.Subject = "a\x00" },
		"newline in the subject": func(id *jit.Identity) { id.Subject = "a\n" },
		"turned direction":       func(id *jit.Identity) { id.Issuer += "\u202e" },
		"not UTF-8":              func(id *jit.Identity) { id.Subject = "\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			id := alice(jit.GroupsEmpty)
			change(&id)
			u, created, err := w.SignIn(background, id)
			require.ErrorIs(t, err, jit.ErrIdentity)
			require.False(t, created)
			require.Zero(t, u)
		})
	}
	require.Empty(t, w.state().Users)
	require.Empty(t, w.seen)
}

// One e-mail address, two people: nothing is merged.
func TestHostile23SameEmailIsASecondPerson(t *testing.T) {
	w := newWorld(t)
	first, _, err := w.SignIn(background, alice(jit.GroupsPresent, "byod"))
	require.NoError(t, err)
	for name, change := range map[string]func(*jit.Identity){
		"another subject": func(id *jit.Identity) { id.Subject = "alice-2" },
		"another issuer":  func(id *jit.Identity) { id.Issuer = "https://other.example.com" },
		"another case":    func(id *jit.Identity) { id.Subject = "ALICE-1" },
	} {
		t.Run(name, func(t *testing.T) {
			id := alice(jit.GroupsAbsent)
			change(&id)
			u, created, err := w.SignIn(background, id)
			require.NoError(t, err)
			require.True(t, created)
			require.NotEqual(t, first.ID, u.ID)
			require.Empty(t, u.Groups, "nothing of the first person's")
		})
	}
	require.Len(t, w.state().Users, 4)
}

func TestConcurrentFirstSignInsMakeOneUser(t *testing.T) {
	store := memory.New()
	var created atomic.Int32
	var wg sync.WaitGroup
	ids := make([]string, 50)
	for i := range ids {
		node, err := jit.New(jit.Config{Store: store})
		require.NoError(t, err)
		wg.Go(func() {
			u, made, err := node.SignIn(background, alice(jit.GroupsPresent, "byod"))
			if err != nil {
				t.Error(err)
			}
			if made {
				created.Add(1)
			}
			ids[i] = u.ID
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, created.Load())
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	state, err := store.State(background)
	require.NoError(t, err)
	require.Len(t, state.Users, 1)
}

// down is a store that is out of order.
type down struct{ jit.Store }

var errDown = errors.New("store is down")

func (down) Provision(context.Context, jit.Profile) (jit.User, bool, error) {
	return jit.User{}, false, errDown
}

func TestNothingIsToldWhenNothingIsStored(t *testing.T) {
	w := newWorld(t)
	p, err := jit.New(jit.Config{Store: down{}, Observer: w})
	require.NoError(t, err)
	_, _, err = p.SignIn(background, alice(jit.GroupsEmpty))
	require.ErrorIs(t, err, errDown)

	p, err = jit.New(jit.Config{Store: w.store, Observer: w, Random: strings.NewReader("short")})
	require.NoError(t, err)
	_, _, err = p.SignIn(background, alice(jit.GroupsEmpty))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	ctx, cancel := context.WithCancel(background)
	cancel()
	_, _, err = w.SignIn(ctx, alice(jit.GroupsEmpty))
	require.ErrorIs(t, err, context.Canceled)

	require.Empty(t, w.seen)
	require.Empty(t, w.state().Users)
}

func TestIDsFollowFromTheRandomness(t *testing.T) {
	p, err := jit.New(jit.Config{Store: memory.New(), Random: strings.NewReader(strings.Repeat("\xff", 16))})
	require.NoError(t, err)
	u, _, err := p.SignIn(background, alice(jit.GroupsEmpty))
	require.NoError(t, err)
	require.Equal(t, "ffffffff-ffff-4fff-bfff-ffffffffffff", u.ID)
}
