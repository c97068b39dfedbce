package mdm_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
)

// identity is a row that issuing a device identity writes.
type identity struct {
	User, Ticket string
	TicketOrder  int
	Way          mdm.Way
	Enrollment   string // bound by Authenticate
	Replaced     bool
}

// record is an enrollment with what only a store needs to know.
type record struct {
	mdm.Enrollment
	Token []byte
	Magic string
}

// store is the smallest mdm.Store.
type store struct {
	mu          sync.Mutex
	fail        error // every step returns it
	Identities  map[string]*identity
	Enrollments map[string]*record
	Queue       []*mdm.Command
	NotNow      map[string]bool // in this session, by CommandUUID
	Suspended   map[string]bool
	Pushes      int
}

func newStore() *store {
	return &store{Identities: map[string]*identity{}, Enrollments: map[string]*record{}, NotNow: map[string]bool{}, Suspended: map[string]bool{}}
}

// dump is all there is, for comparing before and after.
func (s *store) dump(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}

func (s *store) issue(c [32]byte, i identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Identities[string(c[:])] = &i
}

// device finds the sender of a step in the order that mdm.Store demands.
func (s *store) device(c [32]byte, id string) (*identity, *record, error) {
	if s.fail != nil {
		return nil, nil, s.fail
	}
	i := s.Identities[string(c[:])]
	switch {
	case i == nil || i.Replaced:
		return nil, nil, mdm.ErrUnknownIdentity
	case s.Suspended[i.User]:
		return i, nil, mdm.ErrSuspended
	case i.Enrollment == "":
		return i, nil, mdm.ErrNotAuthenticated
	case i.Enrollment != id:
		return i, nil, mdm.ErrForeignCertificate
	}
	e := s.Enrollments[id]
	if e.State == mdm.StateEnded {
		return i, e, mdm.ErrEnded
	}
	return i, e, nil
}

func (s *store) Authenticate(_ context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, e, err := s.device(a.Certificate, a.EnrollmentID)
	if err == nil {
		return e.Enrollment, nil
	}
	if err != mdm.ErrNotAuthenticated { //nolint:errorlint // our own, as returned above
		return mdm.Enrollment{}, err
	}
	if a.DeviceLimit > 0 {
		n := 1
		for _, other := range s.Enrollments {
			if other.UserID == i.User && other.State == mdm.StateEnrolled && other.ID != a.EnrollmentID {
				n++
			}
		}
		if n > a.DeviceLimit {
			return mdm.Enrollment{}, mdm.ErrDeviceLimit
		}
	}
	if known := s.Enrollments[a.EnrollmentID]; known != nil {
		old := s.Identities[string(known.Certificate[:])]
		newer := old.User == i.User && (i.TicketOrder > old.TicketOrder || i.Ticket == old.Ticket && known.State == mdm.StateAuthenticated)
		if !newer {
			return mdm.Enrollment{}, mdm.ErrForeignCertificate
		}
		old.Replaced = true
	}
	i.Enrollment = a.EnrollmentID
	s.Enrollments[a.EnrollmentID] = &record{Enrollment: mdm.Enrollment{
		ID: a.EnrollmentID, UserID: i.User, TicketID: i.Ticket, Way: i.Way, State: mdm.StateAuthenticated, Certificate: a.Certificate,
		Topic: a.Topic, OSVersion: a.OSVersion, BuildVersion: a.BuildVersion, Product: a.Product, Created: a.At,
	}}
	return s.Enrollments[a.EnrollmentID].Enrollment, nil
}

func (s *store) TokenUpdate(_ context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e, err := s.device(u.Certificate, u.EnrollmentID)
	if err != nil {
		return mdm.Enrollment{}, err
	}
	if e.State == mdm.StateAuthenticated {
		if !u.Planned {
			return e.Enrollment, mdm.ErrPlanNeeded
		}
		s.queue(u.Plan)
		e.State, e.Enrolled = mdm.StateEnrolled, u.At
	}
	e.Token, e.Magic = u.Token, u.PushMagic
	return e.Enrollment, nil
}

func (s *store) CheckOut(_ context.Context, c mdm.CheckOutStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e, err := s.device(c.Certificate, c.EnrollmentID)
	if err == mdm.ErrEnded { //nolint:errorlint // our own, as returned above
		return e.Enrollment, nil
	}
	if err != nil {
		return mdm.Enrollment{}, err
	}
	s.end(e, c.At)
	return e.Enrollment, nil
}

func (s *store) end(e *record, at time.Time) {
	e.State, e.Ended, e.Token, e.Magic = mdm.StateEnded, at, nil, ""
	for _, c := range s.Queue {
		if c.EnrollmentID == e.ID && !final(c.Status) {
			c.Status = mdm.CommandCancelled
		}
	}
}

func final(s mdm.CommandStatus) bool {
	return slices.Contains([]mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError, mdm.CommandCancelled}, s)
}

func (s *store) Exchange(_ context.Context, x mdm.ExchangeStep) (out mdm.Exchanged, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e, err := s.device(x.Certificate, x.EnrollmentID)
	if err != nil {
		return out, err
	}
	for _, c := range s.Queue {
		mine := c.EnrollmentID == e.ID && !final(c.Status)
		if mine && x.Idle {
			delete(s.NotNow, c.UUID)
		}
		sentLast := x.Status == mdm.CommandFormatError && x.CommandUUID == "" && c.Status == mdm.CommandSent
		if mine && !x.Idle && (c.UUID == x.CommandUUID || sentLast) {
			c.Status, c.Result, c.Updated = x.Status, x.Result, x.At
			s.NotNow[c.UUID] = x.Status == mdm.CommandNotNow
			reported := *c
			out.Reported = &reported
		}
	}
	for _, c := range s.Queue {
		if c.EnrollmentID == e.ID && !final(c.Status) && !s.NotNow[c.UUID] {
			c.Status = mdm.CommandSent
			next := *c
			out.Next = &next
			break
		}
	}
	return out, nil
}

func (s *store) queue(commands []mdm.Command) {
	for _, c := range commands {
		if !slices.ContainsFunc(s.Queue, func(q *mdm.Command) bool { return q.UUID == c.UUID }) {
			s.Queue = append(s.Queue, &c)
		}
	}
	s.Pushes++
}

func (s *store) Enqueue(_ context.Context, commands ...mdm.Command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, c := range commands {
		if e := s.Enrollments[c.EnrollmentID]; e == nil || e.State != mdm.StateEnrolled {
			return mdm.ErrUnknownEnrollment
		}
	}
	s.queue(commands)
	return nil
}

func (s *store) Enrollment(_ context.Context, id string) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.Enrollments[id]; e != nil {
		return e.Enrollment, nil
	}
	return mdm.Enrollment{}, mdm.ErrUnknownEnrollment
}

func (s *store) Unenroll(_ context.Context, id string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.Enrollments[id]
	if e == nil {
		return mdm.ErrUnknownEnrollment
	}
	if e.State != mdm.StateEnded {
		s.end(e, at)
	}
	return nil
}

func (s *store) SuspendUser(_ context.Context, user string, suspended bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Suspended[user] = suspended
	return nil
}

var _ mdm.Store = (*store)(nil)
