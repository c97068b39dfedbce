package mysql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/mysqltest"
	"github.com/enrollkit/enrollkit/internal/troubletest"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// fullDisk has a server on a file system without room, which it needs for what
// is large. MariaDB says so and goes on; MySQL ends, because it has no room to
// roll back. There is no binary log, see TestAFullDiskOfTheBinaryLog.
func fullDisk(t *testing.T) {
	needServer(t)
	troubletest.SmallDisk(t, 320<<20, func(t *testing.T, d troubletest.Disk) {
		own := mysqltest.StartTest(t, mysqltest.Options{Settings: noBinaryLog()})
		dsn, err := makeDatabase(own, t.TempDir())
		require.NoError(t, err)
		w := troubletest.New(t, open(t, options(dsn)))
		says, ends := "is full", onMySQL(t, raw(t, own.AdminDSN()))
		if ends {
			says = "mysql: "
		}
		free := d.Fill()
		w.Survives(says, troubletest.Report)
		free()
		if !ends {
			w.Heals()
		}
		require.NoError(t, own.Crash())
		require.NoError(t, own.Restart(t.Context()))
		w.Heals()
	})
}

// noBinaryLog is the default of MariaDB, and not of MySQL.
func noBinaryLog() map[string]string { return map[string]string{"skip_log_bin": "1"} }

// TestAFullDisk fills the database; what was refused is not there, what was
// acknowledged is, and when there is room again the store goes on.
func TestAFullDisk(t *testing.T) {
	needServer(t)
	own := mysqltest.StartTest(t, mysqltest.Options{NoSync: true, MaxFile: 100 << 20, Settings: noBinaryLog()})
	dsn, err := makeDatabase(own, t.TempDir())
	require.NoError(t, err)
	s := open(t, options(dsn))
	db := raw(t, dsn)
	kept := map[string]bool{}
	full := 0
	for round := 0; full < 3; round++ {
		require.Less(t, round, 1000, "the database does not fill")
		if err := several(t, s, fmt.Sprint("t", round, "-"), kept); err != nil {
			require.ErrorContains(t, err, "full")
			full++
		}
		_, err := db.ExecContext(t.Context(), `INSERT INTO tickets (id, ref, user_id, way, ownership, state, session, enrollment_id)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 990)
			SELECT CONCAT('filler', ?, '-', i), REPEAT('x', 255), REPEAT('x', 255), '', '', '', UNHEX(SHA2(CONCAT(?, i), 256)), REPEAT('x', 255) FROM n`, round, round)
		if err != nil {
			require.ErrorContains(t, err, "full")
		}
	}
	_, err = s.Ticket(t.Context(), "t0-0")
	require.NoError(t, err, "reading")
	for n := int64(1); n > 0; {
		deleted, err := db.ExecContext(t.Context(), `DELETE FROM tickets WHERE id LIKE 'filler%' LIMIT 1000`)
		require.NoError(t, err)
		n, err = deleted.RowsAffected()
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return s.IssueTicket(t.Context(), ticket("last"), [32]byte{}) == nil }, time.Minute, 20*time.Millisecond,
		"when the server has freed what was deleted")
	there(t, s, kept, false)
}

// TestAFullDiskOfTheBinaryLog has a server that waits in a commit until there is
// room for its binary log, longer than the store does, and is then killed.
func TestAFullDiskOfTheBinaryLog(t *testing.T) {
	needServer(t)
	troubletest.SmallDisk(t, 320<<20, func(t *testing.T, d troubletest.Disk) {
		own := mysqltest.StartTest(t, mysqltest.Options{Settings: map[string]string{"log_bin": "binlog", "sync_binlog": "1"}})
		dsn, err := makeDatabase(own, t.TempDir())
		require.NoError(t, err)
		s := open(t, options(dsn))
		w := troubletest.New(t, s)
		db := raw(t, dsn)
		execute(t, db, `CREATE TABLE others (n INT)`)
		free := d.Fill()
		ended := make(chan error, 1)
		go func() { // until it waits, and then everybody behind it
			for {
				if _, err := db.ExecContext(context.Background(), `INSERT INTO others VALUES (1)`); err != nil {
					ended <- err
					return
				}
			}
		}()
		require.Eventually(t, func() bool { return strings.Contains(own.Log(), "Waiting for someone to free space") }, time.Minute, 10*time.Millisecond)
		var hasty *mysql.Store
		require.Eventually(t, func() bool { // which a slow machine does not open at once
			hasty, err = mysql.Open(t.Context(), options(dsn+"?readTimeout=1s"))
			return err == nil
		}, time.Minute, 10*time.Millisecond)
		t.Cleanup(func() { hasty.Close() })
		w.On(hasty)
		w.Survives("mysql: ", troubletest.Report)
		require.Empty(t, ended, "who waits for room is given up")
		require.NoError(t, own.Crash())
		free()
		require.NoError(t, own.Restart(t.Context()))
		w.On(s)
		w.Heals()
	})
}
