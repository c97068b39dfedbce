package seal_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// rows are a database: two tables of values with two names each.
type rows struct {
	tables    map[string][]seal.Row
	forgotten string
}

// Sealed implements seal.Pass.
func (d *rows) Sealed(in seal.Table, after int64, limit int) (list []seal.Row, err error) {
	for _, r := range d.tables[in.Read] {
		if r.Seq > after && len(list) < limit {
			list = append(list, r)
		}
	}
	return list, nil
}

// Store implements seal.Pass.
func (d *rows) Store(in seal.Table, was seal.Row, values []any) error {
	list := d.tables[in.Read]
	i := slices.IndexFunc(list, func(r seal.Row) bool { return r.Seq == was.Seq })
	for k, v := range values {
		list[i].Values[k], _ = v.([]byte)
	}
	return nil
}

// Forget implements seal.Pass.
func (d *rows) Forget(id string) error {
	d.forgotten = id
	return nil
}

func TestAgain(t *testing.T) {
	old, fresh := ring(t, key(1)), ring(t, key(2), key(1))
	tables := []seal.Table{{Read: "two", Named: 1, Columns: []string{"a", "b"}}, {Read: "none", Named: 1}, {Read: "one", Named: 2, Columns: []string{"c"}}}
	sealed := func(column string, row ...string) []byte {
		value, err := old.Seal([]byte("secret"), column, row...)
		require.NoError(t, err)
		return value
	}
	d := &rows{tables: map[string][]seal.Row{
		"two": {
			{Seq: 3, Names: [2]string{"r3"}, Values: [2][]byte{sealed("a", "r3"), sealed("b", "r3")}},
			{Seq: 4, Names: [2]string{"r4"}, Values: [2][]byte{nil, sealed("b", "r4")}},
			{Seq: 9, Names: [2]string{"r9"}},
		},
		"one": {{Seq: 1, Names: [2]string{"r1", "x"}, Values: [2][]byte{sealed("c", "r1", "x")}}},
	}}
	atomic := func(pass func(seal.Pass) error) error { return pass(d) }
	twice := func(pass func(seal.Pass) error) error { // as after a deadlock
		undone := &rows{tables: map[string][]seal.Row{}}
		for name, list := range d.tables {
			undone.tables[name] = slices.Clone(list)
		}
		if err := pass(undone); err != nil {
			return err
		}
		return pass(d)
	}
	broken := errors.New("broken")
	var again seal.Again
	_, err := again.Seal(fresh, tables, 2, func(pass func(seal.Pass) error) error {
		require.NoError(t, pass(d))
		return broken
	})
	require.ErrorIs(t, err, broken)
	for i, want := range []int{2, 1, 1, 2, 1, 1, 2, 1, 1, 0} {
		n, err := again.Seal(fresh, tables, 2, twice)
		require.NoError(t, err)
		require.Equal(t, want, n, i)
		require.Equal(t, want == 0, d.forgotten == fresh.ID(), "the marks of others go at the end")
		if i == 2 { // another node does not know the new key yet
			d.tables["two"][0].Values[0] = sealed("a", "r3")
		}
	}
	alone := ring(t, key(2))
	for _, in := range tables {
		for _, r := range d.tables[in.Read] {
			for i, column := range in.Columns {
				if r.Values[i] == nil {
					continue
				}
				secret, err := alone.Open(r.Values[i], column, r.Names[:in.Named]...)
				require.NoError(t, err)
				require.Equal(t, "secret", string(secret))
			}
		}
	}
	require.Nil(t, d.tables["two"][1].Values[0])
	n, err := again.Seal(fresh, tables, 0, atomic)
	require.NoError(t, err)
	require.Equal(t, 1, n, "it starts over, a row at least")
}
