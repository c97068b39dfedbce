package adapter

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// Authenticate implements mdm.Store.
func (s *Store) Authenticate(ctx context.Context, a mdm.AuthenticateStep) (e mdm.Enrollment, err error) {
	err = s.step(func(m *memory.Store) (bool, error) { e, err = m.Authenticate(ctx, a); return done(err) }, "Authenticate", a)
	return e, err
}

// TokenUpdate implements mdm.Store.
func (s *Store) TokenUpdate(ctx context.Context, u mdm.TokenUpdateStep) (e mdm.Enrollment, err error) {
	err = s.step(func(m *memory.Store) (bool, error) { e, err = m.TokenUpdate(ctx, u); return done(err) }, "TokenUpdate", u)
	return e, err
}

// CheckOut implements mdm.Store.
func (s *Store) CheckOut(ctx context.Context, c mdm.CheckOutStep) (e mdm.Enrollment, err error) {
	err = s.step(func(m *memory.Store) (bool, error) { e, err = m.CheckOut(ctx, c); return done(err) }, "CheckOut", c)
	return e, err
}

// Exchange implements mdm.Store. An Idle that finds nothing to do is noted when
// it is the first of a day, or the first with its token.
func (s *Store) Exchange(ctx context.Context, x mdm.ExchangeStep) (out mdm.Exchanged, err error) {
	err = s.step(func(m *memory.Store) (bool, error) {
		before, _ := m.Enrollment(ctx, x.EnrollmentID) // Exchange itself says who is unknown
		if out, err = m.Exchange(ctx, x); err != nil {
			return false, err
		}
		after, _ := m.Enrollment(ctx, x.EnrollmentID)
		first := x.Bearer != [32]byte{} && s.first(x.Bearer)
		return first || !x.Idle || out.Next != nil || before != after, nil
	}, "Exchange", x)
	return out, err
}

// Enqueue implements mdm.Store.
func (s *Store) Enqueue(ctx context.Context, list ...mdm.Command) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.Enqueue(ctx, list...)) }, "Enqueue", list)
}

// Enrollment implements mdm.Store.
func (s *Store) Enrollment(ctx context.Context, id string) (e mdm.Enrollment, err error) {
	err = s.look(func(m *memory.Store) error { e, err = m.Enrollment(ctx, id); return err })
	return e, err
}

// Unenroll implements mdm.Store.
func (s *Store) Unenroll(ctx context.Context, id string, at time.Time) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.Unenroll(ctx, id, at)) }, "Unenroll", id, at)
}

// SuspendUser implements mdm.Store.
func (s *Store) SuspendUser(ctx context.Context, userID string, suspended bool) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.SuspendUser(ctx, userID, suspended)) }, "SuspendUser", userID, suspended)
}

// ClaimPushes implements push.Store.
func (s *Store) ClaimPushes(ctx context.Context, now time.Time, lease time.Duration, limit int) (list []push.Target, err error) {
	err = s.step(func(m *memory.Store) (bool, error) {
		list, err = m.ClaimPushes(ctx, now, lease, limit)
		return len(list) > 0, err
	}, "ClaimPushes", now, lease, limit)
	return list, err
}

// SettlePushes implements push.Store.
func (s *Store) SettlePushes(ctx context.Context, results ...push.Result) error {
	return s.step(func(m *memory.Store) (bool, error) { return done(m.SettlePushes(ctx, results...)) }, "SettlePushes", results)
}

// Prune implements storage.Pruner. The journal still has what is forgotten.
func (s *Store) Prune(ctx context.Context, p storage.PruneStep) (n int, err error) {
	err = s.step(func(m *memory.Store) (bool, error) {
		n, err = m.Prune(ctx, p)
		return n > 0, err
	}, "Prune", p)
	return n, err
}

// State implements storage.Store.
func (s *Store) State(ctx context.Context) (all storage.State, err error) {
	err = s.look(func(m *memory.Store) error { all, err = m.State(ctx); return err })
	return all, err
}
