package mysql

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/enrollkit/enrollkit/jit"
)

const userColumns = `id, issuer, subject, display_name, member_of, groups_stale, managed_apple_account, suspended, created, last_sign_in`

func scanUser(scan func(...any) error) (jit.User, error) {
	var u jit.User
	var groups []byte
	err := scan(&u.ID, &u.Issuer, &u.Subject, &u.DisplayName, &groups, &u.GroupsStale, &u.ManagedAppleAccount,
		&u.Suspended, (*when)(&u.Created), (*when)(&u.LastSignIn))
	if err == nil {
		err = json.Unmarshal(groups, &u.Groups)
	}
	return u, err
}

// Provision implements jit.Store. Of concurrent first calls the losers find the
// winner's row when they try again.
func (s *Store) Provision(ctx context.Context, p jit.Profile) (u jit.User, created bool, err error) {
	groups := []byte("[]")
	if !p.KeepGroups && len(p.Groups) > 0 {
		if groups, err = json.Marshal(p.Groups); err != nil {
			return jit.User{}, false, fmt.Errorf("mysql: groups: %w", err)
		}
	}
	err = s.step(ctx, func(t *tx) error {
		var suspended bool
		known, err := t.get(`SELECT suspended FROM users WHERE issuer = ? AND subject = ? FOR UPDATE`, args{p.Issuer, p.Subject}, &suspended)
		if err != nil {
			return err
		}
		if suspended {
			return jit.ErrSuspended
		}
		created = !known
		if created {
			_, err = t.exec(`INSERT INTO users (id, issuer, subject, display_name, member_of, groups_stale, managed_apple_account, created, last_sign_in)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				p.ID, p.Issuer, p.Subject, p.DisplayName, string(groups), p.KeepGroups, p.ManagedAppleAccount, micros(p.At), micros(p.At))
		} else {
			_, err = t.exec(`UPDATE users SET display_name = ?, managed_apple_account = ?, last_sign_in = ?,
				member_of = CASE WHEN ? THEN member_of ELSE ? END, groups_stale = ? WHERE issuer = ? AND subject = ?`,
				p.DisplayName, p.ManagedAppleAccount, micros(p.At), p.KeepGroups, string(groups), p.KeepGroups, p.Issuer, p.Subject)
		}
		if err != nil {
			return err
		}
		u, _, err = t.user(`issuer = ? AND subject = ?`, p.Issuer, p.Subject)
		return err
	})
	if err != nil {
		return jit.User{}, false, err
	}
	return u, created, nil
}

// User implements jit.Store.
func (s *Store) User(ctx context.Context, id string) (jit.User, error) {
	u, found, err := s.read(ctx).user(`id = ?`, id)
	if err == nil && !found {
		err = jit.ErrUnknownUser
	}
	return u, err
}

func (t *tx) user(where string, values ...any) (u jit.User, found bool, err error) {
	err = t.each(`SELECT `+userColumns+` FROM users WHERE `+where, values, func(scan func(...any) error) (err error) {
		u, err = scanUser(scan)
		found = true
		return err
	})
	return u, found, err
}

// Suspend implements jit.Store.
func (s *Store) Suspend(ctx context.Context, id string, suspended bool) error {
	n, err := s.alone(ctx, `UPDATE users SET suspended = ? WHERE id = ?`, suspended, id)
	if err == nil && n == 0 {
		err = jit.ErrUnknownUser
	}
	return err
}
