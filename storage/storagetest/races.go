package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// racers is how many calls run at the same time, half of them on another node
// where there can be one.
const racers = 8

func raceClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "race: one key redeems a challenge", rule: `Of any number of keys that present a challenge at the same time
			exactly one gets a certificate, on any node.`, check: raceKeys},
		{name: "race: the same key gets one certificate", rule: `A key that presents a challenge many times at once gets the
			same certificate each time, and the others are no device identities.`, check: raceSameKey},
		{name: "race: a certificate is bound once", rule: `Of Authenticates with one certificate and different EnrollmentIDs at
			the same time exactly one succeeds.`, check: raceBinding},
		{name: "race: an EnrollmentID is bound once", rule: `Of Authenticates with one EnrollmentID by different users'
			certificates at the same time exactly one succeeds.`, check: raceEnrollmentID},
		{name: "race: downloads are counted", rule: `Downloads at the same time are all counted, and no more succeed than
			MaxDownloads.`, check: raceDownloads},
		{name: "race: tickets supersede each other", rule: `Of tickets issued in one session at the same time one is left
			open at most.`, check: raceTickets},
		{name: "race: the plan is queued once", rule: `First TokenUpdates at the same time queue the plan once.`, check: racePlan},
		{name: "race: a report is recorded once", rule: `Of reports of one command at the same time exactly one is recorded.`, check: raceReports},
		{name: "race: Idle at the same time", rule: `Exchanges at the same time get the same command until it is answered, and
			each command has one final answer.`, check: raceIdle},
		{name: "race: nothing that is queued is lost", rule: `Commands queued at the same time are all there, each once, while
			the device fetches.`, check: raceEnqueue},
		{name: "race: a push is claimed once", rule: `Workers that claim at the same time share the devices, none gets
			another's.`, check: raceClaims},
		{name: "race: the end is the end", rule: `When CheckOut or Unenroll has returned, nothing of the enrollment is open,
			whatever ran at the same time.`, check: raceEnd},
	}
}

// nodes are where racers run.
func (s *story) nodes() func(i int) Devices {
	nodes := []Devices{s.s, s.second()}
	return func(i int) Devices { return nodes[i%2] }
}

func raceKeys(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	for round := range 4 {
		name := names("t", 4)[round]
		s.ok(s.s.IssueTicket(s.ctx, ticketOf(name, "u1", name), [32]byte{}), "IssueTicket")
		_, err := s.s.Download(s.ctx, downloadOf(name, "c"+name, start))
		s.ok(err, "Download")
		errs := together(racers, func(i int) error {
			_, err := node(i).Identify(s.ctx, identifyOf("c"+name, fmt.Sprint("key", i), start))
			return err
		})
		s.only(errs, enroll.ErrChallenge, "Identify by different keys")
		for i, lost := range errs {
			_, err := s.s.Authenticate(s.ctx, authenticateOf(identifyOf("c"+name, fmt.Sprint("key", i), start).Digest, "E-"+name, start))
			if lost != nil {
				s.is(err, mdm.ErrUnknownIdentity, "Authenticate by a key that lost")
			} else {
				s.ok(err, "Authenticate by the key that won")
			}
		}
	}
}

func raceSameKey(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t", "u1", "s"), [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf("t", "c", start))
	s.ok(err, "Download")
	got := make([]string, racers)
	step := func(i int) enroll.IdentifyStep {
		d := identifyOf("c", "k", start)
		d.Certificate = fmt.Append(nil, "certificate ", i)
		d.Digest = id(string(d.Certificate))
		return d
	}
	s.race(racers, func(i int) error {
		der, err := node(i).Identify(s.ctx, step(i))
		got[i] = string(der)
		return err
	})
	won := 0
	for i := range racers {
		s.equal(got[i], got[0], "the certificate of the same key")
		_, err := s.s.Authenticate(s.ctx, authenticateOf(step(i).Digest, "E", start))
		if string(step(i).Certificate) == got[0] {
			s.ok(err, "Authenticate with the certificate that was returned")
			won++
		} else {
			s.is(err, mdm.ErrUnknownIdentity, "Authenticate with a certificate that was not returned")
		}
	}
	s.equal(won, 1, "certificates in force")
}

func raceBinding(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	p := s.identified("p", "u1", start)
	errs := together(racers, func(i int) error {
		_, err := node(i).Authenticate(s.ctx, authenticateOf(p.certificate, fmt.Sprint("E", i), start))
		return err
	})
	s.only(errs, mdm.ErrForeignCertificate, "Authenticate with different EnrollmentIDs")
	s.equal(len(s.state().Enrollments), 1, "enrollments")
	won := slices.Index(errs, nil)
	s.equal(s.theTicket(p.ticket).EnrollmentID, fmt.Sprint("E", won), "the ticket's EnrollmentID")
	s.race(racers, func(i int) error {
		_, err := node(i).Authenticate(s.ctx, authenticateOf(p.certificate, fmt.Sprint("E", won), start))
		return err
	})
}

func raceEnrollmentID(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	phones := make([]*phone, racers)
	for i, name := range names("p", racers) {
		phones[i] = s.identified(name, "user of "+name, start)
	}
	errs := together(racers, func(i int) error {
		_, err := node(i).Authenticate(s.ctx, authenticateOf(phones[i].certificate, "E", start))
		return err
	})
	s.only(errs, mdm.ErrForeignCertificate, "Authenticate by different users")
	e, err := s.s.Enrollment(s.ctx, "E")
	s.ok(err, "Enrollment")
	s.equal(e.Certificate, phones[slices.Index(errs, nil)].certificate, "the certificate bound")
}

func raceDownloads(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t", "u1", "s"), [32]byte{}), "IssueTicket")
	errs := together(3*racers, func(i int) error {
		_, err := node(i).Download(s.ctx, downloadOf("t", fmt.Sprint("c", i), start))
		return err
	})
	won := 0
	for i, err := range errs {
		_, open := s.s.Challenge(s.ctx, id(fmt.Sprint("c", i)), id("k"), start)
		if err == nil {
			won++
			s.ok(open, "Challenge of a download that succeeded")
		} else {
			s.is(err, enroll.ErrTicketExhausted, "Download")
			s.is(open, enroll.ErrChallenge, "Challenge of a refused download")
		}
	}
	s.equal([]int{won, s.theTicket("t").Downloads}, []int{10, 10}, "downloads that succeeded, and that were counted, of 10 allowed")
}

func raceTickets(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	s.race(racers, func(i int) error {
		return node(i).IssueTicket(s.ctx, ticketOf(fmt.Sprint("t", i), "u1", "s"), [32]byte{})
	})
	open := 0
	tickets := s.state().Tickets
	for _, t := range tickets {
		if t.State == enroll.TicketIssued {
			open++
		}
	}
	s.equal([]int{len(tickets), open}, []int{racers, 1}, "tickets, and open ones")
}

func racePlan(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	p := s.authenticated("p", "u1", start)
	step := tokenOf(p.certificate, p.id, start)
	step.Plan = []mdm.Command{commandOf(p.id, "p1", start), commandOf(p.id, "p2", start)}
	s.race(racers, func(i int) error {
		_, err := node(i).TokenUpdate(s.ctx, step)
		return err
	})
	s.equal(len(s.state().Commands), 2, "commands queued")
	s.due(start, "after the first TokenUpdate", p.id)
}

func raceReports(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	p := s.enrolled("p", "u1", start)
	uuids := names("c", 5)
	p.enqueue(start, uuids...)
	for _, command := range uuids {
		s.equal(p.idle(start), command, "the next command")
		recorded := make([]bool, racers)
		s.race(racers, func(i int) error {
			out, err := node(i).Exchange(s.ctx, mdm.ExchangeStep{
				Certificate: p.certificate, EnrollmentID: p.id, CommandUUID: command, Status: mdm.CommandAcknowledged,
				Result: fmt.Append(nil, "result ", i), At: start,
			})
			recorded[i] = out.Reported != nil
			return err
		})
		n := 0
		for i, r := range recorded {
			if r {
				n++
				s.equal(string(p.command(command).Result), fmt.Sprint("result ", i), "the result of the report that was recorded")
			}
		}
		s.equal(n, 1, "how many reports of one command were recorded")
	}
}

func raceIdle(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	p := s.enrolled("p", "u1", start)
	uuids := names("c", 20)
	p.enqueue(start, uuids...)
	answered := make([][]string, racers)
	s.race(racers, func(i int) error {
		step := mdm.ExchangeStep{Certificate: p.certificate, EnrollmentID: p.id, Idle: true, At: start}
		for {
			out, err := node(i).Exchange(s.ctx, step)
			if err != nil {
				return err
			}
			if out.Reported != nil {
				answered[i] = append(answered[i], out.Reported.UUID)
			}
			if out.Next == nil {
				return nil
			}
			step.Idle, step.CommandUUID, step.Status = false, out.Next.UUID, mdm.CommandAcknowledged
		}
	})
	all := slices.Concat(answered...)
	slices.Sort(all)
	s.equal(all, uuids, "the commands whose answers were recorded, each once")
}

func raceEnqueue(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	p := s.enrolled("p", "u1", start)
	const each = 10
	fetched := []string{}
	errs := together(racers+1, func(i int) error {
		if i < racers {
			for n := range each {
				if err := node(i).Enqueue(s.ctx, commandOf(p.id, fmt.Sprintf("c%d-%d", i, n), start), commandOf(p.id, fmt.Sprint("shared-", n), start)); err != nil {
					return err
				}
			}
			return nil
		}
		step := mdm.ExchangeStep{Certificate: p.certificate, EnrollmentID: p.id, Idle: true, At: start}
		for range 5 * each {
			out, err := node(0).Exchange(s.ctx, step)
			if err != nil {
				return err
			}
			step.Idle, step.CommandUUID, step.Status = out.Next == nil, "", ""
			if out.Next != nil {
				fetched = append(fetched, out.Next.UUID)
				step.CommandUUID, step.Status = out.Next.UUID, mdm.CommandAcknowledged
			}
		}
		return nil
	})
	s.ok(errors.Join(errs...), "Enqueue and Exchange at the same time")
	for next := p.idle(start); next != ""; _, next = p.report(next, mdm.CommandAcknowledged, start) {
		if len(fetched) == 0 || fetched[len(fetched)-1] != next { // the one that was sent and not answered
			fetched = append(fetched, next)
		}
	}
	last := map[string]int{}
	for _, uuid := range fetched {
		var i, n int
		if _, err := fmt.Sscanf(uuid, "c%d-%d", &i, &n); err == nil {
			key := fmt.Sprint(i)
			s.truth(last[key] <= n, "commands of one caller came in another order: %v", fetched)
			last[key] = n
		}
	}
	slices.Sort(fetched)
	s.equal(len(slices.Compact(fetched)), racers*each+each, "different commands fetched")
	s.equal(len(s.state().Commands), racers*each+each, "commands stored")
}

func raceClaims(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	var commands []mdm.Command
	for _, name := range names("p", 20) {
		commands = append(commands, commandOf(s.enrolled(name, "u1", start).id, "c1", start))
	}
	s.ok(s.s.Enqueue(s.ctx, commands...), "Enqueue")
	claimed := make([][]string, racers)
	claim := func(i, limit int) error {
		targets, err := node(i).ClaimPushes(s.ctx, start, time.Minute, limit)
		for _, t := range targets {
			claimed[i] = append(claimed[i], t.EnrollmentID)
		}
		return err
	}
	s.race(racers, func(i int) error {
		for range 5 {
			if err := claim(i, 3); err != nil {
				return err
			}
		}
		return nil
	})
	// Who was passed over because a slow worker looked at it.
	s.ok(claim(0, len(commands)), "ClaimPushes")
	all := slices.Concat(claimed...)
	slices.Sort(all)
	s.equal(all, names("E-p", 20), "the devices claimed, each once")
}

func raceEnd(w *world[Devices]) {
	s := tell(w)
	node := s.nodes()
	for round, name := range names("p", 4) {
		p := s.enrolled(name, "u1", start)
		p.enqueue(start, "c1", "c2")
		s.race(racers, func(i int) error {
			switch (i + round) % 4 {
			case 0:
				return node(i).Unenroll(s.ctx, p.id, start)
			case 1:
				_, err := node(i).TokenUpdate(s.ctx, tokenOf(p.certificate, p.id, start))
				return unless(err, mdm.ErrEnded)
			case 2:
				return unless(node(i).Enqueue(s.ctx, commandOf(p.id, fmt.Sprint("more", i), start)), mdm.ErrUnknownEnrollment)
			default:
				_, err := node(i).Exchange(s.ctx, mdm.ExchangeStep{Certificate: p.certificate, EnrollmentID: p.id, Idle: true, At: start})
				return unless(err, mdm.ErrEnded)
			}
		})
		s.equal(p.enrollment().State, mdm.StateEnded, "state")
		for _, c := range s.state().Commands {
			s.equal(c.Status, mdm.CommandCancelled, "status of "+c.UUID)
		}
		s.due(start.AddDate(1, 0, 0), "after the end")
	}
}

// unless is an error that is not the expected one.
func unless(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
