package memory

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// ticket is a ticket with what was given out for it.
type ticket struct {
	enroll.Ticket
	order      int // a later ticket has a higher one
	challenges []*challenge
	identities []*identity
}

func (t *ticket) place() int { return t.order }

// challenge is what one download opened.
type challenge struct {
	digest   [32]byte
	ticket   *ticket
	download int
	expires  time.Time
	void     bool
	// redeemed, and then by whom for what.
	redeemed    bool
	key         [32]byte
	certificate []byte
}

// identity is a certificate that was issued for a ticket.
type identity struct {
	digest   [32]byte
	ticket   *ticket
	user     string
	way      mdm.Way
	notAfter time.Time
	deadline time.Time // for the first Authenticate
	replaced bool
	bound    *enrollment // by Authenticate
}

// IssueTicket implements enroll.TicketStore.
func (s *Store) IssueTicket(ctx context.Context, t enroll.Ticket, previous [32]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.tickets[t.ID] != nil {
		return nil
	}
	t.Issued = stamp(t.Issued)
	s.supersede(t.Session, t.Issued)
	if previous != [32]byte{} {
		s.supersede(previous, t.Issued)
	}
	s.issue(t)
	return nil
}

// issue records a ticket.
func (s *Store) issue(t enroll.Ticket) *ticket {
	added := &ticket{order: after(s.ticketOrder, (*ticket).place), Ticket: enroll.Ticket{
		ID: t.ID, Ref: t.Ref, UserID: t.UserID, Way: t.Way, Ownership: t.Ownership,
		State: enroll.TicketIssued, Session: t.Session, Issued: stamp(t.Issued),
	}}
	s.tickets[t.ID] = added
	s.ticketOrder = append(s.ticketOrder, added)
	s.bySession[t.Session] = append(s.bySession[t.Session], added)
	return added
}

// supersede ends the open tickets of a session. A device that has authenticated
// may still finish.
func (s *Store) supersede(session [32]byte, at time.Time) {
	for _, t := range s.bySession[session] {
		if t.State == enroll.TicketEnrolled || t.State == enroll.TicketSuperseded {
			continue
		}
		t.State, t.Ended = enroll.TicketSuperseded, at
		for _, c := range t.challenges {
			c.void = true
		}
		for _, i := range t.identities {
			i.replaced = i.replaced || i.bound == nil
		}
	}
}

// Ticket implements enroll.TicketStore.
func (s *Store) Ticket(ctx context.Context, id string) (enroll.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return enroll.Ticket{}, err
	}
	if t := s.tickets[id]; t != nil {
		return t.Ticket, nil
	}
	return enroll.Ticket{}, enroll.ErrUnknownTicket
}

// Download implements enroll.TicketStore.
func (s *Store) Download(ctx context.Context, d enroll.DownloadStep) (enroll.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return enroll.Ticket{}, err
	}
	t, at := s.tickets[d.TicketID], stamp(d.At)
	if t == nil {
		return enroll.Ticket{}, enroll.ErrUnknownTicket
	}
	known := s.challenges[d.Challenge]
	age := at.Sub(t.Issued)
	switch {
	case t.State == enroll.TicketSuperseded:
		return enroll.Ticket{}, enroll.ErrTicketSuperseded
	case t.State == enroll.TicketEnrolled:
		return enroll.Ticket{}, enroll.ErrTicketSpent
	case known != nil && known.ticket == t:
		return t.Ticket, nil // a repeat
	case known != nil:
		return enroll.Ticket{}, fmt.Errorf("memory: download for ticket %s: another ticket has this challenge", t.ID)
	case t.Downloads == 0 && age > d.Clocks.Wait, age > d.MaxAge:
		return enroll.Ticket{}, enroll.ErrTicketExpired
	case t.Downloads >= d.MaxDownloads:
		return enroll.Ticket{}, enroll.ErrTicketExhausted
	}
	t.Downloads++
	t.Downloaded = at
	if t.State == enroll.TicketIssued {
		t.State = enroll.TicketDownloaded
	}
	c := &challenge{digest: d.Challenge, ticket: t, download: t.Downloads, expires: stamp(at.Add(d.Clocks.Window + d.Clocks.Grace))}
	s.challenges[d.Challenge] = c
	t.challenges = append(t.challenges, c)
	return t.Ticket, nil
}

// Challenge implements enroll.TicketStore.
func (s *Store) Challenge(ctx context.Context, challenge, key [32]byte, now time.Time) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := s.presented(challenge, key, stamp(now))
	if err != nil {
		return nil, err
	}
	return bytes.Clone(c.certificate), nil
}

// presented is the challenge if it is this key's, or open for its first one.
func (s *Store) presented(digest, key [32]byte, now time.Time) (*challenge, error) {
	c := s.challenges[digest]
	switch {
	case c == nil || c.void:
		return nil, enroll.ErrChallenge
	case c.redeemed && c.key != key:
		return nil, enroll.ErrChallenge
	case c.redeemed:
		return c, nil
	case !now.Before(c.expires) || c.ticket.State == enroll.TicketEnrolled:
		return nil, enroll.ErrChallenge
	}
	return c, nil
}

// Identify implements enroll.TicketStore.
func (s *Store) Identify(ctx context.Context, d enroll.IdentifyStep) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at := stamp(d.At)
	c, err := s.presented(d.Challenge, d.Key, at)
	if err != nil {
		return nil, err
	}
	if c.redeemed {
		return bytes.Clone(c.certificate), nil
	}
	if s.identities[d.Digest] != nil {
		return nil, fmt.Errorf("memory: certificate %x was issued before", d.Digest[:8])
	}
	t := c.ticket
	for _, earlier := range t.challenges {
		earlier.void = earlier.void || earlier.download < c.download
	}
	for _, i := range t.identities {
		i.replaced = true // none is bound to an enrolled device, or the ticket were spent
	}
	c.redeemed, c.key, c.certificate = true, d.Key, bytes.Clone(d.Certificate)
	i := &identity{digest: d.Digest, ticket: t, user: t.UserID, way: t.Way, notAfter: stampSet(d.NotAfter), deadline: c.expires}
	s.identities[d.Digest] = i
	t.identities = append(t.identities, i)
	t.State, t.Identified, t.Authenticated, t.EnrollmentID = enroll.TicketIdentified, at, time.Time{}, ""
	return bytes.Clone(c.certificate), nil
}

// Devices implements enroll.TicketStore.
func (s *Store) Devices(ctx context.Context, userID string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.devices(userID, ""), nil
}

// devices counts the user's enrolled devices but for one.
func (s *Store) devices(userID, except string) int {
	n := 0
	for _, e := range s.byUser[userID] {
		if e.State == mdm.StateEnrolled && e.ID != except {
			n++
		}
	}
	return n
}
