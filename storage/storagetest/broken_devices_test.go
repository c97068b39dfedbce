package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// brokenDevices are wrong stores of devices by the clause that must catch each.
var brokenDevices = map[string]func() hooks{
	"ticket is issued": func() hooks {
		return hooks{issueTicket: func(ctx context.Context, m *memory.Store, t enroll.Ticket, previous [32]byte) error {
			if _, err := m.Ticket(ctx, t.ID); err == nil {
				t.ID += " again"
			}
			return m.IssueTicket(ctx, t, previous)
		}}
	},
	"a fresh sign-in supersedes": everySession,
	"a spent ticket is never superseded": func() hooks {
		return hooks{ticket: func(ctx context.Context, m *memory.Store, id string) (enroll.Ticket, error) {
			t, err := m.Ticket(ctx, id)
			if state, _ := m.State(ctx); len(state.Tickets) > 1 {
				t.State = enroll.TicketSuperseded
			}
			return t, err
		}}
	},
	"superseding voids what was given out": func() hooks {
		return hooks{challenge: func(ctx context.Context, m *memory.Store, challenge, key [32]byte, now time.Time) ([]byte, error) {
			der, _ := m.Challenge(ctx, challenge, key, now)
			return der, nil
		}}
	},
	"unknown ticket": func() hooks {
		return hooks{ticket: func(ctx context.Context, m *memory.Store, id string) (enroll.Ticket, error) {
			t, _ := m.Ticket(ctx, id)
			return t, nil
		}}
	},
	"a download is counted": func() hooks {
		seen := map[[32]byte]int{}
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			seen[d.Challenge]++
			d.Challenge[0] += byte(seen[d.Challenge] - 1)
			return m.Download(ctx, d)
		}}
	},
	"a download changes no later state": func() hooks {
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			t, err := m.Download(ctx, d)
			t.State = enroll.TicketDownloaded
			return t, err
		}}
	},
	"a ticket waits as long as it may": func() hooks {
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			d.Clocks.Wait = time.Hour
			return m.Download(ctx, d)
		}}
	},
	"downloads are bounded": unbounded,
	"why a download is refused": func() hooks {
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			old, _ := m.Ticket(ctx, d.TicketID)
			t, err := m.Download(ctx, d)
			if err != nil && d.At.Sub(old.Issued) > d.MaxAge {
				err = enroll.ErrTicketExpired
			}
			return t, err
		}}
	},
	"a challenge is one ticket's": func() hooks {
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			t, err := m.Download(ctx, d)
			for _, named := range []error{enroll.ErrUnknownTicket, enroll.ErrTicketExpired, enroll.ErrTicketSuperseded, enroll.ErrTicketSpent, enroll.ErrTicketExhausted} {
				if errors.Is(err, named) {
					return t, err
				}
			}
			return t, nil
		}}
	},
	"challenge is looked up": func() hooks {
		first := map[[32]byte][32]byte{}
		return hooks{challenge: func(ctx context.Context, m *memory.Store, challenge, key [32]byte, now time.Time) ([]byte, error) {
			if by, ok := first[challenge]; ok && by != key { // already taken by a look
				return nil, enroll.ErrChallenge
			}
			first[challenge] = key
			return m.Challenge(ctx, challenge, key, now)
		}}
	},
	"challenge expires": func() hooks {
		return hooks{download: func(ctx context.Context, m *memory.Store, d enroll.DownloadStep) (enroll.Ticket, error) {
			d.Clocks.Grace = time.Hour
			return m.Download(ctx, d)
		}}
	},
	"a challenge is over at its time": func() hooks {
		return hooks{challenge: func(ctx context.Context, m *memory.Store, challenge, key [32]byte, now time.Time) ([]byte, error) {
			return m.Challenge(ctx, challenge, key, now.Add(-time.Microsecond))
		}}
	},
	"a challenge belongs to its first key": func() hooks {
		return hooks{identify: func(ctx context.Context, m *memory.Store, d enroll.IdentifyStep) ([]byte, error) {
			d.Key = [32]byte{1}
			return m.Identify(ctx, d)
		}}
	},
	"a later download voids the earlier": func() hooks {
		type pair struct{ challenge, key [32]byte }
		given := map[pair][]byte{}
		return hooks{identify: func(ctx context.Context, m *memory.Store, d enroll.IdentifyStep) ([]byte, error) {
			if der := given[pair{d.Challenge, d.Key}]; der != nil {
				return der, nil
			}
			der, err := m.Identify(ctx, d)
			given[pair{d.Challenge, d.Key}] = der
			return der, err
		}}
	},
	"identify is noted": func() hooks {
		return hooks{ticket: func(ctx context.Context, m *memory.Store, id string) (enroll.Ticket, error) {
			t, err := m.Ticket(ctx, id)
			t.Identified = time.Time{}
			return t, err
		}}
	},
	"a spent ticket issues nothing": anyKey,
	"devices are counted": func() hooks {
		return hooks{devices: func(ctx context.Context, m *memory.Store, user string) (int, error) {
			state, err := m.State(ctx)
			n := 0
			for _, e := range state.Enrollments {
				if e.UserID == user {
					n++
				}
			}
			return n, err
		}}
	},

	"authenticate binds": func() hooks {
		return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
			e, err := m.Authenticate(ctx, a)
			e.OSVersion = ""
			return e, err
		}}
	},
	"a certificate is bound once": anyName,
	"who sends a step": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			if _, err := m.Enrollment(ctx, x.EnrollmentID); err != nil { // the name before the certificate
				return mdm.Exchanged{}, err
			}
			return m.Exchange(ctx, x)
		}}
	},
	"an empty name is of no kind": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if x.EnrollmentID == "" && x.Device && !errors.Is(err, mdm.ErrUnknownIdentity) {
				err = mdm.ErrChannel
			}
			return out, err
		}}
	},
	"a colleague takes nothing over": anyCertificate,
	"a newer ticket takes over":      neverMoves,
	"starting over":                  neverMoves,
	"time to authenticate": func() hooks {
		return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
			a.At = time.Time{}
			return m.Authenticate(ctx, a)
		}}
	},
	"the time to authenticate is over at its time": func() hooks {
		return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
			e, err := m.Authenticate(ctx, a)
			if errors.Is(err, mdm.ErrUnknownIdentity) {
				a.At = a.At.Add(-time.Microsecond)
				return m.Authenticate(ctx, a)
			}
			return e, err
		}}
	},
	"the limit of devices": func() hooks {
		return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
			a.DeviceLimit = 0
			return m.Authenticate(ctx, a)
		}}
	},
	"first TokenUpdate enrolls": func() hooks {
		return hooks{tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
			u.Planned = true
			return m.TokenUpdate(ctx, u)
		}}
	},
	"TokenUpdate repeats":      plansAgain,
	"TokenUpdate is a contact": unheard,
	"a planned command that exists is left": func() hooks {
		return hooks{tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
			state, _ := m.State(ctx)
			u.Plan = slices.Clone(u.Plan)
			for i, c := range u.Plan {
				if slices.ContainsFunc(state.Commands, func(known mdm.Command) bool { return known.UUID == c.UUID }) {
					u.Plan[i].UUID += " again"
				}
			}
			return m.TokenUpdate(ctx, u)
		}}
	},
	"CheckOut ends": func() hooks {
		return hooks{checkOut: func(ctx context.Context, m *memory.Store, c mdm.CheckOutStep) (mdm.Enrollment, error) {
			if e, err := m.Enrollment(ctx, c.EnrollmentID); err == nil && e.State == mdm.StateEnded {
				return e, mdm.ErrEnded
			}
			return m.CheckOut(ctx, c)
		}}
	},
	"Unenroll ends": neverEnds,
	"the ended stay ended": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if errors.Is(err, mdm.ErrEnded) {
				err = nil
			}
			return out, err
		}}
	},
	"suspended users wait": func() hooks {
		return hooks{suspendUser: func(ctx context.Context, m *memory.Store, user string, suspended bool) error {
			if state, _ := m.State(ctx); !slices.ContainsFunc(state.Enrollments, func(e mdm.Enrollment) bool { return e.UserID == user }) {
				return nil // only users who have a device
			}
			return m.SuspendUser(ctx, user, suspended)
		}}
	},
	"enrollments are apart": func() hooks {
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			state, _ := m.State(ctx)
			commands = slices.DeleteFunc(slices.Clone(commands), func(c mdm.Command) bool {
				return slices.ContainsFunc(state.Commands, func(known mdm.Command) bool { return known.UUID == c.UUID })
			})
			return m.Enqueue(ctx, commands...)
		}}
	},

	"commands come in order": func() hooks {
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			commands = slices.Clone(commands)
			slices.Reverse(commands)
			return m.Enqueue(ctx, commands...)
		}}
	},
	"a command is sent until it is answered": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if out.Next != nil { // as good as done
				x.Idle, x.CommandUUID, x.Status = false, out.Next.UUID, mdm.CommandAcknowledged
				_, err = m.Exchange(ctx, x)
			}
			return out, err
		}}
	},
	"a report is recorded once": reportsAgain,
	"any open command may be answered": func() hooks {
		sent := map[string]bool{}
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			if !sent[x.CommandUUID] {
				x.CommandUUID = "unknown"
			}
			out, err := m.Exchange(ctx, x)
			if out.Next != nil {
				sent[out.Next.UUID] = true
			}
			return out, err
		}}
	},
	"an unreadable command": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			if x.CommandUUID == "" {
				x.CommandUUID = "none"
			}
			return m.Exchange(ctx, x)
		}}
	},
	"NotNow waits for the next session": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if x.Status == mdm.CommandNotNow {
				x.Idle = true
				var again mdm.Exchanged
				again, err = m.Exchange(ctx, x)
				out.Next = again.Next
			}
			return out, err
		}}
	},
	"NotNow asks for a push": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			x.NotNowRetry = 0
			return m.Exchange(ctx, x)
		}}
	},
	"Enqueue repeats": func() hooks {
		known := map[string]bool{}
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			for _, c := range commands {
				if known[c.UUID] {
					return errors.New("duplicate key")
				}
				known[c.UUID] = true
			}
			return m.Enqueue(ctx, commands...)
		}}
	},
	"Enqueue is all or nothing": func() hooks {
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			for _, c := range commands {
				if err := m.Enqueue(ctx, c); err != nil {
					return err
				}
			}
			return nil
		}}
	},
	"an Idle with nothing to do writes nothing": func() hooks {
		contacts := 0
		return hooks{
			exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
				contacts++
				return m.Exchange(ctx, x)
			},
			state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
				state, err := m.State(ctx)
				for i, e := range state.Enrollments {
					state.Enrollments[i].Contact = e.Contact.Add(time.Duration(contacts) * time.Second)
				}
				return state, err
			},
		}
	},
	"final commands keep what they were": func() hooks {
		return hooks{state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			for i, c := range state.Commands {
				state.Commands[i].Updated = c.Queued
			}
			return state, err
		}}
	},

	"a push is claimed by one": noLease,
	"the longest due first": func() hooks {
		return hooks{claim: func(ctx context.Context, m *memory.Store, now time.Time, lease time.Duration, limit int) ([]push.Target, error) {
			if limit == 1 { // all are claimed, one is given out
				targets, err := m.ClaimPushes(ctx, now, 0, 100)
				return targets[len(targets)-1:], err
			}
			return m.ClaimPushes(ctx, now, lease, limit)
		}}
	},
	"settling settles what was asked for before": func() hooks {
		return hooks{settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
			for i := range results {
				results[i].Target.Request = math.MaxInt64
			}
			return m.SettlePushes(ctx, results...)
		}}
	},
	"a retry waits": func() hooks {
		return hooks{settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
			for i := range results {
				results[i].Retry = time.Time{}
			}
			return m.SettlePushes(ctx, results...)
		}}
	},
	"a dead token is forgotten": func() hooks {
		return hooks{settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
			for i := range results {
				results[i].Dead = false
			}
			return m.SettlePushes(ctx, results...)
		}}
	},
	"a newer token lives": func() hooks {
		tokens := map[string][]byte{}
		return hooks{
			tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
				tokens[u.EnrollmentID] = u.Token
				return m.TokenUpdate(ctx, u)
			},
			settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
				for i, r := range results {
					results[i].Target.Token, results[i].DeadAt = tokens[r.Target.EnrollmentID], time.Time{}
				}
				return m.SettlePushes(ctx, results...)
			},
		}
	},
	"results for nobody": func() hooks {
		return hooks{settle: func(ctx context.Context, m *memory.Store, results []push.Result) error {
			for _, r := range results {
				if _, err := m.Enrollment(ctx, r.Target.EnrollmentID); err != nil {
					return err
				}
			}
			return m.SettlePushes(ctx, results...)
		}}
	},
	"the last attempt is kept": func() hooks {
		return hooks{state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			state.Pushes = nil
			return state, err
		}}
	},

	"values are the caller's": func() hooks {
		payloads := map[string][]byte{}
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if c := out.Next; c != nil {
				if payloads[c.UUID] == nil {
					payloads[c.UUID] = c.Payload
				}
				c.Payload = payloads[c.UUID]
			}
			return out, err
		}}
	},
	"times are UTC": func() hooks {
		return hooks{enrollment: func(ctx context.Context, m *memory.Store, id string) (mdm.Enrollment, error) {
			e, err := m.Enrollment(ctx, id)
			e.Created = e.Created.In(elsewhere)
			return e, err
		}}
	},
	"text survives": func() hooks {
		return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
			a.Product = strings.TrimSpace(a.Product)
			return m.Authenticate(ctx, a)
		}}
	},
	"text that is refused leaves nothing": func() hooks {
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			for i, c := range commands {
				if strings.Contains(c.UUID, "\x00") {
					return errors.Join(m.Enqueue(ctx, commands[:i]...), errors.New("a NUL"))
				}
			}
			return m.Enqueue(ctx, commands...)
		}}
	},
	"names differ by bytes": func() hooks {
		return hooks{enrollment: func(ctx context.Context, m *memory.Store, id string) (mdm.Enrollment, error) {
			state, err := m.State(ctx)
			for _, e := range state.Enrollments {
				if strings.EqualFold(e.ID, id) {
					return e, nil
				}
			}
			return mdm.Enrollment{}, errors.Join(err, mdm.ErrUnknownEnrollment)
		}}
	},
	"sizes at the limits": func() hooks {
		return hooks{enqueue: func(ctx context.Context, m *memory.Store, commands []mdm.Command) error {
			for i, c := range commands {
				commands[i].Payload = c.Payload[:min(len(c.Payload), 64<<10)]
			}
			return m.Enqueue(ctx, commands...)
		}}
	},
	"State is in the order of arrival": func() hooks {
		return hooks{state: func(ctx context.Context, m *memory.Store) (storage.State, error) {
			state, err := m.State(ctx)
			slices.SortFunc(state.Tickets, func(a, b enroll.Ticket) int { return strings.Compare(a.ID, b.ID) })
			return state, err
		}}
	},
	"cancelled call changes nothing": func() hooks {
		return hooks{suspendUser: func(ctx context.Context, m *memory.Store, user string, suspended bool) error {
			return m.SuspendUser(context.WithoutCancel(ctx), user, suspended)
		}}
	},

	"race: one key redeems a challenge": anyKey,
	"race: the same key gets one certificate": func() hooks {
		return hooks{identify: func(ctx context.Context, m *memory.Store, d enroll.IdentifyStep) ([]byte, error) {
			_, err := m.Identify(ctx, d)
			return bytes.Clone(d.Certificate), err
		}}
	},
	"race: a certificate is bound once":   anyName,
	"race: an EnrollmentID is bound once": anyCertificate,
	"race: downloads are counted":         unbounded,
	"race: tickets supersede each other":  everySession,
	"race: the plan is queued once":       plansAgain,
	"race: a report is recorded once":     reportsAgain,
	"race: Idle at the same time": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			out, err := m.Exchange(ctx, x)
			if out.Reported != nil && out.Reported.UUID == "c007" {
				out.Reported = nil // an answer that is lost
			}
			return out, err
		}}
	},
	"race: nothing that is queued is lost": loses,
	"race: a push is claimed once":         noLease,
	"race: the end is the end":             neverEnds,
	"random histories":                     loses,
}
