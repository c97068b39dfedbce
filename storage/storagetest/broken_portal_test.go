package storagetest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// elsewhere is not UTC.
var elsewhere = time.FixedZone("", 3600)

// brokenUsers are wrong user stores by the clause that must catch each.
var brokenUsers = map[string]func() hooks{
	"first sign-in creates": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			u, _, err := m.Provision(ctx, p)
			return u, false, err
		}}
	},
	"later sign-in refreshes": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			p.DisplayName = "Alice Example" // of the first time
			return m.Provision(ctx, p)
		}}
	},
	"issuer and subject are the key": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			p.Subject = strings.ToLower(p.Subject)
			return m.Provision(ctx, p)
		}}
	},
	"groups are kept when not told": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			p.KeepGroups = false
			return m.Provision(ctx, p)
		}}
	},
	"suspended stays as it is": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			u, created, err := m.Provision(ctx, p)
			if errors.Is(err, jit.ErrSuspended) { // refreshed before it is refused
				_ = m.Suspend(ctx, p.ID, false)
				_, _, _ = m.Provision(ctx, p)
				_ = m.Suspend(ctx, p.ID, true)
			}
			return u, created, err
		}}
	},
	"suspending repeats": func() hooks {
		return hooks{suspend: func(ctx context.Context, m *memory.Store, id string, _ bool) error {
			u, err := m.User(ctx, id)
			if err != nil {
				return err
			}
			return m.Suspend(ctx, id, !u.Suspended)
		}}
	},
	"unknown user": func() hooks {
		return hooks{suspend: func(ctx context.Context, m *memory.Store, id string, suspended bool) error {
			_ = m.Suspend(ctx, id, suspended)
			return nil
		}}
	},
	"an ID names one person": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			u, created, err := m.Provision(ctx, p)
			if err != nil && !errors.Is(err, jit.ErrSuspended) {
				u, err = m.User(ctx, p.ID)
			}
			return u, created, err
		}}
	},
	"values are the caller's": func() hooks {
		groups := map[string][]string{}
		return hooks{user: func(ctx context.Context, m *memory.Store, id string) (jit.User, error) {
			u, err := m.User(ctx, id)
			if groups[id] == nil {
				groups[id] = u.Groups
			}
			u.Groups = groups[id]
			return u, err
		}}
	},
	"times are UTC": func() hooks {
		return hooks{user: func(ctx context.Context, m *memory.Store, id string) (jit.User, error) {
			u, err := m.User(ctx, id)
			u.Created = u.Created.In(elsewhere)
			return u, err
		}}
	},
	"text survives": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			p.DisplayName = p.DisplayName[:min(len(p.DisplayName), 255)]
			return m.Provision(ctx, p)
		}}
	},
	"concurrent first sign-ins create one": func() hooks {
		return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
			u, _, err := m.Provision(ctx, p)
			return u, u.Created.Equal(u.LastSignIn), err
		}}
	},
	"cancelled call changes nothing": func() hooks {
		return hooks{suspend: func(ctx context.Context, m *memory.Store, id string, suspended bool) error {
			return m.Suspend(context.WithoutCancel(ctx), id, suspended)
		}}
	},
}

// brokenStates are wrong stores of sign-in attempts.
var brokenStates = map[string]func() hooks{
	"an attempt is finished once": func() hooks {
		return hooks{consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
			_ = m.ConsumeState(ctx, key, now)
			return nil
		}}
	},
	"unknown and expired are refused": func() hooks {
		return hooks{openState: func(ctx context.Context, m *memory.Store, key [32]byte, expires time.Time) error {
			return m.OpenState(ctx, key, expires.AddDate(1, 0, 0))
		}}
	},
	"an attempt is over at its time": func() hooks {
		return hooks{consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
			return m.ConsumeState(ctx, key, now.Add(-time.Microsecond))
		}}
	},
	"a late opening reopens nothing": reopens,
	"opening repeats": func() hooks {
		known := map[[32]byte]bool{}
		return hooks{openState: func(ctx context.Context, m *memory.Store, key [32]byte, expires time.Time) error {
			if known[key] {
				return errors.New("duplicate key")
			}
			known[key] = true
			return m.OpenState(ctx, key, expires)
		}}
	},
	"attempts do not touch each other": func() hooks {
		cut := func(key [32]byte) [32]byte { return [32]byte(append(key[:16:16], make([]byte, 16)...)) }
		return hooks{
			openState: func(ctx context.Context, m *memory.Store, key [32]byte, expires time.Time) error {
				return m.OpenState(ctx, cut(key), expires)
			},
			consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
				return m.ConsumeState(ctx, cut(key), now)
			},
		}
	},
	"concurrent callbacks finish one": func() hooks {
		return hooks{consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
			err := m.ConsumeState(ctx, key, now)
			again := sha256.Sum256(key[:]) // a second one gets through
			if errors.Is(err, sso.ErrStateUsed) && m.OpenState(ctx, again, now.Add(time.Hour)) == nil {
				err = m.ConsumeState(ctx, again, now)
			}
			return err
		}}
	},
	"cancelled call changes nothing": func() hooks {
		return hooks{consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
			return errors.Join(m.ConsumeState(context.WithoutCancel(ctx), key, now), ctx.Err())
		}}
	},
}

// reopens lets an attempt that was finished be opened once more.
func reopens() hooks {
	var mu sync.Mutex
	finished := map[[32]byte]bool{}
	again := func(key [32]byte) [32]byte { return sha256.Sum256(key[:]) }
	return hooks{
		openState: func(ctx context.Context, m *memory.Store, key [32]byte, expires time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			if finished[key] {
				return m.OpenState(ctx, again(key), expires)
			}
			return m.OpenState(ctx, key, expires)
		},
		consumeState: func(ctx context.Context, m *memory.Store, key [32]byte, now time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			if finished[key] {
				return m.ConsumeState(ctx, again(key), now)
			}
			err := m.ConsumeState(ctx, key, now)
			finished[key] = err == nil
			return err
		},
	}
}

// brokenSessions are wrong stores of sessions.
var brokenSessions = map[string]func() hooks{
	"a session is found": func() hooks {
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, old [32]byte) error {
			s.Ticket = ""
			return m.PutSession(ctx, s, old)
		}}
	},
	"unknown and expired are not": func() hooks {
		return hooks{session: func(ctx context.Context, m *memory.Store, id [32]byte, _ time.Time) (enroll.Session, error) {
			return m.Session(ctx, id, time.Time{})
		}}
	},
	"a session is over at its time": func() hooks {
		return hooks{session: func(ctx context.Context, m *memory.Store, id [32]byte, now time.Time) (enroll.Session, error) {
			return m.Session(ctx, id, now.Add(-time.Microsecond))
		}}
	},
	"a session is replaced": func() hooks {
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, old [32]byte) error {
			if _, err := m.Session(ctx, s.ID, time.Time{}); err == nil {
				return nil
			}
			return m.PutSession(ctx, s, old)
		}}
	},
	"signing in ends the session before": func() hooks {
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, _ [32]byte) error {
			return m.PutSession(ctx, s, [32]byte{})
		}}
	},
	"no session before is none": func() hooks {
		var last [32]byte
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, old [32]byte) error {
			if old == [32]byte{} {
				old = last
			}
			last = s.ID
			return m.PutSession(ctx, s, old)
		}}
	},
	"times are UTC": func() hooks {
		return hooks{session: func(ctx context.Context, m *memory.Store, id [32]byte, now time.Time) (enroll.Session, error) {
			s, err := m.Session(ctx, id, now)
			s.Expires = s.Expires.In(elsewhere)
			return s, err
		}}
	},
	"text survives": func() hooks {
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, old [32]byte) error {
			s.UserID = strings.TrimSpace(s.UserID)
			return m.PutSession(ctx, s, old)
		}}
	},
	"cancelled call changes nothing": func() hooks {
		return hooks{putSession: func(ctx context.Context, m *memory.Store, s enroll.Session, old [32]byte) error {
			return errors.Join(m.PutSession(context.WithoutCancel(ctx), s, old), ctx.Err())
		}}
	},
}
