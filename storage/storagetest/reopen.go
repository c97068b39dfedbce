package storagetest

import (
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
)

func reopenClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "survives reopening", durable: true, rule: `When a step has returned, it is there after the process ends, and
			what was refused is not.`, check: reopenState},
		{name: "goes on after reopening", durable: true, rule: `A device goes on where it was, whichever step it had come to
			when the process ended.`, check: reopenBetween},
		{name: "pushes survive reopening", durable: true, rule: `Requests, leases, retries and tokens survive: no device waits
			forever for a push that was asked for.`, check: reopenPushes},
	}
}

func reopenState(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "done", "notnow", "sent", "queued")
	p.idle(start)
	p.report("done", mdm.CommandAcknowledged, start)
	p.report("notnow", mdm.CommandNotNow, start)
	s.authenticated("half", "u1", start)
	s.identified("identified", "u2", start)
	ended := s.enrolled("ended", "u2", start)
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")
	suspended := s.enrolled("suspended", "u3", start)
	s.ok(s.s.SuspendUser(s.ctx, "u3", true), "SuspendUser")
	s.is(s.s.Enqueue(s.ctx, commandOf(p.id, "refused", start), commandOf(ended.id, "refused", start)), mdm.ErrUnknownEnrollment, "Enqueue")
	before := s.state()
	for range 2 {
		w.reopen()
		s = tell(w)
		p.story, suspended.story = s, s
		s.equal(s.state(), before, "what is stored, after reopening")
	}
	_, next := p.report("sent", mdm.CommandAcknowledged, start)
	s.equal(next, "queued", "the next command in the session that had begun before")
	_, next = p.report("queued", mdm.CommandAcknowledged, start)
	s.equal(next, "", "the next command, when one was answered NotNow before")
	s.equal(p.idle(start), "notnow", "the next command at Idle")
	_, err := suspended.exchange(mdm.ExchangeStep{Idle: true, At: start})
	s.is(err, mdm.ErrSuspended, "Exchange of a suspended user after reopening")
}

func reopenBetween(w *world[Devices]) {
	s := tell(w)
	again := func() {
		w.Helper()
		w.reopen()
		s = tell(w)
	}
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t", "u1", "s"), [32]byte{}), "IssueTicket")
	again()
	_, err := s.s.Download(s.ctx, downloadOf("t", "c", start))
	s.ok(err, "Download")
	again()
	step := identifyOf("c", "k", start)
	der, err := s.s.Identify(s.ctx, step)
	s.ok(err, "Identify")
	again()
	same, err := s.s.Challenge(s.ctx, id("c"), id("k"), start)
	s.ok(err, "Challenge")
	s.equal(string(same), string(der), "the certificate after reopening")
	_, err = s.s.Challenge(s.ctx, id("c"), id("another"), start)
	s.is(err, enroll.ErrChallenge, "Challenge by another key after reopening")
	p := &phone{story: s, id: "E", ticket: "t", certificate: step.Digest}
	_, err = p.authenticate(start)
	s.ok(err, "Authenticate")
	again()
	update := tokenOf(p.certificate, p.id, start)
	update.Plan = []mdm.Command{commandOf(p.id, "c1", start)}
	_, err = s.s.TokenUpdate(s.ctx, update)
	s.ok(err, "TokenUpdate")
	again()
	p.story = s
	s.equal(p.idle(start), "c1", "the next command")
	again()
	p.story = s
	reported, next := p.report("c1", mdm.CommandAcknowledged, start)
	s.equal([]string{reported, next}, []string{"c1", ""}, "what was reported, and the next command")
	again()
	s.equal(s.theTicket("t").State, enroll.TicketEnrolled, "the ticket's state")
}

func reopenPushes(w *world[Devices]) {
	s := tell(w)
	var phones []*phone
	for _, name := range []string{"asked", "leased", "retried", "dead"} {
		phones = append(phones, s.enrolled(name, "u1", start))
	}
	asked, leased, retried, dead := phones[0], phones[1], phones[2], phones[3]
	asked.enqueue(start.Add(time.Hour), "c1")
	leased.enqueue(start, "c1")
	s.due(start, "a first claim", leased.id)
	retried.enqueue(start, "c2")
	retry := result(s.due(start, "a claim that is to be retried", retried.id)[0], 503, start)
	retry.Retry = start.Add(30 * time.Minute)
	dead.enqueue(start, "c2")
	gone := result(s.due(start, "a claim whose token is dead", dead.id)[0], 410, start)
	gone.Dead = true
	s.settle(retry, gone)
	pushes := s.state().Pushes
	w.reopen()
	s = tell(w)
	s.equal(s.state().Pushes, pushes, "the last attempts, after reopening")
	s.due(start, "nobody, since all wait for something")
	targets := s.due(start.Add(time.Hour), "everybody but who has no token", leased.id, retried.id, asked.id)
	s.equal([]int{targets[0].Attempt, targets[1].Attempt, targets[2].Attempt}, []int{0, 1, 0}, "Attempts")
	s.equal(string(targets[1].Token), "token of "+retried.id, "a token, after reopening")
	_, err := s.s.TokenUpdate(s.ctx, tokenOf(dead.certificate, dead.id, start.Add(time.Hour)))
	s.ok(err, "TokenUpdate")
	s.due(start.Add(time.Hour), "who has a token again", dead.id)
	s.settle(push.Result{})
}
