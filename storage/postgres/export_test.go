package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
)

// The ways that statements name.
const (
	DeviceWays  = deviceWays
	AccountWays = accountWays
)

// CountRequestsSQL counts in pushes what Enqueue requested.
var CountRequestsSQL = countRequestsSQL

// Scanning are the statements that may read whole tables, by what they are for.
func Scanning() map[string]string {
	return map[string]string{
		usersSQL: "State", ticketsSQL: "State", enrollmentsSQL: "State", commandsSQL: "State", attemptsSQL: "State",
		// A batch of old tickets may be cheaper to compare with all grants at once.
		ticketsOverSQL: "Prune",
	}
}

// Troubled are statements that are taken in trouble alone.
func Troubled() []string { return []string{passedOverSQL} }

// Again is how steps are tried again.
func Again(ctx context.Context, try func() error) error { return again(ctx, try) }

// ErrChanged is what a step fails with when another one was faster.
var ErrChanged = errChanged

// CodeError is an error of the server.
func CodeError(code string) error { return &pgconn.PgError{Code: code, Message: "test"} }
