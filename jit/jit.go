// Package jit creates and refreshes user records just in time: at the first
// sign-in the record is made from what the identity provider asserted, at each
// later one it is refreshed.
//
// A person is the pair (issuer, subject). An e-mail address is never a key: a
// second subject with the same address is a second person.
package jit

import (
	"context"
	"errors"
	"time"
)

// GroupState says how much of a person's group membership the identity
// provider told. A required group is only granted in state GroupsPresent.
type GroupState int

// The four states of a group claim.
const (
	// GroupsAbsent: the provider sent no group claim.
	GroupsAbsent GroupState = iota
	// GroupsEmpty: the provider said that there are no groups.
	GroupsEmpty
	// GroupsPresent: the whole membership is listed.
	GroupsPresent
	// GroupsTruncated: the provider cut the list or pointed elsewhere for it.
	GroupsTruncated
)

// Identity is what an identity provider asserted about the person who signed
// in, after every check of the token has passed.
type Identity struct {
	// Issuer and Subject together are the key of the person.
	Issuer, Subject string
	// PreferredUsername, Email and Name are for display and mapping only.
	PreferredUsername, Email, Name string
	// EmailVerified is true when the provider said so, as a boolean.
	EmailVerified bool
	// Groups is meaningful in state GroupsPresent (and partial in
	// GroupsTruncated, where it must not grant anything).
	Groups     []string
	GroupState GroupState
	// AuthTime is when the person authenticated, zero when not told.
	AuthTime time.Time
	// Claims are all claims of the ID token, for mapping by template.
	Claims map[string]any
}

// User is the record of a person.
type User struct {
	// ID is ours: random, without meaning, at most 36 bytes.
	ID              string
	Issuer, Subject string
	DisplayName     string
	Groups          []string
	// GroupsStale is true when the last sign-in did not tell the whole
	// membership, so that Groups is what was known before.
	GroupsStale bool
	// ManagedAppleAccount is what the person types when iOS asks for it.
	ManagedAppleAccount string
	Suspended           bool
	Created, LastSignIn time.Time
}

// Profile is the refreshed part of a user record: one sign-in's result.
type Profile struct {
	// ID is used when the person is new, and ignored otherwise.
	ID                  string
	Issuer, Subject     string
	DisplayName         string
	ManagedAppleAccount string
	Groups              []string
	// KeepGroups leaves the stored groups of a known user as they are and
	// marks them stale; a new user then has none.
	KeepGroups bool
	At         time.Time
}

var (
	// ErrSuspended: the user is suspended and may neither sign in nor enroll.
	ErrSuspended = errors.New("jit: user is suspended")
	// ErrUnknownUser: there is no such user.
	ErrUnknownUser = errors.New("jit: unknown user")
)

// Store keeps user records. Every method is one atomic step; when it returns
// nil the step is durable. Returned values belong to the caller; times are UTC.
type Store interface {
	// Provision creates the user of (p.Issuer, p.Subject), or refreshes it, and
	// returns the record as stored. Concurrent first calls create one record;
	// created is true in exactly one of them. A suspended user is left
	// unchanged and ErrSuspended returned.
	Provision(ctx context.Context, p Profile) (u User, created bool, err error)
	// User returns the record with this ID, or ErrUnknownUser.
	User(ctx context.Context, id string) (User, error)
	// Suspend sets or lifts the suspension. Repeating it changes nothing.
	// It returns ErrUnknownUser when there is no such user.
	Suspend(ctx context.Context, id string, suspended bool) error
}
