package storagetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/storagetest"
)

// pruneEarly forgets what is not over yet.
func pruneEarly() hooks {
	return hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
		p.ExpiredBefore, p.OverBefore = p.ExpiredBefore.Add(time.Hour), p.OverBefore.Add(time.Hour)
		return m.Prune(ctx, p)
	}}
}

// pruneNothing forgets nothing.
func pruneNothing() hooks {
	return hooks{prune: func(context.Context, *memory.Store, storage.PruneStep) (int, error) { return 0, nil }}
}

// brokenRetention are stores that forget wrongly, by the clause that must catch
// each.
var brokenRetention = map[string]func() hooks{
	"expired attempts and sessions go": pruneEarly,
	"final commands go":                pruneEarly,
	"tickets that led nowhere go":      pruneNothing,
	"grants go when all is over":       pruneNothing,
	"each kind has its time": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
			if p.ExpiredBefore.After(p.OverBefore) {
				p.OverBefore = p.ExpiredBefore // as if there were one time for all
			}
			return m.Prune(ctx, p)
		}}
	},
	"pruning is bounded": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
			p.Limit *= 10
			return m.Prune(ctx, p)
		}}
	},
	"pruned stores go on": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
			n, err := m.Prune(ctx, p)
			_ = m.Unenroll(ctx, "E-p", p.OverBefore) // as if its commands were all
			return n, err
		}}
	},
	"a cancelled call forgets nothing": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
			return m.Prune(context.WithoutCancel(ctx), p)
		}}
	},
}

// TestSuiteBitesByNoTime has stores to which a time that is zero means any time.
func TestSuiteBitesByNoTime(t *testing.T) {
	for name, anyTime := range map[string]func(*storage.PruneStep) *time.Time{
		"what expires":      func(p *storage.PruneStep) *time.Time { return &p.ExpiredBefore },
		"what is asked for": func(p *storage.PruneStep) *time.Time { return &p.OverBefore },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := hooks{prune: func(ctx context.Context, m *memory.Store, p storage.PruneStep) (int, error) {
				if before := anyTime(&p); before.IsZero() {
					*before = time.Now().AddDate(100, 0, 0)
				}
				return m.Prune(ctx, p)
			}}
			suite := storagetest.Whole(func(string) (hooked, error) { return hooked{memory.New(), wrong}, nil })
			require.Contains(t, suite.Failure(t, "retention/each kind has its time"), "RULE: ")
		})
	}
}
