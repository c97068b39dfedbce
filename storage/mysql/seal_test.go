package mysql_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

var sealedAt = time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)

// enrolled enrolls a device with a command in its queue.
func enrolled(t testing.TB, s *mysql.Store, name string) {
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
func secretsAreThere(t testing.TB, s *mysql.Store, at time.Time, names ...string) {
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

// dump is everything that a database has, as a backup would have it.
func dump(t testing.TB, dsn string) []byte {
	t.Helper()
	db := raw(t, dsn)
	var tables []string
	rows, err := db.QueryContext(t.Context(), `SHOW TABLES`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(tables), 10)
	var all bytes.Buffer
	for _, table := range tables {
		all.WriteString(table + "\n")
		dumpTable(t, db, table, &all)
	}
	return all.Bytes()
}

func dumpTable(t testing.TB, db *sql.DB, table string, into *bytes.Buffer) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		values := make([][]byte, len(columns))
		fields := make([]any, len(columns))
		for i := range values {
			fields[i] = &values[i]
		}
		require.NoError(t, rows.Scan(fields...))
		into.Write(slices.Concat(values...))
		into.WriteByte('\n')
	}
	require.NoError(t, rows.Err())
}

func masterKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestSecretsAreSealed(t *testing.T) {
	for _, keys := range [][][]byte{nil, {masterKey(1)}} {
		dsn := newDSN(t)
		o := mysql.Options{DSN: dsn, Keys: keys, AllowUnsealed: keys == nil}
		s := open(t, o)
		enrolled(t, s, "a")
		enrolled(t, s, "b")
		secretsAreThere(t, s, sealedAt, "a", "b")
		require.NoError(t, s.Close())
		for _, secret := range []string{"token-of-a", "magic-of-a", "password-of-a"} {
			require.Equal(t, keys == nil, bytes.Contains(dump(t, dsn), []byte(secret)), "%s, with %d keys", secret, len(keys))
		}
		secretsAreThere(t, open(t, o), sealedAt.Add(time.Hour), "a", "b")
	}
}

func TestAWrongKeyLosesNothing(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}})
	enrolled(t, s, "a")
	require.NoError(t, s.Close())
	before := dump(t, dsn)
	for what, o := range map[string]mysql.Options{
		"a wrong key":              {Keys: [][]byte{masterKey(2)}},
		"no key":                   {AllowUnsealed: true},
		"a wrong key, with a wish": {Keys: [][]byte{masterKey(2)}, AllowUnsealed: true},
	} {
		o.DSN = dsn
		_, err := mysql.Open(t.Context(), o)
		require.ErrorIs(t, err, storage.ErrKey, what)
		require.Equal(t, before, dump(t, dsn), what)
	}
	secretsAreThere(t, open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}}), sealedAt, "a")
}

// reseal seals everything again, a row at a time.
func reseal(t testing.TB, s *mysql.Store) (rows int) {
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
	dsn := newDSN(t)
	with := func(keys ...byte) mysql.Options {
		o := mysql.Options{DSN: dsn}
		for _, k := range keys {
			o.Keys = append(o.Keys, masterKey(k))
		}
		return o
	}
	s := open(t, with(1))
	enrolled(t, s, "a")
	require.NoError(t, s.Close())

	s = open(t, with(2, 1))
	enrolled(t, s, "b")
	secretsAreThere(t, s, sealedAt, "a", "b")
	require.NoError(t, s.Close())
	_, err := mysql.Open(t.Context(), with(2))
	require.ErrorIs(t, err, storage.ErrKey, "some is sealed with the old key")

	s = open(t, with(2, 1))
	n, err := s.Reseal(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, s.Close()) // in the middle
	s = open(t, with(2, 1))
	require.Equal(t, 8, reseal(t, s), "and looked through once more")
	require.Equal(t, 4, reseal(t, s), "again")
	require.NoError(t, s.Close())

	s = open(t, with(2))
	secretsAreThere(t, s, sealedAt.Add(time.Hour), "a", "b")
	require.NoError(t, s.Close())
	_, err = mysql.Open(t.Context(), with(1))
	require.ErrorIs(t, err, storage.ErrKey)
}

// TestATokenThatComesWhileItIsSealedAgain stores a token between what Reseal
// reads and what it writes.
func TestATokenThatComesWhileItIsSealedAgain(t *testing.T) {
	dsn := newDSN(t)
	old := open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}})
	enrolled(t, old, "a")
	s := open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(2), masterKey(1)}})
	token := func() (value []byte) {
		require.NoError(t, raw(t, dsn).QueryRowContext(t.Context(), `SELECT token FROM enrollments`).Scan(&value))
		return value
	}
	before := token()
	require.NoError(t, mysql.ResealAsRead(t.Context(), s, func() { // a node that has not got the new key
		_, err := old.TokenUpdate(t.Context(), mdm.TokenUpdateStep{
			Certificate: sha256.Sum256([]byte("a")), EnrollmentID: "E-a", Token: []byte("token-of-a"), PushMagic: "magic-of-a", At: sealedAt,
		})
		require.NoError(t, err)
		require.NotEqual(t, before, token())
		before = token()
	}))
	require.Equal(t, before, token(), "a token that came meanwhile was overwritten")
	require.Equal(t, 4, reseal(t, s), "and looked through once more")
	require.NotEqual(t, before, token())
	secretsAreThere(t, s, sealedAt, "a")
}

func TestSealingWhatWasNot(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, unsealed(dsn))
	enrolled(t, s, "a")
	require.NoError(t, s.Close())
	o := mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}}
	_, err := mysql.Open(t.Context(), o)
	require.ErrorIs(t, err, storage.ErrKey)
	o.AllowUnsealed = true
	s = open(t, o)
	secretsAreThere(t, s, sealedAt, "a")
	reseal(t, s)
	require.NoError(t, s.Close())
	o.AllowUnsealed = false
	secretsAreThere(t, open(t, o), sealedAt.Add(time.Hour), "a")
}

func TestASpoiledTokenKeepsNobodyWaiting(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}})
	for _, name := range []string{"a", "b"} {
		enrolled(t, s, name)
	}
	execute(t, raw(t, dsn), `UPDATE enrollments a JOIN enrollments b ON b.id = 'E-b' SET a.token = b.token WHERE a.id = 'E-a'`)
	secretsAreThere(t, s, sealedAt, "b")
	_, err := s.ClaimPushes(t.Context(), sealedAt.Add(30*time.Second), time.Minute, 100)
	require.NoError(t, err, "the spoiled one was put off like the others")
	before := dump(t, dsn)
	target, err := s.ClaimPushes(t.Context(), sealedAt.Add(time.Minute), time.Minute, 1)
	require.ErrorContains(t, err, `enrollments.token of ["E-a"]`)
	require.Empty(t, target)
	require.Equal(t, before, dump(t, dsn), "an error puts nothing off")
}

// TestASpoiledPayloadChangesNothing has a command whose payload does not open.
func TestASpoiledPayloadChangesNothing(t *testing.T) {
	dsn := newDSN(t)
	s := open(t, mysql.Options{DSN: dsn, Keys: [][]byte{masterKey(1)}})
	enrolled(t, s, "a")
	execute(t, raw(t, dsn), `UPDATE commands SET payload = REVERSE(payload)`)
	before := dump(t, dsn)
	for _, x := range []mdm.ExchangeStep{{Idle: true}, {CommandUUID: "c1", Status: mdm.CommandAcknowledged}} {
		x.Certificate, x.EnrollmentID, x.At = sha256.Sum256([]byte("a")), "E-a", sealedAt
		_, err := s.Exchange(t.Context(), x)
		require.ErrorContains(t, err, `commands.payload of ["E-a" "c1"]`, fmt.Sprint(x.Idle))
		require.Equal(t, before, dump(t, dsn))
	}
}
