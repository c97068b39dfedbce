package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/enrollkit/enrollkit/jit"
)

// person is the key of a user.
type person struct{ issuer, subject string }

// Provision implements jit.Store.
func (s *Store) Provision(ctx context.Context, p jit.Profile) (jit.User, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return jit.User{}, false, err
	}
	key := person{p.Issuer, p.Subject}
	u := s.people[key]
	created := u == nil
	switch {
	case created && s.users[p.ID] != nil:
		return jit.User{}, false, fmt.Errorf("memory: user ID %q belongs to another person", p.ID)
	case created:
		u = &jit.User{ID: p.ID, Issuer: p.Issuer, Subject: p.Subject, Created: stamp(p.At)}
		s.users[p.ID], s.people[key] = u, u
		s.userOrder = append(s.userOrder, u)
	case u.Suspended:
		return jit.User{}, false, jit.ErrSuspended
	}
	u.DisplayName, u.ManagedAppleAccount = p.DisplayName, p.ManagedAppleAccount
	u.GroupsStale = p.KeepGroups
	if !p.KeepGroups {
		u.Groups = slices.Clone(p.Groups)
	}
	u.LastSignIn = stamp(p.At)
	return copyUser(u), created, nil
}

// User implements jit.Store.
func (s *Store) User(ctx context.Context, id string) (jit.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return jit.User{}, err
	}
	if u := s.users[id]; u != nil {
		return copyUser(u), nil
	}
	return jit.User{}, jit.ErrUnknownUser
}

// Suspend implements jit.Store.
func (s *Store) Suspend(ctx context.Context, id string, suspended bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	u := s.users[id]
	if u == nil {
		return jit.ErrUnknownUser
	}
	u.Suspended = suspended
	return nil
}

func copyUser(u *jit.User) jit.User {
	c := *u
	c.Groups = slices.Clone(u.Groups)
	return c
}
