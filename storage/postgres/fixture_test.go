package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/postgres"
)

var began = time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)

// place is a schema of its own on the tests' server.
func place(t testing.TB) string {
	t.Helper()
	dsn, err := at(t.Context(), needServer(t), t.TempDir())
	require.NoError(t, err)
	return dsn
}

func open(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// raw is a connection without the store.
func raw(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, in interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, statement string, values ...any,
) {
	t.Helper()
	rows, err := in.Query(t.Context(), statement, values...)
	require.NoError(t, err)
	rows.Close()
	require.NoError(t, rows.Err(), statement)
}

func ticket(name string) enroll.Ticket {
	return enroll.Ticket{ID: "t-" + name, Ref: name, UserID: "u1", Way: mdm.WayProfile, Session: certificateOf(name), Issued: began}
}

func certificateOf(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// identified gives a device its identity.
func identified(t testing.TB, s *postgres.Store, name string) {
	t.Helper()
	k, digest := ticket(name), certificateOf(name)
	require.NoError(t, s.IssueTicket(t.Context(), k, [32]byte{}))
	_, err := s.Download(t.Context(), downloadOf(name))
	require.NoError(t, err)
	_, err = s.Identify(t.Context(), enroll.IdentifyStep{Challenge: digest, Key: digest, Certificate: []byte(name), Digest: digest, At: began})
	require.NoError(t, err)
}

func downloadOf(name string) enroll.DownloadStep {
	return enroll.DownloadStep{
		TicketID: "t-" + name, Challenge: certificateOf(name), At: began, MaxDownloads: 9, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour},
	}
}

func authenticateOf(name string) mdm.AuthenticateStep {
	return mdm.AuthenticateStep{Certificate: certificateOf(name), EnrollmentID: "E-" + name, At: began}
}

func tokenOf(name string) mdm.TokenUpdateStep {
	return mdm.TokenUpdateStep{
		Certificate: certificateOf(name), EnrollmentID: "E-" + name, Token: []byte("token-of-" + name), PushMagic: "magic-of-" + name, At: began,
		Planned: true, Plan: []mdm.Command{{UUID: "c1", RequestType: "InstallProfile", Payload: []byte("password-of-" + name), Queued: began}},
	}
}

func idleOf(name string) mdm.ExchangeStep {
	return mdm.ExchangeStep{Certificate: certificateOf(name), EnrollmentID: "E-" + name, Idle: true, At: began}
}

// reportOf acknowledges a command.
func reportOf(name, uuid string) mdm.ExchangeStep {
	x := idleOf(name)
	x.Idle, x.CommandUUID, x.Status, x.Result = false, uuid, mdm.CommandAcknowledged, []byte("done")
	return x
}

func commandOf(name, uuid string) mdm.Command {
	return mdm.Command{UUID: uuid, EnrollmentID: "E-" + name, RequestType: "DeviceInformation", Payload: []byte("payload of " + uuid), Queued: began}
}

// enrolled enrolls a device with the command c1 in its queue.
func enrolled(t testing.TB, s *postgres.Store, name string) {
	t.Helper()
	identified(t, s, name)
	_, err := s.Authenticate(t.Context(), authenticateOf(name))
	require.NoError(t, err)
	_, err = s.TokenUpdate(t.Context(), tokenOf(name))
	require.NoError(t, err)
}

func masterKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
