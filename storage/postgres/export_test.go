package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenTuned is Open with a last word on how connections are made.
func OpenTuned(ctx context.Context, o Options, tune func(*pgxpool.Config)) (*Store, error) {
	return open(ctx, o, tune)
}
