package storagetest

import (
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

func enrollmentClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "authenticate binds", rule: `Authenticate binds EnrollmentID and certificate, makes the enrollment, and moves
			the ticket; the same pair again returns the enrollment unchanged.`, check: authenticateBinds},
		{name: "a certificate is bound once", rule: `A certificate that is bound to an EnrollmentID is ErrForeignCertificate
			under any other: a device is its certificate.`, check: authenticateBoundOnce},
		{name: "who sends a step", rule: `Each device-side step looks at the identity first: unknown, then suspended, then
			the kind of name, then bound to another, then not bound, then ended. A refused step changes nothing.`, check: senderOrder},
		{name: "an empty name is of no kind", rule: `An Exchange with an empty EnrollmentID asks who sent it, and Device is not
			looked at: a bound certificate is ErrForeignCertificate, any other ErrNotAuthenticated.`, check: senderWithoutName},
		{name: "a colleague takes nothing over", rule: `A known EnrollmentID under another certificate is
			ErrForeignCertificate, unless that was issued to the same user for a newer ticket, or for the same
			ticket not yet spent.`, check: authenticateForeign},
		{name: "a newer ticket takes over", rule: `With a newer ticket of the same user the enrollment moves to the new
			certificate and starts over, and its old identity is replaced.`, check: authenticateNewer},
		{name: "starting over", rule: `A later download's identity takes a half made enrollment over, under the same
			EnrollmentID or a new one; then the earlier one is replaced. Nothing stays on a phone whose
			Authenticate failed.`, check: authenticateStartsOver},
		{name: "time to authenticate", rule: `The first Authenticate of an identity is ErrUnknownIdentity when its
			challenge's time is over; no clock runs after that.`, check: authenticateDeadline},
		{name: "the time to authenticate is over at its time", rule: atItsTime, check: authenticateBoundary},
		{name: "the limit of devices", rule: `Authenticate is ErrDeviceLimit when the user already has DeviceLimit enrolled
			devices; a device that is enrolled is not counted against itself; 0 is no limit.`, check: authenticateLimit},
		{name: "first TokenUpdate enrolls", rule: `The first TokenUpdate needs a plan (ErrPlanNeeded, with the enrollment and
			without a change), enrolls, spends the ticket, queues the plan as it is and asks for a push at its own time,
			in one step.`, check: tokenUpdateFirst},
		{name: "TokenUpdate repeats", rule: `TokenUpdate again stores the token and queues nothing: Apple sends it whenever
			the token changes.`, check: tokenUpdateRepeats},
		{name: "TokenUpdate is a contact", rule: `TokenUpdate notes the first contact of a day: who looks for devices that
			were not heard of looks there.`, check: tokenUpdateContact},
		{name: "a planned command that exists is left", rule: `A CommandUUID of the plan that is queued already is left as it
			is: a repeat must not send a payload twice.`, check: tokenUpdatePlanExists},
		{name: "CheckOut ends", rule: `CheckOut ends the enrollment, cancels its open commands and forgets token and pushes;
			again it is no error and changes nothing.`, check: checkOutEnds},
		{name: "Unenroll ends", rule: `Unenroll does what CheckOut does; an unknown enrollment is ErrUnknownEnrollment.`, check: unenrollEnds},
		{name: "the ended stay ended", rule: `Every device-side step of an ended enrollment is ErrEnded, but for a repeated
			CheckOut.`, check: endedStaysEnded},
		{name: "suspended users wait", rule: `Every device-side step of a suspended user is ErrSuspended and changes nothing;
			lifting it heals. It is possible before the user has a device, and for users that this database does
			not know.`, check: suspendedUsers},
		{name: "enrollments are apart", rule: `No step of one enrollment touches another.`, check: enrollmentsApart},
	}
}

func authenticateBinds(w *world[Devices]) {
	s := tell(w)
	p := s.identified("p", "u1", start)
	at := start.Add(time.Minute)
	want := mdm.Enrollment{
		ID: p.id, UserID: "u1", TicketID: p.ticket, Way: mdm.WayProfile, State: mdm.StateAuthenticated, Certificate: p.certificate,
		Topic: topic, OSVersion: "17.6.1", BuildVersion: "21G93", Product: "iPhone15,2", Created: at,
	}
	var got mdm.Enrollment
	s.repeated("Authenticate", func() (err error) {
		got, err = p.authenticate(at)
		return err
	})
	s.equal(withoutContact(got), want, "the enrollment that Authenticate returned")
	s.equal(p.enrollment(), got, "the enrollment")
	ticket := s.theTicket(p.ticket)
	s.equal([]any{ticket.State, ticket.Authenticated, ticket.EnrollmentID}, []any{enroll.TicketAuthenticated, at, p.id}, "the ticket")

	before := s.state()
	later := authenticateOf(p.certificate, p.id, start.Add(2*time.Minute))
	later.OSVersion, later.Topic = "18.0", "another"
	_, err := s.s.Authenticate(s.ctx, later)
	s.ok(err, "Authenticate of the same pair with other words")
	s.equal(s.state(), before, "what is stored after the same pair again")
	s.due(at, "a half made enrollment")
}

// withoutContact is an enrollment without the day of last contact, which a step
// that writes anyway may note or not.
func withoutContact(e mdm.Enrollment) mdm.Enrollment {
	e.Contact = time.Time{}
	return e
}

func authenticateBoundOnce(w *world[Devices]) {
	s := tell(w)
	for _, p := range []*phone{s.authenticated("half", "u1", start), s.enrolled("whole", "u1", start)} {
		s.refused(mdm.ErrForeignCertificate, "Authenticate with a bound certificate and another EnrollmentID", func() error {
			_, err := s.s.Authenticate(s.ctx, authenticateOf(p.certificate, "E-other", start))
			return err
		})
		_, err := s.s.Enrollment(s.ctx, "E-other")
		s.is(err, mdm.ErrUnknownEnrollment, "the other EnrollmentID")
	}
	p := s.identified("p", "u1", start)
	before := s.state()
	_, err := s.s.Authenticate(s.ctx, authenticateOf(p.certificate, "", start))
	s.truth(err != nil, "an empty EnrollmentID was bound")
	s.equal(s.state(), before, "what is stored after a refused step")
}

// steps are the device-side steps of a certificate and a name.
func (s *story) steps(certificate [32]byte, enrollmentID string, device bool, at time.Time) map[string]func() error {
	return map[string]func() error{
		"Authenticate": func() error {
			a := authenticateOf(certificate, enrollmentID, at)
			a.Device = device
			_, err := s.s.Authenticate(s.ctx, a)
			return err
		},
		"TokenUpdate": func() error {
			u := tokenOf(certificate, enrollmentID, at)
			u.Device, u.Token, u.PushMagic = device, []byte("another token"), "another magic"
			u.Plan = []mdm.Command{commandOf(enrollmentID, "planned", at)}
			_, err := s.s.TokenUpdate(s.ctx, u)
			return err
		},
		"CheckOut": func() error {
			_, err := s.s.CheckOut(s.ctx, mdm.CheckOutStep{Certificate: certificate, EnrollmentID: enrollmentID, Device: device, At: at})
			return err
		},
		"Idle": func() error {
			out, err := s.s.Exchange(s.ctx, mdm.ExchangeStep{Certificate: certificate, EnrollmentID: enrollmentID, Device: device, Idle: true, At: at})
			s.equal(out, mdm.Exchanged{}, "what comes with a refused Exchange")
			return err
		},
		"report": func() error {
			out, err := s.s.Exchange(s.ctx, mdm.ExchangeStep{
				Certificate: certificate, EnrollmentID: enrollmentID, Device: device,
				CommandUUID: "c1", Status: mdm.CommandAcknowledged, Result: []byte("result"), At: at,
			})
			s.equal(out, mdm.Exchanged{}, "what comes with a refused Exchange")
			return err
		},
	}
}

func senderOrder(w *world[Devices]) {
	s := tell(w)
	later := start.AddDate(0, 0, 2) // a contact on another day would be noted
	refuse := func(want error, what string, steps map[string]func() error, but ...string) {
		s.Helper()
		for name, step := range steps {
			if len(but) == 0 || but[0] != name {
				s.refused(want, name+" "+what, step)
			}
		}
	}
	unbound := s.identified("unbound", "u1", start)
	bound := s.enrolled("bound", "u2", start)
	suspended, ended := s.enrolled("suspended", "u3", start), s.enrolled("ended", "u4", start)
	bound.enqueue(start, "c1", "c2")
	suspended.enqueue(start, "c1")
	s.ok(s.s.SuspendUser(s.ctx, "u3", true), "SuspendUser")
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")

	refuse(mdm.ErrUnknownIdentity, "by an unknown certificate", s.steps(id("unknown"), bound.id, false, later))
	refuse(mdm.ErrSuspended, "of a suspended user", s.steps(suspended.certificate, suspended.id, false, later))
	refuse(mdm.ErrSuspended, "of a suspended user, by another's name", s.steps(suspended.certificate, bound.id, true, later))
	refuse(mdm.ErrChannel, "by a UDID under User Enrollment", s.steps(bound.certificate, bound.id, true, later))
	refuse(mdm.ErrChannel, "by a UDID, before Authenticate", s.steps(unbound.certificate, "E-new", true, start))
	refuse(mdm.ErrForeignCertificate, "by another's name", s.steps(bound.certificate, ended.id, false, later))
	refuse(mdm.ErrForeignCertificate, "by an unknown name", s.steps(bound.certificate, "E-nobody", false, later))
	refuse(mdm.ErrForeignCertificate, "without a name", s.steps(bound.certificate, "", false, later))
	refuse(mdm.ErrForeignCertificate, "of an ended enrollment, by another's name", s.steps(ended.certificate, bound.id, false, later))
	refuse(mdm.ErrNotAuthenticated, "before Authenticate", s.steps(unbound.certificate, "E-new", false, start), "Authenticate")
	refuse(mdm.ErrNotAuthenticated, "before Authenticate, by another's name", s.steps(unbound.certificate, bound.id, false, start), "Authenticate")
	refuse(mdm.ErrEnded, "of an ended enrollment", s.steps(ended.certificate, ended.id, false, later), "CheckOut")

	s.due(start, "after refused TokenUpdates", bound.id)
}

func senderWithoutName(w *world[Devices]) {
	s := tell(w)
	bound, unbound := s.enrolled("bound", "u1", start), s.identified("unbound", "u1", start)
	ended := s.enrolled("ended", "u1", start)
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")
	for _, device := range []bool{false, true} {
		for _, c := range []struct {
			p    *phone
			want error
		}{{bound, mdm.ErrForeignCertificate}, {ended, mdm.ErrForeignCertificate}, {unbound, mdm.ErrNotAuthenticated}} {
			s.refused(c.want, fmt.Sprintf("Exchange without a name by %s, Device %v", c.p.id, device), func() error {
				_, err := s.s.Exchange(s.ctx, mdm.ExchangeStep{Certificate: c.p.certificate, Device: device, Idle: true, At: start.AddDate(0, 0, 2)})
				return err
			})
		}
	}
}

func authenticateForeign(w *world[Devices]) {
	s := tell(w)
	older := s.identified("older", "u1", start)
	victim := s.enrolled("victim", "u1", start)
	victim.enqueue(start, "c1")
	colleague := s.identified("colleague", "u2", start)
	half := s.authenticated("half", "u1", start)
	for what, c := range map[string]*phone{"a colleague's newer ticket": colleague, "an older ticket of the same user": older} {
		for _, p := range []*phone{victim, half} {
			s.refused(mdm.ErrForeignCertificate, "Authenticate with "+what, func() error {
				_, err := s.s.Authenticate(s.ctx, authenticateOf(c.certificate, p.id, start))
				return err
			})
		}
	}
	s.ok(s.s.Unenroll(s.ctx, victim.id, start), "Unenroll")
	s.refused(mdm.ErrForeignCertificate, "Authenticate with a colleague's newer ticket for an ended enrollment", func() error {
		_, err := s.s.Authenticate(s.ctx, authenticateOf(colleague.certificate, victim.id, start))
		return err
	})
	_, err := colleague.authenticate(start)
	s.ok(err, "the colleague's own Authenticate")
}

func authenticateNewer(w *world[Devices]) {
	s := tell(w)
	for _, ended := range []bool{false, true} {
		name := fmt.Sprint("p", ended)
		old := s.enrolled(name, "u1", start)
		old.enqueue(start, "c1")
		if ended {
			s.ok(s.s.Unenroll(s.ctx, old.id, start), "Unenroll")
		}
		at := start.Add(10 * time.Minute)
		fresh := s.identified(name+"-again", "u1", at)
		fresh.id = old.id
		var got mdm.Enrollment
		s.repeated("Authenticate with a newer ticket", func() (err error) {
			got, err = fresh.authenticate(at)
			return err
		})
		s.equal(withoutContact(got), mdm.Enrollment{
			ID: old.id, UserID: "u1", TicketID: fresh.ticket, Way: mdm.WayProfile, State: mdm.StateAuthenticated, Certificate: fresh.certificate,
			Topic: topic, OSVersion: "17.6.1", BuildVersion: "21G93", Product: "iPhone15,2", Created: at,
		}, "the enrollment, which starts over")
		for step, run := range s.steps(old.certificate, old.id, false, at) {
			s.refused(mdm.ErrUnknownIdentity, step+" by the replaced certificate", run)
		}
		s.equal(s.theTicket(old.ticket).State, enroll.TicketEnrolled, "the old ticket, which is spent")
		s.due(at, "an enrollment whose token is of its former life")
		_, err := s.s.TokenUpdate(s.ctx, tokenOf(fresh.certificate, fresh.id, at))
		s.ok(err, "TokenUpdate")
		s.equal([]any{fresh.enrollment().State, s.theTicket(fresh.ticket).State}, []any{mdm.StateEnrolled, enroll.TicketEnrolled}, "states")
		s.settleAll(at)
	}
}

func authenticateStartsOver(w *world[Devices]) {
	s := tell(w)
	for _, sameName := range []bool{true, false} {
		name := fmt.Sprint("p", sameName)
		first := s.authenticated(name, "u1", start)
		second := s.downloaded(name+"-2", first.ticket, "c2 "+name, start.Add(time.Minute))
		if sameName {
			second.id = first.id
		}
		s.repeated("Authenticate by the later identity", func() error {
			_, err := second.authenticate(start.Add(time.Minute))
			return err
		})
		s.equal(s.theTicket(first.ticket).EnrollmentID, second.id, "the ticket's EnrollmentID")
		if !sameName {
			s.equal(first.enrollment().State, mdm.StateReplaced, "state of the half made enrollment")
		}
		for step, run := range s.steps(first.certificate, first.id, false, start.Add(time.Minute)) {
			s.refused(mdm.ErrUnknownIdentity, step+" by the replaced certificate", run)
		}
		_, err := s.s.TokenUpdate(s.ctx, tokenOf(second.certificate, second.id, start.Add(time.Minute)))
		s.ok(err, "TokenUpdate")
		s.equal(second.enrollment().State, mdm.StateEnrolled, "state")
	}
	n, err := s.s.Devices(s.ctx, "u1")
	s.ok(err, "Devices")
	s.equal(n, 2, "devices")
}

func authenticateDeadline(w *world[Devices]) {
	s := tell(w)
	good := clocks.Window + clocks.Grace
	late := s.identified("late", "u1", start)
	s.refused(mdm.ErrUnknownIdentity, "the first Authenticate after Window and Grace", func() error {
		_, err := late.authenticate(start.Add(good + time.Second))
		return err
	})
	intime := s.identified("intime", "u2", start)
	_, err := intime.authenticate(start.Add(good - time.Second))
	s.ok(err, "Authenticate in the last second")
	_, err = intime.authenticate(start.Add(2 * good))
	s.ok(err, "Authenticate again, later")
	_, err = s.s.TokenUpdate(s.ctx, tokenOf(intime.certificate, intime.id, start.Add(30*time.Hour)))
	s.ok(err, "TokenUpdate a day later")
	_, err = intime.authenticate(start.Add(40 * time.Hour))
	s.ok(err, "Authenticate again, after TokenUpdate")
	s.equal(intime.enrollment().State, mdm.StateEnrolled, "state")
}

func authenticateBoundary(w *world[Devices]) {
	s := tell(w)
	p := s.identified("p", "u1", start)
	end := start.Add(clocks.Window + clocks.Grace)
	s.refused(mdm.ErrUnknownIdentity, "the first Authenticate at the end of Window and Grace", func() error {
		_, err := p.authenticate(end)
		return err
	})
	_, err := p.authenticate(end.Add(-time.Microsecond))
	s.ok(err, "the first Authenticate in the last microsecond")
}

func authenticateLimit(w *world[Devices]) {
	s := tell(w)
	limited := func(p *phone, limit int) error {
		a := authenticateOf(p.certificate, p.id, start)
		a.DeviceLimit = limit
		_, err := s.s.Authenticate(s.ctx, a)
		return err
	}
	s.enrolled("a", "u1", start)
	b := s.enrolled("b", "u1", start)
	s.enrolled("other", "u2", start)
	s.authenticated("half", "u1", start)
	c := s.identified("c", "u1", start)
	s.refused(mdm.ErrDeviceLimit, "a third device with a limit of two", func() error { return limited(c, 2) })
	s.refused(mdm.ErrDeviceLimit, "a third device with a limit of one", func() error { return limited(c, 1) })
	s.ok(limited(b, 2), "an enrolled device, again")
	again := s.identified("b-again", "u1", start)
	again.id = b.id
	s.ok(limited(again, 2), "an enrolled device, with a newer ticket")
	s.ok(limited(c, 3), "a third device with a limit of three")
	s.ok(limited(s.identified("d", "u1", start), 0), "a device without a limit")
}

func checkOutEnds(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "done", "sent", "notnow", "queued")
	p.idle(start)
	p.report("done", mdm.CommandAcknowledged, start)
	p.report("sent", mdm.CommandNotNow, start)
	at := start.Add(time.Hour)
	step := mdm.CheckOutStep{Certificate: p.certificate, EnrollmentID: p.id, At: at}
	want := p.enrollment()
	want.State, want.Ended = mdm.StateEnded, at
	s.repeated("CheckOut", func() error {
		e, err := s.s.CheckOut(s.ctx, step)
		s.equal(e, want, "the enrollment that CheckOut returned")
		step.At = step.At.Add(time.Hour) // of the repeat
		return err
	})
	s.equal(p.enrollment(), want, "the enrollment")
	for uuid, status := range map[string]mdm.CommandStatus{
		"done": mdm.CommandAcknowledged, "sent": mdm.CommandCancelled, "notnow": mdm.CommandCancelled, "queued": mdm.CommandCancelled,
	} {
		s.equal(p.command(uuid).Status, status, "status of "+uuid)
	}
	s.due(at.AddDate(1, 0, 0), "after CheckOut")

	half := s.authenticated("half", "u1", start)
	_, err := s.s.CheckOut(s.ctx, mdm.CheckOutStep{Certificate: half.certificate, EnrollmentID: half.id, At: at})
	s.ok(err, "CheckOut of a half made enrollment")
	s.equal(half.enrollment().State, mdm.StateEnded, "its state")
	again := s.downloaded("again", half.ticket, "c-again", start)
	_, err = again.authenticate(start)
	s.ok(err, "Authenticate of the next attempt by the same ticket")
}

func unenrollEnds(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1", "c2")
	at := start.Add(time.Hour)
	want := p.enrollment()
	want.State, want.Ended = mdm.StateEnded, at
	s.repeated("Unenroll", func() error { return s.s.Unenroll(s.ctx, p.id, at) })
	s.ok(s.s.Unenroll(s.ctx, p.id, at.Add(time.Hour)), "Unenroll again, later")
	s.equal(p.enrollment(), want, "the enrollment")
	s.equal(p.command("c2").Status, mdm.CommandCancelled, "status of a command")
	s.due(at.AddDate(1, 0, 0), "after Unenroll")
	s.refused(mdm.ErrUnknownEnrollment, "Unenroll of an unknown enrollment", func() error { return s.s.Unenroll(s.ctx, "E-nobody", at) })
	_, err := s.s.Enrollment(s.ctx, "E-nobody")
	s.is(err, mdm.ErrUnknownEnrollment, "Enrollment")
}

func endedStaysEnded(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1")
	_, err := s.s.CheckOut(s.ctx, mdm.CheckOutStep{Certificate: p.certificate, EnrollmentID: p.id, At: start})
	s.ok(err, "CheckOut")
	for name, step := range s.steps(p.certificate, p.id, false, start.AddDate(0, 0, 2)) {
		if name != "CheckOut" {
			s.refused(mdm.ErrEnded, name+" after CheckOut", step)
		}
	}
	s.refused(mdm.ErrUnknownEnrollment, "Enqueue after CheckOut", func() error {
		return s.s.Enqueue(s.ctx, commandOf(p.id, "c2", start))
	})
	s.due(start.AddDate(1, 0, 0), "after CheckOut")
}

func suspendedUsers(w *world[Devices]) {
	s := tell(w)
	p, other := s.enrolled("p", "u1", start), s.enrolled("other", "u2", start)
	p.enqueue(start, "c1")
	half := s.authenticated("half", "u1", start)
	fresh := s.identified("fresh", "u1", start)
	suspend := func(user string, suspended bool) {
		s.Helper()
		s.repeated("SuspendUser", func() error { return s.s.SuspendUser(s.ctx, user, suspended) })
	}
	suspend("u1", true)
	for _, d := range []*phone{p, half, fresh} {
		for name, step := range s.steps(d.certificate, d.id, false, start.AddDate(0, 0, 2)) {
			s.refused(mdm.ErrSuspended, name+" of a suspended user", step)
		}
	}
	s.due(start, "while the user is suspended")
	other.enqueue(start, "o1")
	s.due(start, "another user's device", other.id)
	s.ok(s.s.Enqueue(s.ctx, commandOf(p.id, "c2", start)), "Enqueue for a device of a suspended user")
	suspend("u1", false)
	s.equal(p.idle(start), "c1", "the next command after the suspension")
	s.due(start, "after the suspension", p.id)
	_, err := fresh.authenticate(start)
	s.ok(err, "Authenticate after the suspension")

	suspend("u-unknown", true)
	first := s.identified("first", "u-unknown", start)
	s.refused(mdm.ErrSuspended, "Authenticate of a user who was suspended before", func() error {
		_, err := first.authenticate(start)
		return err
	})
	suspend("u-unknown", false)
	_, err = first.authenticate(start)
	s.ok(err, "Authenticate after the suspension")
}

func enrollmentsApart(w *world[Devices]) {
	s := tell(w)
	a, b := s.enrolled("a", "u1", start), s.enrolled("b", "u1", start)
	a.enqueue(start, "same", "a2")
	b.enqueue(start, "same", "b2")
	s.equal(a.idle(start), "same", "a's first command")
	reported, _ := b.report("a2", mdm.CommandAcknowledged, start)
	s.equal(reported, "", "what b reported about a's command")
	s.equal(a.command("a2").Status, mdm.CommandQueued, "a's command")
	reported, next := b.report("same", mdm.CommandError, start)
	s.equal([]string{reported, next}, []string{"same", "b2"}, "b's report, and its next command")
	s.equal(a.command("same").Status, mdm.CommandSent, "a's command of the same UUID")
	before := []any{b.enrollment(), b.command("same"), b.command("b2")}
	s.ok(s.s.Unenroll(s.ctx, a.id, start), "Unenroll")
	s.equal([]any{b.enrollment(), b.command("same"), b.command("b2")}, before, "b, after a was unenrolled")
}
