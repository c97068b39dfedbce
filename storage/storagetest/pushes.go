package storagetest

import (
	"time"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
)

func pushClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "a push is claimed by one", rule: `ClaimPushes returns a device once, however many requests there were, and
			no other call gets it until its lease is over; then it comes again: a worker that dies loses nothing.`, check: pushLease},
		{name: "the longest due first", rule: `ClaimPushes returns the longest due first, and at most limit.`, check: pushOrder},
		{name: "settling settles what was asked for before", rule: `A result without Retry settles the requests up to
			Target.Request; one made since stays and is due at once. Settling again changes nothing.`, check: pushSettle},
		{name: "a retry waits", rule: `With Retry the request is due then, its Attempt one higher, and a new request does
			not make it earlier: APNs said when. A result that comes twice counts once.`, check: pushRetry},
		{name: "a dead token is forgotten", rule: `A Dead token is forgotten and the request waits for the next TokenUpdate,
			which makes it due.`, check: pushDead},
		{name: "a newer token lives", rule: `A Dead result kills no token that the device has sent since: the request is due
			at once with that.`, check: pushDeadNewer},
		{name: "results for nobody", rule: `A result for an enrollment that is unknown or ended changes nothing and is no
			error.`, check: pushNobody},
		{name: "the last attempt is kept", rule: `State lists the last attempt to wake each device, by the time of the attempt:
			a result that comes late does not replace a later one.`, check: pushLast},
	}
}

// pushed is a phone with a request for a push.
func (s *story) pushed(name string, at time.Time) *phone {
	s.Helper()
	p := s.enrolled(name, "u1", at)
	p.enqueue(at, "c1")
	return p
}

func (s *story) settle(r ...push.Result) {
	s.Helper()
	s.ok(s.s.SettlePushes(s.ctx, r...), "SettlePushes")
}

func result(t push.Target, status int, at time.Time) push.Result {
	return push.Result{Target: t, ID: "apns-1", Status: status, At: at}
}

func pushLease(w *world[Devices]) {
	s := tell(w)
	p := s.pushed("p", start)
	p.enqueue(start, "c2", "c3")
	s.due(start.Add(-time.Second), "before the request")
	claim := func(at time.Time) []push.Target {
		s.Helper()
		targets, err := s.s.ClaimPushes(s.ctx, at, 5*time.Minute, 100)
		s.ok(err, "ClaimPushes")
		return targets
	}
	first := claim(start)
	s.equal(len(first), 1, "targets for three requests")
	s.equal(len(claim(start)), 0, "targets while the first claim is on lease")
	p.enqueue(start.Add(time.Minute), "c4")
	s.equal(len(claim(start.Add(5*time.Minute-time.Second))), 0, "targets before the lease is over, although there was another request")
	again := claim(start.Add(5 * time.Minute))
	s.equal(len(again), 1, "targets after the lease")
	s.equal(again[0].Attempt, 0, "Attempt, when no result came")
	s.truth(again[0].Request > first[0].Request, "the later claim has request %d, not above %d", again[0].Request, first[0].Request)
}

func pushOrder(w *world[Devices]) {
	s := tell(w)
	a, b, c := s.enrolled("a", "u1", start), s.enrolled("b", "u2", start), s.enrolled("c", "u1", start)
	b.enqueue(start, "c1")
	c.enqueue(start.Add(2*time.Second), "c1")
	a.enqueue(start.Add(time.Second), "c1")
	for _, limit := range []int{0, -1} {
		targets, err := s.s.ClaimPushes(s.ctx, start.Add(time.Hour), time.Minute, limit)
		s.ok(err, "ClaimPushes")
		s.equal(len(targets), 0, "targets with no limit to fill")
	}
	for _, want := range []string{b.id, a.id, c.id} {
		targets, err := s.s.ClaimPushes(s.ctx, start.Add(time.Hour), time.Minute, 1)
		s.ok(err, "ClaimPushes")
		s.equal(len(targets), 1, "targets")
		s.equal(targets[0].EnrollmentID, want, "who is woken next")
	}
}

func pushSettle(w *world[Devices]) {
	s := tell(w)
	p := s.pushed("p", start)
	target := s.claims(start)[0]
	p.enqueue(start, "c2")
	at := start.Add(10 * time.Second)
	for range 2 {
		s.settle(result(target, 200, at))
	}
	later := s.due(at, "a request that was made after the claim", p.id)[0]
	s.equal(later.Attempt, 0, "its Attempt")
	s.settle(result(target, 200, at)) // a late repeat
	s.due(at, "while the later request is claimed")
	for range 2 {
		s.settle(result(later, 200, at))
	}
	s.due(start.AddDate(1, 0, 0), "when everything is settled")
	s.settle()
	p.enqueue(at, "c3")
	s.due(at, "a new request", p.id)
}

func pushRetry(w *world[Devices]) {
	s := tell(w)
	p := s.pushed("p", start)
	at := start
	for attempt := range 3 {
		target := s.due(at, "an attempt", p.id)[0]
		s.equal(target.Attempt, attempt, "Attempt")
		r := result(target, 503, at)
		r.Retry = at.Add(time.Hour)
		for range 2 {
			s.settle(r)
		}
		p.enqueue(at, names("more", 4)[attempt])
		s.due(r.Retry.Add(-time.Second), "before the retry")
		at = r.Retry
	}
	target := s.due(at, "the last attempt", p.id)[0]
	s.equal(target.Attempt, 3, "Attempt")
	s.settle(result(target, 200, at))
	s.due(start.AddDate(1, 0, 0), "after the success, which also settles what was asked for meanwhile")
	p.enqueue(at, "another")
	s.equal(s.due(at, "a new request", p.id)[0].Attempt, 0, "Attempt of a new request")
}

func pushDead(w *world[Devices]) {
	s := tell(w)
	other, p := s.enrolled("other", "u1", start), s.pushed("p", start)
	target := s.claims(start)[0]
	dead := result(target, 410, start)
	dead.Dead, dead.DeadAt = true, start.Add(time.Hour)
	for range 2 {
		s.settle(dead)
	}
	at := start.Add(2 * time.Hour)
	p.enqueue(start, "c2")
	s.due(start.AddDate(1, 0, 0), "without a token")
	step := tokenOf(p.certificate, p.id, at)
	step.Token = []byte("new token")
	_, err := s.s.TokenUpdate(s.ctx, step)
	s.ok(err, "TokenUpdate")
	got := s.due(at, "with a new token", p.id)[0]
	s.equal(string(got.Token), "new token", "the token")
	unknown := result(got, 400, at)
	unknown.Dead = true
	s.settle(unknown)
	// What is asked for while there is no token is due from the next one on, after
	// what somebody else has waited for longer.
	other.enqueue(at.Add(time.Minute), "c1")
	p.enqueue(at, "c3")
	step = tokenOf(p.certificate, p.id, at.Add(2*time.Minute))
	_, err = s.s.TokenUpdate(s.ctx, step)
	s.ok(err, "TokenUpdate")
	for _, want := range []string{other.id, p.id} {
		targets, err := s.s.ClaimPushes(s.ctx, at.Add(time.Hour), time.Minute, 1)
		s.ok(err, "ClaimPushes")
		s.equal(len(targets), 1, "targets")
		s.equal(targets[0].EnrollmentID, want, "who is woken next")
		died := result(targets[0], 400, at)
		died.Dead = true
		s.settle(died)
	}
	s.due(at.AddDate(1, 0, 0), "after a token died of which APNs did not say when")
}

func pushDeadNewer(w *world[Devices]) {
	s := tell(w)
	p := s.pushed("p", start)
	target := s.claims(start)[0]
	at := start.Add(30 * time.Second)
	step := tokenOf(p.certificate, p.id, at)
	step.Token = []byte("new token")
	_, err := s.s.TokenUpdate(s.ctx, step)
	s.ok(err, "TokenUpdate while a push is on its way")
	dead := result(target, 410, at)
	dead.Dead, dead.DeadAt = true, start.Add(-time.Hour)
	s.settle(dead)
	got := s.due(at, "after the death of a former token", p.id)[0]
	s.equal(string(got.Token), "new token", "the token")

	same := result(got, 410, at)
	same.Dead, same.DeadAt = true, start // the same token was sent again after that
	s.settle(same)
	p.enqueue(at, "c2")
	s.due(at, "after the death of a token that came again since", p.id)
}

func pushNobody(w *world[Devices]) {
	s := tell(w)
	p := s.pushed("p", start)
	target := s.claims(start)[0]
	s.ok(s.s.Unenroll(s.ctx, p.id, start), "Unenroll")
	before := s.state()
	retry := result(target, 503, start)
	retry.Retry = start
	unknown := retry
	unknown.Target.EnrollmentID = "E-nobody"
	s.settle(retry, unknown, result(target, 200, start))
	s.equal(s.state(), before, "what is stored")
	s.due(start.AddDate(1, 0, 0), "after a retry for an ended enrollment")
}

func pushLast(w *world[Devices]) {
	s := tell(w)
	s.equal(s.state().Pushes, []storage.Push{}, "pushes of an empty store")
	a, b := s.enrolled("a", "u1", start), s.enrolled("b", "u1", start)
	a.enqueue(start, "c1")
	b.enqueue(start, "c1")
	var late []push.Result
	for i, status := range []int{503, 0, 200} {
		at := start.Add(time.Duration(i) * time.Hour)
		for _, t := range s.claims(at) {
			r := result(t, status, at)
			late = append(late, r)
			if status != 200 {
				r.Retry = at.Add(time.Hour)
			}
			s.settle(r)
		}
		s.equal(s.state().Pushes, []storage.Push{
			{EnrollmentID: a.id, Status: status, Time: at}, {EnrollmentID: b.id, Status: status, Time: at},
		}, "the last attempts")
	}
	last := s.state().Pushes
	s.settle(late[:2]...)
	s.equal(s.state().Pushes, last, "the last attempts, after a late repeat of the first results")
	_, err := s.s.CheckOut(s.ctx, mdm.CheckOutStep{Certificate: a.certificate, EnrollmentID: a.id, At: start})
	s.ok(err, "CheckOut")
}
