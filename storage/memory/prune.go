package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/storage"
)

var _ storage.Pruner = (*Store)(nil)

// Prune implements storage.Pruner.
func (s *Store) Prune(ctx context.Context, d storage.PruneStep) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	p := pruning{expired: stamp(d.ExpiredBefore), before: stamp(d.OverBefore), left: max(d.Limit, 0)}
	forget(&p, s.states, func(a *attempt) time.Time { return a.expires })
	forget(&p, s.sessions, func(session enroll.Session) time.Time { return session.Expires })
	forget(&p, s.webSessions, func(expires time.Time) time.Time { return expires })
	s.queue = slices.DeleteFunc(s.queue, func(c *queued) bool {
		if !p.take(c.final() && p.over(c.Updated)) {
			return false
		}
		delete(s.enrollments[c.EnrollmentID].queue.byUUID, c.UUID)
		return true
	})
	s.grants = slices.DeleteFunc(s.grants, func(g *grant) bool {
		if !p.take(p.grantOver(g)) {
			return false
		}
		s.forgetGrant(g)
		return true
	})
	granted := map[*ticket]bool{}
	for _, g := range s.grants {
		granted[g.ticket] = true
	}
	s.ticketOrder = slices.DeleteFunc(s.ticketOrder, func(t *ticket) bool {
		if !p.take(p.ticketOver(t) && !granted[t]) {
			return false
		}
		s.forgetTicket(t)
		return true
	})
	return p.taken, nil
}

// forget deletes what has expired. It goes by the keys, so that the same steps
// always leave the same.
func forget[V any](p *pruning, all map[[32]byte]V, expires func(V) time.Time) {
	var expired [][32]byte
	for key, v := range all {
		if p.hasExpired(expires(v)) {
			expired = append(expired, key)
		}
	}
	slices.SortFunc(expired, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	for _, key := range expired {
		if p.take(true) {
			delete(all, key)
		}
	}
}

// pruning is one call of Prune.
type pruning struct {
	expired, before time.Time
	left, taken     int
}

// take counts what goes, while it may.
func (p *pruning) take(over bool) bool {
	if !over || p.left == 0 {
		return false
	}
	p.left--
	p.taken++
	return true
}

// hasExpired reports whether a time is known, and when what expires may go.
func (p *pruning) hasExpired(at time.Time) bool { return !at.IsZero() && at.Before(p.expired) }

// over is the same of what goes later.
func (p *pruning) over(at time.Time) bool { return !at.IsZero() && at.Before(p.before) }

func (p *pruning) grantOver(g *grant) bool {
	if p.over(g.ended) {
		return true
	}
	if g.code != nil && !p.over(g.code.Expires) {
		return false
	}
	for _, k := range g.generations {
		if k != nil && (!p.over(k.AccessExpires) || k.Refresh != [32]byte{} && !p.over(k.RefreshExpires)) {
			return false
		}
	}
	return true
}

func (p *pruning) ticketOver(t *ticket) bool {
	return t.State != enroll.TicketEnrolled && p.over(t.Issued) &&
		!slices.ContainsFunc(t.identities, func(i *identity) bool { return i.bound != nil })
}

// endGrants notes on the grants of an enrollment that it has ended.
func (e *enrollment) endGrants() {
	for _, g := range e.grants {
		if g.ended.IsZero() || e.Ended.Before(g.ended) {
			g.ended = e.Ended
		}
	}
}

func (s *Store) forgetGrant(g *grant) {
	if g.code != nil {
		delete(s.codes, g.code.Code)
	}
	for _, k := range g.generations {
		if k != nil {
			delete(s.access, k.Access)
			delete(s.refresh, k.Refresh)
		}
	}
	if e := g.enrollment; e != nil {
		e.grants = slices.DeleteFunc(e.grants, func(other *grant) bool { return other == g })
	}
}

func (s *Store) forgetTicket(t *ticket) {
	delete(s.tickets, t.ID)
	rest := slices.DeleteFunc(s.bySession[t.Session], func(other *ticket) bool { return other == t })
	if len(rest) == 0 {
		delete(s.bySession, t.Session)
	} else {
		s.bySession[t.Session] = rest
	}
	for _, c := range t.challenges {
		delete(s.challenges, c.digest)
	}
	for _, i := range t.identities {
		delete(s.identities, i.digest)
	}
}
