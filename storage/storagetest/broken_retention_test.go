package storagetest_test

import (
	"context"
	"time"

	"github.com/enrollkit/enrollkit/storage/memory"
)

// pruneEarly forgets what is not over yet.
func pruneEarly() hooks {
	return hooks{prune: func(ctx context.Context, m *memory.Store, before time.Time, limit int) (int, error) {
		return m.Prune(ctx, before.Add(time.Hour), limit)
	}}
}

// pruneNothing forgets nothing.
func pruneNothing() hooks {
	return hooks{prune: func(context.Context, *memory.Store, time.Time, int) (int, error) { return 0, nil }}
}

// brokenRetention are stores that forget wrongly, by the clause that must catch
// each.
var brokenRetention = map[string]func() hooks{
	"expired attempts and sessions go": pruneEarly,
	"final commands go":                pruneEarly,
	"tickets that led nowhere go":      pruneNothing,
	"grants go when all is over":       pruneNothing,
	"pruning is bounded": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, before time.Time, limit int) (int, error) {
			return m.Prune(ctx, before, 10*limit)
		}}
	},
	"pruned stores go on": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, before time.Time, limit int) (int, error) {
			n, err := m.Prune(ctx, before, limit)
			_ = m.Unenroll(ctx, "E-p", before) // as if its commands were all
			return n, err
		}}
	},
	"a cancelled call forgets nothing": func() hooks {
		return hooks{prune: func(ctx context.Context, m *memory.Store, before time.Time, limit int) (int, error) {
			return m.Prune(context.WithoutCancel(ctx), before, limit)
		}}
	},
}
