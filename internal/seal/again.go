package seal

import "sync"

// Table is where a SQL database has sealed values.
type Table struct {
	// Read lists rows after one: what numbers them, two names, two values.
	Read string
	// Write stores the values of a row.
	Write string
	// Named is how many names a row has.
	Named   int
	Columns []string
}

// Row is a row with sealed values; what is NULL is nil.
type Row struct {
	Seq    int64
	Names  [2]string
	Values [2][]byte
}

// Pass is a transaction in which values are sealed again.
type Pass interface {
	// Sealed lists at most limit rows of a table after one.
	Sealed(in Table, after int64, limit int) ([]Row, error)
	// Store stores values, nil for NULL, of a row that has those of was.
	Store(in Table, was Row, values []any) error
	// Forget removes the marks of other keys than this.
	Forget(id string) error
}

// Again is how far the values of a database have been sealed again.
type Again struct {
	mu sync.Mutex
	at position
}

// position is where a look at all tables has come to.
type position struct {
	table   int
	after   int64
	changed bool // a value was sealed again on the way
}

// Seal seals with the first key what another one has sealed, or none. A call goes
// on where the last one ended, looks at no more than limit rows, and returns how
// many it looked at. It looks at all tables until there is nothing left to do in
// any, since another node may seal with another key behind its back; 0 says that
// this was so, and the marks of the other keys are gone then. Atomic runs a pass,
// again if it has to, and keeps all of it or nothing.
func (a *Again) Seal(with *Ring, tables []Table, limit int, atomic func(pass func(Pass) error) error) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var at position
	err = atomic(func(p Pass) error {
		at = a.at
		for again := true; again; {
			var err error
			if n, err = at.advance(with, p, tables, limit); n > 0 || err != nil {
				return err
			}
			again, at = at.changed, position{}
		}
		return p.Forget(with.ID())
	})
	if err != nil {
		return 0, err
	}
	a.at = at
	return n, nil
}

// advance seals the next rows again, and returns 0 behind the last one.
func (at *position) advance(with *Ring, p Pass, tables []Table, limit int) (int, error) {
	for ; at.table < len(tables); at.table, at.after = at.table+1, 0 {
		rows, err := p.Sealed(tables[at.table], at.after, max(limit, 1))
		if err != nil {
			return 0, err
		}
		for _, row := range rows {
			changed, err := again(with, p, tables[at.table], row)
			if err != nil {
				return 0, err
			}
			at.changed = at.changed || changed
		}
		if n := len(rows); n > 0 {
			at.after = rows[n-1].Seq
			return n, nil
		}
	}
	return 0, nil
}

// again seals the values of a row, and reports whether that was needed.
func again(with *Ring, p Pass, in Table, row Row) (changed bool, err error) {
	values := make([]any, len(in.Columns))
	for i, column := range in.Columns {
		value := row.Values[i]
		if value == nil {
			continue
		}
		if !with.Current(value) {
			secret, err := with.Open(value, column, row.Names[:in.Named]...)
			if err != nil {
				return false, err
			}
			if value, err = with.Seal(secret, column, row.Names[:in.Named]...); err != nil {
				return false, err
			}
			changed = true
		}
		values[i] = value
	}
	if !changed {
		return false, nil
	}
	return true, p.Store(in, row, values)
}
