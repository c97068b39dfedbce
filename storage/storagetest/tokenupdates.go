package storagetest

import (
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

func tokenUpdateFirst(w *world[Devices]) {
	s := tell(w)
	p := s.authenticated("p", "u1", start)
	at := start.Add(3 * time.Minute)
	step := tokenOf(p.certificate, p.id, at)
	unplanned := step
	unplanned.Planned = false
	half := p.enrollment()
	s.refused(mdm.ErrPlanNeeded, "the first TokenUpdate without a plan", func() error {
		e, err := s.s.TokenUpdate(s.ctx, unplanned)
		s.equal(e, half, "the enrollment that comes with ErrPlanNeeded")
		return err
	})
	s.due(at, "an enrollment that is half made")

	planned := []time.Time{at.Add(-time.Minute), at.Add(time.Minute)}
	step.Plan = []mdm.Command{commandOf(p.id, "p1", planned[0]), commandOf(p.id, "p2", planned[1])}
	var got mdm.Enrollment
	s.repeated("TokenUpdate", func() (err error) {
		got, err = s.s.TokenUpdate(s.ctx, step)
		return err
	})
	half.State, half.Enrolled = mdm.StateEnrolled, at
	s.equal(withoutContact(got), withoutContact(half), "the enrollment that TokenUpdate returned")
	s.equal(p.enrollment(), got, "the enrollment")
	ticket := s.theTicket(p.ticket)
	s.equal([]any{ticket.State, ticket.Enrolled, ticket.EnrollmentID}, []any{enroll.TicketEnrolled, at, p.id}, "the ticket")
	s.equal([]time.Time{p.command("p1").Queued, p.command("p2").Queued}, planned, "when the plan's commands were queued")
	s.due(at.Add(-time.Second), "before the first TokenUpdate")
	targets := s.due(at, "after the first TokenUpdate", p.id)
	s.equal([]any{string(targets[0].Token), targets[0].Magic, targets[0].Topic}, []any{"token of " + p.id, "magic of " + p.id, topic}, "the target")
	s.equal(p.idle(at), "p1", "the first command, at the very next Idle")
	reported, next := p.report("p1", mdm.CommandAcknowledged, at)
	s.equal([]string{reported, next}, []string{"p1", "p2"}, "what was reported, and the next command")

	empty := s.authenticated("empty", "u1", start)
	_, err := s.s.TokenUpdate(s.ctx, tokenOf(empty.certificate, empty.id, at))
	s.ok(err, "TokenUpdate with an empty plan")
	s.due(at, "after the first TokenUpdate with an empty plan", empty.id)
}

func tokenUpdateRepeats(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	before := p.enrollment()
	step := tokenOf(p.certificate, p.id, start.Add(time.Hour))
	step.Token, step.PushMagic, step.Topic = []byte("second token"), "second magic", "com.apple.mgmt.External.second"
	step.Plan = []mdm.Command{commandOf(p.id, "p1", start)}
	var got mdm.Enrollment
	s.repeated("a later TokenUpdate", func() (err error) {
		got, err = s.s.TokenUpdate(s.ctx, step)
		return err
	})
	before.Topic = step.Topic
	s.equal(got, before, "the enrollment")
	s.equal(p.idle(start), "", "the next command after a plan that came too late")
	s.due(start.Add(time.Hour), "after a TokenUpdate that was not the first")
	p.enqueue(start.Add(time.Hour), "c1")
	targets := s.due(start.Add(time.Hour), "after Enqueue", p.id)
	s.equal([]any{string(targets[0].Token), targets[0].Magic, targets[0].Topic}, []any{"second token", "second magic", step.Topic}, "the target")
	step.Planned, step.Plan = false, nil
	_, err := s.s.TokenUpdate(s.ctx, step)
	s.ok(err, "a later TokenUpdate without a plan")
}

func tokenUpdateContact(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	tomorrow := start.AddDate(0, 0, 1)
	got, err := s.s.TokenUpdate(s.ctx, tokenOf(p.certificate, p.id, tomorrow))
	s.ok(err, "TokenUpdate on the next day")
	s.equal(p.enrollment().Contact.Format(time.DateOnly), tomorrow.Format(time.DateOnly), "the day of last contact")
	s.equal(got, p.enrollment(), "the enrollment that TokenUpdate returned")
	for what, at := range map[string]time.Time{"later that day": tomorrow.Add(time.Hour), "by a clock that went back": start} {
		_, err := s.s.TokenUpdate(s.ctx, tokenOf(p.certificate, p.id, at))
		s.ok(err, "TokenUpdate "+what)
		s.equal(p.enrollment(), got, "the enrollment after a TokenUpdate "+what)
	}
}

func tokenUpdatePlanExists(w *world[Devices]) {
	s := tell(w)
	old := s.enrolled("p", "u1", start)
	old.enqueue(start, "p1")
	old.idle(start)
	old.report("p1", mdm.CommandAcknowledged, start)
	before := old.command("p1")
	fresh := s.identified("again", "u1", start)
	fresh.id = old.id
	_, err := fresh.authenticate(start)
	s.ok(err, "Authenticate with a newer ticket")
	step := tokenOf(fresh.certificate, fresh.id, start.Add(time.Minute))
	twice := commandOf(fresh.id, "p2", start)
	step.Plan = []mdm.Command{commandOf(fresh.id, "p1", start.Add(time.Minute)), twice, twice}
	_, err = s.s.TokenUpdate(s.ctx, step)
	s.ok(err, "TokenUpdate whose plan has a command that exists")
	s.equal(fresh.command("p1"), before, "the command that existed")
	s.equal(fresh.idle(start.Add(time.Minute)), "p2", "the next command")
	_, next := fresh.report("p2", mdm.CommandAcknowledged, start.Add(time.Minute))
	s.equal(next, "", "the next command, after one that was planned twice")
}
