package storagetest

import (
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// Retention is a whole adapter that forgets what is over.
type Retention interface {
	Accounts
	sso.StateStore
	enroll.SessionStore
	storage.Pruner
}

func retentionClauses() []clause[Retention] {
	return []clause[Retention]{
		{name: "expired attempts and sessions go", rule: `Sign-in attempts, sessions and web sessions go when they have expired
			before the time; others stay.`, check: pruneSessions},
		{name: "final commands go", rule: `Commands go that were final before the time; open ones, later ones and their order
			stay, and a CommandUUID that was forgotten is a new command.`, check: pruneCommands},
		{name: "tickets that led nowhere go", rule: `Tickets issued before the time by which no device has authenticated go,
			with their challenges and identities; those of enrollments stay, half made or ended.`, check: pruneTickets},
		{name: "grants go when all is over", rule: `A grant goes with its tokens when each of them and the code have expired
			before the time, or its enrollment has ended; tokens in force stay so.`, check: pruneGrants},
		{name: "each kind has its time", rule: `Attempts, sessions and web sessions go by ExpiredBefore alone, commands,
			grants and tickets by OverBefore alone; by a time that is zero nothing goes.`, check: pruneTimes},
		{name: "pruning is bounded", rule: `Prune forgets no more than limit records at once, says how many, and 0 when nothing
			is left.`, check: pruneBounded},
		{name: "pruned stores go on", rule: `What was issued, queued and granted after Prune keeps its order behind what was
			there before.`, check: pruneOrder},
		{name: "a cancelled call forgets nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: pruneCancelled},
		crashClause("retention", retentionScript(), func() Retention { return memory.New() }),
	}
}

// retention tells a story to a store that is pruned.
type retention struct {
	*accounts
	r Retention
}

// tellRetention tells stories to a store of retention as to one of accounts.
func tellRetention(w *world[Retention]) *retention {
	w.Helper()
	as := &world[Devices]{reporter: w.reporter, rule: w.rule, suite: w.suite, store: w.store}
	return &retention{tellAccounts(as), w.store}
}

// prune forgets everything that was over before a time, and returns how much.
func (s *retention) prune(before time.Time) int {
	s.Helper()
	return s.pruneBy(storage.PruneStep{ExpiredBefore: before, OverBefore: before, Limit: 100})
}

// pruneBy takes a step until nothing is left, and returns how much went.
func (s *retention) pruneBy(p storage.PruneStep) int {
	s.Helper()
	sum := 0
	for {
		n, err := s.r.Prune(s.ctx, p)
		s.ok(err, "Prune")
		if n == 0 {
			return sum
		}
		sum += n
	}
}

// prunes fails unless just so much is over.
func (s *retention) prunes(before time.Time, want int, what string) {
	s.Helper()
	s.equal(s.prune(before), want, "Prune, "+what+": how many records went")
	s.equal(s.prune(before), 0, "Prune again, "+what+": how many records went")
}

func pruneSessions(w *world[Retention]) {
	s := tellRetention(w)
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for i, name := range []string{"a", "b"} {
		end := minute(10 * (i + 1))
		s.ok(s.r.OpenState(s.ctx, id(name), end), "OpenState")
		kept := session(name)
		kept.Expires = end
		s.ok(s.r.PutSession(s.ctx, kept, [32]byte{}), "PutSession")
		grant := grantOf(name, "u1", start)
		grant.SessionExpires = end
		s.ok(s.r.Grant(s.ctx, grant), "Grant")
	}
	s.prunes(start, 0, "before anything has expired")
	s.prunes(minute(10), 0, "at the time when the first ones expire, before which they had not")
	s.prunes(minute(15), 3, "when the first attempt, session and web session have expired")
	s.is(s.r.ConsumeState(s.ctx, id("a"), start), sso.ErrStateUsed, "ConsumeState of a forgotten attempt")
	_, err := s.r.Session(s.ctx, id("a"), start)
	s.is(err, enroll.ErrNoSession, "Session that was forgotten")
	s.ok(s.r.ConsumeState(s.ctx, id("b"), minute(15)), "ConsumeState of an attempt that is open")
	_, err = s.r.Session(s.ctx, id("b"), minute(15))
	s.ok(err, "Session that is in force")
	again := grantOf("c", "u1", minute(15))
	again.Session = id("web session b")
	s.is(s.r.Grant(s.ctx, again), enroll.ErrSessionUsed, "Grant of a web session that handed back and has not expired")
	s.inForce("a", "t-a", minute(15), "whose web session was forgotten")
	s.prunes(minute(25), 3, "when the others have expired, finished or not")
}

func pruneCommands(w *world[Retention]) {
	s := tellRetention(w)
	p, other := s.enrolled("p", "u1", start), s.enrolled("other", "u1", start)
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	p.enqueue(start, "early", "error", "notnow", "late", "open")
	other.enqueue(start, "early")
	p.idle(start)
	p.report("early", mdm.CommandAcknowledged, hour(1))
	p.report("error", mdm.CommandError, hour(1))
	p.report("notnow", mdm.CommandNotNow, hour(1))
	p.report("late", mdm.CommandAcknowledged, hour(3))
	s.settleAll(start)
	s.prunes(hour(1), 0, "before any command was final")
	s.prunes(hour(2), 2, "when two commands were final")
	var left []string
	for _, c := range s.state().Commands {
		left = append(left, c.EnrollmentID+"/"+c.UUID)
	}
	s.equal(left, []string{"E-p/notnow", "E-p/late", "E-p/open", "E-other/early"}, "the commands that are left")
	reported, next := p.report("early", mdm.CommandError, hour(4))
	s.equal([]string{reported, next}, []string{"", "open"}, "a late report of a forgotten command, and the next command")
	s.equal(p.idle(hour(4)), "notnow", "the next command at Idle")
	p.enqueue(hour(4), "early")
	p.report("notnow", mdm.CommandAcknowledged, hour(4))
	_, next = p.report("open", mdm.CommandAcknowledged, hour(4))
	s.equal(next, "early", "a command whose UUID was forgotten, and which comes last now")
	s.due(hour(4), "after a command whose UUID was forgotten", p.id)
	s.ok(s.s.Unenroll(s.ctx, other.id, hour(4)), "Unenroll")
	s.prunes(hour(5), 4, "when all but one are final, one of them cancelled")
	s.equal(p.command("early").Status, mdm.CommandSent, "the command that is open")
}

func pruneTickets(w *world[Retention]) {
	s := tellRetention(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t-issued", "u1", "s-issued"), [32]byte{}), "IssueTicket")
	identified := s.identified("identified", "u1", start)
	superseded := s.identified("superseded", "u1", start)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t-after", "u1", "session of superseded"), [32]byte{}), "IssueTicket")
	half, whole, ended := s.authenticated("half", "u1", start), s.enrolled("whole", "u1", start), s.enrolled("ended", "u1", start)
	first := s.authenticated("first", "u1", start)
	later := s.downloaded("first-2", first.ticket, "c2", start)
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")
	fresh := ticketOf("t-fresh", "u1", "s-fresh")
	fresh.Issued = start.Add(time.Hour)
	s.ok(s.s.IssueTicket(s.ctx, fresh, [32]byte{}), "IssueTicket")
	before := s.state()
	s.prunes(start, 0, "before any was issued")
	s.equal(s.state(), before, "what is stored")
	s.prunes(start.Add(time.Minute), 4, "of issued, identified, superseded and the one after it")
	after := s.state()
	s.equal(after.Enrollments, before.Enrollments, "the enrollments")
	var left []string
	for _, t := range after.Tickets {
		left = append(left, t.ID)
	}
	s.equal(left, []string{half.ticket, whole.ticket, ended.ticket, first.ticket, fresh.ID}, "the tickets that are left")
	for _, gone := range []*phone{identified, superseded} {
		_, err := s.s.Ticket(s.ctx, gone.ticket)
		s.is(err, enroll.ErrUnknownTicket, "Ticket that was forgotten")
		_, err = gone.authenticate(start)
		s.is(err, mdm.ErrUnknownIdentity, "Authenticate by a forgotten identity")
	}
	_, err := s.s.Challenge(s.ctx, id("c-identified"), id("key of identified"), start)
	s.is(err, enroll.ErrChallenge, "Challenge of a forgotten ticket")
	_, err = later.authenticate(start)
	s.ok(err, "Authenticate of an attempt that had started over")
	_, err = s.s.TokenUpdate(s.ctx, tokenOf(half.certificate, half.id, start))
	s.ok(err, "TokenUpdate of a half made enrollment")
	s.equal(whole.idle(start), "", "the next command of an enrollment")
	_, err = ended.exchange(mdm.ExchangeStep{Idle: true, At: start})
	s.is(err, mdm.ErrEnded, "Exchange of an ended enrollment")
}

func pruneGrants(w *world[Retention]) {
	s := tellRetention(w)
	at := func(days int) time.Time { return start.AddDate(0, 0, days) }
	s.enrolledAccount("living", "u1", start) // its token does not expire
	ended := s.enrolledAccount("ended", "u1", start)
	s.granted("pair", "u1", start) // the refresh token lives a year
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("code", "u1", start), "code")), "Grant")
	s.prunes(at(1), 4+2, "of four web sessions, and the code that nobody redeemed with its ticket")
	s.is(s.a.RedeemCode(s.ctx, codeOf("code", "late", start)), enroll.ErrGrant, "RedeemCode of a forgotten code")
	_, err := s.s.Ticket(s.ctx, "t-code")
	s.is(err, enroll.ErrUnknownTicket, "Ticket of a forgotten code")
	s.equal(s.theTicket("t-pair").State, enroll.TicketIssued, "the ticket of a grant that is in force")
	s.ok(s.s.Unenroll(s.ctx, ended.id, at(1)), "Unenroll")
	s.prunes(at(2), 1, "of the grant of an ended enrollment")
	s.refreshed("pair", "pair2", at(2))
	s.inForce("pair2", "t-pair", at(2), "that was made after Prune")
	s.prunes(at(366), 0, "while the refresh token of two days ago is in force")
	s.prunes(at(369), 2, "of the grant whose refresh token has expired, and its ticket")
	s.is(s.a.Refresh(s.ctx, refreshOf("pair2", "x", at(2))), enroll.ErrGrant, "Refresh by a forgotten token")
	s.inForce("living", "t-living", at(9999), "that does not expire")
}

func pruneTimes(w *world[Retention]) {
	s := tellRetention(w)
	late := start.AddDate(1, 0, 0)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "done")
	p.idle(start)
	p.report("done", mdm.CommandAcknowledged, start)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t-over", "u1", "s-over"), [32]byte{}), "IssueTicket")
	expiring := func(name string) {
		s.ok(s.r.OpenState(s.ctx, id(name), start.Add(time.Minute)), "OpenState")
		kept := session(name)
		kept.Expires = start.Add(time.Minute)
		s.ok(s.r.PutSession(s.ctx, kept, [32]byte{}), "PutSession")
		s.ok(s.r.Grant(s.ctx, byCode(grantOf(name, "u1", start), name)), "Grant")
	}
	expiring("a")
	before := s.state()
	s.equal(s.pruneBy(storage.PruneStep{Limit: 100}), 0, "Prune by no time: how many records went")
	s.equal(s.pruneBy(storage.PruneStep{ExpiredBefore: late, OverBefore: start, Limit: 100}), 3,
		"Prune of an attempt, a session and a web session that have expired: how many records went")
	s.equal(s.state(), before, "what is stored when nothing but they went")
	expiring("b")
	s.equal(s.pruneBy(storage.PruneStep{OverBefore: late, Limit: 100}), 1+2+3,
		"Prune of a final command, two grants whose codes have expired, and three tickets: how many records went")
	s.equal(len(s.state().Commands), 0, "commands that are left")
	s.ok(s.r.ConsumeState(s.ctx, id("b"), start), "ConsumeState of an attempt that stayed")
	_, err := s.r.Session(s.ctx, id("b"), start)
	s.ok(err, "Session that stayed")
	again := grantOf("c", "u1", start)
	again.Session = id("web session b")
	s.is(s.r.Grant(s.ctx, again), enroll.ErrSessionUsed, "Grant of a web session that stayed")
	s.equal(s.pruneBy(storage.PruneStep{ExpiredBefore: late, Limit: 100}), 3, "Prune of the others that have expired: how many records went")
}

func pruneBounded(w *world[Retention]) {
	s := tellRetention(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, names("c", 5)...)
	for next := p.idle(start); next != ""; _, next = p.report(next, mdm.CommandAcknowledged, start) {
	}
	for _, name := range names("s", 5) {
		s.ok(s.r.OpenState(s.ctx, id(name), start), "OpenState")
		s.ok(s.s.IssueTicket(s.ctx, ticketOf("t-"+name, "u1", name), [32]byte{}), "IssueTicket")
	}
	for _, limit := range []int{0, -1} {
		n, err := s.r.Prune(s.ctx, storage.PruneStep{ExpiredBefore: start.Add(time.Hour), OverBefore: start.Add(time.Hour), Limit: limit})
		s.ok(err, "Prune")
		s.equal(n, 0, "records that went with no limit to fill")
	}
	count := func() int { state := s.state(); return len(state.Commands) + len(state.Tickets) }
	sum, before := 0, count()
	for range 100 {
		n, err := s.r.Prune(s.ctx, storage.PruneStep{ExpiredBefore: start.Add(time.Hour), OverBefore: start.Add(time.Hour), Limit: 4})
		s.ok(err, "Prune")
		s.truth(n <= 4, "%d records went with a limit of 4", n)
		left := count()
		s.truth(before-left <= n, "%d commands and tickets went, and Prune says %d", before-left, n)
		sum, before = sum+n, left
		if n == 0 {
			break
		}
	}
	s.equal(sum, 15, "records that went in all")
	s.equal(count(), 1, "commands and tickets that are left")
}

func pruneOrder(w *world[Retention]) {
	s := tellRetention(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "a", "b", "c")
	p.report("c", mdm.CommandAcknowledged, start)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t-over", "u1", "s-over"), [32]byte{}), "IssueTicket")
	account := s.enrolledAccount("account", "u1", start)
	s.ok(s.a.Grant(s.ctx, byCode(againOf("over", "u1", account.id, start), "over")), "Grant")
	at := start.AddDate(0, 0, 1)
	s.truth(s.prune(at) > 0, "nothing was over")
	p.enqueue(at, "d")
	var got []string
	for next := p.idle(at); next != ""; _, next = p.report(next, mdm.CommandAcknowledged, at) {
		got = append(got, next)
	}
	s.equal(got, []string{"a", "b", "d"}, "the order of the commands")
	fresh := s.identified("fresh", "u1", at)
	fresh.id = p.id
	_, err := fresh.authenticate(at)
	s.ok(err, "Authenticate with a newer ticket, under a known EnrollmentID")
	s.ok(s.a.Grant(s.ctx, againOf("again", "u1", account.id, at)), "Grant")
	s.ok(account.exchange("again", at), "Exchange with a token of a later grant")
	s.is(account.exchange("account", at), mdm.ErrBearer, "Exchange with the former token")
}

func pruneCancelled(w *world[Retention]) {
	s := tellRetention(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t", "u1", "s"), [32]byte{}), "IssueTicket")
	before := s.state()
	n, err := s.r.Prune(s.gone(), storage.PruneStep{ExpiredBefore: start.Add(time.Hour), OverBefore: start.Add(time.Hour), Limit: 10})
	s.truth(err != nil && n == 0, "Prune succeeds when its context is over")
	s.equal(s.state(), before, "what is stored")
}

// prune forgets what was over some time ago, where a store can. How much that is
// depends on what it has forgotten by itself.
func (h *history) prune() {
	if _, ok := h.s.(storage.Pruner); !ok {
		return
	}
	ago := func() time.Time { return h.now.Add(-time.Duration(h.rng.IntN(120)) * time.Minute) }
	step := storage.PruneStep{ExpiredBefore: ago(), OverBefore: ago(), Limit: 1000}
	what := "Prune what expired before " + step.ExpiredBefore.Format(time.TimeOnly) + " and was over before " + step.OverBefore.Format(time.TimeOnly)
	h.do(what, func(d Devices) (any, error) {
		p, ok := d.(storage.Pruner)
		if !ok {
			return nil, nil
		}
		_, err := p.Prune(h.ctx, step)
		return nil, err
	})
}
