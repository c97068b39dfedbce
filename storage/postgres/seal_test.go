package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

// secretsAreThere reads every secret of a device.
func secretsAreThere(t testing.TB, s *postgres.Store, at time.Time, names ...string) {
	t.Helper()
	targets, err := s.ClaimPushes(t.Context(), at, time.Minute, 100)
	require.NoError(t, err)
	require.Len(t, targets, len(names))
	for i, name := range names {
		require.Equal(t, []string{"token-of-" + name, "magic-of-" + name}, []string{string(targets[i].Token), targets[i].Magic})
		x := idleOf(name)
		x.At = at
		out, err := s.Exchange(t.Context(), x)
		require.NoError(t, err)
		require.Equal(t, "password-of-"+name, string(out.Next.Payload))
	}
}

// dump is everything in the tables that have secrets.
func dump(t testing.TB, dsn string) string {
	t.Helper()
	var all string
	require.NoError(t, raw(t, dsn).QueryRow(t.Context(), `SELECT coalesce((SELECT string_agg(encode(coalesce(token, '') || coalesce(magic, ''), 'escape'), E'\n' ORDER BY seq) FROM enrollments), '')
		|| coalesce((SELECT string_agg(encode(payload, 'escape'), E'\n' ORDER BY seq) FROM commands), '')
		|| coalesce((SELECT string_agg(number || id || encode(value, 'escape'), E'\n' ORDER BY number) FROM seals), '')`).Scan(&all))
	return all
}

// keyed are options with keys.
func keyed(dsn string, keys ...[]byte) postgres.Options {
	return postgres.Options{DSN: dsn, Connections: 2, Keys: keys, DangerouslyAllowLossyCommits: true}
}

func TestSecretsAreSealed(t *testing.T) {
	for _, keys := range [][][]byte{nil, {masterKey(1)}} {
		dsn := place(t)
		o := keyed(dsn, keys...)
		o.AllowUnsealed = keys == nil
		s := open(t, o)
		enrolled(t, s, "a")
		enrolled(t, s, "b")
		secretsAreThere(t, s, began, "a", "b")
		for _, secret := range []string{"token-of-a", "magic-of-a", "password-of-a"} {
			require.Equal(t, keys == nil, strings.Contains(dump(t, dsn), secret), "%s, with %d keys", secret, len(keys))
		}
		require.NoError(t, s.Close())
		secretsAreThere(t, open(t, o), began.Add(time.Hour), "a", "b")
	}
}

func TestNoKeysMustBeMeant(t *testing.T) {
	_, err := postgres.Open(t.Context(), keyed(place(t)))
	require.ErrorContains(t, err, "AllowUnsealed")
}

func TestAWrongKeyLosesNothing(t *testing.T) {
	dsn := place(t)
	s := open(t, keyed(dsn, masterKey(1)))
	enrolled(t, s, "a")
	before := dump(t, dsn)
	none := keyed(dsn)
	none.AllowUnsealed = true
	wish := keyed(dsn, masterKey(2))
	wish.AllowUnsealed = true
	for what, o := range map[string]postgres.Options{"a wrong key": keyed(dsn, masterKey(2)), "no key": none, "a wrong key, with a wish": wish} {
		_, err := postgres.Open(t.Context(), o)
		require.ErrorIs(t, err, storage.ErrKey, what)
		require.Equal(t, before, dump(t, dsn), what)
	}
	_, err := postgres.Open(t.Context(), keyed(dsn, []byte{1, 2, 3}))
	require.ErrorContains(t, err, "3 bytes")
	secretsAreThere(t, open(t, keyed(dsn, masterKey(1))), began, "a")
}

// reseal seals everything again, a row at a time.
func reseal(t testing.TB, s *postgres.Store) (rows int) {
	t.Helper()
	for {
		n, err := s.Reseal(t.Context(), 1)
		require.NoError(t, err)
		require.LessOrEqual(t, n, 1)
		if n == 0 {
			return rows
		}
		rows += n
	}
}

func TestKeysRotate(t *testing.T) {
	dsn := place(t)
	enrolled(t, open(t, keyed(dsn, masterKey(1))), "a")
	s := open(t, keyed(dsn, masterKey(2), masterKey(1)))
	enrolled(t, s, "b")
	secretsAreThere(t, s, began, "a", "b")
	_, err := postgres.Open(t.Context(), keyed(dsn, masterKey(2)))
	require.ErrorIs(t, err, storage.ErrKey, "some is sealed with the old key")
	n, err := s.Reseal(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	s = open(t, keyed(dsn, masterKey(2), masterKey(1))) // another process starts over
	require.Equal(t, 8, reseal(t, s), "and looked through once more")
	require.Equal(t, 4, reseal(t, s), "again")
	secretsAreThere(t, open(t, keyed(dsn, masterKey(2))), began.Add(time.Hour), "a", "b")
	_, err = postgres.Open(t.Context(), keyed(dsn, masterKey(1)))
	require.ErrorIs(t, err, storage.ErrKey)
}

func TestSealingWhatWasNot(t *testing.T) {
	dsn := place(t)
	o := keyed(dsn)
	o.AllowUnsealed = true
	enrolled(t, open(t, o), "a")
	o.Keys = [][]byte{masterKey(1)}
	o.AllowUnsealed = false
	_, err := postgres.Open(t.Context(), o)
	require.ErrorIs(t, err, storage.ErrKey)
	o.AllowUnsealed = true
	s := open(t, o)
	secretsAreThere(t, s, began, "a")
	reseal(t, s)
	require.NotContains(t, dump(t, dsn), "-of-a")
	o.AllowUnsealed = false
	secretsAreThere(t, open(t, o), began.Add(time.Hour), "a")
}

func TestASpoiledTokenKeepsNobodyWaiting(t *testing.T) {
	dsn := place(t)
	s := open(t, keyed(dsn, masterKey(1)))
	for _, name := range []string{"a", "b"} {
		enrolled(t, s, name)
	}
	exec(t, raw(t, dsn), `UPDATE enrollments SET token = (SELECT token FROM enrollments WHERE id = 'E-b') WHERE id = 'E-a'`)
	secretsAreThere(t, s, began, "b")
	_, err := s.ClaimPushes(t.Context(), began.Add(30*time.Second), time.Minute, 100)
	require.NoError(t, err, "the spoiled one was put off like the others")
	before := pushes(t, dsn)
	targets, err := s.ClaimPushes(t.Context(), began.Add(time.Minute), time.Minute, 1)
	require.ErrorContains(t, err, `enrollments.token of ["E-a"]`)
	require.Empty(t, targets)
	require.Equal(t, before, pushes(t, dsn), "there was an error, and something changed")
}

// pushes is who is to be woken when.
func pushes(t testing.TB, dsn string) (all string) {
	t.Helper()
	require.NoError(t, raw(t, dsn).QueryRow(t.Context(), `SELECT string_agg(p::text, E'\n' ORDER BY enrollment) FROM pushes p`).Scan(&all))
	return all
}

// TestATokenWhoseKeyIsNotHere has a node that was not given the key with which
// another one seals.
func TestATokenWhoseKeyIsNotHere(t *testing.T) {
	dsn := place(t)
	without := open(t, keyed(dsn, masterKey(1)))
	for _, name := range []string{"a", "b"} {
		enrolled(t, without, name)
	}
	with := open(t, keyed(dsn, masterKey(2), masterKey(1)))
	_, err := with.Reseal(t.Context(), 1)
	require.NoError(t, err)

	targets, err := without.ClaimPushes(t.Context(), began, time.Minute, 1)
	require.NoError(t, err, "the longest due keeps another one waiting")
	require.Len(t, targets, 1)
	require.Equal(t, "E-b", targets[0].EnrollmentID)
	before := pushes(t, dsn)
	for range 2 {
		targets, err = without.ClaimPushes(t.Context(), began, time.Minute, 1)
		require.ErrorIs(t, err, storage.ErrKey)
		require.ErrorContains(t, err, `enrollments.token of ["E-a"]`)
		require.Empty(t, targets)
	}
	require.Equal(t, before, pushes(t, dsn), "a lease was taken by a node that has no use for it")
	targets, err = with.ClaimPushes(t.Context(), began, time.Minute, 100)
	require.NoError(t, err)
	require.Len(t, targets, 1)
	require.Equal(t, "token-of-a", string(targets[0].Token))
}
