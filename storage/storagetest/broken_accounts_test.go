package storagetest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// anySession lets a web session hand back as often as it likes.
func anySession() hooks {
	var n atomic.Int32
	return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
		err := m.Grant(ctx, s)
		if errors.Is(err, enroll.ErrSessionUsed) {
			s.Session[0] ^= byte(n.Add(1))
			return m.Grant(ctx, s)
		}
		return err
	}}
}

// usesSession ends a web session whatever becomes of its sign-in.
func usesSession() hooks {
	return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
		err := m.Grant(ctx, s)
		if err != nil && !errors.Is(err, enroll.ErrSessionUsed) {
			t := enroll.Ticket{ID: "hidden", UserID: "hidden", Issued: s.At}
			s.Ticket, s.UserID, s.Code, s.Tokens = &t, "hidden", nil, enroll.Tokens{Access: s.Session}
			_ = m.Grant(ctx, s)
		}
		return err
	}}
}

// forgetsCodes takes a code that came again for one that was never given out.
func forgetsCodes() hooks {
	var mu sync.Mutex
	redeemed := map[[32]byte]bool{}
	return hooks{redeemCode: func(ctx context.Context, m *memory.Store, s enroll.CodeStep) error {
		mu.Lock()
		defer mu.Unlock()
		if redeemed[s.Code] {
			return enroll.ErrGrant
		}
		err := m.RedeemCode(ctx, s)
		redeemed[s.Code] = err == nil
		return err
	}}
}

// anyClient does not look at who redeems a code.
func anyClient() hooks {
	return hooks{redeemCode: func(ctx context.Context, m *memory.Store, s enroll.CodeStep) error {
		s.ClientID = "client"
		return m.RedeemCode(ctx, s)
	}}
}

// anyRefresher does not look at who refreshes.
func anyRefresher() hooks {
	return hooks{refresh: func(ctx context.Context, m *memory.Store, s enroll.RefreshStep) error {
		s.ClientID = "client"
		return m.Refresh(ctx, s)
	}}
}

// refreshOnce refuses a refresh token that comes again, and does no more.
func refreshOnce() hooks {
	var mu sync.Mutex
	seen := map[[32]byte]bool{}
	return hooks{refresh: func(ctx context.Context, m *memory.Store, s enroll.RefreshStep) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[s.Refresh] {
			return enroll.ErrGrant
		}
		err := m.Refresh(ctx, s)
		seen[s.Refresh] = err == nil
		return err
	}}
}

// eternal tokens never expire, and nothing ends those of before.
func eternal() hooks {
	tickets := map[[32]byte]enroll.Ticket{}
	return hooks{tokenTicket: func(ctx context.Context, m *memory.Store, access [32]byte, now time.Time) (enroll.Ticket, error) {
		t, err := m.TokenTicket(ctx, access, now)
		if err == nil {
			tickets[access] = t
		} else if known, ok := tickets[access]; ok && errors.Is(err, enroll.ErrToken) {
			return known, nil
		}
		return t, err
	}}
}

// anyBearer lets every token pass.
func anyBearer() hooks {
	h := hooks{}
	h.exchange = func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
		out, err := m.Exchange(ctx, x)
		if errors.Is(err, mdm.ErrBearer) {
			return mdm.Exchanged{}, nil
		}
		return out, err
	}
	return h
}

// firstBearer binds an identity whatever token comes along.
func firstBearer() hooks {
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		e, err := m.Authenticate(ctx, a)
		if errors.Is(err, mdm.ErrBearer) {
			return mdm.Enrollment{ID: a.EnrollmentID}, nil
		}
		return e, err
	}}
}

// endsEarly ends the former token as soon as another is granted.
func endsEarly() hooks {
	return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
		if s.Ticket == nil {
			if e, err := m.Enrollment(ctx, s.EnrollmentID); err == nil && e.UserID == s.UserID {
				_ = m.RevokeTokens(ctx, s.EnrollmentID)
			}
		}
		return m.Grant(ctx, s)
	}}
}

// refusedEnds ends the tokens of an enrollment when an Authenticate is refused.
func refusedEnds() hooks {
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		e, err := m.Authenticate(ctx, a)
		if err != nil {
			_ = m.RevokeTokens(ctx, a.EnrollmentID)
		}
		return e, err
	}}
}

// oneAttempt lets a token bind one identity only.
func oneAttempt() hooks {
	bound := map[[32]byte][32]byte{}
	return hooks{authenticate: func(ctx context.Context, m *memory.Store, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
		if c, ok := bound[a.Bearer]; ok && c != a.Certificate {
			return mdm.Enrollment{}, mdm.ErrBearer
		}
		e, err := m.Authenticate(ctx, a)
		if err == nil {
			bound[a.Bearer] = a.Certificate
		}
		return e, err
	}}
}

// suspeternal keeps the tokens over a suspension, though it is enforced.
func suspeternal() hooks {
	var mu sync.Mutex
	suspended := map[string]bool{}
	h := hooks{suspendUser: func(ctx context.Context, m *memory.Store, user string, s bool) error {
		mu.Lock()
		defer mu.Unlock()
		suspended[user] = s
		return ctx.Err()
	}}
	h.tokenTicket = func(ctx context.Context, m *memory.Store, access [32]byte, now time.Time) (enroll.Ticket, error) {
		mu.Lock()
		defer mu.Unlock()
		t, err := m.TokenTicket(ctx, access, now)
		if suspended[t.UserID] {
			return enroll.Ticket{}, mdm.ErrSuspended
		}
		return t, err
	}
	h.grant = func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
		mu.Lock()
		defer mu.Unlock()
		if suspended[s.UserID] {
			return mdm.ErrSuspended
		}
		return m.Grant(ctx, s)
	}
	return h
}

// supersedes ends the person's ticket of before.
func supersedes() hooks {
	last := map[string][32]byte{}
	return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
		if s.Ticket != nil {
			t := *s.Ticket
			if before, ok := last[t.UserID]; ok {
				_ = m.IssueTicket(ctx, enroll.Ticket{ID: "hidden" + t.ID, Session: sha256.Sum256([]byte(t.ID)), Issued: t.Issued}, before)
			}
			last[t.UserID] = t.Session
		}
		return m.Grant(ctx, s)
	}}
}

// ifNamed takes an error for success that is none of the store's conditions.
func ifNamed(err error) error {
	for _, named := range []error{
		enroll.ErrSessionUsed, enroll.ErrAnotherPerson, enroll.ErrGrant, mdm.ErrSuspended, mdm.ErrUnknownEnrollment, mdm.ErrEnded, context.Canceled,
	} {
		if errors.Is(err, named) {
			return err
		}
	}
	return nil
}

// brokenAccounts are wrong stores of account-driven enrollment by the clause that
// must catch each.
var brokenAccounts = map[string]func() hooks{
	"an access token is granted once": func() hooks {
		n := byte(0)
		return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
			err := m.Grant(ctx, s)
			if errors.Is(err, enroll.ErrSessionUsed) {
				n++
				s.Tokens.Access[0] ^= n
				return m.Grant(ctx, s)
			}
			return err
		}}
	},
	"a sign-in issues its ticket":   supersedes,
	"a web session hands back once": anySession,
	"a web session is over at its time": func() hooks {
		expires := map[[32]byte]time.Time{}
		return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
			if end, ok := expires[s.Session]; ok && s.At.Equal(end) {
				return enroll.ErrSessionUsed
			}
			err := m.Grant(ctx, s)
			if err == nil {
				expires[s.Session] = s.SessionExpires
			}
			return err
		}}
	},
	"codes, tokens and tickets are new": func() hooks {
		return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
			return ifNamed(m.Grant(ctx, s))
		}}
	},
	"a refused sign-in leaves its web session": usesSession,
	"an access token expires":                  eternal,
	"a code is redeemed once":                  forgetsCodes,
	"a code is bound":                          anyClient,
	"refresh tokens are rotated":               eternal,
	"a refresh is repeated":                    refreshOnce,
	"a stolen refresh token ends the grant":    refreshOnce,
	"a refresh token is bound":                 anyRefresher,
	"a forgotten refresh token":                eternal,
	"a token of a repeated sign-in": func() hooks {
		return hooks{grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
			if s.Ticket == nil {
				t := enroll.Ticket{ID: "new", UserID: s.UserID, Issued: s.At}
				s.Ticket = &t
			}
			return m.Grant(ctx, s)
		}}
	},
	"tokens are revoked": func() hooks {
		return hooks{revokeTokens: func(ctx context.Context, m *memory.Store, enrollmentID string) error {
			_, err := m.Enrollment(ctx, enrollmentID)
			return err
		}}
	},
	"a cancelled call grants nothing": func() hooks {
		return hooks{refresh: func(ctx context.Context, m *memory.Store, s enroll.RefreshStep) error {
			return m.Refresh(context.WithoutCancel(ctx), s)
		}}
	},
	"what a sign-in was given is its own": func() hooks {
		var kept *enroll.AuthorizationCode
		return hooks{
			grant: func(ctx context.Context, m *memory.Store, s enroll.GrantStep) error {
				kept = s.Code
				return m.Grant(ctx, s)
			},
			redeemCode: func(ctx context.Context, m *memory.Store, s enroll.CodeStep) error {
				if kept != nil && kept.ClientID != s.ClientID {
					return enroll.ErrGrant
				}
				return m.RedeemCode(ctx, s)
			},
		}
	},
	"times and texts of a grant": anyRefresher,

	"the first Authenticate needs its ticket's token":     firstBearer,
	"every step needs a token of its enrollment":          anyBearer,
	"a former token ends at the first use of the new one": endsEarly,
	"a refused Authenticate ends no token":                refusedEnds,
	"starting over with the same token":                   oneAttempt,
	"a newer ticket takes an EnrollmentID over":           anyBearer,
	"suspension revokes for good":                         suspeternal,
	"an end ends the tokens":                              eternal,
	"a token is looked at last": func() hooks {
		return hooks{tokenUpdate: func(ctx context.Context, m *memory.Store, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
			e, err := m.TokenUpdate(ctx, u)
			if err != nil && u.Bearer == sha256.Sum256([]byte("unknown")) {
				err = mdm.ErrBearer
			}
			return e, err
		}}
	},
	"ways without an account need no token": func() hooks {
		return hooks{exchange: func(ctx context.Context, m *memory.Store, x mdm.ExchangeStep) (mdm.Exchanged, error) {
			if x.Bearer == sha256.Sum256(nil) {
				return mdm.Exchanged{}, mdm.ErrBearer
			}
			return m.Exchange(ctx, x)
		}}
	},

	"race: a web session hands back once":             anySession,
	"race: a code is redeemed once":                   forgetsCodes,
	"race: a refresh token leads to one access token": refreshOnce,
	"race: a suspension is final":                     suspeternal,
	"random histories":                                anyRefresher,
}
