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

// sealedTables are where sealed values are. A row that another step has stored
// since it was read is left: that is new.
func sealedTables() []seal.Table {
	return []seal.Table{
		{
			Read:    `SELECT seq, id, '', token, magic FROM enrollments WHERE seq > ? ORDER BY seq LIMIT ?`,
			Write:   `UPDATE enrollments SET token = ?, magic = ? WHERE seq = ? AND token <=> ? AND magic <=> ?`,
			Named:   1,
			Columns: []string{sealedToken, sealedMagic},
		},
		{
			Read: `SELECT c.seq, e.id, c.uuid, c.payload, NULL FROM commands c JOIN enrollments e ON e.seq = c.enrollment
				WHERE c.seq > ? ORDER BY c.seq LIMIT ?`,
			Write:   `UPDATE commands SET payload = ? WHERE seq = ? AND payload <=> ?`,
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
		return s.step(ctx, func(t *tx) error { return pass(resealing{t}) })
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
	all := append(slices.Clone(values), was.Seq)
	for _, value := range was.Values[:len(values)] {
		all = append(all, value)
	}
	_, err := r.exec(in.Write, all...)
	return err
}

// Forget implements seal.Pass.
func (r resealing) Forget(id string) error {
	_, err := r.exec(`DELETE FROM seals WHERE id <> ?`, id)
	return err
}
