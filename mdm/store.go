package mdm

import (
	"context"
	"errors"
	"time"
)

// Way is how an enrollment came about.
type Way string

// The ways in. They decide which gate applies and how a device is told to leave.
const (
	// WayProfile is User Enrollment by a downloaded profile (iOS 13.1 to 17).
	WayProfile Way = "profile"
	// WayAccount is account-driven User Enrollment (iOS 15 and later).
	WayAccount Way = "account"
	// WayAccountDevice is account-driven Device Enrollment.
	WayAccountDevice Way = "adde"
	// WayDevice is Device Enrollment by a downloaded profile.
	WayDevice Way = "device"
)

// EnrollmentState is where an enrollment stands.
type EnrollmentState string

// The states of an enrollment.
const (
	// StateAuthenticated: Authenticate was accepted, no TokenUpdate yet.
	StateAuthenticated EnrollmentState = "authenticated"
	// StateEnrolled: the first TokenUpdate was accepted.
	StateEnrolled EnrollmentState = "enrolled"
	// StateEnded: CheckOut, or the server ended it.
	StateEnded EnrollmentState = "ended"
	// StateReplaced: a newer enrollment attempt of the same ticket took over.
	StateReplaced EnrollmentState = "replaced"
)

// Enrollment is one device under management, named by Apple's EnrollmentID, or
// under Device Enrollment by its UDID. It has no field for another hardware
// identifier on purpose.
type Enrollment struct {
	ID                               string
	UserID, TicketID                 string
	Way                              Way
	State                            EnrollmentState
	Certificate                      [32]byte // SHA-256 of the DER identity certificate
	Topic                            string
	OSVersion, BuildVersion, Product string
	Created, Enrolled, Ended         time.Time
	// Contact is the first contact of the last day (UTC) that the device was heard
	// of by TokenUpdate or Exchange, and Created before that.
	Contact time.Time
}

// CommandStatus is where a queued command stands.
type CommandStatus string

// The states of a command. Acknowledged, Error and FormatError are final.
const (
	CommandQueued       CommandStatus = "Queued"
	CommandSent         CommandStatus = "Sent"
	CommandNotNow       CommandStatus = "NotNow"
	CommandAcknowledged CommandStatus = "Acknowledged"
	CommandError        CommandStatus = "Error"
	CommandFormatError  CommandStatus = "CommandFormatError"
	// CommandCancelled: the enrollment ended before the command was answered.
	CommandCancelled CommandStatus = "Cancelled"
)

// Command is one queued command.
type Command struct {
	UUID         string // CommandUUID
	EnrollmentID string
	RequestType  string
	// Payload is the whole answer to the device: an XML property list with
	// CommandUUID and Command.
	Payload []byte
	Status  CommandStatus
	// Result is the device's last answer to it, an XML property list; under User
	// Enrollment without what names the hardware.
	Result          []byte
	Queued, Updated time.Time
}

// AuthenticateStep is what Authenticate makes durable.
type AuthenticateStep struct {
	Certificate  [32]byte
	EnrollmentID string
	// Device: the sender named itself by a UDID, as under Device Enrollment, and
	// EnrollmentID holds that.
	Device bool
	// Bearer is the SHA-256 of the bearer token that came along, zero for none.
	Bearer [32]byte

	Topic, OSVersion, BuildVersion, Product string
	At                                      time.Time
	// DeviceLimit is how many enrolled devices the user may have, this one
	// included; 0 is no limit.
	DeviceLimit int
}

// TokenUpdateStep is what TokenUpdate makes durable.
type TokenUpdateStep struct {
	Certificate  [32]byte
	EnrollmentID string
	// Device: the sender named itself by a UDID, as under Device Enrollment, and
	// EnrollmentID holds that.
	Device bool
	// Bearer is the SHA-256 of the bearer token that came along, zero for none.
	Bearer [32]byte

	Topic     string
	Token     []byte
	PushMagic string
	At        time.Time
	// Planned is true when Plan holds what the first TokenUpdate must queue
	// (possibly nothing).
	Planned bool
	Plan    []Command
}

// CheckOutStep is what CheckOut makes durable.
type CheckOutStep struct {
	Certificate  [32]byte
	EnrollmentID string
	// Device: the sender named itself by a UDID, as under Device Enrollment, and
	// EnrollmentID holds that.
	Device bool
	// Bearer is the SHA-256 of the bearer token that came along, zero for none.
	Bearer [32]byte
	At     time.Time
}

// ExchangeStep reports a result and asks for the next command.
type ExchangeStep struct {
	Certificate  [32]byte
	EnrollmentID string
	// Device: the sender named itself by a UDID, as under Device Enrollment, and
	// EnrollmentID holds that.
	Device bool
	// Bearer is the SHA-256 of the bearer token that came along, zero for none.
	Bearer [32]byte
	// Idle starts a session: commands that were answered NotNow are offered again.
	Idle bool
	// CommandUUID, Status and Result are the report; CommandUUID may be empty
	// with CommandFormatError, which then concerns the command sent last.
	CommandUUID string
	Status      CommandStatus
	Result      []byte
	At          time.Time
	// NotNowRetry is how long after At a push is asked for when the session
	// ends here and a command waits that was answered NotNow, unless NotNow is
	// this report's Status: then the device comes back by itself.
	NotNowRetry time.Duration
}

// Exchanged is the outcome of an exchange.
type Exchanged struct {
	// Next is the command to send, nil when nothing waits.
	Next *Command
	// Reported is the command that the report concerned as stored now, nil
	// when the report was a repeat, was for an unknown command, or was Idle.
	Reported *Command
}

var (
	// ErrUnknownIdentity: no certificate with this digest was issued by us, or
	// a later one replaced it, or its time to authenticate is over.
	ErrUnknownIdentity = errors.New("mdm: certificate is not a device identity in force")
	// ErrForeignCertificate: the certificate belongs to another enrollment.
	ErrForeignCertificate = errors.New("mdm: certificate does not belong to this enrollment")
	// ErrNotAuthenticated: the certificate is good, but no Authenticate bound it yet.
	ErrNotAuthenticated = errors.New("mdm: no Authenticate was accepted for this certificate")
	// ErrEnded: the enrollment ended.
	ErrEnded = errors.New("mdm: enrollment has ended")
	// ErrSuspended: the enrollment's user is suspended.
	ErrSuspended = errors.New("mdm: user is suspended")
	// ErrDeviceLimit: the user already has as many devices as allowed.
	ErrDeviceLimit = errors.New("mdm: user has reached the limit of devices")
	// ErrChannel: a UDID under User Enrollment, or an EnrollmentID under Device
	// Enrollment.
	ErrChannel = errors.New("mdm: the device names itself as another kind of enrollment does")
	// ErrBearer: the enrollment is account-driven, and the bearer token is
	// missing, unknown, expired, revoked, or not this enrollment's.
	ErrBearer = errors.New("mdm: no bearer token of this enrollment in force")
	// ErrPlanNeeded: this is the first TokenUpdate and the step was not planned.
	ErrPlanNeeded = errors.New("mdm: first TokenUpdate needs a plan")
	// ErrUnknownEnrollment: there is no such enrollment.
	ErrUnknownEnrollment = errors.New("mdm: unknown enrollment")
)

// Store keeps identities, enrollments and the command queue. Every method is
// one atomic step; when it returns nil the step is durable; when it returns an
// error nothing changed. Repeating a step is safe. Returned values belong to
// the caller; times are UTC.
//
// Each device-side step first looks at the identity by its certificate digest,
// in this order: no such identity or a replaced one is ErrUnknownIdentity; a
// suspended user is ErrSuspended; Device that does not fit the identity's way is
// ErrChannel; another EnrollmentID than the bound one is
// ErrForeignCertificate; none bound yet is ErrNotAuthenticated (Authenticate
// excepted); an ended enrollment is ErrEnded (a repeated CheckOut excepted;
// TokenUpdate and Authenticate included); then, for the ways WayAccount and
// WayAccountDevice, a Bearer that is not a token in force of this enrollment (at
// the first Authenticate: of this ticket, which binds it) is ErrBearer. The first
// step with a newer token ends the enrollment's former ones. An empty
// EnrollmentID is bound to nothing: Server uses an Exchange with one to ask who
// sent a bad body; its Device and Bearer are not looked at.
type Store interface {
	// Authenticate binds EnrollmentID and certificate and makes the enrollment,
	// state StateAuthenticated. The same pair again returns the enrollment
	// unchanged. An EnrollmentID that is known under another certificate is
	// ErrForeignCertificate unless this certificate was issued to the same user
	// for a newer ticket, or for the same ticket not yet spent; the enrollment
	// then moves to this certificate, and its old identity is replaced. A half
	// made enrollment of the same ticket under another EnrollmentID becomes
	// StateReplaced and its identity is replaced. The ticket's deadline
	// to authenticate (first binding only) is ErrUnknownIdentity when over.
	Authenticate(ctx context.Context, s AuthenticateStep) (Enrollment, error)
	// TokenUpdate stores push token and magic; a push that waits for a token
	// (see push.Store) is due then. The first one of an enrollment
	// makes it StateEnrolled, spends its ticket, queues s.Plan (a CommandUUID
	// that is queued already is left as it is) and asks for a push at s.At, all
	// in the same step; without s.Planned it returns the enrollment and
	// ErrPlanNeeded and changes nothing.
	TokenUpdate(ctx context.Context, s TokenUpdateStep) (Enrollment, error)
	// CheckOut ends the enrollment, cancels its open commands and forgets its
	// push token. Again: nil, nothing changes.
	CheckOut(ctx context.Context, s CheckOutStep) (Enrollment, error)
	// Exchange records the report, if any, and returns the next command in
	// queue order: one not final and not answered NotNow in this session. A
	// report for a final or an unknown command changes nothing. When nothing is
	// left to send and NotNowRetry says so, it asks for a push then. With nothing
	// to record and nothing waiting it writes nothing but, once a day, Contact.
	Exchange(ctx context.Context, s ExchangeStep) (Exchanged, error)

	// Enqueue adds commands to the queues of their enrollments and asks for a
	// push of each enrollment that got one. A CommandUUID that exists is left as
	// it is. An enrollment that is not StateEnrolled is ErrUnknownEnrollment, and
	// nothing is queued.
	Enqueue(ctx context.Context, commands ...Command) error
	// Enrollment returns one enrollment, or ErrUnknownEnrollment.
	Enrollment(ctx context.Context, enrollmentID string) (Enrollment, error)
	// Unenroll ends the enrollment from the server's side, as CheckOut does.
	Unenroll(ctx context.Context, enrollmentID string, at time.Time) error
	// SuspendUser makes every device-side step of the user's enrollments
	// return ErrSuspended, or lifts that. Suspending revokes the user's bearer
	// tokens for good: after it is lifted, account-driven devices sign in
	// again. Repeating it changes nothing.
	SuspendUser(ctx context.Context, userID string, suspended bool) error
}
