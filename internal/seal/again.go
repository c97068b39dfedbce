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
	mu    sync.Mutex
	table int
	seq   int64
}

// Seal seals with the first key what another one has sealed, or none. A call goes
// on where the last one ended, looks at no more than limit rows, and returns how
// many it looked at. After 0 all is sealed with the first key, and the marks of the
// others are gone. Atomic runs a pass, again if it has to, and keeps all of it or
// nothing.
func (a *Again) Seal(with *Ring, tables []Table, limit int, atomic func(pass func(Pass) error) error) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var table int
	var after int64
	err = atomic(func(p Pass) error {
		n, table, after = 0, a.table, a.seq
		for ; table < len(tables); table, after = table+1, 0 {
			rows, err := p.Sealed(tables[table], after, max(limit, 1))
			if err != nil {
				return err
			}
			for _, row := range rows {
				if err := again(with, p, tables[table], row); err != nil {
					return err
				}
			}
			if n = len(rows); n > 0 {
				after = rows[n-1].Seq
				return nil
			}
		}
		return p.Forget(with.ID())
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		table, after = 0, 0
	}
	a.table, a.seq = table, after
	return n, nil
}

// again seals the values of a row.
func again(with *Ring, p Pass, in Table, row Row) error {
	values := make([]any, len(in.Columns))
	changed := false
	for i, column := range in.Columns {
		value := row.Values[i]
		if value == nil {
			continue
		}
		if !with.Current(value) {
			secret, err := with.Open(value, column, row.Names[:in.Named]...)
			if err != nil {
				return err
			}
			if value, err = with.Seal(secret, column, row.Names[:in.Named]...); err != nil {
				return err
			}
			changed = true
		}
		values[i] = value
	}
	if !changed {
		return nil
	}
	return p.Store(in, row, values)
}
