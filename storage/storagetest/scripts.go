package storagetest

import (
	"context"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/sso"
)

func userScript() script[jit.Store] {
	provision := func(name string, at time.Time) scripted[jit.Store] {
		return scripted[jit.Store]{"Provision " + name, func(ctx context.Context, s jit.Store) (any, error) {
			p := alice()
			p.DisplayName, p.At = name, at
			u, _, err := s.Provision(ctx, p) // whether a repeat created it depends on which one counts
			return u, err
		}}
	}
	suspend := func(suspended bool) scripted[jit.Store] {
		return scripted[jit.Store]{fmt.Sprint("Suspend ", suspended), func(ctx context.Context, s jit.Store) (any, error) {
			return nil, s.Suspend(ctx, "user-1", suspended)
		}}
	}
	return script[jit.Store]{
		steps: []scripted[jit.Store]{
			provision("Alice", start), provision("Alice Example", start.Add(time.Hour)), suspend(true), suspend(false),
		},
		probe: func(ctx context.Context, s jit.Store) (any, error) {
			u, err := s.User(ctx, "user-1")
			return []any{u, text(unless(err, jit.ErrUnknownUser))}, nil
		},
	}
}

func stateScript() script[sso.StateStore] {
	opened := func(name string) scripted[sso.StateStore] {
		return scripted[sso.StateStore]{"OpenState " + name, func(ctx context.Context, s sso.StateStore) (any, error) {
			return nil, s.OpenState(ctx, id(name), start.Add(time.Hour))
		}}
	}
	// A repeat of ConsumeState is refused when the first one was stored.
	consumed := scripted[sso.StateStore]{"ConsumeState", func(ctx context.Context, s sso.StateStore) (any, error) {
		return nil, s.ConsumeState(ctx, id("a"), start)
	}}
	return script[sso.StateStore]{
		steps: []scripted[sso.StateStore]{opened("a"), consumed, opened("b")},
		probe: func(context.Context, sso.StateStore) (any, error) { return nil, nil },
	}
}

func sessionScript() script[enroll.SessionStore] {
	put := func(name, old string) scripted[enroll.SessionStore] {
		return scripted[enroll.SessionStore]{"PutSession " + name, func(ctx context.Context, s enroll.SessionStore) (any, error) {
			var before [32]byte
			if old != "" {
				before = id(old)
			}
			return nil, s.PutSession(ctx, session(name), before)
		}}
	}
	return script[enroll.SessionStore]{
		steps: []scripted[enroll.SessionStore]{put("a", ""), put("b", "a"), put("c", "")},
		probe: func(ctx context.Context, s enroll.SessionStore) (any, error) {
			var seen []any
			for _, name := range []string{"a", "b", "c"} {
				found, err := s.Session(ctx, id(name), start)
				seen = append(seen, found, text(err))
			}
			return seen, nil
		},
	}
}

// deviceScript is one enrollment and what it is told.
func deviceScript() script[Devices] {
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	certificate := identifyOf("c", "k", minute(2)).Digest
	exchange := func(name string, at time.Time, x mdm.ExchangeStep) scripted[Devices] {
		return scripted[Devices]{"Exchange " + name, func(ctx context.Context, s Devices) (any, error) {
			x.Certificate, x.EnrollmentID, x.At = certificate, "E", at
			return s.Exchange(ctx, x)
		}}
	}
	suspend := func(suspended bool) scripted[Devices] {
		return scripted[Devices]{fmt.Sprint("SuspendUser ", suspended), func(ctx context.Context, s Devices) (any, error) {
			return nil, s.SuspendUser(ctx, "u1", suspended)
		}}
	}
	return script[Devices]{
		steps: []scripted[Devices]{
			{"IssueTicket", func(ctx context.Context, s Devices) (any, error) {
				return nil, s.IssueTicket(ctx, ticketOf("t", "u1", "s"), [32]byte{})
			}},
			{"Download", func(ctx context.Context, s Devices) (any, error) {
				return s.Download(ctx, downloadOf("t", "c", minute(1)))
			}},
			{"Identify", func(ctx context.Context, s Devices) (any, error) {
				return s.Identify(ctx, identifyOf("c", "k", minute(2)))
			}},
			{"Authenticate", func(ctx context.Context, s Devices) (any, error) {
				e, err := s.Authenticate(ctx, authenticateOf(certificate, "E", minute(3)))
				return withoutContact(e), err
			}},
			{"TokenUpdate", func(ctx context.Context, s Devices) (any, error) {
				step := tokenOf(certificate, "E", minute(4))
				step.Plan = []mdm.Command{commandOf("E", "p1", minute(4)), commandOf("E", "p2", minute(4))}
				e, err := s.TokenUpdate(ctx, step)
				return withoutContact(e), err
			}},
			{"ClaimPushes", func(ctx context.Context, s Devices) (any, error) {
				targets, err := s.ClaimPushes(ctx, minute(5), time.Minute, 10)
				return withoutRequests(targets), err
			}},
			exchange("Idle", minute(6), mdm.ExchangeStep{Idle: true}),
			exchange("acknowledges p1", minute(7), mdm.ExchangeStep{CommandUUID: "p1", Status: mdm.CommandAcknowledged, Result: []byte("r1")}),
			exchange("answers p2 NotNow", minute(8), mdm.ExchangeStep{CommandUUID: "p2", Status: mdm.CommandNotNow, Result: []byte("r2")}),
			{"Enqueue", func(ctx context.Context, s Devices) (any, error) {
				return nil, s.Enqueue(ctx, commandOf("E", "c1", minute(9)), commandOf("E", "c2", minute(9)))
			}},
			suspend(true), suspend(false),
			exchange("Idle again", minute(10), mdm.ExchangeStep{Idle: true}),
			exchange("reports p2 in error", minute(11), mdm.ExchangeStep{CommandUUID: "p2", Status: mdm.CommandError, Result: []byte("r3")}),
			{"CheckOut", func(ctx context.Context, s Devices) (any, error) {
				e, err := s.CheckOut(ctx, mdm.CheckOutStep{Certificate: certificate, EnrollmentID: "E", At: minute(12)})
				return withoutContact(e), err
			}},
		},
		probe: func(ctx context.Context, s Devices) (any, error) {
			state, err := s.State(ctx)
			state.Users, state.Enrollments = nil, withoutContacts(state.Enrollments)
			return state, err
		},
	}
}

// withoutRequests are targets without the numbers of their requests. A store
// makes as many for an Enqueue as it likes, at least one for each enrollment that
// got a command: what can be seen of them is only that later ones are higher, and
// that settling leaves what was asked for since.
func withoutRequests(targets []push.Target) []push.Target {
	for i := range targets {
		targets[i].Request = 0
	}
	return targets
}
