package mysql

import (
	"context"
	"slices"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/push"
)

// The columns that are sealed: what gives power over a device, and payloads,
// which may hold an organization's secrets. Rows are named by the EnrollmentID,
// those of commands also by the CommandUUID.
const (
	sealedToken   = "enrollments.token"
	sealedMagic   = "enrollments.magic"
	sealedPayload = "commands.payload"
)

// sealPayloads makes the payloads of commands fit to be stored.
func sealPayloads(with *seal.Ring, adding []queued) error {
	payloads, err := with.SealAll(len(adding), sealedPayload, func(i int) ([]byte, []string) {
		return adding[i].Payload, []string{adding[i].EnrollmentID, adding[i].UUID}
	})
	for i, payload := range payloads {
		adding[i].Payload = payload
	}
	return err
}

// openPayload opens the payload of a command that was read.
func (t *tx) openPayload(c *queued) (err error) {
	c.Payload, err = t.secrets.Open(c.Payload, sealedPayload, c.EnrollmentID, c.UUID)
	return err
}

// openTarget opens token and magic of a target that was read.
func (t *tx) openTarget(p *push.Target, magic []byte) (err error) {
	if p.Token, err = t.secrets.Open(p.Token, sealedToken, p.EnrollmentID); err != nil {
		return err
	}
	magic, err = t.secrets.Open(magic, sealedMagic, p.EnrollmentID)
	p.Magic = string(magic)
	return err
}

// marks are the keys that have sealed in this database.
type marks struct{ *Store }

// List implements seal.Marks.
func (m marks) List(ctx context.Context) (list []seal.Mark, err error) {
	err = m.read(ctx).each(`SELECT number, id, value FROM seals ORDER BY number`, nil, func(scan func(...any) error) error {
		var one seal.Mark
		err := scan(&one.Number, &one.ID, &one.Value)
		list = append(list, one)
		return err
	})
	return list, err
}

// Add implements seal.Marks.
func (m marks) Add(ctx context.Context, one seal.Mark) error {
	_, err := m.alone(ctx, `INSERT INTO seals (number, id, value) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE number = number`, one.Number, one.ID, one.Value)
	return err
}

// sealedTable is where sealed values are.
type sealedTable struct {
	// read lists rows after one: seq, two names of the row, two values.
	read string
	// write stores the values of a row, if they are what was read.
	write string
	// named is how many names a row has.
	named   int
	columns []string
}

func sealedTables() []sealedTable {
	return []sealedTable{
		{
			read:    `SELECT seq, id, '', token, magic FROM enrollments WHERE seq > ? ORDER BY seq LIMIT ?`,
			write:   `UPDATE enrollments SET token = ?, magic = ? WHERE seq = ? AND token <=> ? AND magic <=> ?`,
			named:   1,
			columns: []string{sealedToken, sealedMagic},
		},
		{
			read: `SELECT c.seq, e.id, c.uuid, c.payload, NULL FROM commands c JOIN enrollments e ON e.seq = c.enrollment
				WHERE c.seq > ? ORDER BY c.seq LIMIT ?`,
			write:   `UPDATE commands SET payload = ? WHERE seq = ? AND payload <=> ?`,
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
// what was stored before there were keys. A call goes on where the last one of
// this Store ended, looks at no more than limit rows, and returns how many it
// looked at. After 0 everything is sealed with the first key, and the other keys
// can be left out when the database is opened the next time. Other nodes must use
// the same first key by then.
func (s *Store) Reseal(ctx context.Context, limit int) (n int, err error) {
	s.resealing.Lock()
	defer s.resealing.Unlock()
	table, after := s.resealed.table, s.resealed.seq
	err = s.step(ctx, func(t *tx) error {
		table, after = s.resealed.table, s.resealed.seq
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
		_, err := t.exec(`DELETE FROM seals WHERE id <> ?`, t.secrets.ID())
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

// reseal seals the values of a row with the first key. A row that another step
// has stored meanwhile is left: that is new.
func (t *tx) reseal(in sealedTable, r sealedRow) error {
	var values, were args
	changed := false
	for i, column := range in.columns {
		value := r.values[i]
		were = append(were, value)
		if value != nil && !t.secrets.Current(value) {
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
	_, err := t.exec(in.write, slices.Concat(values, args{r.seq}, were)...)
	return err
}
