package storagetest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// TestSuiteBitesInOneClause has stores that break one sentence of the contract
// and nothing else: the clause that says it catches them, and no other one does.
func TestSuiteBitesInOneClause(t *testing.T) {
	type broken struct {
		clause, how string
		wrong       func() hooks
	}
	list := []broken{
		{"users/text survives", "a subject is cut", func() hooks {
			return hooks{provision: func(ctx context.Context, m *memory.Store, p jit.Profile) (jit.User, bool, error) {
				whole := p.Subject
				p.Subject = p.Subject[:min(len(p.Subject), 200)]
				u, created, err := m.Provision(ctx, p)
				u.Subject = whole
				return u, created, err
			}, user: func(ctx context.Context, m *memory.Store, id string) (jit.User, error) {
				u, err := m.User(ctx, id)
				if len(u.Subject) == 200 {
					u.Subject += u.Subject[:55]
				}
				return u, err
			}}
		}},
		{"devices/ticket is issued", "a repeat supersedes the session before", supersedesAgain},
		{"devices/first TokenUpdate enrolls", "the plan is queued at the step's time", queuesNow},
		{"devices/the last attempt is kept", "a late result replaces a later one", lastCounts},
		{"devices/values are the caller's", "the caller's result is kept", keepsResult},
		{"devices/sizes at the limits", "a call is cut", func() hooks {
			return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
				return m.Enqueue(ctx, commands[:min(len(commands), 9999)]...)
			}}
		}},
		{"accounts/codes, tokens and tickets are new", "RedeemCode", func() hooks {
			return hooks{redeemCode: func(ctx context.Context, m *memory.Store, s enroll.CodeStep) error {
				return ifNamed(m.RedeemCode(ctx, s))
			}}
		}},
		{"accounts/codes, tokens and tickets are new", "Refresh", func() hooks {
			return hooks{refresh: func(ctx context.Context, m *memory.Store, s enroll.RefreshStep) error {
				return ifNamed(m.Refresh(ctx, s))
			}}
		}},
	}
	for read, wrong := range deaf() {
		part, _, _ := strings.Cut(read, "/")
		list = append(list, broken{part + "/cancelled call changes nothing", read, func() hooks { return wrong }})
	}
	for part, all := range map[string]map[string]func() hooks{"states": brokenStates, "sessions": brokenSessions, "devices": brokenDevices, "accounts": brokenAccounts} {
		for name, wrong := range all {
			if strings.HasSuffix(name, "is over at its time") || slices.Contains([]string{
				"a late opening reopens nothing", "an empty name is of no kind", "TokenUpdate is a contact", "codes, tokens and tickets are new",
				"text that is refused leaves nothing",
			}, name) {
				list = append(list, broken{part + "/" + name, "as in TestSuiteBites", wrong})
			}
		}
	}
	for _, c := range list {
		t.Run(c.clause+"/"+c.how, func(t *testing.T) {
			suite := storagetest.Whole(func(string) (hooked, error) { return hooked{memory.New(), c.wrong()}, nil })
			var caught []string
			for _, clause := range suite.Clauses() {
				if !slices.ContainsFunc([]string{"reopening", "killed", "random", "race:", "concurrent"}, func(other string) bool { return strings.Contains(clause, other) }) &&
					suite.Failure(t, clause) != "" {
					caught = append(caught, clause)
				}
			}
			require.Equal(t, []string{c.clause}, caught)
		})
	}
}

// deaf are reads that go on when their context is over.
func deaf() map[string]hooks {
	on := context.WithoutCancel
	return map[string]hooks{
		"users/User": {user: func(ctx context.Context, m *memory.Store, id string) (jit.User, error) { return m.User(on(ctx), id) }},
		"sessions/Session": {session: func(ctx context.Context, m *memory.Store, id [32]byte, now time.Time) (enroll.Session, error) {
			return m.Session(on(ctx), id, now)
		}},
		"devices/Ticket": {ticket: func(ctx context.Context, m *memory.Store, id string) (enroll.Ticket, error) {
			return m.Ticket(on(ctx), id)
		}},
		"devices/Challenge": {challenge: func(ctx context.Context, m *memory.Store, challenge, key [32]byte, now time.Time) ([]byte, error) {
			return m.Challenge(on(ctx), challenge, key, now)
		}},
		"devices/Devices": {devices: func(ctx context.Context, m *memory.Store, user string) (int, error) { return m.Devices(on(ctx), user) }},
		"devices/Enrollment": {enrollment: func(ctx context.Context, m *memory.Store, id string) (mdm.Enrollment, error) {
			return m.Enrollment(on(ctx), id)
		}},
		"devices/State": {state: func(ctx context.Context, m *memory.Store) (storage.State, error) { return m.State(on(ctx)) }},
	}
}

// supersedesAgain ends the tickets of the session before, also when a ticket that
// exists is issued again.
func supersedesAgain() hooks {
	ended := map[[32]byte]bool{}
	look := func(t enroll.Ticket) enroll.Ticket {
		if ended[t.Session] && t.State != enroll.TicketEnrolled {
			t.State = enroll.TicketSuperseded
		}
		return t
	}
	return hooks{
		issueTicket: func(ctx context.Context, m *memory.Store, t enroll.Ticket, previous [32]byte) error {
			if _, err := m.Ticket(ctx, t.ID); err == nil && previous != [32]byte{} {
				ended[previous] = true
			}
			return m.IssueTicket(ctx, t, previous)
		},
		ticket: func(ctx context.Context, m *memory.Store, id string) (enroll.Ticket, error) {
			t, err := m.Ticket(ctx, id)
			return look(t), err
		},
		state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			for i, t := range state.Tickets {
				state.Tickets[i] = look(t)
			}
			return state, err
		},
	}
}

// queuesNow takes the time of the step for that of the plan.
func queuesNow() hooks {
	return hooks{tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
		u.Plan = slices.Clone(u.Plan)
		for i := range u.Plan {
			u.Plan[i].Queued = u.At
		}
		return m.TokenUpdate(ctx, u)
	}}
}

// lastCounts takes the result that came last for the last attempt.
func lastCounts() hooks {
	last := map[string]storage.Push{}
	return hooks{
		settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
			err := m.SettlePushes(ctx, results...)
			for _, r := range results {
				last[r.Target.EnrollmentID] = storage.Push{EnrollmentID: r.Target.EnrollmentID, Status: r.Status, Time: r.At}
			}
			return err
		},
		state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			for i, p := range state.Pushes {
				if e, _ := m.Enrollment(ctx, p.EnrollmentID); e.State == mdm.StateEnrolled {
					state.Pushes[i] = last[p.EnrollmentID]
				}
			}
			return state, err
		},
	}
}

// keepsResult keeps the caller's bytes.
func keepsResult() hooks {
	results := map[[32]byte][]byte{}
	key := func(enrollmentID, uuid string) [32]byte { return sha256.Sum256([]byte(enrollmentID + "\x00" + uuid)) }
	return hooks{
		exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if c := out.Reported; c != nil {
				results[key(c.EnrollmentID, c.UUID)] = x.Result
			}
			return out, err
		},
		state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			for i, c := range state.Commands {
				if kept, ok := results[key(c.EnrollmentID, c.UUID)]; ok && len(c.Result) > 0 {
					state.Commands[i].Result = bytes.Clone(kept)
				}
			}
			return state, err
		},
	}
}
