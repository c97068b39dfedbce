// Package sso signs people in: it declares what the enrollment portal asks of
// an identity provider. Package sso/oidc implements it for OpenID Connect.
package sso

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/enrollkit/enrollkit/jit"
)

// Request says what a sign-in needs to know before it starts.
type Request struct {
	// RedirectURL is the absolute callback address registered with the provider.
	RedirectURL string
	// LoginHint is passed on to the provider; it proves nothing.
	LoginHint string
}

// Attempt is a sign-in on its way. The caller keeps Secret with the browser
// (encrypted), and marks Key as open in a StateStore.
type Attempt struct {
	// URL is where the browser goes.
	URL string
	// Key names the attempt: the SHA-256 of the state parameter.
	Key [32]byte
	// Secret is what Finish needs: state, nonce and code verifier; at most 1 KiB.
	Secret []byte
}

// Authenticator signs a person in at an identity provider.
type Authenticator interface {
	// Begin starts a sign-in. It returns an error wrapping ErrUnavailable when
	// the provider cannot be reached.
	Begin(ctx context.Context, r Request) (Attempt, error)
	// State returns the Key of the attempt that a callback answers, without
	// trusting anything else in it. It fails with ErrCallback when the
	// query does not belong to secret.
	State(secret []byte, query url.Values) ([32]byte, error)
	// Finish redeems the callback. The caller has consumed the attempt before.
	// Errors wrap ErrUnavailable, ErrCallback, or are a *DeniedError.
	Finish(ctx context.Context, r Request, secret []byte, query url.Values) (jit.Identity, error)
}

var (
	// ErrUnavailable: the identity provider does not answer, or not usably.
	ErrUnavailable = errors.New("sso: identity provider is unavailable")
	// ErrCallback: the callback is forged, replayed, or failed a check.
	ErrCallback = errors.New("sso: callback refused")
	// ErrStateUsed: the attempt is unknown, expired or was finished before.
	ErrStateUsed = errors.New("sso: sign-in is unknown, expired or already used")
)

// Reason is why a person who authenticated is not let in. Its text is a
// permanent code.
type Reason string

// The reasons of a DeniedError.
const (
	ReasonDenied          Reason = "access_denied"
	ReasonDomain          Reason = "domain_not_allowed"
	ReasonTenant          Reason = "tenant_not_allowed"
	ReasonMFA             Reason = "mfa_required"
	ReasonGroup           Reason = "group_required"
	ReasonGroupsAbsent    Reason = "groups_absent"
	ReasonGroupsTruncated Reason = "groups_truncated"
)

// DeniedError is a sign-in that the provider or our own requirements refused.
type DeniedError struct {
	Reason Reason
	// Detail is for the log.
	Detail string
}

// Error implements error.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("sso: sign-in denied: %s: %s", e.Reason, e.Detail)
}

// StateStore makes sign-in attempts single use on any number of nodes.
type StateStore interface {
	// OpenState records an attempt until expires. It is durable on return. An
	// attempt that is there, open or finished, is left as it is: a repeat that
	// comes late reopens nothing.
	OpenState(ctx context.Context, key [32]byte, expires time.Time) error
	// ConsumeState ends an attempt. Exactly one of any number of concurrent
	// calls returns nil; the others, and calls for an unknown or expired
	// attempt, return ErrStateUsed.
	ConsumeState(ctx context.Context, key [32]byte, now time.Time) error
}
