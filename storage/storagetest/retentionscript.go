package storagetest

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// retentionScript forgets what is over of each kind, beside a device that goes on.
func retentionScript() script[Retention] {
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	certificate := identifyOf("c", "k", start).Digest
	step := func(name string, do func(ctx context.Context, s Retention) (any, error)) scripted[Retention] {
		return scripted[Retention]{name, do}
	}
	exchange := func(name string, at time.Time, x mdm.ExchangeStep) scripted[Retention] {
		return step("Exchange "+name, func(ctx context.Context, s Retention) (any, error) {
			x.Certificate, x.EnrollmentID, x.At = certificate, "E", at
			return s.Exchange(ctx, x)
		})
	}
	acknowledge := func(uuid string, at time.Time) scripted[Retention] {
		return exchange("acknowledges "+uuid, at, mdm.ExchangeStep{CommandUUID: uuid, Status: mdm.CommandAcknowledged})
	}
	prune := func(what string, p storage.PruneStep) scripted[Retention] {
		return step("Prune "+what, func(ctx context.Context, s Retention) (any, error) {
			p.Limit = 100
			return s.Prune(ctx, p)
		})
	}
	prepare := []scripted[Retention]{
		step("OpenState", func(ctx context.Context, s Retention) (any, error) {
			return nil, s.OpenState(ctx, id("a"), minute(10))
		}),
		step("Grant", func(ctx context.Context, s Retention) (any, error) {
			return nil, s.Grant(ctx, byCode(grantOf("a", "u1", start), "a"))
		}),
		step("IssueTicket", func(ctx context.Context, s Retention) (any, error) {
			return nil, s.IssueTicket(ctx, ticketOf("t", "u1", "s"), [32]byte{})
		}),
		step("Download", func(ctx context.Context, s Retention) (any, error) {
			return s.Download(ctx, downloadOf("t", "c", start))
		}),
		step("Identify", func(ctx context.Context, s Retention) (any, error) {
			return s.Identify(ctx, identifyOf("c", "k", start))
		}),
		step("Authenticate", func(ctx context.Context, s Retention) (any, error) {
			return s.Authenticate(ctx, authenticateOf(certificate, "E", start))
		}),
		step("TokenUpdate", func(ctx context.Context, s Retention) (any, error) {
			u := tokenOf(certificate, "E", start)
			u.Plan = []mdm.Command{commandOf("E", "p1", start), commandOf("E", "p2", start)}
			return s.TokenUpdate(ctx, u)
		}),
		acknowledge("p1", minute(1)),
		step("IssueTicket of one that leads nowhere", func(ctx context.Context, s Retention) (any, error) {
			return nil, s.IssueTicket(ctx, ticketOf("t-over", "u1", "s-over"), [32]byte{})
		}),
	}
	for _, name := range []string{"a", "b"} {
		prepare = append(prepare, step("PutSession", func(ctx context.Context, s Retention) (any, error) {
			put := session(name)
			if name == "a" {
				put.Expires = minute(10)
			}
			return nil, s.PutSession(ctx, put, [32]byte{})
		}))
	}
	return script[Retention]{
		prepare: prepare,
		steps: []scripted[Retention]{
			prune("what has expired", storage.PruneStep{ExpiredBefore: minute(30)}),
			prune("what is over", storage.PruneStep{OverBefore: minute(30)}),
			step("Enqueue of a UUID that was forgotten", func(ctx context.Context, s Retention) (any, error) {
				return nil, s.Enqueue(ctx, commandOf("E", "p1", minute(40)))
			}),
			acknowledge("p2", minute(41)),
			prune("what has expired and is over later", storage.PruneStep{ExpiredBefore: minute(90), OverBefore: minute(90)}),
		},
		probe: func(ctx context.Context, s Retention) (any, error) {
			state, err := s.State(ctx)
			if err != nil {
				return nil, err
			}
			state.Users, state.Enrollments = nil, withoutContacts(state.Enrollments)
			seen := []any{state}
			for _, name := range []string{"a", "b"} {
				found, err := s.Session(ctx, id(name), start)
				seen = append(seen, found, text(err))
			}
			return seen, nil
		},
	}
}
