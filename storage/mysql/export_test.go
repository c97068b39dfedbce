package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// OpenNoting is Open, and calls note with each statement before it runs.
func OpenNoting(ctx context.Context, o Options, note func(query string)) (*Store, error) {
	return openTraced(ctx, o, func(_ context.Context, _ fullConn, query string, _ []driver.NamedValue) { note(query) })
}

// PlanRow is how one table of a statement is read.
type PlanRow struct{ Table, Type, Key, Extra string }

// OpenExplaining is Open, and calls note with the plan of each statement, with
// the values that it has, before it runs the first time.
func OpenExplaining(ctx context.Context, o Options, note func(query string, plan []PlanRow, err error)) (*Store, error) {
	var mu sync.Mutex
	seen := map[string]bool{}
	return openTraced(ctx, o, func(ctx context.Context, c fullConn, query string, values []driver.NamedValue) {
		first, _, _ := strings.Cut(strings.TrimSpace(query), " ")
		mu.Lock()
		again := seen[query]
		seen[query] = true
		mu.Unlock()
		switch first {
		case "SELECT", "UPDATE", "INSERT", "DELETE", "REPLACE":
			if !again {
				plan, err := explain(ctx, c, query, values)
				note(query, plan, err)
			}
		}
	})
}

func explain(ctx context.Context, c fullConn, query string, values []driver.NamedValue) (plan []PlanRow, err error) {
	st, err := c.PrepareContext(ctx, "EXPLAIN FORMAT=TRADITIONAL "+query)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	queryer, ok := st.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.New("the driver's statement does not query")
	}
	rows, err := queryer.QueryContext(ctx, values)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return plan, nil
		} else if err != nil {
			return nil, err
		}
		var p PlanRow
		for i, column := range rows.Columns() {
			value, _ := row[i].([]byte)
			switch column {
			case "table":
				p.Table = string(value)
			case "type":
				p.Type = string(value)
			case "key":
				p.Key = string(value)
			case "Extra":
				p.Extra = string(value)
			}
		}
		plan = append(plan, p)
	}
}

// Plan is the plan of a statement without values.
func Plan(ctx context.Context, s *Store, query string) (plan []PlanRow, err error) {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	err = c.Raw(func(inner any) error {
		full, ok := inner.(*conn)
		if !ok {
			return errors.New("not our connection")
		}
		plan, err = explain(ctx, full.fullConn, query, nil)
		return err
	})
	return plan, err
}

// Unfit is what the check of a server says of its variables.
func Unfit(found map[string]string, lossy bool) error { return unfit(found, lossy) }

// InTheWay reports whether a step is tried again after an error.
func InTheWay(err error) bool { return inTheWay(err) }

// Variables reads variables of a session as steps have it.
func Variables(ctx context.Context, s *Store) (map[string]string, error) {
	found := map[string]string{}
	err := s.step(ctx, func(t *tx) error {
		return t.each(`SHOW SESSION VARIABLES`, nil, func(scan func(...any) error) error {
			var name, value string
			err := scan(&name, &value)
			found[name] = value
			return err
		})
	})
	return found, err
}

// Tx is the transaction of a step.
type Tx struct{ t *tx }

// Step runs a step as the methods do.
func Step(ctx context.Context, s *Store, step func(*Tx) error) error {
	return s.step(ctx, func(t *tx) error { return step(&Tx{t}) })
}

// Exec runs a statement.
func (t *Tx) Exec(query string, values ...any) error {
	_, err := t.t.exec(query, values...)
	return err
}

// Get reads one row.
func (t *Tx) Get(query string, into ...any) (bool, error) { return t.t.get(query, nil, into...) }

// ResealAsRead seals enrollments again, and calls meanwhile between reading and
// writing them.
func ResealAsRead(ctx context.Context, s *Store, meanwhile func()) error {
	var again seal.Again
	_, err := again.Seal(s.secrets, sealedTables()[:1], 100, func(pass func(seal.Pass) error) error {
		return s.step(ctx, func(t *tx) error { return pass(interrupted{resealing{t}, meanwhile}) })
	})
	return err
}

// interrupted is resealing with something between reading and writing.
type interrupted struct {
	resealing
	meanwhile func()
}

// Sealed implements seal.Pass.
func (i interrupted) Sealed(in seal.Table, after int64, limit int) ([]seal.Row, error) {
	list, err := i.resealing.Sealed(in, after, limit)
	i.meanwhile()
	return list, err
}

// Alone runs a statement as a step of one.
func Alone(ctx context.Context, s *Store, query string) error {
	_, err := s.alone(ctx, query)
	return err
}

// Read reads the value of a variable by itself.
func Read(ctx context.Context, s *Store, query string, into any) error {
	var name string
	_, err := s.read(ctx).get(query, nil, &name, into)
	return err
}
