package storagetest

import (
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

func queueClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "commands come in order", rule: `Exchange returns the commands in the order in which they were queued, one
			call or many: a profile that needs another one comes after it.`, check: queueOrder},
		{name: "a command is sent until it is answered", rule: `A command that was sent and not answered is sent again: the
			answer to the device may have been lost.`, check: queueSentAgain},
		{name: "a report is recorded once", rule: `A report makes the command final, with its result; again, or for a command
			that is final, unknown or another's, it changes nothing and reports nothing.`, check: queueReport},
		{name: "any open command may be answered", rule: `A report for a command that waits and was not sent is recorded: a
			device may answer what an earlier process sent.`, check: queueReportUnsent},
		{name: "an unreadable command", rule: `CommandFormatError without a CommandUUID concerns the command that was sent
			last, if it was not answered.`, check: queueFormatError},
		{name: "NotNow waits for the next session", rule: `A command answered NotNow is not offered again in that session,
			and is at the next Idle, in its place.`, check: queueNotNow},
		{name: "NotNow asks for a push", rule: `When the session ends and a command waits that was answered NotNow, a push
			is asked for after NotNowRetry, unless NotNow is the report: then the device comes back by itself.`, check: queueNotNowRetry},
		{name: "Enqueue repeats", rule: `A CommandUUID that exists is left as it is.`, check: enqueueRepeats},
		{name: "Enqueue is all or nothing", rule: `When one of the enrollments is not enrolled, Enqueue is
			ErrUnknownEnrollment and nothing is queued for any.`, check: enqueueAtomic},
		{name: "an Idle with nothing to do writes nothing", rule: `With nothing to record and nothing waiting, Exchange writes
			nothing but, once a day, Contact.`, check: idleWritesNothing},
		{name: "final commands keep what they were", rule: `Status, result and times of a command are as the step that
			changed them last left them.`, check: queueRecord},
	}
}

func queueOrder(w *world[Devices]) {
	s := tell(w)
	p, other := s.enrolled("p", "u1", start), s.enrolled("other", "u1", start)
	// Neither by name nor by time, but by the order in which they came.
	want := []string{"m", "z", "a", "y", "b", "x"}
	p.enqueue(start.Add(time.Hour), "m")
	s.ok(s.s.Enqueue(s.ctx, commandOf(p.id, "z", start), commandOf(other.id, "o1", start), commandOf(p.id, "a", start), commandOf(other.id, "o2", start)), "Enqueue")
	p.enqueue(start, "y", "b", "x")
	var got []string
	for next := p.idle(start); next != ""; _, next = p.report(next, mdm.CommandAcknowledged, start) {
		got = append(got, next)
	}
	s.equal(got, want, "the order of the commands")
	s.equal(other.idle(start), "o1", "the other device's first command")
	var listed []string
	for _, c := range s.state().Commands {
		listed = append(listed, c.UUID)
	}
	s.equal(listed, []string{"m", "z", "o1", "a", "o2", "y", "b", "x"}, "the order in State")
}

func queueSentAgain(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1", "c2")
	var first *mdm.Command
	for range 3 {
		out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: start.Add(time.Minute)})
		s.ok(err, "Exchange at Idle")
		if first == nil {
			first = out.Next
		}
		s.equal(out.Next, first, "the command at an Idle that is repeated")
	}
	s.equal(first, &mdm.Command{
		UUID: "c1", EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: []byte("payload of c1"),
		Status: mdm.CommandSent, Queued: start, Updated: start.Add(time.Minute),
	}, "the command")
	s.equal(p.command("c2").Status, mdm.CommandQueued, "status of the second command")
	_, next := p.report("unknown", mdm.CommandAcknowledged, start)
	s.equal(next, "c1", "the next command after a report about another one")
}

func queueReport(w *world[Devices]) {
	s := tell(w)
	for _, status := range []mdm.CommandStatus{mdm.CommandAcknowledged, mdm.CommandError, mdm.CommandFormatError} {
		p := s.enrolled(string(status), "u1", start)
		p.enqueue(start, "c1", "c2")
		p.idle(start)
		at := start.Add(time.Minute)
		want := mdm.Command{
			UUID: "c1", EnrollmentID: p.id, RequestType: "DeviceInformation", Payload: []byte("payload of c1"),
			Status: status, Result: []byte("result"), Queued: start, Updated: at,
		}
		step := mdm.ExchangeStep{CommandUUID: "c1", Status: status, Result: []byte("result"), At: at}
		out, err := p.exchange(step)
		s.ok(err, "Exchange with a report")
		s.truth(out.Reported != nil, "a first report reports nothing")
		s.equal(*out.Reported, want, "the command reported")
		s.equal(uuid(out.Next), "c2", "the next command")
		once := s.state()
		for _, again := range []mdm.CommandStatus{status, mdm.CommandAcknowledged, mdm.CommandNotNow, mdm.CommandError} {
			step.Status, step.Result, step.At = again, []byte("another result"), at.Add(time.Hour)
			out, err = p.exchange(step)
			s.ok(err, "Exchange with a report for a final command")
			s.truth(out.Reported == nil, "a report for a final command reports it")
			s.equal(uuid(out.Next), "c2", "the next command")
			s.equal(s.state(), once, "what is stored after a report for a final command")
		}
		for _, unknown := range []string{"unknown", "", "C1", "c1 "} {
			out, err = p.exchange(mdm.ExchangeStep{CommandUUID: unknown, Status: mdm.CommandAcknowledged, At: at})
			s.ok(err, "Exchange with a report for an unknown command")
			s.truth(out.Reported == nil, "a report for the unknown command %q reports one", unknown)
			s.equal(s.state(), once, "what is stored after a report for an unknown command")
		}
	}
}

func queueReportUnsent(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1", "c2", "c3")
	reported, next := p.report("c2", mdm.CommandAcknowledged, start)
	s.equal([]string{reported, next}, []string{"c2", "c1"}, "what was reported, and the next command")
	_, next = p.report("c1", mdm.CommandAcknowledged, start)
	s.equal(next, "c3", "the next command")
}

func queueFormatError(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	reported, _ := p.report("", mdm.CommandFormatError, start)
	s.equal(reported, "", "what was reported when nothing was ever sent")
	p.enqueue(start, "c1", "c2", "c3")
	reported, next := p.report("", mdm.CommandFormatError, start)
	s.equal([]string{reported, next}, []string{"", "c1"}, "what was reported when nothing was sent, and the next command")
	p.report("c1", mdm.CommandNotNow, start) // sends c2
	reported, next = p.report("", mdm.CommandFormatError, start)
	s.equal([]string{reported, next}, []string{"c2", "c3"}, "what was reported, and the next command")
	s.equal(p.command("c2").Status, mdm.CommandFormatError, "status of the command that was sent last")
	p.report("c3", mdm.CommandAcknowledged, start)
	reported, _ = p.report("", mdm.CommandFormatError, start)
	s.equal(reported, "", "what was reported when the last command was answered")
	s.equal(p.idle(start), "c1", "the next command at Idle")
	p.report("c1", mdm.CommandNotNow, start)
	reported, next = p.report("", mdm.CommandFormatError, start)
	s.equal([]string{reported, next}, []string{"", ""}, "what was reported when the last command was answered NotNow, and the next command")
	s.equal(p.command("c1").Status, mdm.CommandNotNow, "status of a command that was answered NotNow")
}

func queueNotNow(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1", "c2", "c3", "c4")
	s.equal(p.idle(start), "c1", "first command")
	reported, next := p.report("c1", mdm.CommandNotNow, start)
	s.equal([]string{reported, next}, []string{"c1", "c2"}, "NotNow: reported and next")
	once := s.state()
	reported, next = p.report("c1", mdm.CommandNotNow, start.Add(time.Minute))
	s.equal([]string{reported, next}, []string{"", "c2"}, "NotNow again: reported and next")
	s.equal(s.state(), once, "what is stored after NotNow again")
	_, next = p.report("c2", mdm.CommandAcknowledged, start)
	s.equal(next, "c3", "next")
	_, next = p.report("c3", mdm.CommandNotNow, start)
	s.equal(next, "c4", "next")
	_, next = p.report("c4", mdm.CommandAcknowledged, start)
	s.equal(next, "", "next when only commands answered NotNow are left")
	s.equal([]any{p.command("c1").Status, p.command("c3").Status}, []any{mdm.CommandNotNow, mdm.CommandNotNow}, "their status")
	p.enqueue(start, "c5")
	_, next = p.report("c4", mdm.CommandAcknowledged, start)
	s.equal(next, "c5", "next in the same session, after another command was queued")
	s.equal(p.idle(start), "c1", "first command of the next session")
	reported, next = p.report("c1", mdm.CommandNotNow, start)
	s.equal([]string{reported, next}, []string{"c1", "c3"}, "NotNow in the next session: reported and next")
	reported, next = p.report("c3", mdm.CommandAcknowledged, start)
	s.equal([]string{reported, next}, []string{"c3", "c5"}, "acknowledged in the next session: reported and next")
	reported, next = p.report("c1", mdm.CommandAcknowledged, start)
	s.equal([]string{reported, next}, []string{"c1", "c5"}, "NotNow and then acknowledged: reported and next")
}

func queueNotNowRetry(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1", "c2")
	s.settleAll(start)
	retry := 10 * time.Minute
	step := func(uuid string, status mdm.CommandStatus) {
		s.Helper()
		_, err := p.exchange(mdm.ExchangeStep{CommandUUID: uuid, Status: status, At: start, NotNowRetry: retry})
		s.ok(err, "Exchange")
	}
	p.idle(start)
	step("c1", mdm.CommandNotNow)
	step("c2", mdm.CommandNotNow)
	s.due(start.AddDate(1, 0, 0), "when NotNow is the last report")
	p.idle(start)
	step("c1", mdm.CommandNotNow)
	step("c2", mdm.CommandAcknowledged)
	s.due(start.Add(retry-time.Second), "before NotNowRetry is over")
	s.due(start.Add(retry), "after NotNowRetry", p.id)
	s.settleAll(start.AddDate(1, 0, 0))
	p.idle(start)
	step("c1", mdm.CommandAcknowledged)
	s.due(start.AddDate(1, 0, 0), "when everything is answered")

	p.enqueue(start, "c3", "c4")
	s.settleAll(start)
	p.idle(start)
	p.report("c3", mdm.CommandNotNow, start)
	p.report("c4", mdm.CommandAcknowledged, start)
	s.due(start.AddDate(1, 0, 0), "without NotNowRetry")
	p.idle(start)
	p.report("c3", mdm.CommandNotNow, start)
	step("unknown", mdm.CommandAcknowledged)
	p.enqueue(start, "c5")
	s.due(start, "a new command before NotNowRetry is over", p.id)
}

func enqueueRepeats(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	s.repeated("Enqueue", func() error { return s.s.Enqueue(s.ctx, commandOf(p.id, "c1", start), commandOf(p.id, "c2", start)) })
	p.idle(start)
	changed := commandOf(p.id, "c1", start.Add(time.Hour))
	changed.RequestType, changed.Payload = "InstallProfile", []byte("another payload")
	before := s.state()
	s.ok(s.s.Enqueue(s.ctx, changed), "Enqueue of a CommandUUID that exists")
	s.equal(s.state(), before, "what is stored")
	out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: start})
	s.ok(err, "Exchange")
	s.equal(string(out.Next.Payload), "payload of c1", "the payload")
	p.report("c1", mdm.CommandAcknowledged, start)
	before = s.state()
	s.ok(s.s.Enqueue(s.ctx, changed), "Enqueue of a CommandUUID that is final")
	s.equal(s.state(), before, "what is stored")
	s.ok(s.s.Enqueue(s.ctx), "Enqueue of nothing")
	final := commandOf(p.id, "c3", start)
	final.Status, final.Result = mdm.CommandAcknowledged, []byte("result")
	s.ok(s.s.Enqueue(s.ctx, final), "Enqueue")
	s.equal([]any{p.command("c3").Status, len(p.command("c3").Result)}, []any{mdm.CommandQueued, 0}, "status and result of a new command")
}

func enqueueAtomic(w *world[Devices]) {
	s := tell(w)
	p, half := s.enrolled("p", "u1", start), s.authenticated("half", "u1", start)
	for what, id := range map[string]string{"an unknown enrollment": "E-nobody", "a half made enrollment": half.id} {
		s.refused(mdm.ErrUnknownEnrollment, "Enqueue for "+what, func() error {
			return s.s.Enqueue(s.ctx, commandOf(p.id, "c1", start), commandOf(id, "c2", start))
		})
	}
	s.due(start, "after refused Enqueues")
	s.equal(p.idle(start), "", "the next command")
}

func idleWritesNothing(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	s.equal(p.idle(start), "", "the next command")
	before := s.state()
	s.equal(p.idle(start.Add(2*time.Hour)), "", "the next command, later that day")
	s.equal(s.state(), before, "what is stored after an Idle on the same day")
	tomorrow := start.AddDate(0, 0, 1)
	s.equal(p.idle(tomorrow), "", "the next command, on the next day")
	e := p.enrollment()
	s.equal(e.Contact.Format(time.DateOnly), tomorrow.Format(time.DateOnly), "the day of last contact")
	s.equal(withoutContact(e), withoutContact(before.Enrollments[0]), "the rest of the enrollment")
	before = s.state()
	s.equal(p.idle(start), "", "the next command, by a clock that went back")
	s.equal(s.state(), before, "what is stored after an Idle on an earlier day")
	s.due(start.AddDate(1, 0, 0), "after Idles")
}

func queueRecord(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	p.enqueue(start, "c1")
	record := func(at time.Time, status mdm.CommandStatus, result string) {
		s.Helper()
		c := p.command("c1")
		s.equal([]any{c.Status, string(c.Result), c.Queued, c.Updated}, []any{status, result, start, at}, "status, result, queued and updated")
	}
	record(start, mdm.CommandQueued, "")
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	p.idle(minute(1))
	record(minute(1), mdm.CommandSent, "")
	p.report("c1", mdm.CommandNotNow, minute(2))
	record(minute(2), mdm.CommandNotNow, "c1 NotNow")
	p.idle(minute(3))
	record(minute(3), mdm.CommandSent, "c1 NotNow")
	p.report("c1", mdm.CommandError, minute(4))
	record(minute(4), mdm.CommandError, "c1 Error")
	if i := slices.IndexFunc(s.state().Commands, func(c mdm.Command) bool { return len(c.Payload) > 0 }); i >= 0 {
		s.fail("State shows a payload, which may hold an organization's secrets")
	}
}
