package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// tracer is Options.Trace for the driver.
type tracer func(ctx context.Context, statement string, values []any) (done func(error))

// doneKey is where a context has what is called after the statement.
type doneKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (t tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, doneKey{}, t(ctx, data.SQL, data.Args))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if done, _ := ctx.Value(doneKey{}).(func(error)); done != nil {
		done(data.Err)
	}
}
