// Package policy says what each group's devices must have: it assigns
// configurations to groups and implements mdm.Planner, so that they are queued
// in the same step as a device's first TokenUpdate.
package policy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// Assignment gives a configuration to a group.
type Assignment struct {
	// Group is the group's name as the identity provider tells it, compared
	// exactly; empty is everyone.
	Group string
	// Name is the configuration's, for people. One name is one configuration:
	// to give it to several groups, assign it several times.
	Name string
	// Profile is a configuration profile: an XML property list, or one in a CMS
	// signature. It must pass the gate of User Enrollment.
	Profile []byte
	// Claims are what the configuration claims for itself alone on a device
	// beside what profile.Claims reads off the profile: its identifier, and the
	// URLs and hosts of SSO extensions.
	Claims []string
}

// Assign returns the Assignment of a profile to a group, or to everyone when
// group is empty, under the profile's PayloadDisplayName.
func Assign(group string, p *profile.Profile) (Assignment, error) {
	encoded, err := p.Marshal()
	if err != nil {
		return Assignment{}, fmt.Errorf("policy: %w", err)
	}
	return Assignment{Group: group, Name: p.DisplayName, Profile: encoded}, nil
}

// Users finds the groups of a person; a jit.Store is one.
type Users interface {
	// User returns a record, or jit.ErrUnknownUser.
	User(ctx context.Context, id string) (jit.User, error)
}

// Config is what a Policy is made of. Users is needed.
type Config struct {
	// Assignments are in order: a device gets its configurations in this
	// order, and of two that clash the earlier one.
	Assignments []Assignment
	Users       Users
	// Logger is told of clashes that only a person's groups bring about; nil
	// discards.
	Logger *slog.Logger
}

// ErrConfig is every Config that New refuses, for errors.Is.
var ErrConfig = errors.New("policy: configuration")

// configuration is a judged assignment.
type configuration struct {
	Assignment
	content string // SHA-256 of the profile without its signature, in hex
}

// Policy is a set of assignments. It is immutable and safe for concurrent use.
type Policy struct {
	configurations []configuration
	users          Users
	logger         *slog.Logger
}

var _ mdm.Planner = (*Policy)(nil)

// New judges every assignment: the gate refuses with mdm.ErrForbidden what is
// not allowed under User Enrollment; two configurations of one group, or one of
// everyone's and any other, that claim the same are a *profile.ClashError; all
// else is ErrConfig. Every mistake is in the error.
func New(cfg Config) (*Policy, error) {
	p := &Policy{users: cfg.Users, logger: cfg.Logger}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if cfg.Users == nil {
		errs = append(errs, fmt.Errorf("%w: no Users", ErrConfig))
	}
	for i, a := range cfg.Assignments {
		c, err := judge(a)
		if err != nil {
			errs = append(errs, fmt.Errorf("assignment %d (%q): %w", i, a.Name, err))
			continue
		}
		for _, earlier := range p.configurations {
			meet := earlier.Group == "" || c.Group == "" || earlier.Group == c.Group
			if earlier.Name == c.Name && earlier.content != c.content {
				errs = append(errs, fmt.Errorf("%w: assignment %d: %q names two configurations", ErrConfig, i, c.Name))
			} else if err := clash(earlier, c); meet && err != nil {
				errs = append(errs, err)
			}
		}
		p.configurations = append(p.configurations, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// judge reads an assignment and makes it independent of the caller's slices.
func judge(a Assignment) (configuration, error) {
	if a.Name == "" {
		return configuration{}, fmt.Errorf("%w: no Name", ErrConfig)
	}
	if err := mdm.Allowed(mdm.WayProfile, command.InstallProfile{Payload: a.Profile}); err != nil {
		return configuration{}, err
	}
	content := a.Profile
	if !bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("<")) {
		signed, err := cms.VerifySCEP(content)
		if err != nil {
			return configuration{}, fmt.Errorf("%w: signature: %w", ErrConfig, err)
		}
		content = signed.Content
	}
	claims, err := profile.Claims(content)
	if err != nil {
		return configuration{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	sum := sha256.Sum256(content)
	a.Profile = bytes.Clone(a.Profile)
	a.Claims = append(claims, a.Claims...)
	return configuration{Assignment: a, content: hex.EncodeToString(sum[:])}, nil
}

// clash is nil for the same configuration twice.
func clash(a, b configuration) error {
	if a.Name == b.Name {
		return nil
	}
	for _, claim := range b.Claims {
		if slices.Contains(a.Claims, claim) {
			return &profile.ClashError{First: a.Name, Second: b.Name, Claim: claim}
		}
	}
	return nil
}

// Plan implements mdm.Planner: an InstallProfile for each configuration of the
// person's groups. The CommandUUIDs follow from the enrollment, its ticket and the
// configuration's content, so that a repeat adds nothing. A configuration that
// clashes with an earlier one, in groups that only this person has both of, is
// left out and logged.
func (p *Policy) Plan(ctx context.Context, e mdm.Enrollment) ([]mdm.Command, error) {
	user, err := p.users.User(ctx, e.UserID)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var given []configuration
	var commands []mdm.Command
	for _, c := range p.configurations {
		if c.Group != "" && !slices.Contains(user.Groups, c.Group) {
			continue
		}
		if p.hindered(ctx, e, given, c) {
			continue
		}
		given = append(given, c)
		planned, err := c.install(e)
		if err != nil {
			return nil, err
		}
		commands = append(commands, planned)
	}
	return commands, nil
}

// hindered reports whether c is given already, or clashes with what is.
func (p *Policy) hindered(ctx context.Context, e mdm.Enrollment, given []configuration, c configuration) bool {
	for _, g := range given {
		if g.Name == c.Name {
			return true
		}
		if err := clash(g, c); err != nil {
			p.logger.ErrorContext(ctx, "policy: configuration left out", "enrollment", e.ID, "error", err)
			return true
		}
	}
	return false
}

func (c configuration) install(e mdm.Enrollment) (mdm.Command, error) {
	uuid := profile.UUID("policy", e.ID, e.TicketID, c.Name, c.content)
	request := command.InstallProfile{Payload: c.Profile}
	payload, err := command.Encode(uuid, request)
	if err != nil {
		return mdm.Command{}, fmt.Errorf("policy: %q: %w", c.Name, err)
	}
	return mdm.Command{UUID: uuid, EnrollmentID: e.ID, RequestType: request.RequestType(), Payload: payload, Status: mdm.CommandQueued}, nil
}
