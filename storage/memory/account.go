package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// grant is one account-driven sign-in.
type grant struct {
	user        string
	ticket      *ticket     // nil when an enrolled device signed in again
	enrollment  *enrollment // bound by Authenticate, or from the start
	order       int         // a later grant has a higher one
	revoked     bool
	code        *enroll.AuthorizationCode
	redeemed    bool
	clientID    string
	generations []*generation
	ended       time.Time // when its enrollment did
}

func (g *grant) place() int { return g.order }

// generation is the tokens of one answer. An exchange of its refresh token
// makes the next one.
type generation struct {
	grant  *grant
	number int
	enroll.Tokens
	used bool
}

// inForce reports whether an access token is good at a time.
func (g *generation) inForce(at time.Time) bool {
	if g.grant.revoked || !g.AccessExpires.IsZero() && !at.Before(g.AccessExpires) {
		return false
	}
	for _, later := range g.grant.generations[g.number+1:] {
		if later.used {
			return false
		}
	}
	return true
}

// use notes that a token of the generation came, which ends the former ones of
// the enrollment.
func (g *generation) use() {
	if g.used {
		return
	}
	g.used = true
	if e := g.grant.enrollment; e != nil {
		e.endGrantsBefore(g.grant)
	}
}

func (e *enrollment) endGrantsBefore(g *grant) {
	for _, former := range e.grants {
		former.revoked = former.revoked || former.order < g.order
	}
}

// bind makes a grant the enrollment's.
func (g *grant) bind(e *enrollment) {
	if former := g.enrollment; former != nil {
		former.grants = slices.DeleteFunc(former.grants, func(other *grant) bool { return other == g })
	}
	g.enrollment = e
	e.grants = append(e.grants, g)
	e.endGrantsBefore(g)
}

// bearer looks at the token of a step of an enrolled device.
func (s *Store) bearer(e *enrollment, token [32]byte, at time.Time) error {
	if !e.Way.Account() {
		return nil
	}
	g := s.access[token]
	if g == nil || g.grant.enrollment != e || !g.inForce(at) {
		return mdm.ErrBearer
	}
	return nil
}

// came notes the token of a step that nothing refuses any more.
func (s *Store) came(e *enrollment, token [32]byte) {
	if g := s.access[token]; g != nil && g.grant.enrollment == e {
		g.use()
	}
}

// firstBearer looks at the token of a first Authenticate: one of the same ticket.
func (s *Store) firstBearer(i *identity, token [32]byte, at time.Time) (*generation, error) {
	if !i.way.Account() {
		return nil, nil
	}
	g := s.access[token]
	if g == nil || g.grant.ticket != i.ticket || !g.inForce(at) {
		return nil, mdm.ErrBearer
	}
	return g, nil
}

// Grant implements enroll.AccountStore.
func (s *Store) Grant(ctx context.Context, d enroll.GrantStep) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	at := stamp(d.At)
	if expires, used := s.webSessions[d.Session]; used && at.Before(expires) || d.Code == nil && s.access[d.Tokens.Access] != nil {
		return enroll.ErrSessionUsed
	}
	if s.suspended[d.UserID] {
		return mdm.ErrSuspended
	}
	var e *enrollment
	if d.Ticket == nil {
		e = s.enrollments[d.EnrollmentID]
		switch {
		case e == nil:
			return mdm.ErrUnknownEnrollment
		case e.UserID != d.UserID:
			return enroll.ErrAnotherPerson
		case e.State == mdm.StateEnded || e.State == mdm.StateReplaced:
			return mdm.ErrEnded
		}
	} else if s.tickets[d.Ticket.ID] != nil {
		return fmt.Errorf("memory: grant: there is a ticket %s", d.Ticket.ID)
	}
	if d.Code != nil && s.codes[d.Code.Code] != nil || d.Code == nil && s.known(d.Tokens, nil) {
		return errKnown
	}
	g := &grant{user: d.UserID, order: after(s.grants, (*grant).place)}
	if e != nil {
		g.enrollment = e
		e.grants = append(e.grants, g)
	} else {
		g.ticket = s.issue(*d.Ticket)
	}
	for id, expires := range s.webSessions {
		if !at.Before(expires) {
			delete(s.webSessions, id)
		}
	}
	s.webSessions[d.Session] = stamp(d.SessionExpires)
	s.grants = append(s.grants, g)
	if d.Code != nil {
		code := *d.Code
		code.Expires = stamp(code.Expires)
		g.code, g.clientID = &code, code.ClientID
		s.codes[code.Code] = g
	} else {
		s.give(g, d.Tokens)
	}
	return nil
}

// errKnown: a code or token that was to be new is there.
var errKnown = errors.New("memory: code or token was given out before")

// known reports whether one of the tokens was given out before, but with one
// generation, and is not forgotten.
func (s *Store) known(t enroll.Tokens, but *generation) bool {
	access, refresh := s.access[t.Access], s.refresh[t.Refresh]
	return access != nil && access != but || refresh != nil && refresh != but
}

// keptGenerations are those of a grant whose refresh tokens are known when they
// are presented again.
const keptGenerations = 16

// give adds a generation of tokens.
func (s *Store) give(g *grant, t enroll.Tokens) {
	t.AccessExpires, t.RefreshExpires = stampSet(t.AccessExpires), stampSet(t.RefreshExpires)
	made := &generation{grant: g, number: len(g.generations), Tokens: t}
	g.generations = append(g.generations, made)
	s.access[t.Access] = made
	if t.Refresh != [32]byte{} {
		s.refresh[t.Refresh] = made
	}
	if old := made.number - keptGenerations; old >= 0 && g.generations[old] != nil {
		delete(s.access, g.generations[old].Access)
		delete(s.refresh, g.generations[old].Refresh)
		g.generations[old] = nil
	}
}

// stampSet is stamp, but the zero time stays zero.
func stampSet(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return stamp(t)
}

// RedeemCode implements enroll.AccountStore.
func (s *Store) RedeemCode(ctx context.Context, d enroll.CodeStep) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	g := s.codes[d.Code]
	switch {
	case g == nil || g.code.ClientID != d.ClientID || g.code.RedirectURI != d.RedirectURI:
		return enroll.ErrGrant
	case s.suspended[g.user]:
		return mdm.ErrSuspended
	case g.redeemed:
		g.revoked = true
		return enroll.ErrGrant
	case g.revoked || !stamp(d.At).Before(g.code.Expires):
		return enroll.ErrGrant
	case s.known(d.Tokens, nil):
		return errKnown
	}
	g.redeemed = true
	s.give(g, d.Tokens)
	return nil
}

// Refresh implements enroll.AccountStore.
func (s *Store) Refresh(ctx context.Context, d enroll.RefreshStep) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	old := s.refresh[d.Refresh]
	if old == nil || old.grant.clientID != d.ClientID {
		return enroll.ErrGrant
	}
	g, later := old.grant, old.grant.generations[old.number+1:]
	switch {
	case s.suspended[g.user]:
		return mdm.ErrSuspended
	case g.revoked || !old.RefreshExpires.IsZero() && !stamp(d.At).Before(old.RefreshExpires):
		return enroll.ErrGrant
	case len(later) > 1, len(later) == 1 && later[0].used:
		g.revoked = true
		return enroll.ErrGrant
	}
	var lost *generation // with the answer
	if len(later) == 1 {
		lost = later[0]
	}
	if s.known(d.Tokens, lost) {
		return errKnown
	}
	if lost != nil {
		delete(s.access, lost.Access)
		delete(s.refresh, lost.Refresh)
		g.generations = g.generations[:old.number+1]
	}
	old.use()
	s.give(g, d.Tokens)
	return nil
}

// TokenTicket implements enroll.AccountStore.
func (s *Store) TokenTicket(ctx context.Context, access [32]byte, now time.Time) (enroll.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return enroll.Ticket{}, err
	}
	g := s.access[access]
	switch {
	case g == nil:
		return enroll.Ticket{}, enroll.ErrToken
	case s.suspended[g.grant.user]:
		return enroll.Ticket{}, mdm.ErrSuspended
	case g.grant.ticket == nil || !g.inForce(stamp(now)):
		return enroll.Ticket{}, enroll.ErrToken
	}
	g.use()
	return g.grant.ticket.Ticket, nil
}

// RevokeTokens implements enroll.AccountStore.
func (s *Store) RevokeTokens(ctx context.Context, enrollmentID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	e := s.enrollments[enrollmentID]
	if e == nil {
		return mdm.ErrUnknownEnrollment
	}
	e.revoke()
	return nil
}

// revoke ends all grants of the enrollment.
func (e *enrollment) revoke() {
	for _, g := range e.grants {
		g.revoked = true
	}
}

var _ enroll.AccountStore = (*Store)(nil)
