package enroll_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
)

type sealed struct{ A, B string }

// newSealer makes a sealer whose randomness is the same in each of the processes
// of a fuzz target.
func newSealer(t testing.TB, purpose string, keys ...string) enroll.Sealer {
	t.Helper()
	var list [][]byte
	for _, k := range keys {
		list = append(list, bytes.Repeat([]byte(k), enroll.CookieKeySize))
	}
	s, err := enroll.NewSealer(purpose, list, rand.NewChaCha8([32]byte{}))
	require.NoError(t, err)
	return s
}

func TestSealer(t *testing.T) {
	s := newSealer(t, "one", "k")
	want := sealed{"a", strings.Repeat("b", 1000)}
	text, err := s.Seal(want)
	require.NoError(t, err)
	var got sealed
	require.NoError(t, s.Open(text, &got))
	require.Equal(t, want, got)
	again, err := s.Seal(want)
	require.NoError(t, err)
	require.NotEqual(t, text, again)

	for name, other := range map[string]enroll.Sealer{"another key": newSealer(t, "one", "l"), "another purpose": newSealer(t, "two", "k")} {
		got := sealed{"kept", "kept"}
		require.ErrorIs(t, other.Open(text, &got), enroll.ErrSeal, name)
		require.Equal(t, sealed{"kept", "kept"}, got, name)
	}
	t.Run("keys are rotated", func(t *testing.T) {
		rotated := newSealer(t, "one", "l", "k")
		require.NoError(t, rotated.Open(text, &got), "what the old key sealed")
		text, err := rotated.Seal(want)
		require.NoError(t, err)
		require.ErrorIs(t, s.Open(text, &got), enroll.ErrSeal, "the new key seals")
	})
	t.Run("what no cookie holds is not sealed", func(t *testing.T) {
		_, err := s.Seal(strings.Repeat("x", 4096))
		require.Error(t, err)
	})
	t.Run("no randomness", func(t *testing.T) {
		s, err := enroll.NewSealer("one", [][]byte{make([]byte, 32)}, strings.NewReader(""))
		require.NoError(t, err)
		_, err = s.Seal(want)
		require.Error(t, err)
	})
}

func FuzzCookie(f *testing.F) {
	s := newSealer(f, "one", "k", "l")
	known := map[string]sealed{}
	for _, v := range []sealed{{}, {"a", "b"}, {strings.Repeat("a", 100), "\x00ü"}} {
		text, err := s.Seal(v)
		require.NoError(f, err)
		known[text] = v
		f.Add(text)
		f.Add(text[1:])
		f.Add(text[:len(text)-1])
		f.Add(text + "A")
	}
	other, err := newSealer(f, "two", "k").Seal(sealed{})
	require.NoError(f, err)
	for _, text := range []string{"", "A", "====", strings.Repeat("A", 16), strings.Repeat("A", 4096), strings.Repeat("A", 5000), other} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got sealed
		err := s.Open(text, &got)
		want, ours := known[text]
		if ours != (err == nil) {
			t.Fatalf("opened: %v, sealed here: %v", err, ours)
		}
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if err != nil && !errors.Is(err, enroll.ErrSeal) {
			t.Fatal(err)
		}
	})
}
