package storagetest

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// accountScript is one enrollment by an account, from the sign-in to the end of
// its tokens.
func accountScript() script[Devices] {
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	certificate := identifyOf("c", "k", minute(3)).Digest
	step := func(name string, do func(ctx context.Context, a Accounts) (any, error)) scripted[Devices] {
		return scripted[Devices]{name, func(ctx context.Context, s Devices) (any, error) {
			a, ok := s.(Accounts)
			if !ok {
				return nil, errNoAccounts
			}
			return do(ctx, a)
		}}
	}
	idle := func(token string, at time.Time) scripted[Devices] {
		return step("Exchange with "+token, func(ctx context.Context, a Accounts) (any, error) {
			return a.Exchange(ctx, mdm.ExchangeStep{Certificate: certificate, EnrollmentID: "E", Bearer: id(token), Idle: true, At: at})
		})
	}
	return script[Devices]{
		steps: []scripted[Devices]{
			step("Grant", func(ctx context.Context, a Accounts) (any, error) {
				return nil, a.Grant(ctx, byCode(grantOf("a", "u1", start), "a"))
			}),
			step("RedeemCode", func(ctx context.Context, a Accounts) (any, error) {
				return nil, a.RedeemCode(ctx, codeOf("a", "a", start))
			}),
			step("TokenTicket", func(ctx context.Context, a Accounts) (any, error) { return a.TokenTicket(ctx, id("a"), minute(1)) }),
			step("Download", func(ctx context.Context, a Accounts) (any, error) {
				return a.Download(ctx, downloadOf("t-a", "c", minute(2)))
			}),
			step("Identify", func(ctx context.Context, a Accounts) (any, error) {
				return a.Identify(ctx, identifyOf("c", "k", minute(3)))
			}),
			step("Authenticate", func(ctx context.Context, a Accounts) (any, error) {
				s := authenticateOf(certificate, "E", minute(4))
				s.Bearer = id("a")
				e, err := a.Authenticate(ctx, s)
				return withoutContact(e), err
			}),
			step("TokenUpdate", func(ctx context.Context, a Accounts) (any, error) {
				s := tokenOf(certificate, "E", minute(5))
				s.Bearer = id("a")
				e, err := a.TokenUpdate(ctx, s)
				return withoutContact(e), err
			}),
			step("Refresh", func(ctx context.Context, a Accounts) (any, error) {
				return nil, a.Refresh(ctx, refreshOf("a", "b", minute(6)))
			}),
			idle("b", minute(7)),
			step("Grant again", func(ctx context.Context, a Accounts) (any, error) {
				return nil, a.Grant(ctx, againOf("c", "u1", "E", minute(8)))
			}),
			idle("c", minute(9)),
			step("RevokeTokens", func(ctx context.Context, a Accounts) (any, error) { return nil, a.RevokeTokens(ctx, "E") }),
		},
		probe: deviceScript().probe,
	}
}
