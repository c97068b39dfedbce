package seal_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/seal"
)

// key is a master key of one repeated byte.
func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.KeySize) }

func ring(t testing.TB, keys ...[]byte) *seal.Ring {
	t.Helper()
	r, err := seal.New(keys)
	require.NoError(t, err)
	return r
}

func TestSealAndOpen(t *testing.T) {
	for name, r := range map[string]*seal.Ring{"with a key": ring(t, key(1)), "without keys": ring(t)} {
		for _, secret := range [][]byte{nil, {0}, {1}, []byte("push token"), bytes.Repeat([]byte("x"), 1<<20)} {
			value, err := r.Seal(secret, "enrollments.token", "E1")
			require.NoError(t, err, name)
			require.True(t, r.Current(value), name)
			got, err := r.Open(value, "enrollments.token", "E1")
			require.NoError(t, err, name)
			require.NotNil(t, got, name)
			require.True(t, bytes.Equal(secret, got), name)
			again, err := r.Seal(secret, "enrollments.token", "E1")
			require.NoError(t, err, name)
			require.Equal(t, r.Sealed(), !bytes.Equal(value, again), "%s: a nonce comes twice", name)
			if r.Sealed() && len(secret) > 4 {
				require.False(t, bytes.Contains(value, secret), "the secret can be read")
			}
		}
	}
}

func TestSealAll(t *testing.T) {
	r := ring(t, key(1))
	for _, n := range []int{0, 1, 255, 5000} {
		values, err := r.SealAll(n, "commands.payload", func(i int) ([]byte, []string) {
			return []byte(fmt.Sprint("secret ", i)), []string{"E1", fmt.Sprint(i)}
		})
		require.NoError(t, err)
		require.Len(t, values, n)
		for i, value := range values {
			secret, err := r.Open(value, "commands.payload", "E1", fmt.Sprint(i))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("secret ", i), string(secret))
		}
	}
}

func TestASecretStaysInItsPlace(t *testing.T) {
	r := ring(t, key(1))
	value, err := r.Seal([]byte("secret"), "commands.payload", "E1", "c1")
	require.NoError(t, err)
	for what, open := range map[string]func() ([]byte, error){
		"another row":      func() ([]byte, error) { return r.Open(value, "commands.payload", "E2", "c1") },
		"another column":   func() ([]byte, error) { return r.Open(value, "enrollments.token", "E1", "c1") },
		"fewer names":      func() ([]byte, error) { return r.Open(value, "commands.payload", "E1") },
		"a shifted border": func() ([]byte, error) { return r.Open(value, "commands.payload", "E1c", "1") },
		"joined names":     func() ([]byte, error) { return r.Open(value, "commands.payload", "E1\x02c1") },
	} {
		secret, err := open()
		require.ErrorIs(t, err, seal.ErrValue, what)
		require.Nil(t, secret, what)
	}
	require.ErrorContains(t, func() error { _, err := r.Open(value, "commands.payload", "E2", "c1"); return err }(), `commands.payload of ["E2" "c1"]`)
}

func TestKeysRotate(t *testing.T) {
	old := ring(t, key(1))
	value, err := old.Seal([]byte("secret"), "c", "r")
	require.NoError(t, err)
	both := ring(t, key(2), key(1))
	require.False(t, both.Current(value))
	secret, err := both.Open(value, "c", "r")
	require.NoError(t, err)
	fresh, err := both.Seal(secret, "c", "r")
	require.NoError(t, err)
	require.True(t, both.Current(fresh))

	got, err := ring(t, key(2)).Open(fresh, "c", "r")
	require.NoError(t, err)
	require.Equal(t, []byte("secret"), got)
	_, err = ring(t, key(2)).Open(value, "c", "r")
	require.ErrorIs(t, err, seal.ErrKey)
	require.ErrorContains(t, err, old.ID(), "the message does not name the key that is missing")
	_, err = ring(t).Open(value, "c", "r")
	require.ErrorIs(t, err, seal.ErrKey)
}

func TestWithKeysNothingPlainIsAccepted(t *testing.T) {
	planted, err := ring(t).Seal([]byte("planted"), "c", "r")
	require.NoError(t, err)
	r := ring(t, key(1))
	require.False(t, r.Current(planted))
	_, err = r.Open(planted, "c", "r")
	require.ErrorIs(t, err, seal.ErrKey)
}

func TestNewRefuses(t *testing.T) {
	for what, keys := range map[string][][]byte{
		"a short key":   {key(1)[:31]},
		"a long key":    {append(key(1), 0)},
		"an empty key":  {nil},
		"a second one":  {key(1), []byte("0123")},
		"a key repeats": {key(1), key(2), key(1)},
	} {
		r, err := seal.New(keys)
		require.ErrorContains(t, err, "seal: key", what)
		require.Nil(t, r, what)
	}
}

func TestEveryBitCounts(t *testing.T) {
	r := ring(t, key(1))
	value, err := r.Seal([]byte("secret"), "c", "r")
	require.NoError(t, err)
	for i := range value {
		for bit := range 8 {
			changed := bytes.Clone(value)
			changed[i] ^= 1 << bit
			_, err := r.Open(changed, "c", "r")
			require.Error(t, err, "byte %d, bit %d", i, bit)
		}
	}
	for n := range value {
		_, err := r.Open(value[:n], "c", "r")
		require.Error(t, err, "cut to %d bytes", n)
	}
	_, err = r.Open(append(bytes.Clone(value), 0), "c", "r")
	require.Error(t, err)
}

// database keeps marks as a table with a unique number does.
type database struct {
	marks []seal.Mark
	race  func() // before the next Add
	err   error
}

func (d *database) List(context.Context) ([]seal.Mark, error) { return d.marks, d.err }

func (d *database) Add(_ context.Context, m seal.Mark) error {
	if race := d.race; race != nil {
		d.race = nil
		race()
	}
	for _, other := range d.marks {
		if other.Number == m.Number || other.ID == m.ID {
			return d.err
		}
	}
	d.marks = append(d.marks, m)
	return d.err
}

func TestAdmit(t *testing.T) {
	ctx := t.Context()
	d := &database{}
	require.NoError(t, ring(t, key(1)).Admit(ctx, d, false))
	require.NoError(t, ring(t, key(1)).Admit(ctx, d, false))
	require.Len(t, d.marks, 1)

	for what, r := range map[string]*seal.Ring{"a wrong key": ring(t, key(2)), "no key": ring(t)} {
		for _, unsealed := range []bool{false, true} {
			err := r.Admit(ctx, d, unsealed)
			require.ErrorIs(t, err, seal.ErrKey, what)
			require.ErrorContains(t, err, ring(t, key(1)).ID(), what)
			require.Len(t, d.marks, 1, "%s leaves a trace", what)
		}
	}
	require.NoError(t, ring(t, key(1)).Admit(ctx, d, false), "after wrong keys")

	require.NoError(t, ring(t, key(2), key(1)).Admit(ctx, d, false), "rotation")
	require.Len(t, d.marks, 2)
	require.ErrorIs(t, ring(t, key(2)).Admit(ctx, d, false), seal.ErrKey, "the old key is needed yet")
	d.marks = d.marks[1:]
	require.NoError(t, ring(t, key(2)).Admit(ctx, d, false))

	d.marks[0].Value[12] ^= 1
	require.ErrorIs(t, ring(t, key(2)).Admit(ctx, d, false), seal.ErrValue)
	d.err = errors.New("no disk")
	require.ErrorIs(t, ring(t, key(2)).Admit(ctx, d, false), d.err)
}

func TestAdmitUnsealed(t *testing.T) {
	ctx := t.Context()
	d := &database{}
	plain := ring(t)
	require.NoError(t, plain.Admit(ctx, d, false))
	value, err := plain.Seal([]byte("secret"), "c", "r")
	require.NoError(t, err)

	r := ring(t, key(1))
	require.ErrorIs(t, r.Admit(ctx, d, false), seal.ErrKey, "secrets that are not sealed must be allowed")
	require.Len(t, d.marks, 1)
	require.NoError(t, r.Admit(ctx, d, true))
	secret, err := r.Open(value, "c", "r")
	require.NoError(t, err)
	require.Equal(t, []byte("secret"), secret)

	d.marks = d.marks[1:]
	r = ring(t, key(1))
	require.NoError(t, r.Admit(ctx, d, true))
	_, err = r.Open(value, "c", "r")
	require.ErrorIs(t, err, seal.ErrKey, "when all are sealed, none that is not is accepted")
}

func TestAdmitRaces(t *testing.T) {
	d := &database{}
	d.race = func() { require.NoError(t, ring(t, key(1)).Admit(t.Context(), d, false)) }
	require.NoError(t, ring(t, key(1)).Admit(t.Context(), d, false))
	require.Len(t, d.marks, 1)

	d = &database{}
	d.race = func() { require.NoError(t, ring(t, key(1)).Admit(t.Context(), d, false)) }
	require.ErrorIs(t, ring(t, key(2)).Admit(t.Context(), d, false), seal.ErrKey)
	require.Len(t, d.marks, 1, "the process that came second changed what the first one needs")
	require.NoError(t, ring(t, key(1)).Admit(t.Context(), d, false))
}

// Values that were stored once, of "secret" in the column c of the row r, with
// key(1) and key(2). Databases keep such for years.
const (
	stored1 = "016fa57192ba88441100a0839a1acc4f0756d9ff4630958c1f59ecb5b34095641e5135e68aedef5bd6179c"
	stored2 = "0183861ae1bc3b1469a7d23ea6d1486a9fdca9367aef2ab24f7bf1c4b2c1a876c68347e837b6248c518a15"
)

func stored(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

func TestWhatWasStoredOpens(t *testing.T) {
	for _, text := range []string{stored1, stored2, hex.EncodeToString([]byte("\x00secret"))} {
		r := ring(t, key(1), key(2))
		if text[1] == '0' {
			r = ring(t)
		}
		secret, err := r.Open(stored(t, text), "c", "r")
		require.NoError(t, err)
		require.Equal(t, []byte("secret"), secret)
	}
}

// FuzzOpen changes what was sealed: nothing but the very value opens.
func FuzzOpen(f *testing.F) {
	r := ring(f, key(1), key(2))
	value, old := stored(f, stored1), stored(f, stored2)
	for _, seed := range [][]byte{value, old, []byte("\x00secret"), value[:9], value[:20], nil, {0}, {1}, {2}, []byte(strings.Repeat("\x01", 64))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		secret, err := r.Open(b, "c", "r")
		if genuine := bytes.Equal(b, value) || bytes.Equal(b, old); !genuine {
			require.Error(t, err)
			require.True(t, errors.Is(err, seal.ErrKey) || errors.Is(err, seal.ErrValue))
			require.Nil(t, secret)
			return
		}
		require.NoError(t, err)
		require.Equal(t, []byte("secret"), secret)
		require.Equal(t, bytes.Equal(b, value), r.Current(b))
	})
}

func BenchmarkSeal(b *testing.B) {
	r := ring(b, key(1))
	secret := key(7)
	b.ReportAllocs()
	for b.Loop() {
		value, err := r.Seal(secret, "enrollments.token", "E1")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Open(value, "enrollments.token", "E1"); err != nil {
			b.Fatal(err)
		}
	}
}
