package mysql_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// TestTheHotPathTakesFewStatements counts what the server is asked, BEGIN and
// COMMIT included.
func TestTheHotPathTakesFewStatements(t *testing.T) {
	s := open(t, mysql.Options{DSN: newDSN(t), Connections: 1})
	enrolled(t, s, "a")
	certificate := sha256.Sum256([]byte("a"))
	exchange := func(x mdm.ExchangeStep) func() {
		x.Certificate, x.EnrollmentID, x.At, x.NotNowRetry = certificate, "E-a", sealedAt, time.Minute
		return func() {
			_, err := s.Exchange(t.Context(), x)
			require.NoError(t, err)
		}
	}
	report := func(uuid string, status mdm.CommandStatus) func() {
		return exchange(mdm.ExchangeStep{CommandUUID: uuid, Status: status})
	}
	require.NoError(t, s.Enqueue(t.Context(), mdm.Command{UUID: "c2", EnrollmentID: "E-a", Queued: sealedAt}, mdm.Command{UUID: "c3", EnrollmentID: "E-a", Queued: sealedAt}))
	idle := exchange(mdm.ExchangeStep{Idle: true})
	token := func() {
		_, err := s.TokenUpdate(t.Context(), mdm.TokenUpdateStep{Certificate: certificate, EnrollmentID: "E-a", Token: []byte("t"), PushMagic: "m", At: sealedAt})
		require.NoError(t, err)
	}
	for _, c := range []struct {
		what string
		do   func()
		want int
	}{
		{"TokenUpdate", token, 2},
		{"Idle with a command", idle, 2},
		{"Idle with a command, again", idle, 1},
		{"a report with another command", report("c1", mdm.CommandAcknowledged), 5},
		{"a report that is repeated", report("c1", mdm.CommandAcknowledged), 1},
		{"NotNow with another command", report("c2", mdm.CommandNotNow), 5},
		{"the last report", report("c3", mdm.CommandError), 7}, // which asks for a push
		{"the first Idle after NotNow", idle, 7},
		{"the very last report", report("c2", mdm.CommandAcknowledged), 2},
		{"Idle with nothing to do", idle, 1},
	} {
		before := asked(t, s)
		c.do()
		require.Equal(t, c.want, asked(t, s)-before-1, c.what)
	}
}

// asked is how many statements the only connection of a store has sent.
func asked(t *testing.T, s *mysql.Store) (n int) {
	t.Helper()
	require.NoError(t, mysql.Read(t.Context(), s, `SHOW SESSION STATUS LIKE 'Questions'`, &n))
	return n
}
