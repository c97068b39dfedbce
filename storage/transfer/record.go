package transfer

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
)

// Kind says what a record is about.
type Kind string

// The kinds of records.
const (
	KindUser       Kind = "user"
	KindSuspension Kind = "suspension"
	KindSession    Kind = "session"
	KindWebSession Kind = "web_session"
	KindTicket     Kind = "ticket"
	KindEnrollment Kind = "enrollment"
	KindGrant      Kind = "grant"
	KindCommand    Kind = "command"
)

// Kinds are all kinds in the order of an export: what a record refers to comes
// before it.
func Kinds() []Kind {
	return []Kind{KindUser, KindSuspension, KindSession, KindWebSession, KindTicket, KindEnrollment, KindGrant, KindCommand}
}

// Record is one record: a *User, *Suspension, *Session, *WebSession, *Ticket,
// *Enrollment, *Grant or *Command.
type Record interface {
	// Kind says which of them it is.
	Kind() Kind
	// Name tells it from others of its kind; it is for messages.
	Name() string
	// check returns what is wrong with it.
	check() error
}

// User is a person.
type User struct{ jit.User }

// Suspension says that a user's devices are suspended, see mdm.Store.SuspendUser.
type Suspension struct{ UserID string }

// Session is a browser's session at the portal.
type Session struct{ enroll.Session }

// WebSession is a web session that handed back, see enroll.GrantStep.
type WebSession struct {
	ID      [32]byte
	Expires time.Time
}

// Ticket is a ticket with what was given out for it.
type Ticket struct {
	enroll.Ticket
	// Challenges are in the order of the downloads that opened them.
	Challenges []Challenge
	// Identities are in the order of their digests. They have the ticket's user
	// and way, and are bound to the enrollments that name them.
	Identities []Identity
}

// Challenge is what one download opened.
type Challenge struct {
	Digest [32]byte
	// Download is which of the ticket's opened it, counted from 1.
	Download int
	Expires  time.Time
	Void     bool
	// Redeemed, and then by which key for which certificate, in DER.
	Redeemed    bool
	Key         [32]byte
	Certificate []byte
}

// Identity is a certificate that was issued for a ticket.
type Identity struct {
	Digest   [32]byte
	NotAfter time.Time
	// Deadline is for the first Authenticate.
	Deadline time.Time
	Replaced bool
}

// Enrollment is a device with what is needed to wake it. Its Certificate is an
// identity of its ticket.
type Enrollment struct {
	mdm.Enrollment
	// Token is empty until TokenUpdate, and after it died.
	Token       []byte
	PushMagic   string
	TokenStored time.Time
	Push        Push
}

// Push is what pushes were asked for, see push.Store.
type Push struct {
	// Requests are numbered; those up to Settled are done, and when there is
	// another one, Due is when it is.
	Request, Settled int64
	Due              time.Time
	// Fixed: Due was set by a claim or a retry.
	Fixed   bool
	Attempt int
	// Status and Attempted are of the last attempt.
	Status    int
	Attempted time.Time
}

// Grant is one account-driven sign-in.
type Grant struct {
	UserID string
	// TicketID is empty when an enrolled device signed in again, EnrollmentID
	// until a device has authenticated.
	TicketID, EnrollmentID string
	Revoked                bool
	// Code is nil when the tokens were granted at once.
	Code     *enroll.AuthorizationCode
	Redeemed bool
	// Generations are the tokens of each answer that is remembered, in their
	// order: an exchange of a refresh token makes the next generation.
	Generations []Generation
}

// Generation is the tokens of one answer.
type Generation struct {
	enroll.Tokens
	Used bool
}

// Command is a queued command.
type Command struct {
	mdm.Command
	// Held: it was answered NotNow in this session, and waits for the next Idle.
	Held bool
}

// Kind implements Record.
func (*User) Kind() Kind { return KindUser }

// Kind implements Record.
func (*Suspension) Kind() Kind { return KindSuspension }

// Kind implements Record.
func (*Session) Kind() Kind { return KindSession }

// Kind implements Record.
func (*WebSession) Kind() Kind { return KindWebSession }

// Kind implements Record.
func (*Ticket) Kind() Kind { return KindTicket }

// Kind implements Record.
func (*Enrollment) Kind() Kind { return KindEnrollment }

// Kind implements Record.
func (*Grant) Kind() Kind { return KindGrant }

// Kind implements Record.
func (*Command) Kind() Kind { return KindCommand }

// Name implements Record.
func (u *User) Name() string { return u.ID }

// Name implements Record.
func (s *Suspension) Name() string { return s.UserID }

// Name implements Record.
func (s *Session) Name() string { return hex.EncodeToString(s.ID[:]) }

// Name implements Record.
func (s *WebSession) Name() string { return hex.EncodeToString(s.ID[:]) }

// Name implements Record.
func (t *Ticket) Name() string { return t.ID }

// Name implements Record.
func (e *Enrollment) Name() string { return e.ID }

// Name implements Record: the digest of its code, or of its first access token.
func (g *Grant) Name() string {
	id := g.ID()
	return hex.EncodeToString(id[:])
}

// ID tells a grant from others: the digest of its code, or without one that of
// its first access token.
func (g *Grant) ID() [32]byte {
	switch {
	case g.Code != nil:
		return g.Code.Code
	case len(g.Generations) > 0:
		return g.Generations[0].Access
	}
	return [32]byte{}
}

// Ended reports whether the tokens of the generation at i ended because those of a
// later one came.
func (g *Grant) Ended(i int) bool {
	return slices.ContainsFunc(g.Generations[i+1:], func(k Generation) bool { return k.Used })
}

// Name implements Record.
func (c *Command) Name() string { return c.EnrollmentID + " " + c.UUID }

// Final reports whether the command changes no more.
func (c *Command) Final() bool {
	switch c.Status {
	case mdm.CommandQueued, mdm.CommandSent, mdm.CommandNotNow:
		return false
	default:
		return true
	}
}
