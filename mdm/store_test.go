package mdm_test

import (
	"context"
	"crypto/sha256"
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

// token is a bearer token of a grant, by its SHA-256.
type token struct {
	Ticket     string // "" after a repeated sign-in
	Enrollment string // bound by Authenticate
	Order      int    // of the grant
	Expires    time.Time
	Revoked    bool
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
	lookup      error // Enrollment returns it
	Identities  map[string]*identity
	Enrollments map[string]*record
	Queue       []*mdm.Command
	NotNow      map[string]bool // in this session, by CommandUUID
	Suspended   map[string]bool
	Tokens      map[string]*token
	Pushes      int
}

func newStore() *store {
	return &store{Identities: map[string]*identity{}, Enrollments: map[string]*record{}, NotNow: map[string]bool{}, Suspended: map[string]bool{}, Tokens: map[string]*token{}}
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

// grant records a bearer token of a sign-in for a ticket, or for an enrollment.
func (s *store) grant(secret string, t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest := sha256.Sum256([]byte(secret))
	t.Order = len(s.Tokens)
	s.Tokens[string(digest[:])] = &t
}

// from is who sent a step.
type from struct {
	certificate, bearer [32]byte
	id                  string
	device              bool
	at                  time.Time
}

// device finds the sender of a step in the order that mdm.Store demands.
func (s *store) device(f from) (*identity, *record, error) {
	if s.fail != nil {
		return nil, nil, s.fail
	}
	i := s.Identities[string(f.certificate[:])]
	switch {
	case i == nil || i.Replaced:
		return nil, nil, mdm.ErrUnknownIdentity
	case s.Suspended[i.User]:
		return i, nil, mdm.ErrSuspended
	case f.id != "" && f.device != (i.Way.Mode() == mdm.ModeDevice):
		return i, nil, mdm.ErrChannel
	case i.Enrollment == "":
		return i, nil, mdm.ErrNotAuthenticated
	case i.Enrollment != f.id:
		return i, nil, mdm.ErrForeignCertificate
	}
	e := s.Enrollments[f.id]
	if e.State == mdm.StateEnded {
		return i, e, mdm.ErrEnded
	}
	if !s.authorized(i, f) {
		return i, e, mdm.ErrBearer
	}
	s.endFormer(f)
	return i, e, nil
}

// authorized judges the bearer token of an account-driven enrollment. Before
// the first Authenticate it is the ticket's, and after a half-made enrollment
// still so.
func (s *store) authorized(i *identity, f from) bool {
	if !i.Way.Account() {
		return true
	}
	t := s.Tokens[string(f.bearer[:])]
	if t == nil || t.Revoked || !t.Expires.IsZero() && !f.at.Before(t.Expires) {
		return false
	}
	if i.Enrollment == "" {
		return t.Ticket == i.Ticket
	}
	return t.Enrollment == f.id
}

// endFormer ends the enrollment's tokens that are older than the one in use.
func (s *store) endFormer(f from) {
	used := s.Tokens[string(f.bearer[:])]
	for _, former := range s.Tokens {
		former.Revoked = former.Revoked || used != nil && former.Enrollment == f.id && former.Order < used.Order
	}
}

func (s *store) Authenticate(_ context.Context, a mdm.AuthenticateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sender := from{a.Certificate, a.Bearer, a.EnrollmentID, a.Device, a.At}
	i, e, err := s.device(sender)
	if err == nil {
		return e.Enrollment, nil
	}
	if err != mdm.ErrNotAuthenticated { //nolint:errorlint // our own, as returned above
		return mdm.Enrollment{}, err
	}
	if !s.authorized(i, sender) {
		return mdm.Enrollment{}, mdm.ErrBearer
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
	for _, half := range s.Enrollments {
		if half.TicketID == i.Ticket && half.ID != a.EnrollmentID && half.State == mdm.StateAuthenticated {
			half.State = mdm.StateReplaced
			s.Identities[string(half.Certificate[:])].Replaced = true
		}
	}
	i.Enrollment = a.EnrollmentID
	if t := s.Tokens[string(a.Bearer[:])]; t != nil && t.Ticket == i.Ticket {
		t.Enrollment = a.EnrollmentID
		s.endFormer(sender)
	}
	s.Enrollments[a.EnrollmentID] = &record{Enrollment: mdm.Enrollment{
		ID: a.EnrollmentID, UserID: i.User, TicketID: i.Ticket, Way: i.Way, State: mdm.StateAuthenticated, Certificate: a.Certificate,
		Topic: a.Topic, OSVersion: a.OSVersion, BuildVersion: a.BuildVersion, Product: a.Product, Created: a.At,
	}}
	return s.Enrollments[a.EnrollmentID].Enrollment, nil
}

func (s *store) TokenUpdate(_ context.Context, u mdm.TokenUpdateStep) (mdm.Enrollment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e, err := s.device(from{u.Certificate, u.Bearer, u.EnrollmentID, u.Device, u.At})
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
	_, e, err := s.device(from{c.Certificate, c.Bearer, c.EnrollmentID, c.Device, c.At})
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
	_, e, err := s.device(from{x.Certificate, x.Bearer, x.EnrollmentID, x.Device, x.At})
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
	if s.lookup != nil {
		return mdm.Enrollment{}, s.lookup
	}
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
	for _, t := range s.Tokens {
		for _, i := range s.Identities {
			mine := i.User == user && (t.Ticket == i.Ticket || t.Enrollment != "" && t.Enrollment == i.Enrollment)
			t.Revoked = t.Revoked || suspended && mine
		}
	}
	return nil
}

var _ mdm.Store = (*store)(nil)
