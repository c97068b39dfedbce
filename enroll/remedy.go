package enroll

import (
	"errors"
	"iter"
	"net/http"
	"slices"

	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso"
)

// Code names a problem. Codes are permanent; what a page says about one is not.
type Code string

// The problems of signing in.
const (
	CodeSignInUnknown   Code = "signin_unknown"
	CodeSignInRefused   Code = "signin_refused"
	CodeSignInUsed      Code = "signin_used"
	CodeSignInDenied    Code = "access_denied"
	CodeDomain          Code = "domain_not_allowed"
	CodeTenant          Code = "tenant_not_allowed"
	CodeMFA             Code = "mfa_required"
	CodeGroup           Code = "group_required"
	CodeGroupsAbsent    Code = "groups_absent"
	CodeGroupsTruncated Code = "groups_truncated"
	CodeProviderDown    Code = "provider_unavailable"
	CodeSuspended       Code = "user_suspended"
	CodeIdentity        Code = "identity_unusable"
	CodeUnmapped        Code = "account_unmapped"
	CodeAccountUnknown  Code = "account_unknown"
	CodeDeviceLimit     Code = "device_limit"
)

// The problems of a sign-in that Settings begins.
const (
	CodeSettingsOnly    Code = "settings_only"
	CodeWebSession      Code = "web_session_over"
	CodeOtherPerson     Code = "other_person"
	CodeAnotherPerson   Code = "another_persons_device"
	CodeNotOffered      Code = "device_enrollment_not_offered"
	CodeEnrollmentEnded Code = "enrollment_ended"
	CodeClient          Code = "oauth_client_unknown"
)

// The problems that a person meets in Settings and looks up on the help page.
const (
	CodeAccountUnsupported Code = "account_unsupported"
	CodeAppInstalled       Code = "app_installed_already"
)

// The problems of a ticket and its profile.
const (
	CodeNoSession        Code = "session_missing"
	CodeTicketUnknown    Code = "ticket_unknown"
	CodeTicketExpired    Code = "ticket_expired"
	CodeTicketSuperseded Code = "ticket_superseded"
	CodeTicketSpent      Code = "ticket_spent"
	CodeTicketExhausted  Code = "ticket_exhausted"
	CodeChallenge        Code = "challenge_refused"
	CodeSigning          Code = "signing_unavailable"
)

// The problems of a device that the portal sees.
const (
	CodeOSTooOld      Code = "os_too_old"
	CodeOSAccount     Code = "os_account_driven"
	CodeNotSafari     Code = "browser_not_safari"
	CodeNotThisDevice Code = "not_an_iphone"
)

// The problems that a person meets on the phone and looks up on the help page.
const (
	CodeProfileDeleted   Code = "profile_deleted"
	CodeProfileNotShown  Code = "profile_not_shown"
	CodeProfileFailed    Code = "profile_installation_failed"
	CodeAccountRefused   Code = "managed_account_refused"
	CodeOtherManagement  Code = "other_management"
	CodeNoNetwork        Code = "no_network"
	CodeClock            Code = "clock_wrong"
	CodePolicyNotArrived Code = "apps_not_arrived"
)

// The problems of a request that no person makes by hand, and ours.
const (
	CodeNotFound      Code = "not_found"
	CodeMethod        Code = "method_not_allowed"
	CodeBadRequest    Code = "bad_request"
	CodeQueryTooLong  Code = "query_too_long"
	CodeBodyTooLarge  Code = "body_too_large"
	CodeEncoding      Code = "encoding_not_accepted"
	CodeCrossSite     Code = "cross_site"
	CodeWrongHost     Code = "wrong_host"
	CodeTooManyEvents Code = "too_many_streams"
	CodeStorage       Code = "storage_unavailable"
	CodeInternal      Code = "internal_error"
)

// Topic is where in the help a problem stands.
type Topic string

// The topics, in the order of the help page. A problem without one is not
// listed there.
const (
	TopicBefore   Topic = "Before you start"
	TopicSignIn   Topic = "Signing in"
	TopicSettings Topic = "Setting up from Settings"
	TopicProfile  Topic = "Downloading the profile"
	TopicInstall  Topic = "Installing it in Settings"
)

// Problem is one thing that goes wrong, in words for the person it happens to.
// They hold nothing about a request or a person.
type Problem struct {
	Code Code
	// Status is that of the answer; 0 for what happens on the phone.
	Status int
	Topic  Topic
	// Title is a heading, Cause says what happened, Remedy what to do.
	Title, Cause, Remedy string
	// Again: signing in again is a way on.
	Again bool
}

// Problems yields the whole table.
func Problems() iter.Seq[Problem] { return slices.Values(problems) }

// ProblemOf returns the entry of a code, and false for one that is not in the
// table.
func ProblemOf(c Code) (Problem, bool) {
	i := slices.IndexFunc(problems, func(p Problem) bool { return p.Code == c })
	if i < 0 {
		return Problem{}, false
	}
	return problems[i], true
}

// Remedy returns the problem that an error of this module stands for: of the
// portal and its tickets, of jit, sso, profile, or of mdm where a person meets
// it. An error that nobody knows is CodeInternal.
func Remedy(err error) Problem {
	p, _ := ProblemOf(codeOf(err))
	return p
}

func codeOf(err error) Code {
	var known *failure
	if errors.As(err, &known) {
		return known.code
	}
	var denied *sso.DeniedError
	if errors.As(err, &denied) {
		if p, ok := ProblemOf(Code(denied.Reason)); ok && p.Topic == TopicSignIn && p.Status == http.StatusForbidden {
			return p.Code
		}
		return CodeSignInDenied
	}
	var unmapped *jit.MappingError
	if errors.As(err, &unmapped) {
		return CodeUnmapped
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return CodeInternal
}

// sentinels are looked at in order.
var sentinels = []struct {
	err  error
	code Code
}{
	{sso.ErrStateUsed, CodeSignInUsed},
	{sso.ErrCallback, CodeSignInRefused},
	{sso.ErrUnavailable, CodeProviderDown},
	{jit.ErrSuspended, CodeSuspended},
	{mdm.ErrSuspended, CodeSuspended},
	{jit.ErrIdentity, CodeIdentity},
	{ErrAccountUnknown, CodeAccountUnknown},
	{mdm.ErrDeviceLimit, CodeDeviceLimit},
	{ErrNoSession, CodeNoSession},
	{ErrUnknownTicket, CodeTicketUnknown},
	{ErrTicketExpired, CodeTicketExpired},
	{ErrTicketSuperseded, CodeTicketSuperseded},
	{ErrTicketSpent, CodeTicketSpent},
	{ErrTicketExhausted, CodeTicketExhausted},
	{ErrChallenge, CodeChallenge},
	{ErrSessionUsed, CodeWebSession},
	{ErrAnotherPerson, CodeAnotherPerson},
	{errOtherPerson, CodeOtherPerson},
	{errNotOffered, CodeNotOffered},
	{scep.ErrRefused, CodeChallenge},
	{profile.ErrSigningCertificate, CodeSigning},
	{profile.ErrProfileDrivenRemoved, CodeOSAccount},
}

// failure is an error with its place in the table.
type failure struct {
	code Code
	err  error // for the log; may be nil
}

// Error implements error.
func (f *failure) Error() string {
	if f.err == nil {
		return "enroll: " + string(f.code)
	}
	return f.err.Error()
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

func refuse(code Code) error { return &failure{code: code} }

// stored says that an error came from a store. What a store means by its own
// sentinels stays what it is.
func stored(what string, err error) error {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return err
		}
	}
	return &failure{code: CodeStorage, err: &storeError{what, err}}
}

type storeError struct {
	what string
	err  error
}

// Error implements error.
func (e *storeError) Error() string { return "enroll: " + e.what + ": " + e.err.Error() }

// Unwrap returns the store's error.
func (e *storeError) Unwrap() error { return e.err }

// status is the HTTP status of a problem that is answered.
func (p Problem) status() int {
	if p.Status == 0 {
		return http.StatusOK
	}
	return p.Status
}
