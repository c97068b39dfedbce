package memory

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/transfer"
)

var (
	_ transfer.Source = (*Store)(nil)
	_ transfer.Sink   = (*Store)(nil)
)

// ExportPage implements transfer.Source. The cursor is the place in the order of
// arrival, or the name where there is no order.
func (s *Store) ExportPage(ctx context.Context, kind transfer.Kind, after string, limit int) ([]transfer.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch kind {
	case transfer.KindUser:
		return page(s.userOrder, nil, after, limit, func(u *jit.User) transfer.Record { return &transfer.User{User: copyUser(u)} })
	case transfer.KindSuspension:
		return named(s.suspended, after, limit, func(id string, _ bool) (string, transfer.Record) {
			return id, &transfer.Suspension{UserID: id}
		})
	case transfer.KindSession:
		return named(s.sessions, after, limit, func(id [32]byte, session enroll.Session) (string, transfer.Record) {
			return hex.EncodeToString(id[:]), &transfer.Session{Session: session}
		})
	case transfer.KindWebSession:
		return named(s.webSessions, after, limit, func(id [32]byte, expires time.Time) (string, transfer.Record) {
			return hex.EncodeToString(id[:]), &transfer.WebSession{ID: id, Expires: expires}
		})
	case transfer.KindTicket:
		return page(s.ticketOrder, (*ticket).place, after, limit, (*ticket).export)
	case transfer.KindEnrollment:
		return page(s.deviceOrder, nil, after, limit, (*enrollment).export)
	case transfer.KindGrant:
		return page(s.grants, (*grant).place, after, limit, (*grant).export)
	case transfer.KindCommand:
		return page(s.queue, (*queued).place, after, limit, func(q *queued) transfer.Record {
			return &transfer.Command{Command: *q.value(), Held: s.enrollments[q.EnrollmentID].queue.held[q]}
		})
	}
	return nil, &transfer.KindError{Kind: kind}
}

// page lists what has an order, which is the place in the list where nothing is
// ever forgotten.
func page[T any](list []T, order func(T) int, after string, limit int, record func(T) transfer.Record) ([]transfer.Entry, error) {
	from := 0
	if after != "" {
		var err error
		if from, err = strconv.Atoi(after); err != nil || from < 0 {
			return nil, fmt.Errorf("memory: %q is no cursor of this store", after)
		}
	}
	place := func(i int) int { return i }
	if order != nil {
		place = func(i int) int { return order(list[i]) }
	}
	var out []transfer.Entry
	for i := sort.Search(len(list), func(i int) bool { return place(i) >= from }); i < len(list) && len(out) < limit; i++ {
		out = append(out, transfer.Entry{Record: record(list[i]), Cursor: strconv.Itoa(place(i) + 1)})
	}
	return out, nil
}

// named lists what has none, by name.
func named[K comparable, V any](all map[K]V, after string, limit int, record func(K, V) (string, transfer.Record)) ([]transfer.Entry, error) {
	records := map[string]transfer.Record{}
	for k, v := range all {
		if name, r := record(k, v); name > after {
			records[name] = r
		}
	}
	var out []transfer.Entry
	for _, name := range slices.Sorted(maps.Keys(records)) {
		if len(out) < limit {
			out = append(out, transfer.Entry{Record: records[name], Cursor: name})
		}
	}
	return out, nil
}

func (t *ticket) export() transfer.Record {
	out := &transfer.Ticket{Ticket: t.Ticket}
	for _, c := range t.challenges {
		out.Challenges = append(out.Challenges, transfer.Challenge{
			Digest: c.digest, Download: c.download, Expires: c.expires, Void: c.void,
			Redeemed: c.redeemed, Key: c.key, Certificate: bytes.Clone(c.certificate),
		})
	}
	for _, i := range t.identities {
		out.Identities = append(out.Identities, transfer.Identity{
			Digest: i.digest, NotAfter: i.notAfter, Deadline: i.deadline, Replaced: i.replaced,
		})
	}
	slices.SortFunc(out.Identities, func(a, b transfer.Identity) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	return out
}

func (e *enrollment) export() transfer.Record {
	w := e.wake
	out := &transfer.Enrollment{
		Enrollment: e.Enrollment, Token: bytes.Clone(w.token), PushMagic: w.magic, TokenStored: w.stored,
		Push: transfer.Push{Request: w.request, Settled: w.settled, Status: w.status, Attempted: w.attempted},
	}
	if w.pending() {
		out.Push.Due, out.Push.Fixed, out.Push.Attempt = w.due, w.fixed, w.attempt
	}
	return out
}

func (g *grant) export() transfer.Record {
	out := &transfer.Grant{UserID: g.user, Revoked: g.revoked, Redeemed: g.redeemed}
	if g.ticket != nil {
		out.TicketID = g.ticket.ID
	}
	if g.enrollment != nil {
		out.EnrollmentID = g.enrollment.ID
	}
	if g.code != nil {
		code := *g.code
		out.Code = &code
	}
	for _, k := range g.generations {
		if k != nil {
			out.Generations = append(out.Generations, transfer.Generation{Tokens: k.Tokens, Used: k.used})
		}
	}
	return out
}

// ImportBatch implements transfer.Sink.
func (s *Store) ImportBatch(ctx context.Context, records []transfer.Record) (added int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for _, r := range records {
		isNew, err := s.importRecord(r)
		if err != nil {
			return added, fmt.Errorf("memory: %s %q: %w", r.Kind(), r.Name(), err)
		}
		if isNew {
			added++
		}
	}
	return added, nil
}

// importRecord adds one record and reports whether it was not there.
func (s *Store) importRecord(r transfer.Record) (bool, error) {
	switch r := r.(type) {
	case *transfer.User:
		return s.importUser(r)
	case *transfer.Suspension:
		known := s.suspended[r.UserID]
		s.suspended[r.UserID] = true
		return !known, nil
	case *transfer.Session:
		_, known := s.sessions[r.ID]
		if !known {
			s.sessions[r.ID] = r.Session
		}
		return !known, nil
	case *transfer.WebSession:
		_, known := s.webSessions[r.ID]
		if !known {
			s.webSessions[r.ID] = r.Expires
		}
		return !known, nil
	case *transfer.Ticket:
		return s.importTicket(r)
	case *transfer.Enrollment:
		return s.importEnrollment(r)
	case *transfer.Grant:
		return s.importGrant(r)
	case *transfer.Command:
		return s.importCommand(r)
	}
	return false, &transfer.KindError{Kind: r.Kind()}
}

func (s *Store) importUser(r *transfer.User) (bool, error) {
	key := person{r.Issuer, r.Subject}
	switch {
	case s.users[r.ID] != nil:
		return false, nil
	case s.people[key] != nil:
		return false, transfer.ErrConflict
	}
	u := copyUser(&r.User)
	s.users[r.ID], s.people[key] = &u, &u
	s.userOrder = append(s.userOrder, &u)
	return true, nil
}

func (s *Store) importTicket(r *transfer.Ticket) (bool, error) {
	if s.tickets[r.ID] != nil {
		return false, nil
	}
	for _, c := range r.Challenges {
		if s.challenges[c.Digest] != nil {
			return false, transfer.ErrConflict
		}
	}
	for _, i := range r.Identities {
		if s.identities[i.Digest] != nil {
			return false, transfer.ErrConflict
		}
	}
	t := &ticket{Ticket: r.Ticket, order: after(s.ticketOrder, (*ticket).place)}
	s.tickets[t.ID] = t
	s.ticketOrder = append(s.ticketOrder, t)
	s.bySession[t.Session] = append(s.bySession[t.Session], t)
	for _, c := range r.Challenges {
		added := &challenge{
			digest: c.Digest, ticket: t, download: c.Download, expires: c.Expires, void: c.Void,
			redeemed: c.Redeemed, key: c.Key, certificate: c.Certificate,
		}
		s.challenges[c.Digest] = added
		t.challenges = append(t.challenges, added)
	}
	for _, i := range r.Identities {
		added := &identity{digest: i.Digest, ticket: t, user: t.UserID, way: t.Way, notAfter: i.NotAfter, deadline: i.Deadline, replaced: i.Replaced}
		s.identities[i.Digest] = added
		t.identities = append(t.identities, added)
	}
	return true, nil
}

func (s *Store) importEnrollment(r *transfer.Enrollment) (bool, error) {
	i := s.identities[r.Certificate]
	switch {
	case s.enrollments[r.ID] != nil:
		return false, nil
	case i == nil || i.ticket.ID != r.TicketID:
		return false, transfer.ErrMissing
	case i.bound != nil:
		return false, transfer.ErrConflict
	}
	e := &enrollment{Enrollment: r.Enrollment, identity: i, wake: wake{
		token: r.Token, magic: r.PushMagic, stored: r.TokenStored,
		request: r.Push.Request, settled: r.Push.Settled, due: r.Push.Due, fixed: r.Push.Fixed, attempt: r.Push.Attempt,
		status: r.Push.Status, attempted: r.Push.Attempted,
	}}
	i.bound = e
	s.append(e.ID, e.UserID, e)
	if e.wake.pending() {
		s.asked[e] = true
	}
	return true, nil
}

func (s *Store) importGrant(r *transfer.Grant) (bool, error) {
	g := &grant{
		user: r.UserID, ticket: s.tickets[r.TicketID], enrollment: s.enrollments[r.EnrollmentID], order: after(s.grants, (*grant).place),
		revoked: r.Revoked, code: r.Code, redeemed: r.Redeemed,
	}
	known := s.codes[r.ID()] != nil
	if r.Code == nil {
		first := s.access[r.ID()]
		known = first != nil && first.grant.code == nil
	}
	switch {
	case known:
		return false, nil
	case g.ticket == nil && r.TicketID != "", g.enrollment == nil && r.EnrollmentID != "":
		return false, transfer.ErrMissing
	}
	for _, k := range r.Generations {
		if s.access[k.Access] != nil || k.Refresh != [32]byte{} && s.refresh[k.Refresh] != nil {
			return false, transfer.ErrConflict
		}
	}
	s.grants = append(s.grants, g)
	if g.enrollment != nil {
		g.enrollment.grants = append(g.enrollment.grants, g)
		if g.enrollment.State == mdm.StateEnded {
			g.enrollment.endGrants()
		}
	}
	if r.Code != nil {
		g.clientID = r.Code.ClientID
		s.codes[r.Code.Code] = g
	}
	for i, k := range r.Generations {
		made := &generation{grant: g, number: i, Tokens: k.Tokens, used: k.Used}
		g.generations = append(g.generations, made)
		s.access[k.Access] = made
		if k.Refresh != [32]byte{} {
			s.refresh[k.Refresh] = made
		}
	}
	return true, nil
}

func (s *Store) importCommand(r *transfer.Command) (bool, error) {
	e := s.enrollments[r.EnrollmentID]
	if e == nil {
		return false, transfer.ErrMissing
	}
	if e.queue.byUUID[r.UUID] != nil {
		return false, nil
	}
	q := &queued{Command: r.Command}
	s.appendCommand(e, q)
	switch {
	case q.final():
	case r.Held:
		e.queue.held[q] = true
	default:
		q.at = e.queue.waiting.PushBack(q)
		if q.Status == mdm.CommandSent && e.queue.waiting.Front() == q.at {
			e.queue.last = q
		}
	}
	return true, nil
}
