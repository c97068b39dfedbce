package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenTuned is Open with a last word on how connections are made.
func OpenTuned(ctx context.Context, o Options, tune func(*pgxpool.Config)) (*Store, error) {
	return open(ctx, o, tune)
}

// Scanning are the statements that may read whole tables, by what they are for.
func Scanning() map[string]string {
	return map[string]string{
		usersSQL: "State", ticketsSQL: "State", enrollmentsSQL: "State", commandsSQL: "State", attemptsSQL: "State",
	}
}
