package enroll

import (
	"context"
	"errors"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// TicketState is where a ticket stands.
type TicketState string

// The states of a ticket, in the order of the story.
const (
	TicketIssued     TicketState = "issued"
	TicketDownloaded TicketState = "downloaded"
	TicketIdentified TicketState = "identified"
	// TicketAuthenticated: Authenticate was accepted, TokenUpdate is awaited.
	TicketAuthenticated TicketState = "authenticated"
	// TicketEnrolled: the first TokenUpdate spent the ticket.
	TicketEnrolled   TicketState = "enrolled"
	TicketSuperseded TicketState = "superseded"
)

// Ownership says whose device it is.
type Ownership string

// The kinds of ownership.
const (
	OwnershipPersonal Ownership = "personal"
	OwnershipCompany  Ownership = "company"
)

// Ticket is the record of one enrollment's story.
type Ticket struct {
	ID string // random, at most 36 bytes
	// Ref is what a person reads out to the help desk: 8 characters.
	Ref       string
	UserID    string
	Way       mdm.Way
	Ownership Ownership
	State     TicketState
	// Session is the SHA-256 of the session that asked for it.
	Session   [32]byte
	Issued    time.Time
	Downloads int
	// Downloaded is the time of the last download.
	Downloaded                                 time.Time
	Identified, Authenticated, Enrolled, Ended time.Time
	EnrollmentID                               string
}

// Clocks are the three times of a ticket, see package documentation.
type Clocks struct{ Wait, Window, Grace time.Duration }

// Session is a browser's session at the portal.
type Session struct {
	// ID is the SHA-256 of the cookie's value.
	ID      [32]byte
	UserID  string
	Ticket  string
	Expires time.Time
}

// DownloadStep is what a download makes durable.
type DownloadStep struct {
	TicketID string
	// Challenge is the SHA-256 of the SCEP challenge in this download.
	Challenge [32]byte
	At        time.Time
	Clocks    Clocks
	// MaxDownloads and MaxAge bound the ticket: 10 and 60 minutes by default.
	MaxDownloads int
	MaxAge       time.Duration
}

// IdentifyStep is what issuing a device identity makes durable.
type IdentifyStep struct {
	Challenge, Key [32]byte
	// Certificate is DER; Digest its SHA-256.
	Certificate []byte
	Digest      [32]byte
	NotAfter    time.Time
	At          time.Time
}

var (
	// ErrUnknownTicket: there is no such ticket.
	ErrUnknownTicket = errors.New("enroll: unknown ticket")
	// ErrTicketExpired: the ticket waited too long, or its last download did.
	ErrTicketExpired = errors.New("enroll: ticket has expired")
	// ErrTicketSuperseded: a later sign-in in the same browser replaced it.
	ErrTicketSuperseded = errors.New("enroll: ticket was superseded by a later sign-in")
	// ErrTicketSpent: its device is enrolled.
	ErrTicketSpent = errors.New("enroll: ticket is spent")
	// ErrTicketExhausted: too many downloads.
	ErrTicketExhausted = errors.New("enroll: ticket has no downloads left")
	// ErrChallenge: the challenge is unknown, expired, voided, or another key's.
	ErrChallenge = errors.New("enroll: challenge refused")
	// ErrNoSession: the session is unknown or expired.
	ErrNoSession = errors.New("enroll: no session")
)

// TicketStore keeps tickets and what is issued for them, in one database with
// the mdm.Store. Every method is one atomic step; nil means durable, an error
// means that nothing changed. Repeating a step is safe.
type TicketStore interface {
	// IssueTicket records t (state TicketIssued) and supersedes every ticket of
	// t.Session or of previous (the session's ID before it was rotated; zero:
	// none) that is neither spent nor superseded. An ID that exists is left as it is.
	IssueTicket(ctx context.Context, t Ticket, previous [32]byte) error
	// Ticket returns a ticket, or ErrUnknownTicket.
	Ticket(ctx context.Context, id string) (Ticket, error)
	// Download counts a download and opens its challenge, good for
	// Clocks.Window+Clocks.Grace from s.At. It returns ErrTicketExpired when
	// never downloaded and older than Clocks.Wait, or older than s.MaxAge;
	// ErrTicketSuperseded, ErrTicketSpent or ErrTicketExhausted as named. A
	// ticket that is identified or authenticated stays in that state.
	Download(ctx context.Context, s DownloadStep) (Ticket, error)
	// Challenge looks a challenge up for a key: the certificate that this key
	// got for it before, or nil when the challenge is open and was never
	// presented. Otherwise ErrChallenge.
	Challenge(ctx context.Context, challenge, key [32]byte, now time.Time) ([]byte, error)
	// Identify redeems the challenge by the key and records the identity with
	// the ticket's user and way; earlier downloads' challenges and identities
	// of the ticket that are not bound to an enrolled device are void from
	// then on. A concurrent call of the same key may have won: its certificate
	// is returned. Another key's is ErrChallenge.
	Identify(ctx context.Context, s IdentifyStep) ([]byte, error)
	// Devices counts the user's enrollments in state mdm.StateEnrolled.
	Devices(ctx context.Context, userID string) (int, error)
}

// SessionStore keeps portal sessions.
type SessionStore interface {
	// PutSession records s, in place of one with its ID; a session with old's ID
	// ends in the same step (zero: none), so that an identifier from before the
	// sign-in is dead. A session that is out of force may be forgotten.
	PutSession(ctx context.Context, s Session, old [32]byte) error
	// Session returns a session in force at now, or ErrNoSession.
	Session(ctx context.Context, id [32]byte, now time.Time) (Session, error)
}
