package storagetest

import (
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

func ticketClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "ticket is issued", rule: `IssueTicket records the ticket in state issued; an ID that exists is left as it
			is, and superseded nothing: the step may come again after a lost answer.`, check: ticketIssued},
		{name: "a fresh sign-in supersedes", rule: `IssueTicket supersedes every ticket of the same session, and of the
			session before it was rotated, that is neither spent nor superseded; not those of another browser.`, check: ticketSupersedes},
		{name: "a spent ticket is never superseded", rule: `A ticket that the first TokenUpdate spent stays enrolled: it is
			the record of a device.`, check: ticketSpentStays},
		{name: "superseding voids what was given out", rule: `A superseded ticket's challenges, and its identities that no
			Authenticate bound, are of no use any more; a device that has authenticated may still finish.`, check: ticketSupersededVoid},
		{name: "unknown ticket", rule: `Ticket and Download of an ID that is not there are ErrUnknownTicket.`, check: ticketUnknown},
		{name: "a download is counted", rule: `Download counts, notes its time and makes an issued ticket downloaded. The
			same challenge again is the same download.`, check: downloadCounts},
		{name: "a download changes no later state", rule: `A ticket that is identified or authenticated stays in that state
			on another download.`, check: downloadKeepsState},
		{name: "a ticket waits as long as it may", rule: `Download is ErrTicketExpired when the ticket was never downloaded
			and is older than Clocks.Wait, or is older than MaxAge. The clocks come with the step.`, check: downloadExpires},
		{name: "downloads are bounded", rule: `Download number MaxDownloads+1 is ErrTicketExhausted.`, check: downloadExhausted},
		{name: "why a download is refused", rule: `Superseded goes before spent, spent before expired, expired before
			exhausted: the portal tells the person which it is.`, check: downloadPrecedence},
		{name: "a challenge is one ticket's", rule: `A challenge that another ticket has is refused, and nothing changes.`, check: downloadChallengeTaken},
		{name: "challenge is looked up", rule: `Challenge returns nil for a challenge that is open and was never redeemed,
			the certificate for the key that has redeemed it, and ErrChallenge otherwise.`, check: challengeLookup},
		{name: "challenge expires", rule: `A challenge is good for Clocks.Window+Clocks.Grace from its own download.`, check: challengeExpires},
		{name: "a challenge is over at its time", rule: atItsTime, check: challengeBoundary},
		{name: "a challenge belongs to its first key", rule: `Once redeemed, a challenge is ErrChallenge for any other key,
			and gives the first key the same certificate again.`, check: challengeFirstKey},
		{name: "a later download voids the earlier", rule: `Identify voids the challenges of earlier downloads and the
			identities of the ticket that are not bound to an enrolled device; not challenges of later downloads.`, check: identifyVoids},
		{name: "identify is noted", rule: `Identify makes the ticket identified, and the certificate a device identity of
			the ticket's user and way.`, check: identifyNoted},
		{name: "a spent ticket issues nothing", rule: `No open challenge of a spent ticket is redeemed: its device is
			enrolled.`, check: identifySpent},
		{name: "devices are counted", rule: `Devices counts the user's enrollments in state enrolled, and no others.`, check: devicesCounted},
	}
}

func ticketIssued(w *world[Devices]) {
	s := tell(w)
	want := enroll.Ticket{
		ID: "t1", Ref: "REFt1", UserID: "u1", Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		State: enroll.TicketIssued, Session: id("s1"), Issued: start,
	}
	s.repeated("IssueTicket", func() error { return s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}) })
	s.equal(s.theTicket("t1"), want, "the ticket")

	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t2", "u1", "s1"), [32]byte{}), "IssueTicket of a second one")
	before := s.state()
	changed := ticketOf("t1", "u2", "s1")
	changed.Way, changed.Ownership, changed.Issued = mdm.WayAccount, enroll.OwnershipCompany, start.Add(time.Hour)
	s.ok(s.s.IssueTicket(s.ctx, changed, [32]byte{}), "IssueTicket of an ID that exists")
	s.equal(s.state(), before, "what is stored after a late repeat")

	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t4", "u1", "s4"), [32]byte{}), "IssueTicket in another session")
	before = s.state()
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), id("s4")), "IssueTicket of an ID that exists, with a session before")
	s.equal(s.state(), before, "what is stored after a late repeat that names a session before")

	other := ticketOf("t3", "u3", "s3")
	other.Way, other.Ownership = mdm.WayDevice, enroll.OwnershipCompany
	s.ok(s.s.IssueTicket(s.ctx, other, [32]byte{}), "IssueTicket")
	got := s.theTicket("t3")
	s.equal([]any{got.Way, got.Ownership}, []any{mdm.WayDevice, enroll.OwnershipCompany}, "way and ownership")
}

func ticketSupersedes(w *world[Devices]) {
	s := tell(w)
	issue := func(name, session, previous string) {
		s.Helper()
		t := ticketOf(name, "u1", session)
		var before [32]byte
		if previous != "" {
			before = id(previous)
		}
		s.ok(s.s.IssueTicket(s.ctx, t, before), "IssueTicket")
	}
	states := func(want map[string]enroll.TicketState) {
		s.Helper()
		for name, state := range want {
			s.equal(s.theTicket(name).State, state, "state of "+name)
		}
	}
	issue("t1", "s1", "")
	issue("other", "s-other", "")
	issue("t2", "s1", "")
	states(map[string]enroll.TicketState{"t1": enroll.TicketSuperseded, "t2": enroll.TicketIssued, "other": enroll.TicketIssued})
	ended := s.theTicket("t1").Ended
	s.truth(!ended.IsZero(), "a superseded ticket has no time of its end")
	issue("t3", "s2", "s1")
	states(map[string]enroll.TicketState{"t2": enroll.TicketSuperseded, "t3": enroll.TicketIssued, "other": enroll.TicketIssued})
	s.downloaded("p", "t3", "c3", start)
	issue("t4", "s2", "s1")
	states(map[string]enroll.TicketState{"t3": enroll.TicketSuperseded, "t4": enroll.TicketIssued, "other": enroll.TicketIssued})
	s.equal(s.theTicket("t1").Ended, ended, "the end of a ticket that was superseded long ago")
}

func ticketSpentStays(w *world[Devices]) {
	s := tell(w)
	p := s.enrolled("p", "u1", start)
	before := s.theTicket(p.ticket)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t2", "u1", "session of p"), [32]byte{}), "IssueTicket")
	s.equal(s.theTicket(p.ticket), before, "the spent ticket")
	s.equal(p.idle(start), "", "the next command of its device")
}

func ticketSupersededVoid(w *world[Devices]) {
	s := tell(w)
	issue := func(name string) {
		s.Helper()
		s.ok(s.s.IssueTicket(s.ctx, ticketOf(name, "u1", "s"), [32]byte{}), "IssueTicket")
	}
	issue("t1")
	p := s.downloaded("p", "t1", "c1", start)
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c1-open", start))
	s.ok(err, "Download")
	issue("t2")
	for challenge, key := range map[string]string{"c1": "key of p", "c1-open": "key of p"} {
		s.refused(enroll.ErrChallenge, "Identify by the superseded ticket's challenge "+challenge, func() error {
			_, err := s.s.Identify(s.ctx, identifyOf(challenge, key, start))
			return err
		})
		_, err := s.s.Challenge(s.ctx, id(challenge), id(key), start)
		s.is(err, enroll.ErrChallenge, "Challenge of a superseded ticket")
	}
	s.refused(mdm.ErrUnknownIdentity, "Authenticate by a superseded ticket's identity", func() error {
		_, err := p.authenticate(start)
		return err
	})
	half := s.downloaded("half", "t2", "c2", start)
	_, err = half.authenticate(start)
	s.ok(err, "Authenticate")
	issue("t3")
	_, err = s.s.TokenUpdate(s.ctx, tokenOf(half.certificate, half.id, start))
	s.ok(err, "TokenUpdate of a device that had authenticated")
	s.equal(s.theTicket("t2").State, enroll.TicketEnrolled, "its ticket")
}

func ticketUnknown(w *world[Devices]) {
	s := tell(w)
	_, err := s.s.Ticket(s.ctx, "nothing")
	s.is(err, enroll.ErrUnknownTicket, "Ticket")
	s.refused(enroll.ErrUnknownTicket, "Download", func() error {
		_, err := s.s.Download(s.ctx, downloadOf("nothing", "c", start))
		return err
	})
	_, err = s.s.Challenge(s.ctx, id("c"), id("k"), start)
	s.is(err, enroll.ErrChallenge, "the challenge of a refused download")
}

func downloadCounts(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	for n := 1; n <= 3; n++ {
		at := start.Add(time.Duration(n) * time.Minute)
		step := downloadOf("t1", fmt.Sprint("c", n), at)
		var got enroll.Ticket
		s.repeated("Download", func() (err error) {
			got, err = s.s.Download(s.ctx, step)
			return err
		})
		want := ticketOf("t1", "u1", "s1")
		want.State, want.Downloads, want.Downloaded = enroll.TicketDownloaded, n, at
		s.equal(got, want, "the ticket that Download returned")
		s.equal(s.theTicket("t1"), want, "the ticket")
	}
}

func downloadKeepsState(w *world[Devices]) {
	s := tell(w)
	p := s.identified("p", "u1", start)
	again := func(challenge string, state enroll.TicketState) {
		s.Helper()
		before := s.theTicket(p.ticket)
		got, err := s.s.Download(s.ctx, downloadOf(p.ticket, challenge, start.Add(time.Minute)))
		s.ok(err, "Download")
		before.Downloads++
		before.Downloaded = start.Add(time.Minute)
		s.equal(got, before, "the ticket, which was "+string(state))
		s.equal(got.State, state, "state")
	}
	again("c2", enroll.TicketIdentified)
	_, err := p.authenticate(start)
	s.ok(err, "Authenticate with the earlier download's identity, since no later one was redeemed")
	again("c3", enroll.TicketAuthenticated)
}

func downloadExpires(w *world[Devices]) {
	s := tell(w)
	try := func(ticket, challenge string, at time.Time) error {
		_, err := s.s.Download(s.ctx, downloadOf(ticket, challenge, at))
		return err
	}
	for _, name := range []string{"waits", "late"} {
		s.ok(s.s.IssueTicket(s.ctx, ticketOf(name, "u1", name), [32]byte{}), "IssueTicket")
	}
	s.refused(enroll.ErrTicketExpired, "the first download after Wait", func() error {
		return try("late", "c-late", start.Add(clocks.Wait+time.Second))
	})
	s.ok(try("waits", "c1", start.Add(clocks.Wait-time.Second)), "the first download before Wait is over")
	s.ok(try("waits", "c2", start.Add(time.Hour-time.Second)), "a later download after Wait")
	s.refused(enroll.ErrTicketExpired, "a download after MaxAge", func() error {
		return try("waits", "c3", start.Add(time.Hour+time.Second))
	})
	longer := downloadOf("late", "c4", start.Add(2*time.Hour))
	longer.Clocks.Wait, longer.MaxAge = 3*time.Hour, 4*time.Hour
	_, err := s.s.Download(s.ctx, longer)
	s.ok(err, "a download with longer clocks")
}

func downloadExhausted(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	step := func(n int) enroll.DownloadStep {
		d := downloadOf("t1", fmt.Sprint("c", n), start)
		d.MaxDownloads = 3
		return d
	}
	for n := range 3 {
		_, err := s.s.Download(s.ctx, step(n))
		s.ok(err, "Download")
	}
	s.refused(enroll.ErrTicketExhausted, "one download too many", func() error {
		_, err := s.s.Download(s.ctx, step(3))
		return err
	})
	_, err := s.s.Challenge(s.ctx, id("c3"), id("k"), start)
	s.is(err, enroll.ErrChallenge, "the challenge of a refused download")
	_, err = s.s.Download(s.ctx, step(2))
	s.ok(err, "the last download, repeated")
}

func downloadPrecedence(w *world[Devices]) {
	s := tell(w)
	tooLate := func(ticket string) enroll.DownloadStep {
		d := downloadOf(ticket, "late "+ticket, start.Add(2*time.Hour))
		d.MaxDownloads = 1
		return d
	}
	p := s.enrolled("p", "u1", start)
	s.refused(enroll.ErrTicketSpent, "a spent ticket that is too old and exhausted", func() error {
		_, err := s.s.Download(s.ctx, tooLate(p.ticket))
		return err
	})
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c1", start))
	s.ok(err, "Download")
	s.refused(enroll.ErrTicketExpired, "a ticket that is too old and exhausted", func() error {
		_, err := s.s.Download(s.ctx, tooLate("t1"))
		return err
	})
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t2", "u1", "s1"), [32]byte{}), "IssueTicket")
	s.refused(enroll.ErrTicketSuperseded, "a superseded ticket that is too old and exhausted", func() error {
		_, err := s.s.Download(s.ctx, tooLate("t1"))
		return err
	})
	s.refused(enroll.ErrTicketSuperseded, "the repeat of a download that was before the ticket was superseded", func() error {
		_, err := s.s.Download(s.ctx, downloadOf("t1", "c1", start))
		return err
	})
}

func downloadChallengeTaken(w *world[Devices]) {
	s := tell(w)
	for _, name := range []string{"t1", "t2"} {
		s.ok(s.s.IssueTicket(s.ctx, ticketOf(name, "u-"+name, name), [32]byte{}), "IssueTicket")
	}
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c", start))
	s.ok(err, "Download")
	before := s.state()
	_, err = s.s.Download(s.ctx, downloadOf("t2", "c", start))
	s.truth(err != nil, "the same challenge was opened for two tickets")
	s.equal(s.state(), before, "what is stored after a refused step")
}

func challengeLookup(w *world[Devices]) {
	s := tell(w)
	_, err := s.s.Challenge(s.ctx, id("unknown"), id("k"), start)
	s.is(err, enroll.ErrChallenge, "an unknown challenge")
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	_, err = s.s.Download(s.ctx, downloadOf("t1", "c", start))
	s.ok(err, "Download")
	for _, key := range []string{"k1", "k2", "k1"} {
		der, err := s.s.Challenge(s.ctx, id("c"), id(key), start)
		s.ok(err, "Challenge, which redeems nothing")
		s.truth(der == nil, "an open challenge has the certificate %q", der)
	}
	_, err = s.s.Identify(s.ctx, identifyOf("c", "k2", start))
	s.ok(err, "Identify")
	der, err := s.s.Challenge(s.ctx, id("c"), id("k2"), start)
	s.ok(err, "Challenge by the key that redeemed it")
	s.equal(string(der), string(certificateOf("c", "k2")), "the certificate")
	der, err = s.s.Challenge(s.ctx, id("c"), id("k1"), start)
	s.is(err, enroll.ErrChallenge, "Challenge by another key")
	s.truth(der == nil, "another key was given the certificate")
}

func challengeExpires(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	long := downloadOf("t1", "c1", start)
	_, err := s.s.Download(s.ctx, long)
	s.ok(err, "Download")
	second := start.Add(10 * time.Minute)
	_, err = s.s.Download(s.ctx, downloadOf("t1", "c2", second))
	s.ok(err, "Download")
	good := clocks.Window + clocks.Grace
	for challenge, from := range map[string]time.Time{"c1": start, "c2": second} {
		_, err = s.s.Challenge(s.ctx, id(challenge), id("k"), from.Add(good-time.Second))
		s.ok(err, "Challenge in its last second")
		late := from.Add(good + time.Second)
		_, err = s.s.Challenge(s.ctx, id(challenge), id("k"), late)
		s.is(err, enroll.ErrChallenge, "Challenge when it has expired")
		s.refused(enroll.ErrChallenge, "Identify when it has expired", func() error {
			_, err := s.s.Identify(s.ctx, identifyOf(challenge, "k", late))
			return err
		})
	}
	_, err = s.s.Identify(s.ctx, identifyOf("c2", "k", second.Add(good-time.Second)))
	s.ok(err, "Identify in the last second")
}

func challengeBoundary(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c", start))
	s.ok(err, "Download")
	end := start.Add(clocks.Window + clocks.Grace)
	_, err = s.s.Challenge(s.ctx, id("c"), id("k"), end)
	s.is(err, enroll.ErrChallenge, "Challenge at the time when it expires")
	s.refused(enroll.ErrChallenge, "Identify at the time when it expires", func() error {
		_, err := s.s.Identify(s.ctx, identifyOf("c", "k", end))
		return err
	})
	last := end.Add(-time.Microsecond)
	_, err = s.s.Challenge(s.ctx, id("c"), id("k"), last)
	s.ok(err, "Challenge in its last microsecond")
	_, err = s.s.Identify(s.ctx, identifyOf("c", "k", last))
	s.ok(err, "Identify in its last microsecond")
}

func challengeFirstKey(w *world[Devices]) {
	s := tell(w)
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("t1", "u1", "s1"), [32]byte{}), "IssueTicket")
	_, err := s.s.Download(s.ctx, downloadOf("t1", "c", start))
	s.ok(err, "Download")
	s.repeated("Identify", func() error {
		der, err := s.s.Identify(s.ctx, identifyOf("c", "k1", start))
		s.equal(string(der), string(certificateOf("c", "k1")), "the certificate that Identify returned")
		return err
	})
	second := identifyOf("c", "k1", start.Add(time.Minute))
	second.Certificate = []byte("another certificate for the same key")
	second.Digest = id("another certificate for the same key")
	before := s.state()
	der, err := s.s.Identify(s.ctx, second)
	s.ok(err, "Identify by the same key with another certificate")
	s.equal(string(der), string(certificateOf("c", "k1")), "the certificate that the key gets")
	s.equal(s.state(), before, "what is stored after a repeat")
	_, err = s.s.Authenticate(s.ctx, authenticateOf(second.Digest, "E", start))
	s.is(err, mdm.ErrUnknownIdentity, "Authenticate with the certificate that was not recorded")
	s.refused(enroll.ErrChallenge, "Identify by another key", func() error {
		_, err := s.s.Identify(s.ctx, identifyOf("c", "k2", start))
		return err
	})
	_, err = s.s.Authenticate(s.ctx, authenticateOf(identifyOf("c", "k2", start).Digest, "E", start))
	s.is(err, mdm.ErrUnknownIdentity, "Authenticate with the certificate of a refused Identify")
}

func identifyVoids(w *world[Devices]) {
	s := tell(w)
	first := s.identified("p", "u1", start)
	for _, c := range []string{"c-open", "c-second", "c-later"} {
		_, err := s.s.Download(s.ctx, downloadOf(first.ticket, c, start))
		s.ok(err, "Download")
	}
	second := &phone{story: s, id: "E-second", ticket: first.ticket, certificate: identifyOf("c-second", "key 2", start).Digest}
	_, err := s.s.Identify(s.ctx, identifyOf("c-second", "key 2", start))
	s.ok(err, "Identify by a later download's challenge")

	for challenge, key := range map[string]string{"c-p": "key of p", "c-open": "key 3"} {
		s.refused(enroll.ErrChallenge, "Identify by the earlier challenge "+challenge, func() error {
			_, err := s.s.Identify(s.ctx, identifyOf(challenge, key, start))
			return err
		})
		_, err := s.s.Challenge(s.ctx, id(challenge), id(key), start)
		s.is(err, enroll.ErrChallenge, "Challenge of an earlier download")
	}
	s.refused(mdm.ErrUnknownIdentity, "Authenticate by the earlier identity", func() error {
		_, err := first.authenticate(start)
		return err
	})
	_, err = second.authenticate(start)
	s.ok(err, "Authenticate by the later identity")

	third := identifyOf("c-later", "key 4", start)
	_, err = s.s.Identify(s.ctx, third)
	s.ok(err, "Identify by a still later challenge, after Authenticate")
	s.refused(mdm.ErrUnknownIdentity, "TokenUpdate of the half made enrollment whose identity is void", func() error {
		_, err := s.s.TokenUpdate(s.ctx, tokenOf(second.certificate, second.id, start))
		return err
	})
	s.equal(s.theTicket(first.ticket).State, enroll.TicketIdentified, "the ticket's state after a new identity")
}

func identifyNoted(w *world[Devices]) {
	s := tell(w)
	for way, device := range map[mdm.Way]bool{mdm.WayProfile: false, mdm.WayDevice: true} {
		name := string(way)
		t := ticketOf(name, "u-"+name, "s-"+name)
		t.Way = way
		s.ok(s.s.IssueTicket(s.ctx, t, [32]byte{}), "IssueTicket")
		_, err := s.s.Download(s.ctx, downloadOf(name, "c-"+name, start))
		s.ok(err, "Download")
		step := identifyOf("c-"+name, "k", start.Add(time.Minute))
		_, err = s.s.Identify(s.ctx, step)
		s.ok(err, "Identify")
		got := s.theTicket(name)
		s.equal([]any{got.State, got.Identified}, []any{enroll.TicketIdentified, start.Add(time.Minute)}, "state and time")
		a := authenticateOf(step.Digest, "E-"+name, start.Add(2*time.Minute))
		a.Device = device
		e, err := s.s.Authenticate(s.ctx, a)
		s.ok(err, "Authenticate")
		s.equal([]any{e.UserID, e.TicketID, e.Way}, []any{"u-" + name, name, way}, "user, ticket and way of the enrollment")
	}
}

func identifySpent(w *world[Devices]) {
	s := tell(w)
	p := s.authenticated("p", "u1", start)
	_, err := s.s.Download(s.ctx, downloadOf(p.ticket, "c-open", start))
	s.ok(err, "Download")
	_, err = s.s.TokenUpdate(s.ctx, tokenOf(p.certificate, p.id, start))
	s.ok(err, "TokenUpdate")
	s.refused(enroll.ErrChallenge, "Identify for a spent ticket", func() error {
		_, err := s.s.Identify(s.ctx, identifyOf("c-open", "k", start))
		return err
	})
	der, err := s.s.Challenge(s.ctx, id("c-p"), id("key of p"), start)
	s.ok(err, "Challenge by the enrolled device's own key")
	s.equal(string(der), string(certificateOf("c-p", "key of p")), "its certificate")
	s.equal(p.idle(start), "", "the enrolled device's next command")
}

func devicesCounted(w *world[Devices]) {
	s := tell(w)
	count := func(user string, want int) {
		s.Helper()
		n, err := s.s.Devices(s.ctx, user)
		s.ok(err, "Devices")
		s.equal(n, want, "devices of "+user)
	}
	count("u1", 0)
	a, b := s.enrolled("a", "u1", start), s.enrolled("b", "u1", start)
	s.enrolled("c", "u2", start)
	s.authenticated("half", "u1", start)
	s.identified("identified", "u1", start)
	count("u1", 2)
	count("u2", 1)
	_, err := s.s.CheckOut(s.ctx, mdm.CheckOutStep{Certificate: a.certificate, EnrollmentID: a.id, At: start})
	s.ok(err, "CheckOut")
	count("u1", 1)
	s.ok(s.s.Unenroll(s.ctx, b.id, start), "Unenroll")
	count("u1", 0)
	count("nobody", 0)
}
