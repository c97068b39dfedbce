package sqlite

import (
	"context"

	"github.com/enrollkit/enrollkit/internal/seal"
	"github.com/enrollkit/enrollkit/mdm"
)

// The columns that are sealed: what gives power over a device, and payloads,
// which may hold an organization's secrets. Rows are named by the EnrollmentID,
// those of commands also by the CommandUUID.
const (
	sealedToken   = "enrollments.token"
	sealedMagic   = "enrollments.magic"
	sealedPayload = "commands.payload"
)

// openPayload opens the payload of a command that was read.
func (t *tx) openPayload(c *mdm.Command) (err error) {
	c.Payload, err = t.secrets.Open(c.Payload, sealedPayload, c.EnrollmentID, c.UUID)
	return err
}

// marks are the keys that have sealed in this database.
type marks struct{ *writer }

// List implements seal.Marks.
func (m marks) List(ctx context.Context) (list []seal.Mark, err error) {
	err = m.do(ctx, func(t *tx) error {
		return t.each(`SELECT number, id, value FROM seals ORDER BY number`, nil, func(scan func(...any) error) error {
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
	return m.do(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO seals (number, id, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, one.Number, one.ID, one.Value)
		return err
	})
}

// sealedTables are where sealed values are.
func sealedTables() []seal.Table {
	return []seal.Table{
		{
			Read:    `SELECT seq, id, '', token, magic FROM enrollments WHERE seq > ? ORDER BY seq LIMIT ?`,
			Write:   `UPDATE enrollments SET token = ?2, magic = ?3 WHERE seq = ?1`,
			Named:   1,
			Columns: []string{sealedToken, sealedMagic},
		},
		{
			Read: `SELECT c.seq, e.id, c.uuid, c.payload, NULL FROM commands c JOIN enrollments e ON e.seq = c.enrollment
				WHERE c.seq > ? ORDER BY c.seq LIMIT ?`,
			Write:   `UPDATE commands SET payload = ?2 WHERE seq = ?1`,
			Named:   2,
			Columns: []string{sealedPayload},
		},
	}
}

// Reseal seals with the first of Options.Keys what another key has sealed, or
// what was stored before there were keys. All processes must use the same first key
// before the first call. A call goes on where the last one of this Store ended,
// looks at no more than limit rows, and returns how many it looked at. What
// changed something is looked through once more: 0 comes when there was nothing
// left to seal anywhere, and the other keys can be left out from then on.
func (s *Store) Reseal(ctx context.Context, limit int) (int, error) {
	return s.resealed.Seal(s.writer.secrets, sealedTables(), limit, func(pass func(seal.Pass) error) error {
		return s.writer.do(ctx, func(t *tx) error { return pass(resealing{t}) })
	})
}

// resealing is a step in which values are sealed again.
type resealing struct{ *tx }

// Sealed implements seal.Pass.
func (r resealing) Sealed(in seal.Table, after int64, limit int) (list []seal.Row, err error) {
	err = r.each(in.Read, args{after, limit}, func(scan func(...any) error) error {
		var row seal.Row
		err := scan(&row.Seq, &row.Names[0], &row.Names[1], &row.Values[0], &row.Values[1])
		list = append(list, row)
		return err
	})
	return list, err
}

// Store implements seal.Pass.
func (r resealing) Store(in seal.Table, was seal.Row, values []any) error {
	_, err := r.exec(in.Write, append(args{was.Seq}, values...)...)
	return err
}

// Forget implements seal.Pass.
func (r resealing) Forget(id string) error {
	_, err := r.exec(`DELETE FROM seals WHERE id <> ?`, id)
	return err
}
