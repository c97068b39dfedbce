package sqlite

import "database/sql/driver"

// LoseConnection loses the connection of a transaction, from within a step.
func (s *Store) LoseConnection() {
	for _, st := range s.writer.statements {
		st.Close()
	}
	clear(s.writer.statements)
	s.writer.conn.Raw(func(any) error { return driver.ErrBadConn })
}

// Panicking calls steps while every transaction panics.
func (s *Store) Panicking(steps func()) {
	db := s.writer.db
	s.writer.disconnect()
	s.writer.db = nil
	steps()
	s.writer.db = db
}

// Waiting is how many steps wait for the next transaction.
func (s *Store) Waiting() int {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return len(s.writer.waiting)
}
