package sqlite

import (
	"context"
	"database/sql"
	"maps"

	"github.com/enrollkit/enrollkit/mdm"
)

// The ways that statements name.
const (
	DeviceWays  = deviceWays
	AccountWays = accountWays
)

// AskAllSQL is the statement that goes through the commands that it is about.
const AskAllSQL = askAllSQL

// Judged is what Go makes of the sender of an Exchange, and what the statements
// of the hot path make of it: whether it is admitted with a token that came
// before.
func (t *Tx) Judged(x mdm.ExchangeStep) (judge error, fresh, admitted bool, err error) {
	from := sender{x.Certificate, x.EnrollmentID, x.Device, x.Bearer, stamp(x.At)}
	if admitted, err = t.t.get(senderSQL+`SELECT enrollment FROM admitted`, from.values(), new(int64)); err != nil {
		return nil, false, false, err
	}
	d, judge := t.t.device(from)
	return judge, d.fresh(), admitted, nil
}

// Heard are the statements that ran, of the writer and of the readers.
type Heard struct{ Writer, Readers []string }

// Listen returns what a step runs: what was prepared before, whenever it runs,
// and what was not, once. Nothing else may use the store meanwhile.
func (s *Store) Listen(step func() error) (h Heard, err error) {
	listen := func(statements map[string]prepared, heard *[]string) (stop func()) {
		before := maps.Clone(statements)
		for query, st := range before {
			statements[query] = heardStatement{st, query, heard}
		}
		return func() {
			for query, st := range statements {
				if _, ok := st.(heardStatement); ok {
					statements[query] = before[query]
				} else {
					*heard = append(*heard, query)
				}
			}
		}
	}
	stopWriter, stopReaders := listen(s.writer.statements, &h.Writer), listen(s.readers.statements, &h.Readers)
	err = step()
	stopWriter()
	stopReaders()
	return h, err
}

// heardStatement notes when it runs.
type heardStatement struct {
	prepared
	query string
	heard *[]string
}

func (h heardStatement) note() { *h.heard = append(*h.heard, h.query) }

func (h heardStatement) ExecContext(ctx context.Context, values ...any) (sql.Result, error) {
	h.note()
	return h.prepared.ExecContext(ctx, values...)
}

func (h heardStatement) QueryContext(ctx context.Context, values ...any) (*sql.Rows, error) {
	h.note()
	return h.prepared.QueryContext(ctx, values...)
}

func (h heardStatement) QueryRowContext(ctx context.Context, values ...any) *sql.Row {
	h.note()
	return h.prepared.QueryRowContext(ctx, values...)
}
