package postgres

import (
	"context"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// The columns that are sealed: what gives power over a device, and payloads,
// which may hold an organization's secrets. Rows are named by the EnrollmentID,
// those of commands also by the CommandUUID.
const (
	sealedToken   = "enrollments.token"
	sealedMagic   = "enrollments.magic"
	sealedPayload = "commands.payload"
)

// marks are the keys that have sealed in this database.
type marks struct{ *Store }

// List implements seal.Marks.
func (m marks) List(ctx context.Context) (list []seal.Mark, err error) {
	err = again(ctx, func() error {
		list = nil
		return m.alone(ctx).each(`SELECT number, id, value FROM seals ORDER BY number`, nil, func(scan func(...any) error) error {
			var one seal.Mark
			err := scan(&one.Number, &one.ID, &one.Value)
			list = append(list, one)
			return err
		})
	})
	return list, err
}

// Add implements seal.Marks.
func (m marks) Add(ctx context.Context, one seal.Mark) error {
	return m.one(ctx, nil, `INSERT INTO seals (number, id, value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, one.Number, one.ID, one.Value)
}

// sealedTable is where sealed values are.
type sealedTable struct {
	// read lists rows after one: seq, two names of the row, two values.
	read string
	// write stores the values of the row $1.
	write string
	// named is how many names a row has.
	named   int
	columns []string
}

func sealedTables() []sealedTable {
	return []sealedTable{
		{
			read:    `SELECT seq, id, '', token, magic FROM enrollments WHERE seq > $1 ORDER BY seq LIMIT $2 FOR UPDATE`,
			write:   `UPDATE enrollments SET token = $2, magic = $3 WHERE seq = $1`,
			named:   1,
			columns: []string{sealedToken, sealedMagic},
		},
		{
			read: `SELECT c.seq, e.id, c.uuid, c.payload, NULL::bytea FROM commands c JOIN enrollments e ON e.seq = c.enrollment
				WHERE c.seq > $1 ORDER BY c.seq LIMIT $2 FOR UPDATE OF c`,
			write:   `UPDATE commands SET payload = $2 WHERE seq = $1`,
			named:   2,
			columns: []string{sealedPayload},
		},
	}
}

// sealedRow is a row with sealed values; what is NULL is nil.
type sealedRow struct {
	seq    int64
	names  [2]string
	values [2][]byte
}

// Reseal seals with the first of Options.Keys what another key has sealed, or
// what was stored before there were keys. A call goes on where the last one
// ended, looks at no more than limit rows, and returns how many it looked at.
// After 0 everything is sealed with the first key, and the other keys can be
// left out when the database is opened the next time. Other nodes must use the
// same first key by then.
func (s *Store) Reseal(ctx context.Context, limit int) (n int, err error) {
	s.resealing.Lock()
	defer s.resealing.Unlock()
	var table int
	var after int64
	err = s.atomic(ctx, func(t *tx) error {
		n, table, after = 0, s.resealed.table, s.resealed.seq
		for tables := sealedTables(); table < len(tables); table, after = table+1, 0 {
			rows, err := t.sealedRows(tables[table].read, after, limit)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if err := t.reseal(tables[table], row); err != nil {
					return err
				}
			}
			if n = len(rows); n > 0 {
				after = rows[n-1].seq
				return nil
			}
		}
		_, err := t.exec(`DELETE FROM seals WHERE id <> $1`, t.secrets.ID())
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 {
		table, after = 0, 0
	}
	s.resealed.table, s.resealed.seq = table, after
	return n, nil
}

func (t *tx) sealedRows(query string, after int64, limit int) (list []sealedRow, err error) {
	err = t.each(query, args{after, max(limit, 1)}, func(scan func(...any) error) error {
		var r sealedRow
		err := scan(&r.seq, &r.names[0], &r.names[1], &r.values[0], &r.values[1])
		list = append(list, r)
		return err
	})
	return list, err
}

// reseal seals the values of a row with the first key.
func (t *tx) reseal(in sealedTable, r sealedRow) error {
	values := args{r.seq}
	changed := false
	for i, column := range in.columns {
		value := r.values[i]
		if value == nil {
			values = append(values, nil)
			continue
		}
		if !t.secrets.Current(value) {
			secret, err := t.secrets.Open(value, column, r.names[:in.named]...)
			if err != nil {
				return err
			}
			if value, err = t.secrets.Seal(secret, column, r.names[:in.named]...); err != nil {
				return err
			}
			changed = true
		}
		values = append(values, value)
	}
	if !changed {
		return nil
	}
	_, err := t.exec(in.write, values...)
	return err
}
