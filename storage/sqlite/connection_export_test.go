package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// LoseConnection loses the connection of a transaction, from within a step.
func (s *Store) LoseConnection() {
	for _, st := range s.writer.statements {
		st.Close()
	}
	clear(s.writer.statements)
	s.writer.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// WithoutDatabase calls steps while to begin a transaction panics.
func (s *Store) WithoutDatabase(steps func()) {
	db := s.writer.db
	s.writer.disconnect()
	s.writer.db = nil
	steps()
	s.writer.db = db
}

// PanicNext makes the next transaction panic when it ends.
func (s *Store) PanicNext() {
	s.writer.statements["COMMIT"] = panicking{s.writer.statements["COMMIT"]}
}

// panicking is a statement that panics when it runs.
type panicking struct{ prepared }

// ExecContext implements statement.
func (panicking) ExecContext(context.Context, ...any) (sql.Result, error) { panic("no commit") }

// Waiting is how many steps wait for the next transaction.
func (s *Store) Waiting() int {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return len(s.writer.waiting)
}
