package memory

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// enrollment is an enrollment with what only a store needs to know.
type enrollment struct {
	mdm.Enrollment
	order    int // in which they came
	identity *identity
	grants   []*grant
	queue    commands
	wake     wake
}

// sender is who sent a step.
type sender struct {
	certificate [32]byte
	id          string
	device      bool
	bearer      [32]byte
	at          time.Time
}

// device finds the sender of a step, in the order that mdm.Store demands, and
// changes nothing. The identity comes with ErrNotAuthenticated, the enrollment
// with ErrEnded.
func (s *Store) device(from sender) (*identity, *enrollment, error) {
	i := s.identities[from.certificate]
	switch {
	case i == nil || i.replaced:
		return nil, nil, mdm.ErrUnknownIdentity
	case s.suspended[i.user]:
		return nil, nil, mdm.ErrSuspended
	case from.id != "" && from.device != (i.way.Mode() == mdm.ModeDevice):
		return nil, nil, mdm.ErrChannel
	case i.bound == nil:
		return i, nil, mdm.ErrNotAuthenticated
	case i.bound.ID != from.id:
		return nil, nil, mdm.ErrForeignCertificate
	case i.bound.State == mdm.StateEnded:
		return i, i.bound, mdm.ErrEnded
	}
	if err := s.bearer(i.bound, from.bearer, from.at); err != nil {
		return nil, nil, err
	}
	return i, i.bound, nil
}

// Authenticate implements mdm.Store.
func (s *Store) Authenticate(ctx context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return mdm.Enrollment{}, err
	}
	i, e, err := s.device(sender{a.Certificate, a.EnrollmentID, a.Device, a.Bearer, stamp(a.At)})
	if err == nil {
		s.came(e, a.Bearer)
		return e.Enrollment, nil
	}
	if !errors.Is(err, mdm.ErrNotAuthenticated) {
		return mdm.Enrollment{}, err
	}
	at := stamp(a.At)
	known := s.enrollments[a.EnrollmentID]
	switch {
	case !at.Before(i.deadline):
		return mdm.Enrollment{}, mdm.ErrUnknownIdentity
	case a.EnrollmentID == "" || known != nil && !i.mayTakeOver(known):
		return mdm.Enrollment{}, mdm.ErrForeignCertificate
	}
	token, err := s.firstBearer(i, a.Bearer, at)
	switch {
	case err != nil:
		return mdm.Enrollment{}, err
	case a.DeviceLimit > 0 && s.devices(i.user, a.EnrollmentID) >= a.DeviceLimit:
		return mdm.Enrollment{}, mdm.ErrDeviceLimit
	}
	for _, earlier := range i.ticket.identities {
		half := earlier.bound
		if half != nil && half != known && half.identity == earlier && half.State == mdm.StateAuthenticated {
			earlier.replaced = true
			half.end(mdm.StateReplaced, at)
		}
	}
	e = known
	if e == nil {
		e = &enrollment{}
		s.append(a.EnrollmentID, i.user, e)
	} else {
		e.identity.replaced = true
		e.identity.ticket.close(e.ID, at)
		e.wake.forget()
	}
	e.Enrollment = mdm.Enrollment{
		ID: a.EnrollmentID, UserID: i.user, TicketID: i.ticket.ID, Way: i.way, State: mdm.StateAuthenticated,
		Certificate: a.Certificate, Topic: a.Topic, OSVersion: a.OSVersion, BuildVersion: a.BuildVersion, Product: a.Product,
		Created: at, Contact: at,
	}
	e.identity, i.bound = i, e
	if token != nil {
		token.grant.bind(e)
		token.use()
	}
	t := i.ticket
	t.State, t.Authenticated, t.EnrollmentID = enroll.TicketAuthenticated, at, e.ID
	return e.Enrollment, nil
}

// append puts an enrollment behind all others.
func (s *Store) append(id, user string, e *enrollment) {
	e.order = len(s.deviceOrder)
	s.enrollments[id] = e
	s.deviceOrder = append(s.deviceOrder, e)
	s.byUser[user] = append(s.byUser[user], e)
}

// mayTakeOver judges whether an unbound identity may have an EnrollmentID that
// is known under another certificate.
func (i *identity) mayTakeOver(e *enrollment) bool {
	if e.UserID != i.user {
		return false
	}
	theirs := e.identity.ticket
	return i.ticket.order > theirs.order || i.ticket == theirs && theirs.State != enroll.TicketEnrolled
}

// close notes on a spent ticket that its enrollment ended.
func (t *ticket) close(enrollmentID string, at time.Time) {
	if t.State == enroll.TicketEnrolled && t.EnrollmentID == enrollmentID && t.Ended.IsZero() {
		t.Ended = at
	}
}

// TokenUpdate implements mdm.Store.
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return mdm.Enrollment{}, err
	}
	i, e, err := s.device(sender{u.Certificate, u.EnrollmentID, u.Device, u.Bearer, stamp(u.At)})
	if err != nil {
		return mdm.Enrollment{}, err
	}
	at := stamp(u.At)
	first := e.State == mdm.StateAuthenticated
	if first && !u.Planned {
		return e.Enrollment, mdm.ErrPlanNeeded
	}
	s.came(e, u.Bearer)
	e.Topic = u.Topic
	e.seen(at)
	e.wake.update(bytes.Clone(u.Token), u.PushMagic, at)
	if first {
		e.State, e.Enrolled = mdm.StateEnrolled, at
		t := i.ticket
		t.State, t.Enrolled, t.Ended = enroll.TicketEnrolled, at, time.Time{}
		for _, c := range u.Plan {
			s.add(e, c)
		}
		s.ask(e, at)
	}
	return e.Enrollment, nil
}

// seen notes the contact, once a day.
func (e *enrollment) seen(at time.Time) {
	const day = 24 * time.Hour
	if at.Truncate(day).After(e.Contact.Truncate(day)) {
		e.Contact = at
	}
}

// CheckOut implements mdm.Store.
func (s *Store) CheckOut(ctx context.Context, c mdm.CheckOutStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return mdm.Enrollment{}, err
	}
	_, e, err := s.device(sender{c.Certificate, c.EnrollmentID, c.Device, c.Bearer, stamp(c.At)})
	if err != nil && !errors.Is(err, mdm.ErrEnded) {
		return mdm.Enrollment{}, err
	}
	e.end(mdm.StateEnded, stamp(c.At))
	return e.Enrollment, nil
}

// end ends the enrollment, unless it has ended.
func (e *enrollment) end(state mdm.EnrollmentState, at time.Time) {
	if e.State == mdm.StateEnded || e.State == mdm.StateReplaced {
		return
	}
	e.State, e.Ended = state, at
	e.identity.ticket.close(e.ID, at)
	if state == mdm.StateEnded { // what replaced it has its grant
		e.revoke()
		e.endGrants()
	}
	e.queue.cancel(at)
	e.wake.forget()
	e.wake.drop()
}

// Enrollment implements mdm.Store.
func (s *Store) Enrollment(ctx context.Context, id string) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return mdm.Enrollment{}, err
	}
	if e := s.enrollments[id]; e != nil {
		return e.Enrollment, nil
	}
	return mdm.Enrollment{}, mdm.ErrUnknownEnrollment
}

// Unenroll implements mdm.Store.
func (s *Store) Unenroll(ctx context.Context, id string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	e := s.enrollments[id]
	if e == nil {
		return mdm.ErrUnknownEnrollment
	}
	e.end(mdm.StateEnded, stamp(at))
	return nil
}

// SuspendUser implements mdm.Store.
func (s *Store) SuspendUser(ctx context.Context, userID string, suspended bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if suspended {
		s.suspended[userID] = true
		for _, g := range s.grants {
			g.revoked = g.revoked || g.user == userID
		}
	} else {
		delete(s.suspended, userID)
	}
	return nil
}
