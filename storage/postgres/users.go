package postgres

import (
	"context"

	"github.com/enrollkit/enrollkit/jit"
)

const userColumns = `id, issuer, subject, display_name, groups, groups_stale, managed_apple_account, suspended, created, last_sign_in`

// userFields are where a row of userColumns goes.
func userFields(u *jit.User) []any {
	return []any{
		&u.ID, &u.Issuer, &u.Subject, &u.DisplayName, &u.Groups, &u.GroupsStale, &u.ManagedAppleAccount,
		&u.Suspended, (*when)(&u.Created), (*when)(&u.LastSignIn),
	}
}

// Provision implements jit.Store.
func (s *Store) Provision(ctx context.Context, p jit.Profile) (u jit.User, created bool, err error) {
	groups := p.Groups
	if p.KeepGroups || groups == nil {
		groups = []string{}
	}
	taken := false // a row that has one of the keys was added meanwhile, or long ago
	err = again(ctx, func() error {
		t := s.alone(ctx)
		u, created = jit.User{}, false
		known, err := t.get(`UPDATE users SET display_name = $3, managed_apple_account = $4, last_sign_in = $5, groups_stale = $6,
				groups = CASE WHEN $6 THEN groups ELSE $7 END
			WHERE issuer = $1 AND subject = $2 AND NOT suspended RETURNING `+userColumns,
			args{p.Issuer, p.Subject, p.DisplayName, p.ManagedAppleAccount, moment(p.At), p.KeepGroups, groups}, userFields(&u)...)
		if err != nil || known {
			return err
		}
		var suspended bool
		if known, err = t.get(`SELECT suspended FROM users WHERE issuer = $1 AND subject = $2`, args{p.Issuer, p.Subject}, &suspended); err != nil {
			return err
		}
		if suspended {
			return jit.ErrSuspended
		}
		if known {
			return errChanged
		}
		created, err = t.get(`INSERT INTO users (id, issuer, subject, display_name, managed_apple_account, created, last_sign_in, groups_stale, groups)
			VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8) ON CONFLICT (issuer, subject) DO NOTHING RETURNING `+userColumns,
			args{p.ID, p.Issuer, p.Subject, p.DisplayName, p.ManagedAppleAccount, moment(p.At), p.KeepGroups, groups}, userFields(&u)...)
		if unique(err) && !taken { // by the ID of this person, or of another one
			taken = true
			return errChanged
		}
		if err == nil && !created {
			return errChanged
		}
		return err
	})
	if err != nil {
		return jit.User{}, false, err
	}
	return u, created, nil
}

// User implements jit.Store.
func (s *Store) User(ctx context.Context, id string) (u jit.User, err error) {
	found := false
	err = again(ctx, func() (err error) {
		found, err = s.alone(ctx).get(`SELECT `+userColumns+` FROM users WHERE id = $1`, args{id}, userFields(&u)...)
		return err
	})
	if err == nil && !found {
		err = jit.ErrUnknownUser
	}
	if err != nil {
		return jit.User{}, err
	}
	return u, nil
}

// Suspend implements jit.Store.
func (s *Store) Suspend(ctx context.Context, id string, suspended bool) error {
	return s.one(ctx, jit.ErrUnknownUser, `UPDATE users SET suspended = $2 WHERE id = $1`, id, suspended)
}

// one runs a step that is one statement, which fails when it changes nothing.
func (s *Store) one(ctx context.Context, none error, query string, values ...any) error {
	return again(ctx, func() error {
		n, err := s.alone(ctx).exec(query, values...)
		if err == nil && n == 0 {
			err = none
		}
		return err
	})
}
