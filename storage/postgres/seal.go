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

// sealedTables are where sealed values are.
func sealedTables() []seal.Table {
	return []seal.Table{
		{
			Read:    `SELECT seq, id, '', token, magic FROM enrollments WHERE seq > $1 ORDER BY seq LIMIT $2` + forChange,
			Write:   `UPDATE enrollments SET token = $2, magic = $3 WHERE seq = $1`,
			Named:   1,
			Columns: []string{sealedToken, sealedMagic},
		},
		{
			Read: `SELECT c.seq, e.id, c.uuid, c.payload, NULL::bytea FROM commands c JOIN enrollments e ON e.seq = c.enrollment
				WHERE c.seq > $1 ORDER BY c.seq LIMIT $2 FOR UPDATE OF c`,
			Write:   `UPDATE commands SET payload = $2 WHERE seq = $1`,
			Named:   2,
			Columns: []string{sealedPayload},
		},
	}
}

// Reseal seals with the first of Options.Keys what another key has sealed, or
// what was stored before there were keys. All nodes must use the same first key
// before the first call. A call goes on where the last one of this Store ended,
// looks at no more than limit rows, and returns how many it looked at. What
// changed something is looked through once more: 0 comes when there was nothing
// left to seal anywhere, and the other keys can be left out from then on.
func (s *Store) Reseal(ctx context.Context, limit int) (int, error) {
	return s.resealed.Seal(s.secrets, sealedTables(), limit, func(pass func(seal.Pass) error) error {
		return s.atomic(ctx, func(t *tx) error { return pass(resealing{t}) })
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
	_, err := r.exec(`DELETE FROM seals WHERE id <> $1`, id)
	return err
}
