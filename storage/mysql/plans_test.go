package mysql_test

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/mysql"
)

// crowd fills a database: so many enrollments, each with a ticket, an identity,
// a challenge, a user and a grant, and as many commands of number 7, half of
// which are open. A digest is the SHA-256 of what it is of and a number.
func crowd(size int) []string {
	numbers := func(insert, values string) string {
		return insert + ` WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ` + strconv.Itoa(size) + `) SELECT ` + values + ` FROM n`
	}
	digest := func(of string) string { return `UNHEX(SHA2(CONCAT('` + of + `', i), 256))` }
	statements := []string{
		numbers(`INSERT INTO users (seq, id, issuer, subject, display_name, member_of, groups_stale, managed_apple_account)`,
			`i, CONCAT('u', i), 'iss', CONCAT('s', i), '', '[]', 0, ''`),
		numbers(`INSERT INTO tickets (seq, id, ref, user_id, way, ownership, state, session, issued, enrollment_id)`,
			`i, CONCAT('t', i), '', CONCAT('u', i), 'profile', 'personal', 'enrolled', `+digest("session")+`, i, CONCAT('E', i)`),
		numbers(`INSERT INTO ticket_sessions (session)`, digest("session")),
		numbers(`INSERT INTO challenges (digest, ticket, download, expires)`, digest("challenge")+`, i, 1, i`),
		numbers(`INSERT INTO identities (digest, ticket, user_id, way, enrollment)`, digest("certificate")+`, i, CONCAT('u', i), 'profile', i`),
		numbers(`INSERT INTO enrollments (seq, id, user_id, ticket_id, way, state, certificate, topic, os_version, build_version, product, contact, token, magic, token_stored)`,
			`i, CONCAT('E', i), CONCAT('u', i), CONCAT('t', i), 'profile', 'enrolled', `+digest("certificate")+`, '', '', '', '', i,
			CONCAT(CHAR(0), 'token', i), CONCAT(CHAR(0), 'magic', i), i`),
		numbers(`INSERT INTO pushes (enrollment, able, request, due)`, `i, 1, 1, CASE WHEN i % 50 = 0 THEN i ELSE 9223372036854775807 END`),
		numbers(`INSERT INTO commands (enrollment, uuid, request_type, status, place, payload)`,
			`7, CONCAT('c', i), 'DeviceInformation', CASE WHEN i % 2 THEN 'Queued' ELSE 'Acknowledged' END, CASE WHEN i % 2 THEN 2 END, CHAR(0)`),
		numbers(`INSERT INTO sso_states (digest, expires)`, digest("state")+`, i * 1000000000000`),
		numbers(`INSERT INTO sessions (id, user_id, ticket_id, expires)`, digest("session")+`, CONCAT('u', i), CONCAT('t', i), i * 1000000000000`),
		numbers(`INSERT INTO web_sessions (digest, expires)`, digest("session")+`, i * 1000000000000`),
		numbers(`INSERT INTO grants (seq, user_id, ticket, enrollment, client_id, redirect_uri, code)`,
			`i, CONCAT('u', i), i, i, 'c', 'r', `+digest("code")),
		numbers(`INSERT INTO tokens (of_grant, generation, access, refresh)`, `i, 0, `+digest("access")+`, `+digest("refresh")),
		numbers(`INSERT INTO suspended_users (user_id)`, `CONCAT('v', i)`),
	}
	for _, table := range []string{
		"users", "tickets", "ticket_sessions", "challenges", "identities", "enrollments", "pushes", "commands", "sso_states", "sessions", "web_sessions",
		"grants", "tokens", "suspended_users",
	} {
		statements = append(statements, `ANALYZE TABLE `+table)
	}
	return statements
}

// crowded makes a database with a crowd in it.
func crowded(t testing.TB) (dsn string) {
	t.Helper()
	dsn, err := makeDatabase(server, t.TempDir())
	require.NoError(t, err)
	s, err := mysql.Open(t.Context(), unsealed(dsn))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	fill(t, dsn, 100_000)
	return dsn
}

func fill(t testing.TB, dsn string, size int) {
	t.Helper()
	depth := "max_recursive_iterations"
	if onMySQL(t, raw(t, dsn)) {
		depth = "cte_max_recursion_depth"
	}
	db, err := sql.Open("mysql", dsn+"?"+depth+"=1000000")
	require.NoError(t, err)
	for _, statement := range crowd(size) {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, db.Close())
}

// scans are the statements that may read a table from end to end: State is for
// small installations, and there are few keys.
func scans() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`^SELECT .* FROM (users|tickets|enrollments e) ORDER BY `),
		regexp.MustCompile(`^SELECT e\.id, p\.status, p\.attempted FROM pushes p JOIN enrollments e`),
		regexp.MustCompile(`^SELECT .* FROM commands c JOIN enrollments e ON e\.seq = c\.enrollment ORDER BY c\.seq$`),
		regexp.MustCompile(`^SELECT number, id, value FROM seals ORDER BY number$`),
		regexp.MustCompile(`^DELETE FROM seals `),
	}
}

// lists is where a statement has as many values as a call has.
var lists = regexp.MustCompile(`\(\?(, \?)*\)|, \(\?, \?, \?, \?, queued, \?, 'Queued', 2\)`)

func normal(query string) string {
	return lists.ReplaceAllString(strings.Join(strings.Fields(query), " "), "(…)")
}

// checkPlans goes through every step in a crowd, and looks at how each statement
// finds its rows. It fails when one of statements is not among them.
func checkPlans(t *testing.T, statements []string) {
	dsn := crowded(t)
	isMySQL := onMySQL(t, raw(t, dsn))
	var mu sync.Mutex
	explained := map[string]bool{}
	s, err := mysql.OpenExplaining(t.Context(), unsealed(dsn), func(query string, plan []mysql.PlanRow, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%v\nin: %s", err, normal(query))
		}
		explained[normal(query)] = true
		for _, exempt := range scans() {
			if exempt.MatchString(normal(query)) {
				return
			}
		}
		for _, row := range plan {
			if scanned(row, query, isMySQL) {
				t.Errorf("%+v\nin: %s", row, normal(query))
			}
		}
	})
	require.NoError(t, err)
	goThrough(t, s)
	for _, statement := range statements {
		if !explained[statement] && !strings.HasPrefix(statement, "INSERT INTO seals ") { // by the first who opens
			t.Errorf("not explained: %s", statement)
		}
	}
	plan, err := mysql.Plan(t.Context(), s, `SELECT * FROM commands WHERE status = 'Sent' ORDER BY updated`)
	require.NoError(t, err)
	require.True(t, scanned(plan[0], "", isMySQL), "a scan is not seen: %+v", plan)
	require.NoError(t, s.Close())
	t.Logf("%d statements, of which the suite takes %d", len(explained), len(statements))
}

// scanned reports whether a table is read from end to end, or rows are sorted
// that an index should have given in their order.
func scanned(row mysql.PlanRow, query string, onMySQL bool) bool {
	if strings.HasPrefix(query, "INSERT") || strings.HasPrefix(query, "REPLACE") {
		return row.Type != "ALL" || row.Extra != "" // how the servers say that there is nothing to find
	}
	temporary := strings.Contains(row.Extra, "temporary")
	if onMySQL && strings.HasPrefix(query, "UPDATE") {
		temporary = false // what it has found, when it changes the index that it goes along
	}
	return row.Type == "ALL" || row.Type == "index" || strings.Contains(row.Extra, "filesort") || temporary
}

func digestOf(of string, n int) [32]byte { return sha256.Sum256(fmt.Append(nil, of, n)) }

// goThrough does everything that a store can do.
func goThrough(t *testing.T, s *mysql.Store) {
	ctx := t.Context()
	at := time.Date(2026, time.November, 24, 9, 0, 0, 0, time.UTC)
	ok := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	is := func(err, want error) {
		t.Helper()
		require.ErrorIs(t, err, want)
	}

	for range 2 {
		_, _, err := s.Provision(ctx, jit.Profile{ID: "new", Issuer: "iss", Subject: "new", At: at})
		ok(err)
	}
	_, err := s.User(ctx, "u7")
	ok(err)
	ok(s.Suspend(ctx, "new", true))
	ok(s.OpenState(ctx, digestOf("open", 1), at.Add(time.Minute)))
	ok(s.ConsumeState(ctx, digestOf("open", 1), at))
	ok(s.PutSession(ctx, enroll.Session{ID: digestOf("put", 1), Expires: at.Add(time.Hour)}, digestOf("session", 7)))
	_, err = s.Session(ctx, digestOf("put", 1), at)
	ok(err)

	// One person's first enrollment, in two attempts, and the second one.
	clocks := enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour}
	issue := func(n int) enroll.Ticket {
		return enroll.Ticket{ID: fmt.Sprint("new", n), UserID: "new", Way: mdm.WayProfile, Session: digestOf("browser", 1), Issued: at}
	}
	identify := func(ticket string, n int) [32]byte {
		t.Helper()
		_, err := s.Download(ctx, enroll.DownloadStep{TicketID: ticket, Challenge: digestOf("new", n), At: at, Clocks: clocks, MaxDownloads: 9, MaxAge: time.Hour})
		ok(err)
		_, err = s.Challenge(ctx, digestOf("new", n), digestOf("key", n), at)
		ok(err)
		_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: digestOf("new", n), Key: digestOf("key", n), Digest: digestOf("cert", n), At: at})
		ok(err)
		return digestOf("cert", n)
	}
	authenticate := func(certificate [32]byte, id string) {
		t.Helper()
		for range 2 {
			_, err := s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: certificate, EnrollmentID: id, At: at, DeviceLimit: 5})
			ok(err)
		}
	}
	ok(s.IssueTicket(ctx, issue(1), digestOf("session", 7)))
	identify("new1", 1)
	ok(s.IssueTicket(ctx, issue(2), [32]byte{}))
	_, err = s.Ticket(ctx, "new2")
	ok(err)
	authenticate(identify("new2", 2), "New-2")
	second := identify("new2", 3)
	authenticate(second, "New-3")
	plan := []mdm.Command{{UUID: "p1", Queued: at}, {UUID: "p2", Queued: at}, {UUID: "p3", Queued: at}}
	for range 2 {
		_, err := s.TokenUpdate(ctx, mdm.TokenUpdateStep{Certificate: second, EnrollmentID: "New-3", Token: []byte("t"), PushMagic: "m", At: at, Planned: true, Plan: plan})
		ok(err)
	}
	ok(s.IssueTicket(ctx, issue(4), [32]byte{}))
	authenticate(identify("new4", 4), "New-3") // it starts over, by a newer ticket
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{Certificate: digestOf("cert", 4), EnrollmentID: "New-3", Token: []byte("t"), At: at, Planned: true, Plan: plan})
	ok(err)
	_, err = s.Devices(ctx, "new")
	ok(err)
	_, err = s.Enrollment(ctx, "E7")
	ok(err)

	// Number 7 has a long queue and a long history.
	exchange := func(x mdm.ExchangeStep) mdm.Exchanged {
		t.Helper()
		x.Certificate, x.EnrollmentID, x.At, x.NotNowRetry = digestOf("certificate", 7), "E7", at, time.Minute
		out, err := s.Exchange(ctx, x)
		ok(err)
		return out
	}
	next := exchange(mdm.ExchangeStep{Idle: true}).Next
	require.Equal(t, "c1", next.UUID)
	next = exchange(mdm.ExchangeStep{CommandUUID: next.UUID, Status: mdm.CommandNotNow}).Next
	exchange(mdm.ExchangeStep{CommandUUID: next.UUID, Status: mdm.CommandAcknowledged})
	require.Equal(t, "c1", exchange(mdm.ExchangeStep{Idle: true}).Next.UUID)
	exchange(mdm.ExchangeStep{Status: mdm.CommandFormatError})
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{Certificate: digestOf("certificate", 7), EnrollmentID: "E7", Token: []byte("t"), At: at})
	ok(err)
	_, err = s.CheckOut(ctx, mdm.CheckOutStep{Certificate: second, EnrollmentID: "New-3", At: at})
	is(err, mdm.ErrUnknownIdentity)
	ok(s.Unenroll(ctx, "New-3", at))
	_, err = s.CheckOut(ctx, mdm.CheckOutStep{Certificate: digestOf("certificate", 8), EnrollmentID: "E8", At: at})
	ok(err)

	// A fan-out, again, and one that ends with a command answered NotNow.
	var commands []mdm.Command
	for i := range 1500 {
		commands = append(commands, mdm.Command{UUID: "fan", EnrollmentID: fmt.Sprint("E", 1000+i), Payload: []byte("payload"), Queued: at})
	}
	ok(s.Enqueue(ctx, commands...))
	ok(s.Enqueue(ctx, commands[600:602]...))
	for _, x := range []mdm.ExchangeStep{{Idle: true}, {CommandUUID: "fan", Status: mdm.CommandNotNow}, {CommandUUID: "none", Status: mdm.CommandAcknowledged}} {
		x.Certificate, x.EnrollmentID, x.At, x.NotNowRetry = digestOf("certificate", 1000), "E1000", at, time.Minute
		_, err := s.Exchange(ctx, x)
		ok(err)
	}
	targets, err := s.ClaimPushes(ctx, at, time.Minute, 700)
	ok(err)
	require.Len(t, targets, 700)
	var results []push.Result
	for i, target := range targets {
		r := push.Result{Target: target, Status: 200, At: at}
		switch i % 3 {
		case 1:
			r.Retry = at.Add(time.Minute)
		case 2:
			r.Dead = true
		}
		results = append(results, r)
	}
	ok(s.SettlePushes(ctx, results...))

	for _, suspended := range []bool{true, false} {
		ok(s.SuspendUser(ctx, "u9", suspended))
	}
	goThroughAccounts(t, s, at)
	ok(s.Unenroll(ctx, "Account", at))
	n, err := s.Prune(ctx, storage.PruneStep{ExpiredBefore: at.AddDate(1, 0, 0), OverBefore: at.AddDate(1, 0, 0), Limit: 10_000})
	ok(err)
	require.Less(t, n, 10_000, "each kind has its turn")
	for n := 1; n > 0; {
		n, err = s.Reseal(ctx, 100_000)
		ok(err)
	}
	state, err := s.State(ctx)
	ok(err)
	require.Greater(t, len(state.Enrollments), 100_000)
}

// goThroughAccounts does what account-driven enrollment takes.
func goThroughAccounts(t *testing.T, s *mysql.Store, at time.Time) {
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	tokens := func(n int) enroll.Tokens {
		return enroll.Tokens{Access: digestOf("new access", n), Refresh: digestOf("new refresh", n), RefreshExpires: at.Add(time.Hour)}
	}
	grant := enroll.GrantStep{
		Session: digestOf("web", 1), SessionExpires: at.Add(time.Hour), UserID: "a", At: at,
		Ticket: &enroll.Ticket{ID: "account", UserID: "a", Way: mdm.WayAccount, Session: digestOf("web", 1), Issued: at},
		Code:   &enroll.AuthorizationCode{Code: digestOf("new code", 1), ClientID: "c", RedirectURI: "r", Expires: at.Add(time.Minute)},
	}
	ok(s.Grant(ctx, grant))
	require.ErrorIs(t, s.Grant(ctx, grant), enroll.ErrSessionUsed)
	ok(s.RedeemCode(ctx, enroll.CodeStep{Code: grant.Code.Code, ClientID: "c", RedirectURI: "r", Tokens: tokens(0), At: at}))
	_, err := s.TokenTicket(ctx, digestOf("new access", 0), at)
	ok(err)
	for n := 1; n < 20; n++ { // the answer is lost each time
		for range 2 {
			ok(s.Refresh(ctx, enroll.RefreshStep{Refresh: digestOf("new refresh", n-1), ClientID: "c", Tokens: tokens(n), At: at}))
		}
	}
	clocks := enroll.Clocks{Wait: time.Hour, Window: time.Hour}
	_, err = s.Download(ctx, enroll.DownloadStep{TicketID: "account", Challenge: digestOf("account", 1), At: at, Clocks: clocks, MaxDownloads: 9, MaxAge: time.Hour})
	ok(err)
	_, err = s.Identify(ctx, enroll.IdentifyStep{Challenge: digestOf("account", 1), Digest: digestOf("account", 1), At: at})
	ok(err)
	_, err = s.Authenticate(ctx, mdm.AuthenticateStep{Certificate: digestOf("account", 1), EnrollmentID: "Account", Bearer: tokens(19).Access, At: at})
	ok(err)
	again := enroll.GrantStep{
		Session: digestOf("web", 2), SessionExpires: at.Add(time.Hour), UserID: "a", At: at, EnrollmentID: "Account",
		Tokens: enroll.Tokens{Access: digestOf("again", 1)},
	}
	ok(s.Grant(ctx, again))
	_, err = s.TokenUpdate(ctx, mdm.TokenUpdateStep{Certificate: digestOf("account", 1), EnrollmentID: "Account", Bearer: again.Tokens.Access, At: at, Planned: true})
	ok(err)
	for _, x := range []mdm.ExchangeStep{{Idle: true}, {CommandUUID: "c", Status: mdm.CommandAcknowledged}, {Status: mdm.CommandFormatError}} {
		x.Certificate, x.EnrollmentID, x.Bearer, x.At = digestOf("account", 1), "Account", again.Tokens.Access, at
		_, err = s.Exchange(ctx, x)
		ok(err)
	}
	ok(s.RevokeTokens(ctx, "Account"))
	require.ErrorIs(t, s.RedeemCode(ctx, enroll.CodeStep{Code: grant.Code.Code, ClientID: "c", RedirectURI: "r", Tokens: tokens(99), At: at}), enroll.ErrGrant)
}

// statements notes what stores run, by its text without the length of lists.
type statements struct {
	mu    sync.Mutex
	texts map[string]bool
}

func (s *statements) note(query string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[normal(query)] = true
}

// list are those that find rows.
func (s *statements) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.texts))
}
