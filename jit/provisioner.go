package jit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"
)

// The names of the mapped fields in a MappingError.
const (
	fieldAccount = "managed_apple_account"
	fieldName    = "display_name"
)

const (
	maxGroups  = 1000 // of a person; more counts as truncated
	maxSubject = 255  // bytes, OpenID Connect Core 1.0, section 2
	maxIssuer  = 512  // bytes
)

// ErrIdentity: the identity that was handed in has no usable issuer or subject.
var ErrIdentity = errors.New("jit: identity has no usable issuer or subject")

// Observer is told about sign-ins, after the record is durable and before the
// person goes on, so its method must be quick.
type Observer interface {
	// SignedIn: the record u was created or refreshed.
	SignedIn(ctx context.Context, u User, created bool)
}

// NopObserver does nothing. It is the default.
type NopObserver struct{}

// SignedIn implements Observer.
func (NopObserver) SignedIn(context.Context, User, bool) {}

var _ Observer = NopObserver{}

// Config configures a Provisioner. Only Store is required.
type Config struct {
	// Store keeps the records. Required.
	Store Store
	// ManagedAppleAccount makes the Managed Apple Account; the result must look
	// like name@domain. The default is "{preferred_username}". Think before
	// mapping a claim that people can edit themselves at the provider.
	ManagedAppleAccount Mapping
	// DisplayName makes the name that is shown. The default is "{name}". A
	// person without the claim is shown by user name, e-mail address or
	// subject: a missing name keeps nobody out.
	DisplayName Mapping
	// Now is the clock, by default time.Now.
	Now func() time.Time
	// Random makes identifiers, by default crypto/rand.Reader. It must be safe
	// for concurrent use.
	Random io.Reader
	// Logger is silent by default.
	Logger *slog.Logger
	// Observer is told about sign-ins.
	Observer Observer
}

// Provisioner creates and refreshes user records at sign-in. It is safe for
// concurrent use.
type Provisioner struct {
	cfg           Config
	account, name template
}

// New judges the configuration as a whole; mappings that cannot be parsed are
// reported as *MappingError.
func New(c Config) (*Provisioner, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observer == nil {
		c.Observer = NopObserver{}
	}
	if c.ManagedAppleAccount == "" {
		c.ManagedAppleAccount = "{preferred_username}"
	}
	if c.DisplayName == "" {
		c.DisplayName = "{name}"
	}
	var errs []error
	if c.Store == nil {
		errs = append(errs, errors.New("jit: Config.Store is required"))
	}
	account, err := parseMapping(fieldAccount, c.ManagedAppleAccount)
	errs = append(errs, err)
	name, err := parseMapping(fieldName, c.DisplayName)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Provisioner{cfg: c, account: account, name: name}, nil
}

// SignIn creates the record of the person who signed in, or refreshes it, and
// returns it as stored. created is true for the one call that made the record,
// however many run at once.
//
// When the provider told the membership of groups not at all or in part, a known
// person keeps the groups known before and the record says so (GroupsStale); a
// new person has none.
//
// Errors are ErrSuspended (nothing was changed), ErrIdentity, a *MappingError
// (nothing was stored), or the store's own.
func (p *Provisioner) SignIn(ctx context.Context, id Identity) (User, bool, error) {
	if !usableKey(id.Issuer, maxIssuer) || !usableKey(id.Subject, maxSubject) {
		return User{}, false, ErrIdentity
	}
	account, err := p.account.expand(id)
	if err != nil {
		return User{}, false, err
	}
	if err := checkAccount(fieldAccount, account); err != nil {
		return User{}, false, err
	}
	uuid, err := newUUID(p.cfg.Random)
	if err != nil {
		return User{}, false, err
	}
	groups, whole := wholeMembership(id)
	u, created, err := p.cfg.Store.Provision(ctx, Profile{
		ID: uuid, Issuer: id.Issuer, Subject: id.Subject,
		DisplayName: p.displayName(id), ManagedAppleAccount: account,
		Groups: groups, KeepGroups: !whole,
		At: p.cfg.Now().UTC().Round(0),
	})
	if err != nil {
		return User{}, false, fmt.Errorf("jit: sign-in: %w", err)
	}
	if !whole {
		p.cfg.Logger.WarnContext(ctx, "group membership was not told in full, known groups are kept",
			"user", u.ID, "created", created, "state", int(id.GroupState))
	}
	p.cfg.Observer.SignedIn(ctx, u, created)
	return u, created, nil
}

func (p *Provisioner) displayName(id Identity) string {
	mapped, err := p.name.expand(id)
	if err != nil {
		mapped = ""
	}
	for _, s := range []string{mapped, id.PreferredUsername, id.Email} {
		if s = clean(s); s != "" {
			return s
		}
	}
	return clean(id.Subject)
}

// wholeMembership returns the groups, and false when what was told is not known
// to be the whole membership.
func wholeMembership(id Identity) ([]string, bool) {
	switch id.GroupState {
	case GroupsEmpty:
		return nil, true
	case GroupsPresent:
		if len(id.Groups) > maxGroups {
			return nil, false
		}
		seen := make(map[string]bool, len(id.Groups))
		var groups []string
		for _, g := range id.Groups {
			if !usable(g) {
				return nil, false
			}
			if !seen[g] {
				seen[g] = true
				groups = append(groups, g)
			}
		}
		return groups, true
	default:
		return nil, false
	}
}

// usableKey is true for text that is stored and compared as it is.
func usableKey(s string, limit int) bool {
	if s == "" || len(s) > limit || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unwanted(r) {
			return false
		}
	}
	return true
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("jit: no randomness: %w", err)
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
