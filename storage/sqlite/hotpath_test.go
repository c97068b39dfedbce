package sqlite_test

import (
	"crypto/sha256"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// withoutTransactions leaves out what begins and ends transactions.
func withoutTransactions(statements []string) (list []string) {
	for _, query := range statements {
		switch first, _, _ := strings.Cut(query, " "); first {
		case "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE":
		default:
			list = append(list, query)
		}
	}
	return list
}

// TestTheHotPathIsOneStatement counts what a device's steps take: statements of
// the writer, which one step at a time has, and reads.
func TestTheHotPathIsOneStatement(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	enrolled(t, s, "other") // prepares every statement
	for _, step := range hotPath(t, s, "other") {
		require.NoError(t, step.do(), step.what)
	}
	enrolled(t, s, "a")
	for _, step := range hotPath(t, s, "a") {
		heard, err := s.Listen(step.do)
		require.NoError(t, err, step.what)
		require.Len(t, withoutTransactions(heard.Writer), step.writes, step.what)
		require.Len(t, withoutTransactions(heard.Readers), step.reads, step.what)
		if step.writes == 0 {
			require.Empty(t, heard.Writer, step.what)
		}
	}
}

// hotStep is a step and how many statements it takes.
type hotStep struct {
	what          string
	writes, reads int
	do            func() error
}

// hotPath is what a device sends, with the steps beside it that take more.
func hotPath(t *testing.T, s *sqlite.Store, name string) []hotStep {
	ctx := t.Context()
	idle := mdm.ExchangeStep{Certificate: sha256.Sum256([]byte(name)), EnrollmentID: "E-" + name, Idle: true, At: sealedAt}
	report := func(uuid string, status mdm.CommandStatus) mdm.ExchangeStep {
		x := idle
		x.Idle, x.CommandUUID, x.Status, x.Result, x.NotNowRetry = false, uuid, status, []byte("done"), time.Minute
		return x
	}
	tomorrow := idle
	tomorrow.At = sealedAt.AddDate(0, 0, 1)
	exchange := func(x mdm.ExchangeStep, reported, next string) func() error {
		return func() error {
			out, err := s.Exchange(ctx, x)
			uuid := func(c *mdm.Command) string {
				if c == nil {
					return ""
				}
				return c.UUID
			}
			require.Equal(t, []string{reported, next}, []string{uuid(out.Reported), uuid(out.Next)})
			return err
		}
	}
	update := func(at time.Time) func() error {
		return func() error {
			_, err := s.TokenUpdate(ctx, mdm.TokenUpdateStep{
				Certificate: idle.Certificate, EnrollmentID: idle.EnrollmentID, Token: []byte("token"), PushMagic: "magic", At: at,
			})
			return err
		}
	}
	enqueue := func(uuids ...string) func() error {
		return func() error {
			var list []mdm.Command
			for _, uuid := range uuids {
				list = append(list, mdm.Command{UUID: uuid, EnrollmentID: idle.EnrollmentID, RequestType: "DeviceInformation", Queued: sealedAt})
			}
			return s.Enqueue(ctx, list...)
		}
	}
	return []hotStep{
		{what: "Idle with a command", writes: 1, reads: 1, do: exchange(idle, "", "c1")},
		{what: "Idle with the same command", writes: 1, reads: 1, do: exchange(idle, "", "c1")},
		{what: "report, nothing left", writes: 1, do: exchange(report("c1", mdm.CommandAcknowledged), "c1", "")},
		{what: "Idle with nothing", reads: 1, do: exchange(idle, "", "")},
		{what: "TokenUpdate", writes: 1, do: update(sealedAt)},
		{what: "Enqueue", writes: 3, do: enqueue("c2", "c3", "c4")},
		{what: "Idle with the next command", writes: 1, reads: 1, do: exchange(idle, "", "c2")},
		{what: "NotNow", writes: 1, do: exchange(report("c2", mdm.CommandNotNow), "c2", "c3")},
		{what: "report, one is left", writes: 1, do: exchange(report("c3", mdm.CommandError), "c3", "c4")},
		{what: "report, a push is to be asked for", writes: 4, do: exchange(report("c4", mdm.CommandAcknowledged), "c4", "")},
		{what: "a late report of what was answered NotNow", writes: 1, do: exchange(report("c2", mdm.CommandAcknowledged), "c2", "")},
		{what: "Idle on another day", writes: 3, reads: 1, do: exchange(tomorrow, "", "")},
		{what: "Idle on the same day", reads: 1, do: exchange(tomorrow, "", "")},
		{what: "TokenUpdate on another day", writes: 1, do: update(sealedAt.AddDate(0, 0, 2))},
	}
}

// TestTheJudgeAndTheStatementsAgree holds what statements of the hot path make of
// a sender against what the judge says, which names what is wrong.
func TestTheJudgeAndTheStatementsAgree(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
	enrolled(t, s, "a")
	bearer := sha256.Sum256([]byte("bearer"))
	for _, prepare := range []string{
		`INSERT INTO grants (seq, user_id, enrollment, client_id, redirect_uri) SELECT 7, user_id, seq, '', '' FROM enrollments`,
		`INSERT INTO tokens (of_grant, generation, access, access_expires, used) VALUES (7, 0, ?, ?, 1)`,
		`UPDATE enrollments SET way = 'account'`, `UPDATE identities SET way = 'account'`,
	} {
		var values []any
		if strings.Contains(prepare, "?") {
			values = []any{bearer[:], sealedAt.Add(time.Hour).UnixMicro()}
		}
		require.NoError(t, s.Do(func(tx *sqlite.Tx) error { return tx.Exec(prepare, values...) }))
	}
	good := mdm.ExchangeStep{Certificate: sha256.Sum256([]byte("a")), EnrollmentID: "E-a", Bearer: bearer, At: sealedAt}
	step := func(change func(x *mdm.ExchangeStep)) mdm.ExchangeStep {
		x := good
		change(&x)
		return x
	}
	late := step(func(x *mdm.ExchangeStep) { x.At = sealedAt.Add(time.Hour) })
	for _, c := range []struct {
		what    string
		change  string
		from    mdm.ExchangeStep
		err     error
		isFresh bool
	}{
		{what: "admitted", from: good},
		{what: "admitted, just in time", from: step(func(x *mdm.ExchangeStep) { x.At = sealedAt.Add(time.Hour - time.Microsecond) })},
		{what: "admitted, at no time", from: step(func(x *mdm.ExchangeStep) { x.At = time.Time{} })},
		{what: "admitted for good", change: `UPDATE tokens SET access_expires = NULL`, from: late},
		{what: "admitted, half enrolled", change: `UPDATE enrollments SET state = 'authenticated'`, from: good},
		{what: "admitted, without a bearer", change: `UPDATE identities SET way = 'profile'`, from: step(func(x *mdm.ExchangeStep) { x.Bearer = [32]byte{} })},
		{what: "admitted, with a bearer not looked at", change: `UPDATE identities SET way = 'profile'`, from: late},
		{what: "admitted, by a UDID", change: `UPDATE identities SET way = 'adde'`, from: step(func(x *mdm.ExchangeStep) { x.Device = true })},
		{what: "a bearer for the first time", change: `UPDATE tokens SET used = 0`, from: good, isFresh: true},
		{what: "unknown", from: step(func(x *mdm.ExchangeStep) { x.Certificate[0]++ }), err: mdm.ErrUnknownIdentity},
		{what: "replaced", change: `UPDATE identities SET replaced = 1`, from: good, err: mdm.ErrUnknownIdentity},
		{what: "suspended", change: `INSERT INTO suspended_users SELECT user_id FROM identities`, from: good, err: mdm.ErrSuspended},
		{what: "a UDID", from: step(func(x *mdm.ExchangeStep) { x.Device = true }), err: mdm.ErrChannel},
		{what: "no UDID", change: `UPDATE identities SET way = 'device'`, from: good, err: mdm.ErrChannel},
		{what: "unbound", change: `UPDATE identities SET enrollment = NULL`, from: good, err: mdm.ErrNotAuthenticated},
		{what: "foreign", from: step(func(x *mdm.ExchangeStep) { x.EnrollmentID = "E-b" }), err: mdm.ErrForeignCertificate},
		{what: "nameless", from: step(func(x *mdm.ExchangeStep) { x.EnrollmentID, x.Device = "", true }), err: mdm.ErrForeignCertificate},
		{what: "ended", change: `UPDATE enrollments SET state = 'ended'`, from: good, err: mdm.ErrEnded},
		{what: "no bearer", from: step(func(x *mdm.ExchangeStep) { x.Bearer = [32]byte{} }), err: mdm.ErrBearer},
		{what: "a bearer unknown", from: step(func(x *mdm.ExchangeStep) { x.Bearer[0]++ }), err: mdm.ErrBearer},
		{what: "a bearer over", from: late, err: mdm.ErrBearer},
		{what: "a bearer ended", change: `UPDATE tokens SET ended = 1`, from: good, err: mdm.ErrBearer},
		{what: "a bearer revoked", change: `UPDATE grants SET revoked = 1`, from: good, err: mdm.ErrBearer},
		{what: "a bearer of none", change: `UPDATE grants SET enrollment = NULL`, from: good, err: mdm.ErrBearer},
	} {
		t.Run(c.what, func(t *testing.T) {
			undo := errors.New("undo")
			var judged error
			var fresh, admitted bool
			require.ErrorIs(t, s.Do(func(tx *sqlite.Tx) (err error) {
				if c.change != "" {
					if err := tx.Exec(c.change); err != nil {
						return err
					}
				}
				if judged, fresh, admitted, err = tx.Judged(c.from); err != nil {
					return err
				}
				return undo
			}), undo)
			require.Equal(t, c.err, judged)
			require.Equal(t, c.err == nil && !c.isFresh, admitted)
			if judged == nil {
				require.Equal(t, c.isFresh, fresh)
			}
		})
	}
}

// TestWaysInStatements holds the ways that statements name against what mdm says
// of them.
func TestWaysInStatements(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayProfile, mdm.WayAccount, mdm.WayAccountDevice, mdm.WayDevice} {
		require.Equal(t, way.Mode() == mdm.ModeDevice, strings.Contains(sqlite.DeviceWays, "'"+string(way)+"'"), way)
		require.Equal(t, way.Account(), strings.Contains(sqlite.AccountWays, "'"+string(way)+"'"), way)
	}
}
