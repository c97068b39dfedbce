package storagetest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
)

func valueClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "values are the caller's", rule: `What was passed may be changed by the caller afterwards, and what was
			returned too; neither changes what is stored.`, check: valuesAliasing},
		{name: "times are UTC", rule: timesRule, check: valuesTimes},
		{name: "text survives", rule: textRule, check: valuesText},
		{name: "text that is refused leaves nothing", rule: `Text that is not UTF-8, or has a NUL, may be refused with any error;
			nothing of the step has happened then, and the store works on.`, check: valuesRefusedText},
		{name: "names differ by bytes", rule: `EnrollmentIDs, user IDs and CommandUUIDs that differ in case only, or in a
			trailing space, are different: or a device could be taken for another.`, check: valuesNames},
		{name: "sizes at the limits", rule: `What callers may send fits: commands and results of a MiB, tokens of 100 bytes,
			a PushMagic of 256, a CommandUUID of 128, an EnrollmentID of 64, certificates of 4 KiB, 10000 commands at once.`, check: valuesSizes},
		{name: "State is in the order of arrival", rule: `State lists tickets, enrollments and commands in the order in which
			they came.`, check: valuesOrder},
		{name: "cancelled call changes nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: valuesCancelled},
	}
}

// scribble overwrites bytes that a caller owns.
func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func valuesAliasing(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c", start))
	s.ok(err, "Download")
	step := identifyOf("c", "k", start)
	der, err := s.s.Identify(s.ctx, step)
	s.ok(err, "Identify")
	scribble(step.Certificate)
	scribble(der)
	for range 2 {
		der, err = s.s.Challenge(s.ctx, id("c"), id("k"), start)
		s.ok(err, "Challenge")
		s.equal(string(der), string(certificateOf("c", "k")), "the certificate, after the caller changed its bytes")
		scribble(der)
	}
	p := &phone{story: s, id: "E1", ticket: "t1", certificate: step.Digest}
	_, err = p.authenticate(start)
	s.ok(err, "Authenticate")
	token := tokenOf(p.certificate, p.id, start)
	token.Plan = []mdm.Command{commandOf(p.id, "c1", start)}
	_, err = s.s.TokenUpdate(s.ctx, token)
	s.ok(err, "TokenUpdate")
	scribble(token.Token)
	scribble(token.Plan[0].Payload)
	for i := range 2 {
		targets := s.due(start.Add(time.Duration(i)*time.Hour), "after TokenUpdate", p.id)
		s.equal(string(targets[0].Token), "token of E1", "the token, after the caller changed its bytes")
		scribble(targets[0].Token)
	}
	second := commandOf(p.id, "c2", start)
	s.ok(s.s.Enqueue(s.ctx, second), "Enqueue")
	scribble(second.Payload)
	for _, uuid := range []string{"c1", "c2"} {
		for range 2 {
			out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: start})
			s.ok(err, "Exchange")
			s.equal(string(out.Next.Payload), "payload of "+uuid, "the payload, after the caller changed its bytes")
			scribble(out.Next.Payload)
			out.Next.Status = mdm.CommandError
		}
		result := []byte("result")
		out, err := p.exchange(mdm.ExchangeStep{CommandUUID: uuid, Status: mdm.CommandAcknowledged, Result: result, At: start})
		s.ok(err, "Exchange")
		s.equal([]string{string(out.Reported.Payload), string(out.Reported.Result)}, []string{"payload of " + uuid, "result"}, "payload and result")
		scribble(out.Reported.Result)
		s.equal(string(result), "result", "what the caller passed")
		scribble(result)
		for range 2 {
			c := p.command(uuid)
			s.equal(string(c.Result), "result", "the result, after the caller changed its bytes")
			scribble(c.Result)
		}
	}
}

func valuesTimes(w *world[Devices]) {
	s := tell(w)
	for i, at := range oddTimes() {
		name := names("p", 6)[i]
		p := s.identified(name, "u1", at)
		_, err := p.authenticate(at)
		s.ok(err, "Authenticate")
		update := tokenOf(p.certificate, p.id, at)
		update.Plan = []mdm.Command{commandOf(p.id, "c1", at)}
		_, err = s.s.TokenUpdate(s.ctx, update)
		s.ok(err, "TokenUpdate")
		t := s.theTicket(p.ticket)
		for what, got := range map[string]time.Time{
			"Issued": t.Issued, "Downloaded": t.Downloaded, "Identified": t.Identified, "Authenticated": t.Authenticated, "Enrolled of the ticket": t.Enrolled,
			"Created": p.enrollment().Created, "Enrolled": p.enrollment().Enrolled, "Queued": p.command("c1").Queued,
		} {
			s.sameTime(got, at, what)
		}
		s.equal(p.enrollment().Ended, time.Time{}, "Ended of what has not ended")
		for _, target := range s.due(at, "at just that time", p.id) {
			s.settle(push.Result{Target: target, Status: 200, At: at})
		}
		out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: at})
		s.ok(err, "Exchange")
		s.sameTime(out.Next.Updated, at, "Updated of the next command")
		out, err = p.exchange(mdm.ExchangeStep{CommandUUID: "c1", Status: mdm.CommandAcknowledged, At: at})
		s.ok(err, "Exchange")
		s.sameTime(out.Reported.Updated, at, "Updated of the command reported")
		s.ok(s.s.Unenroll(s.ctx, p.id, at), "Unenroll")
		s.sameTime(p.enrollment().Ended, at, "Ended")
	}
	for _, last := range s.state().Pushes {
		s.truth(last.Time.Location() == time.UTC, "the time of a push is in the zone %v", last.Time.Location())
	}
}

func valuesText(w *world[Devices]) {
	s := tell(w)
	users := oddTexts(36)
	for i, text := range oddTexts(64) {
		name := names("p", 100)[i]
		ticket := ticketOf("t"+name, users[i], name)
		ticket.Ref = text
		s.ok(s.s.IssueTicket(s.ctx, ticket, [32]byte{}), "IssueTicket")
		p := s.downloaded(name, ticket.ID, "c"+name, start)
		a := authenticateOf(p.certificate, p.id, start)
		a.OSVersion, a.BuildVersion, a.Product, a.Topic = text, text, text, text
		e, err := s.s.Authenticate(s.ctx, a)
		s.ok(err, "Authenticate")
		s.equal([]string{e.UserID, e.OSVersion, e.BuildVersion, e.Product, e.Topic}, []string{users[i], text, text, text, text}, "texts of the enrollment")
		update := tokenOf(p.certificate, p.id, start)
		update.PushMagic, update.Topic, update.Token = "magic "+text, text, append([]byte{0, 0xff, '\''}, text...)
		update.Plan = []mdm.Command{{UUID: "uuid " + text, EnrollmentID: p.id, RequestType: text, Payload: []byte("\x00\xff" + text), Queued: start}}
		_, err = s.s.TokenUpdate(s.ctx, update)
		s.ok(err, "TokenUpdate")
		target := s.due(start, "after TokenUpdate", p.id)[0]
		s.equal([]any{target.Topic, string(target.Token), target.Magic}, []any{text, string(update.Token), update.PushMagic}, "the target")
		s.settle(push.Result{Target: target, Status: 200, At: start})
		out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: start})
		s.ok(err, "Exchange")
		s.equal([]string{out.Next.UUID, out.Next.RequestType, string(out.Next.Payload)}, []string{"uuid " + text, text, "\x00\xff" + text}, "the command")
		out, err = p.exchange(mdm.ExchangeStep{CommandUUID: "uuid " + text, Status: mdm.CommandAcknowledged, Result: []byte("\xfe\x00" + text), At: start})
		s.ok(err, "Exchange")
		s.truth(out.Reported != nil, "a report for the CommandUUID %q was for no command", "uuid "+text)
		s.equal(string(out.Reported.Result), "\xfe\x00"+text, "the result")
		got := s.theTicket(ticket.ID)
		s.equal([]string{got.Ref, got.UserID}, []string{text, users[i]}, "the ticket's texts")
	}
}

func valuesRefusedText(w *world[Devices]) {
	s := tell(w)
	p, fresh := s.enrolled("p", "u1", start), s.identified("fresh", "u1", start)
	for what, text := range map[string]string{"a NUL": "a\x00b", "bytes that are not UTF-8": "a\xff\xfeb"} {
		ticket := ticketOf("t "+what, "u1", "session of fresh")
		ticket.Ref = text
		authenticate := authenticateOf(fresh.certificate, fresh.id, start)
		authenticate.Product = text
		for name, step := range map[string]func() error{
			"Enqueue": func() error {
				return s.s.Enqueue(s.ctx, commandOf(p.id, "before "+what, start), commandOf(p.id, text, start))
			},
			"Authenticate": func() error {
				_, err := s.s.Authenticate(s.ctx, authenticate)
				return err
			},
			"IssueTicket": func() error { return s.s.IssueTicket(s.ctx, ticket, [32]byte{}) },
		} {
			before := s.state()
			if step() != nil {
				s.equal(s.state(), before, "what is stored after "+name+" with "+what+", which was refused")
			}
		}
		p.enqueue(start, "after "+what)
	}
}

func valuesNames(w *world[Devices]) {
	s := tell(w)
	a := s.enrolled("name", "user", start)
	for _, name := range []string{"NAME", "name ", "Name", "nam"} {
		_, err := s.s.Enrollment(s.ctx, "E-"+name)
		s.is(err, mdm.ErrUnknownEnrollment, "Enrollment of a name that is alike")
		_, err = s.s.Ticket(s.ctx, "t-"+name)
		s.is(err, enroll.ErrUnknownTicket, "Ticket of a name that is alike")
		s.is(s.s.Enqueue(s.ctx, commandOf("E-"+name, "c", start)), mdm.ErrUnknownEnrollment, "Enqueue to a name that is alike")
		s.refused(mdm.ErrForeignCertificate, "Authenticate by a name that is alike", func() error {
			_, err := s.s.Authenticate(s.ctx, authenticateOf(a.certificate, "E-"+name, start))
			return err
		})
		s.enrolled(name, "user-of-"+name, start)
	}
	for _, user := range []string{"USER", "user ", "User"} {
		n, err := s.s.Devices(s.ctx, user)
		s.ok(err, "Devices")
		s.equal(n, 0, "devices of a user whose name is alike")
		s.ok(s.s.SuspendUser(s.ctx, user, true), "SuspendUser")
	}
	uuids := []string{"uuid", "UUID", "uuid ", "Uuid"}
	a.enqueue(start, uuids...)
	next := a.idle(start)
	for _, uuid := range uuids {
		s.equal(next, uuid, "the next command")
		_, next = a.report(uuid, mdm.CommandAcknowledged, start)
	}
}

func valuesSizes(w *world[Devices]) {
	s := tell(w)
	long := strings.Repeat("0123456789abcdef", 16)
	ticket := ticketOf(long[:36], long[:36], "s")
	s.ok(s.s.IssueTicket(s.ctx, ticket, [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf(ticket.ID, "c", start))
	s.ok(err, "Download")
	step := identifyOf("c", "k", start)
	step.Certificate = bytes.Repeat([]byte{0x30, 0x82, 0, 0xff}, 1024)
	step.Digest = id(string(step.Certificate))
	der, err := s.s.Identify(s.ctx, step)
	s.ok(err, "Identify")
	s.truth(bytes.Equal(der, step.Certificate), "a certificate of 4 KiB came back changed")
	p := &phone{story: s, id: long[:64], ticket: ticket.ID, certificate: step.Digest}
	_, err = p.authenticate(start)
	s.ok(err, "Authenticate")
	update := tokenOf(p.certificate, p.id, start)
	update.Token, update.PushMagic = bytes.Repeat([]byte{0xfe}, 100), long
	_, err = s.s.TokenUpdate(s.ctx, update)
	s.ok(err, "TokenUpdate")
	target := s.due(start, "after TokenUpdate", p.id)[0]
	s.truth(bytes.Equal(target.Token, update.Token) && target.Magic == long, "a token of 100 bytes or a PushMagic of 256 came back changed")
	c := commandOf(p.id, long[:128], start)
	c.Payload = bytes.Repeat([]byte("<x/>"), 1<<18)
	s.ok(s.s.Enqueue(s.ctx, c), "Enqueue")
	out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: start})
	s.ok(err, "Exchange")
	s.truth(out.Next.UUID == c.UUID && bytes.Equal(out.Next.Payload, c.Payload), "a command of a MiB came back changed")
	result := bytes.Repeat([]byte("<y/>"), 1<<18)
	out, err = p.exchange(mdm.ExchangeStep{CommandUUID: c.UUID, Status: mdm.CommandAcknowledged, Result: result, At: start})
	s.ok(err, "Exchange")
	s.truth(bytes.Equal(out.Reported.Result, result), "a result of a MiB came back changed")
	s.truth(bytes.Equal(p.command(c.UUID).Result, result), "a result of a MiB is not in State")
	many := names("many", 10000)
	p.enqueue(start, many...)
	queued := 0
	for _, c := range s.state().Commands {
		if queued < len(many) && c.UUID == many[queued] {
			queued++
		}
	}
	s.equal(queued, len(many), "how many commands of one Enqueue are there, in their order")
}

func valuesOrder(w *world[Devices]) {
	s := tell(w)
	want := []string{"m", "z", "a", "b"}
	for i, name := range want {
		s.enrolled(name, "u1", start.Add(-time.Duration(i)*time.Hour))
	}
	var tickets, enrollments []string
	state := s.state()
	for _, t := range state.Tickets {
		tickets = append(tickets, strings.TrimPrefix(t.ID, "t-"))
	}
	for _, e := range state.Enrollments {
		enrollments = append(enrollments, strings.TrimPrefix(e.ID, "E-"))
	}
	s.equal(tickets, want, "the order of the tickets")
	s.equal(enrollments, want, "the order of the enrollments")
}

func valuesCancelled(w *world[Devices]) {
	s := tell(w)
	p, fresh := s.enrolled("p", "u1", start), s.identified("fresh", "u1", start)
	p.enqueue(start, "c1")
	_, err := s.s.Download(s.ctx, downloadOf(fresh.ticket, "c-open", start))
	s.ok(err, "Download")
	gone := *s
	gone.ctx = s.gone()
	before := s.state()
	steps := gone.steps(p.certificate, p.id, false, start.AddDate(0, 0, 2))
	steps["IssueTicket"] = func() error { return s.s.IssueTicket(gone.ctx, ticketOf("t9", "u1", "session of fresh"), [32]byte{}) }
	steps["Download"] = func() error {
		_, err := s.s.Download(gone.ctx, downloadOf(fresh.ticket, "c9", start))
		return err
	}
	steps["Identify"] = func() error {
		_, err := s.s.Identify(gone.ctx, identifyOf("c-open", "k9", start))
		return err
	}
	steps["first Authenticate"] = func() error {
		_, err := s.s.Authenticate(gone.ctx, authenticateOf(fresh.certificate, fresh.id, start))
		return err
	}
	steps["Enqueue"] = func() error { return s.s.Enqueue(gone.ctx, commandOf(p.id, "c9", start)) }
	steps["Unenroll"] = func() error { return s.s.Unenroll(gone.ctx, p.id, start) }
	steps["SuspendUser"] = func() error { return s.s.SuspendUser(gone.ctx, "u1", true) }
	steps["ClaimPushes"] = func() error {
		_, err := s.s.ClaimPushes(gone.ctx, start, time.Minute, 10)
		return err
	}
	steps["Ticket"] = func() error {
		_, err := s.s.Ticket(gone.ctx, p.ticket)
		return err
	}
	steps["Challenge"] = func() error {
		_, err := s.s.Challenge(gone.ctx, id("c-open"), id("k9"), start)
		return err
	}
	steps["Devices"] = func() error {
		_, err := s.s.Devices(gone.ctx, "u1")
		return err
	}
	steps["Enrollment"] = func() error {
		_, err := s.s.Enrollment(gone.ctx, p.id)
		return err
	}
	steps["State"] = func() error {
		_, err := s.s.State(gone.ctx)
		return err
	}
	for name, step := range steps {
		s.truth(step() != nil, "%s succeeds when its context is over", name)
		s.equal(s.state(), before, "what is stored after "+name)
	}
	targets := s.due(start, "after calls whose context was over", p.id)
	s.truth(s.s.SettlePushes(gone.ctx, push.Result{Target: targets[0], Status: 200, At: start}) != nil, "SettlePushes succeeds when its context is over")
	s.truth(slices.Equal(targets[0].Token, []byte("token of "+p.id)), "a TokenUpdate whose context was over changed the token")
	s.equal(p.idle(start), "c1", "the next command")
}
