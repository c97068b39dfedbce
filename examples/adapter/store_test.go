package adapter_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/examples/adapter"
	"github.com/enrollkit/enrollkit/examples/adapter/journal"
	"github.com/enrollkit/enrollkit/mdm"
)

var start = time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)

func open(t testing.TB, path string) *adapter.Store {
	t.Helper()
	s, err := adapter.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func id(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// enrolled is the certificate of a device that enrolled by an account, with a
// token that came, and then another one that has not come yet.
func enrolled(t testing.TB, s *adapter.Store) [32]byte {
	t.Helper()
	ctx, certificate := t.Context(), id("certificate")
	require.NoError(t, s.Grant(ctx, enroll.GrantStep{
		Session: id("session"), SessionExpires: start.Add(time.Hour), UserID: "u1",
		Ticket: &enroll.Ticket{ID: "t1", UserID: "u1", Way: mdm.WayAccount, Issued: start},
		Code:   &enroll.AuthorizationCode{Code: id("code"), ClientID: "c", RedirectURI: "r", Expires: start.Add(time.Hour)}, At: start,
	}))
	require.NoError(t, s.RedeemCode(ctx, enroll.CodeStep{
		Code: id("code"), ClientID: "c", RedirectURI: "r", Tokens: enroll.Tokens{Access: id("access 1"), Refresh: id("refresh 1")}, At: start,
	}))
	_, err := s.Download(ctx, enroll.DownloadStep{
		TicketID: "t1", Challenge: id("challenge"), At: start, Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour},
		MaxDownloads: 1, MaxAge: time.Hour,
	})
	require.NoError(t, err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: id("challenge"), Key: id("key"), Certificate: []byte("der"), Digest: certificate, At: start})
	require.NoError(t, err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: certificate, EnrollmentID: "E1", Bearer: id("access 1"), At: start})
	require.NoError(t, err)
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{
		Certificate: certificate, EnrollmentID: "E1", Bearer: id("access 1"), Token: []byte{1}, PushMagic: "m", At: start, Planned: true,
	})
	require.NoError(t, err)
	require.NoError(t, s.Refresh(ctx, enroll.RefreshStep{
		Refresh: id("refresh 1"), ClientID: "c", Tokens: enroll.Tokens{Access: id("access 2"), Refresh: id("refresh 2")}, At: start,
	}))
	return certificate
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestWhatIsWritten(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "journal")
	s := open(t, path)
	certificate := enrolled(t, s)
	idle := func(token string, at time.Time) error {
		_, err := s.Exchange(ctx, mdm.ExchangeStep{Certificate: certificate, EnrollmentID: "E1", Bearer: id(token), Idle: true, At: at})
		return err
	}
	for _, step := range []struct {
		what   string
		writes bool
		err    error
		do     func() error
	}{
		{"the first Idle with a token", true, nil, func() error { return idle("access 1", start) }},
		{"an Idle with nothing to do", false, nil, func() error { return idle("access 1", start) }},
		{"the first Idle of a day", true, nil, func() error { return idle("access 1", start.AddDate(0, 0, 1)) }},
		{"the second Idle of a day", false, nil, func() error { return idle("access 1", start.AddDate(0, 0, 1)) }},
		{"the first use of a token", true, nil, func() error { return idle("access 2", start.AddDate(0, 0, 1)) }},
		{"the second use of a token", false, nil, func() error { return idle("access 2", start.AddDate(0, 0, 1)) }},
		{"a token that is over", false, mdm.ErrBearer, func() error { return idle("access 1", start.AddDate(0, 0, 2)) }},
		{"an unknown identity", false, mdm.ErrUnknownIdentity, func() error {
			_, err := s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: id("unknown"), EnrollmentID: "E2", At: start})
			return err
		}},
		{"an unknown code", false, enroll.ErrGrant, func() error { return s.RedeemCode(ctx, enroll.CodeStep{Code: id("unknown"), At: start}) }},
		{"an unknown refresh token", false, enroll.ErrGrant, func() error {
			return s.Refresh(ctx, enroll.RefreshStep{Refresh: id("unknown"), ClientID: "c", At: start})
		}},
		{"no push is due", false, nil, func() error {
			_, err := s.ClaimPushes(ctx, start.Add(-time.Hour), time.Minute, 10)
			return err
		}},
		{"a push is due", true, nil, func() error {
			_, err := s.ClaimPushes(ctx, start, time.Minute, 10)
			return err
		}},
		{"a refresh token that was used up", true, enroll.ErrGrant, func() error {
			return s.Refresh(ctx, enroll.RefreshStep{Refresh: id("refresh 1"), ClientID: "c", Tokens: enroll.Tokens{Access: id("access 3")}, At: start})
		}},
	} {
		before := size(t, path)
		require.ErrorIs(t, step.do(), step.err, step.what)
		require.Equal(t, step.writes, size(t, path) > before, step.what)
	}
	require.NoError(t, s.Close())
	s = open(t, path)
	require.ErrorIs(t, idle("access 2", start.AddDate(0, 0, 1)), mdm.ErrBearer, "the grant that was revoked by a refusal")
}

// TestStepsAreTheSameAgain has a clock that goes back, as those of two nodes may.
func TestStepsAreTheSameAgain(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "journal")
	s := open(t, path)
	grants := 0
	grant := func(session, user string, at time.Time) error {
		grants++
		name := fmt.Sprint(session, grants)
		return s.Grant(ctx, enroll.GrantStep{
			Session: id(session), SessionExpires: start.Add(time.Hour), UserID: user, At: at,
			Ticket: &enroll.Ticket{ID: name, UserID: user, Issued: at}, Tokens: enroll.Tokens{Access: id(name)},
		})
	}
	require.NoError(t, grant("a", "u1", start))
	require.NoError(t, s.SuspendUser(ctx, "u2", true))
	require.ErrorIs(t, grant("b", "u2", start.Add(2*time.Hour)), mdm.ErrSuspended)
	require.ErrorIs(t, grant("a", "u1", start), enroll.ErrSessionUsed)
	require.NoError(t, grant("c", "u1", start.Add(2*time.Hour)))
	require.NoError(t, grant("a", "u1", start), "a session that was forgotten when it was over")
	before, err := s.State(ctx)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	after, err := open(t, path).State(ctx)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestClosed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "journal"))
	require.NoError(t, s.SuspendUser(t.Context(), "u1", true))
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.SuspendUser(t.Context(), "u1", true), journal.ErrClosed)
	_, err := s.Ticket(t.Context(), "t1")
	require.ErrorIs(t, err, journal.ErrClosed)
}

// TestWhatCannotBeReplayed has records that no version of this package wrote.
func TestWhatCannotBeReplayed(t *testing.T) {
	for what, record := range map[string][]byte{
		"not a gob":            []byte("?"),
		"an unknown step":      recordOf(t, "Reboot"),
		"too few arguments":    recordOf(t, "Unenroll", "E1"),
		"another argument":     recordOf(t, "RevokeTokens", 7),
		"a step that fails":    recordOf(t, "Unenroll", "E1", start),
		"no step of the store": recordOf(t, "Close"),
	} {
		path := filepath.Join(t.TempDir(), "journal")
		j, err := journal.Open(path, func([]byte) error { return nil })
		require.NoError(t, err)
		require.NoError(t, j.Sync(j.Append(record)))
		require.NoError(t, j.Close())
		_, err = adapter.Open(path)
		require.ErrorContains(t, err, "line 2", what)
	}
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(path, func([]byte) error { return nil })
	require.NoError(t, err)
	require.NoError(t, j.Sync(j.Append(recordOf(t, "State"))))
	require.NoError(t, j.Close())
	open(t, path) // a step that changes nothing changes nothing
}

func recordOf(t testing.TB, method string, args ...any) []byte {
	t.Helper()
	r := struct {
		Method string
		Args   [][]byte
	}{Method: method}
	encode := func(v any) []byte {
		var b bytes.Buffer
		require.NoError(t, gob.NewEncoder(&b).Encode(v))
		return b.Bytes()
	}
	for _, arg := range args {
		r.Args = append(r.Args, encode(arg))
	}
	return encode(r)
}
