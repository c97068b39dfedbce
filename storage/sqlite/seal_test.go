package sqlite_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

var sealedAt = time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)

// enrolled enrolls a device with a command in its queue.
func enrolled(t testing.TB, s *sqlite.Store, name string) {
	t.Helper()
	ctx := t.Context()
	k := ticket("t-" + name)
	k.Session, k.Issued = sha256.Sum256([]byte(name)), sealedAt
	require.NoError(t, s.IssueTicket(ctx, k, [32]byte{}))
	_, err := s.Download(ctx, enroll.DownloadStep{
		TicketID: k.ID, Challenge: k.Session, At: sealedAt, MaxDownloads: 1, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour},
	})
	require.NoError(t, err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: k.Session, Key: k.Session, Certificate: []byte(name), Digest: k.Session, At: sealedAt})
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: k.Session, EnrollmentID: "E-" + name, At: sealedAt})
	require.NoError(t, err)
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{
		Certificate: k.Session, EnrollmentID: "E-" + name, Token: []byte("token-of-" + name), PushMagic: "magic-of-" + name, At: sealedAt,
		Planned: true, Plan: []mdm.Command{{UUID: "c1", RequestType: "InstallProfile", Payload: []byte("password-of-" + name), Queued: sealedAt}},
	})
	require.NoError(t, err)
}

// secretsAreThere reads every secret of a device.
func secretsAreThere(t testing.TB, s *sqlite.Store, at time.Time, names ...string) {
	t.Helper()
	targets, err := s.ClaimPushes(t.Context(), at, time.Minute, 100)
	require.NoError(t, err)
	require.Len(t, targets, len(names))
	for i, name := range names {
		require.Equal(t, []string{"token-of-" + name, "magic-of-" + name}, []string{string(targets[i].Token), targets[i].Magic})
		out, err := s.Exchange(t.Context(), mdm.ExchangeStep{Certificate: sha256.Sum256([]byte(name)), EnrollmentID: "E-" + name, Idle: true, At: at})
		require.NoError(t, err)
		require.Equal(t, "password-of-"+name, string(out.Next.Payload))
	}
}

// files are the bytes of a closed database.
func files(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func masterKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestSecretsAreSealed(t *testing.T) {
	for _, keys := range [][][]byte{nil, {masterKey(1)}} {
		path := filepath.Join(t.TempDir(), "enroll.db")
		s := open(t, path, sqlite.Options{Keys: keys, AllowUnsealed: keys == nil})
		enrolled(t, s, "a")
		enrolled(t, s, "b")
		secretsAreThere(t, s, sealedAt, "a", "b")
		require.NoError(t, s.Close())
		for _, secret := range []string{"token-of-a", "magic-of-a", "password-of-a"} {
			require.Equal(t, keys == nil, bytes.Contains(files(t, path), []byte(secret)), "%s, with %d keys", secret, len(keys))
		}
		secretsAreThere(t, open(t, path, sqlite.Options{Keys: keys, AllowUnsealed: keys == nil}), sealedAt.Add(time.Hour), "a", "b")
	}
}

func TestAWrongKeyLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{Keys: [][]byte{masterKey(1)}})
	enrolled(t, s, "a")
	require.NoError(t, s.Close())
	before := files(t, path)
	for what, o := range map[string]sqlite.Options{
		"a wrong key":              {Keys: [][]byte{masterKey(2)}},
		"no key":                   {AllowUnsealed: true},
		"a wrong key, with a wish": {Keys: [][]byte{masterKey(2)}, AllowUnsealed: true},
	} {
		_, err := sqlite.Open(t.Context(), path, o)
		require.ErrorIs(t, err, storage.ErrKey, what)
		require.ErrorContains(t, err, path, what)
		require.Equal(t, before, files(t, path), what)
	}
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{Keys: [][]byte{{1, 2, 3}}})
	require.ErrorContains(t, err, "3 bytes")
	secretsAreThere(t, open(t, path, sqlite.Options{Keys: [][]byte{masterKey(1)}}), sealedAt, "a")
}

// reseal seals everything again, a row at a time.
func reseal(t testing.TB, s *sqlite.Store) (rows int) {
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
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{Keys: [][]byte{masterKey(1)}})
	enrolled(t, s, "a")
	require.NoError(t, s.Close())

	s = open(t, path, sqlite.Options{Keys: [][]byte{masterKey(2), masterKey(1)}})
	enrolled(t, s, "b")
	secretsAreThere(t, s, sealedAt, "a", "b")
	require.NoError(t, s.Close())
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{Keys: [][]byte{masterKey(2)}})
	require.ErrorIs(t, err, storage.ErrKey, "some is sealed with the old key")

	s = open(t, path, sqlite.Options{Keys: [][]byte{masterKey(2), masterKey(1)}})
	n, err := s.Reseal(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Close()) // in the middle
	s = open(t, path, sqlite.Options{Keys: [][]byte{masterKey(2), masterKey(1)}})
	require.Equal(t, 8, reseal(t, s), "and looked through once more")
	require.Equal(t, 4, reseal(t, s), "again")
	require.NoError(t, s.Close())

	s = open(t, path, sqlite.Options{Keys: [][]byte{masterKey(2)}})
	secretsAreThere(t, s, sealedAt.Add(time.Hour), "a", "b")
	require.NoError(t, s.Close())
	_, err = sqlite.Open(t.Context(), path, sqlite.Options{Keys: [][]byte{masterKey(1)}})
	require.ErrorIs(t, err, storage.ErrKey)
}

func TestSealingWhatWasNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{AllowUnsealed: true})
	enrolled(t, s, "a")
	require.NoError(t, s.Close())
	o := sqlite.Options{Keys: [][]byte{masterKey(1)}}
	_, err := sqlite.Open(t.Context(), path, o)
	require.ErrorIs(t, err, storage.ErrKey)
	o.AllowUnsealed = true
	s = open(t, path, o)
	secretsAreThere(t, s, sealedAt, "a")
	reseal(t, s)
	require.NoError(t, s.Close())
	o.AllowUnsealed = false
	secretsAreThere(t, open(t, path, o), sealedAt.Add(time.Hour), "a")
}

func TestASpoiledTokenKeepsNobodyWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enroll.db")
	s := open(t, path, sqlite.Options{Keys: [][]byte{masterKey(1)}})
	for _, name := range []string{"a", "b"} {
		enrolled(t, s, name)
	}
	_, err := raw(t, path).ExecContext(t.Context(), `UPDATE enrollments SET token = (SELECT token FROM enrollments WHERE id = 'E-b') WHERE id = 'E-a'`)
	require.NoError(t, err)
	secretsAreThere(t, s, sealedAt, "b")
	_, err = s.ClaimPushes(t.Context(), sealedAt.Add(30*time.Second), time.Minute, 100)
	require.NoError(t, err, "the spoiled one was put off like the others")
	target, err := s.ClaimPushes(t.Context(), sealedAt.Add(time.Minute), time.Minute, 1)
	require.ErrorContains(t, err, `enrollments.token of ["E-a"]`)
	require.Empty(t, target)
}
