package sqlite

import (
	"context"
	"maps"
	"slices"
)

// Tx is the transaction of a step.
type Tx struct{ t *tx }

// Do runs a step as the methods do.
func (s *Store) Do(step func(*Tx) error) error {
	return s.writer.do(context.Background(), func(t *tx) error { return step(&Tx{t}) })
}

// Get reads one row.
func (t *Tx) Get(query string, into ...any) (bool, error) { return t.t.get(query, nil, into...) }

// Exec runs a statement.
func (t *Tx) Exec(query string, values ...any) error {
	_, err := t.t.exec(query, values...)
	return err
}

// Statements are the queries that the store has prepared on its last connection.
func (s *Store) Statements() []string {
	return slices.Concat(slices.Collect(maps.Keys(s.writer.statements)), slices.Collect(maps.Keys(s.readers.statements)))
}
