package enroll

import (
	"context"
	"errors"
	"time"
)

// Tokens are the bearer tokens of one answer, by their SHA-256.
type Tokens struct {
	Access [32]byte
	// AccessExpires is zero for a token that lives as long as the enrollment.
	AccessExpires time.Time
	// Refresh is zero when there is none.
	Refresh        [32]byte
	RefreshExpires time.Time
}

// AuthorizationCode is a code (RFC 6749 §4.1.2), by its SHA-256, and what it
// is bound to.
type AuthorizationCode struct {
	Code                  [32]byte
	ClientID, RedirectURI string
	Expires               time.Time
}

// GrantStep is what the end of an account-driven web sign-in makes durable.
type GrantStep struct {
	// Session is the SHA-256 of the web session, which hands back once, and
	// SessionExpires when it would have ended by itself: from then on a store
	// may forget it.
	Session        [32]byte
	SessionExpires time.Time
	UserID         string
	// Ticket is issued in the same step when a device wants to enroll; nil when
	// the device of EnrollmentID signs in again.
	Ticket       *Ticket
	EnrollmentID string
	// Code is set with the OAuth 2 method; otherwise Tokens are granted at once.
	Code   *AuthorizationCode
	Tokens Tokens
	At     time.Time
}

// CodeStep redeems a code for tokens.
type CodeStep struct {
	Code                  [32]byte
	ClientID, RedirectURI string
	Tokens                Tokens
	At                    time.Time
}

// RefreshStep exchanges a refresh token for tokens.
type RefreshStep struct {
	Refresh  [32]byte
	ClientID string
	Tokens   Tokens
	At       time.Time
}

var (
	// ErrSessionUsed: the web session handed back before, or its access token was
	// granted before.
	ErrSessionUsed = errors.New("enroll: web session was used before")
	// ErrAnotherPerson: who signed in is not the person of the enrollment.
	ErrAnotherPerson = errors.New("enroll: another person's enrollment")
	// ErrGrant: a code or refresh token is unknown, expired, used, revoked, or
	// another client's (invalid_grant of RFC 6749 §5.2).
	ErrGrant = errors.New("enroll: code or refresh token refused")
	// ErrToken: an access token is unknown, expired or revoked.
	ErrToken = errors.New("enroll: access token refused")
)

// AccountStore keeps the grants of account-driven enrollment, in one database
// with the TicketStore and the mdm.Store, whose steps look at access tokens. A
// grant is one sign-in; its tokens are in force until they expire, the
// enrollment ends, the user is suspended, or a token of a later grant of the same
// enrollment is used. Every method is one atomic step; nil means durable, an
// error means that nothing changed unless said otherwise.
//
// A ticket's ID, a code and a token name one thing. The caller makes them new in
// each step; one that is there is an error, any where none is named. Only what a
// repeated Refresh ends may come again with it.
type AccountStore interface {
	// Grant ends the web session and records the grant: with a Ticket as
	// TicketStore.IssueTicket does (superseding nothing), else for the
	// enrollment of EnrollmentID. Errors: ErrSessionUsed, also for an access
	// token that is known, in force or not; mdm.ErrSuspended;
	// without a Ticket mdm.ErrUnknownEnrollment, mdm.ErrEnded, or
	// ErrAnotherPerson when the enrollment is not UserID's. A refused session
	// may hand back yet.
	Grant(ctx context.Context, s GrantStep) error
	// RedeemCode redeems a code once, for the client and redirect URI that it
	// was made for. A second redemption is ErrGrant and revokes the tokens of
	// the first; every other refusal is ErrGrant, or mdm.ErrSuspended, and
	// changes nothing.
	RedeemCode(ctx context.Context, s CodeStep) error
	// Refresh replaces a grant's tokens. A refresh token may be presented again
	// as long as none of the tokens that it was exchanged for has been used (the
	// answer was lost): those end, and s.Tokens are in force. Presented after
	// that, it revokes the whole grant and is ErrGrant; a store may forget one
	// that was replaced a dozen exchanges ago, and then only refuses it. Other
	// refusals are ErrGrant, or mdm.ErrSuspended, and change nothing.
	Refresh(ctx context.Context, s RefreshStep) error
	// TokenTicket returns the ticket whose grant an access token in force
	// belongs to, or ErrToken; mdm.ErrSuspended when the user is suspended. A
	// token of a repeated sign-in has no ticket: ErrToken.
	TokenTicket(ctx context.Context, access [32]byte, now time.Time) (Ticket, error)
	// RevokeTokens ends all tokens of an enrollment, and the codes that are not
	// redeemed: its device has to sign in again. Repeating it changes nothing.
	// An unknown enrollment is mdm.ErrUnknownEnrollment.
	RevokeTokens(ctx context.Context, enrollmentID string) error
}
