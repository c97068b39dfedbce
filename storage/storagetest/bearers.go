package storagetest

import (
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

func bearerClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "the first Authenticate needs its ticket's token", rule: `Only a token of the same ticket in force binds an
			identity; the grant is the enrollment's from then on. Every other one is mdm.ErrBearer and leaves no trace.`, check: bearerFirst},
		{name: "every step needs a token of its enrollment", rule: `Without a token in force of this very enrollment a step is
			mdm.ErrBearer and leaves no trace; not even another one of the same person will do.`, check: bearerEach},
		{name: "a token is looked at last", rule: `Who is refused for another reason is told that one, whatever token comes
			along.`, check: bearerLast},
		{name: "ways without an account need no token", rule: `A token changes nothing for an enrollment by a profile.`, check: bearerNone},
		{name: "a former token ends at the first use of the new one", rule: `Until a token of the later grant came with a
			step that was not refused, the former one is in force: the answer may have been lost.`, check: bearerFormer},
		{name: "a refused Authenticate ends no token", rule: `A refused step changes nothing, tokens included.`, check: bearerRefusedEndsNone},
		{name: "starting over with the same token", rule: `After a half made enrollment the same token is good for the next
			certificate of the same ticket, and what becomes of the first attempt does not concern it.`, check: bearerStartOver},
		{name: "a newer ticket takes an EnrollmentID over", rule: `When a device enrolls anew under a known EnrollmentID, the
			tokens of before end.`, check: bearerTakeOver},
		{name: "suspension revokes for good", rule: `A suspended user's tokens, codes and refresh tokens end: after it is
			lifted the device signs in again, and the same enrollment works on.`, check: bearerSuspended},
		{name: "an end ends the tokens", rule: `When an enrollment ends, so do its tokens and refresh tokens; those of the
			person's other devices stay.`, check: bearerEnded},
	}
}

func accountRaceClauses() []clause[Devices] {
	return []clause[Devices]{
		{name: "race: a web session hands back once", rule: `Of Grants of one web session at the same time exactly one
			succeeds, on any node.`, check: raceSession},
		{name: "race: a code is redeemed once", rule: `Of redemptions of one code at the same time at most one answers tokens,
			and these end, since the code came twice.`, check: raceCode},
		{name: "race: a refresh token leads to one access token", rule: `Of exchanges of one refresh token at the same time
			one access token is in force.`, check: raceRefresh},
		{name: "race: a suspension is final", rule: `When SuspendUser has returned, no token of the user is in force, whatever
			ran at the same time.`, check: raceSuspension},
	}
}

// accountPhone is a phone that enrolls by an account.
type accountPhone struct {
	*accounts
	id, ticket  string
	certificate [32]byte
}

// identifiedAccount is a phone that has its identity, and a token of its name.
func (s *accounts) identifiedAccount(name, user string, at time.Time) *accountPhone {
	s.Helper()
	s.ok(s.a.Grant(s.ctx, grantOf(name, user, at)), "Grant")
	p := s.downloaded(name, "t-"+name, "c-"+name, at)
	return &accountPhone{s, p.id, p.ticket, p.certificate}
}

// enrolledHalf is a phone whose Authenticate was accepted.
func (s *accounts) enrolledHalf(name, user string, at time.Time) *accountPhone {
	s.Helper()
	p := s.identifiedAccount(name, user, at)
	s.ok(p.authenticate(name, at), "Authenticate")
	return p
}

// enrolledAccount is a phone that is enrolled.
func (s *accounts) enrolledAccount(name, user string, at time.Time) *accountPhone {
	s.Helper()
	p := s.enrolledHalf(name, user, at)
	s.ok(p.tokenUpdate(name, at), "TokenUpdate")
	s.settleAll(at)
	return p
}

// startOver is the phone's next attempt, with another key and EnrollmentID, after
// Authenticate. The first attempt is replaced.
func (s *accounts) startOver(p *accountPhone, at time.Time) *accountPhone {
	s.Helper()
	next := s.downloaded(p.id+" again", p.ticket, "c-again-"+p.ticket, at)
	again := &accountPhone{s, next.id, next.ticket, next.certificate}
	s.ok(again.authenticate(p.ticket[len("t-"):], at), "Authenticate of the next attempt, with the same token")
	return again
}

func (p *accountPhone) authenticate(token string, at time.Time) error {
	step := authenticateOf(p.certificate, p.id, at)
	step.Bearer = id(token)
	_, err := p.s.Authenticate(p.ctx, step)
	return err
}

func (p *accountPhone) tokenUpdate(token string, at time.Time) error {
	step := tokenOf(p.certificate, p.id, at)
	step.Bearer = id(token)
	_, err := p.s.TokenUpdate(p.ctx, step)
	return err
}

func (p *accountPhone) exchange(token string, at time.Time) error {
	_, err := p.s.Exchange(p.ctx, mdm.ExchangeStep{Certificate: p.certificate, EnrollmentID: p.id, Bearer: id(token), Idle: true, At: at})
	return err
}

func (p *accountPhone) checkOut(token string, at time.Time) error {
	_, err := p.s.CheckOut(p.ctx, mdm.CheckOutStep{Certificate: p.certificate, EnrollmentID: p.id, Bearer: id(token), At: at})
	return err
}

// steps are all that a phone does.
func (p *accountPhone) steps() map[string]func(token string, at time.Time) error {
	return map[string]func(string, time.Time) error{
		"Authenticate": p.authenticate, "TokenUpdate": p.tokenUpdate, "Exchange": p.exchange, "CheckOut": p.checkOut,
	}
}

// idles fails unless a token is in force for the phone. That uses it.
func (s *accounts) idles(p *accountPhone, token string, at time.Time, what string) {
	s.Helper()
	s.ok(p.exchange(token, at), "Exchange with a token "+what)
}

// locked fails unless no step of the phone is served with a token.
func (s *accounts) locked(p *accountPhone, token string, at time.Time, what string) {
	s.Helper()
	for name, step := range p.steps() {
		s.refused(mdm.ErrBearer, name+" with a token "+what, func() error { return step(token, at) })
	}
}

func bearerFirst(w *world[Devices]) {
	s := tellAccounts(w)
	s.enrolledAccount("other", "u1", start)
	s.identifiedAccount("second", "u1", start)
	p := s.identifiedAccount("p", "u1", start)
	expired := grantOf("expired", "u1", start)
	expired.Tokens.AccessExpires = start
	s.ok(s.a.Grant(s.ctx, expired), "Grant")
	for _, token := range []string{"", "unknown", "other", "second", "expired"} {
		s.refused(mdm.ErrBearer, fmt.Sprintf("first Authenticate with the token %q", token), func() error { return p.authenticate(token, start) })
	}
	s.refused(mdm.ErrBearer, "first Authenticate without a token", func() error {
		_, err := s.s.Authenticate(s.ctx, authenticateOf(p.certificate, p.id, start))
		return err
	})
	s.ok(p.authenticate("p", start), "Authenticate")
	s.ok(p.authenticate("p", start), "Authenticate again")
	s.ok(p.tokenUpdate("p", start), "TokenUpdate")
	s.inForce("p", p.ticket, start, "that is bound")
}

func bearerEach(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	second, colleague := s.enrolledAccount("second", "u1", start), s.enrolledAccount("colleague", "u2", start)
	s.ok(s.a.Grant(s.ctx, grantOf("unbound", "u1", start)), "Grant")
	expiring := againOf("expiring", "u1", p.id, start)
	expiring.Tokens.AccessExpires = start.Add(time.Hour)
	s.ok(s.a.Grant(s.ctx, expiring), "Grant")
	for _, token := range []string{"", "unknown", "second", "colleague", "unbound"} {
		s.locked(p, token, start, fmt.Sprintf("%q", token))
	}
	s.locked(p, "expiring", start.Add(time.Hour), "that has expired")
	s.idles(p, "p", start, "that is the phone's, after others")
	s.idles(second, "second", start, "of the second device")
	s.idles(colleague, "colleague", start, "of another person")
	s.idles(p, "expiring", start.Add(time.Hour-time.Microsecond), "in its last microsecond")
}

func bearerLast(w *world[Devices]) {
	s := tellAccounts(w)
	p, half := s.enrolledAccount("p", "u1", start), s.identifiedAccount("half", "u1", start)
	s.ok(s.s.SuspendUser(s.ctx, "u3", false), "SuspendUser")
	suspended := s.enrolledAccount("suspended", "u3", start)
	s.ok(s.s.SuspendUser(s.ctx, "u3", true), "SuspendUser")
	ended := s.enrolledAccount("ended", "u1", start)
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")
	for _, token := range []string{"", "unknown", "p", "ended", "suspended"} {
		for _, c := range []struct {
			what string
			p    accountPhone
			want error
		}{
			{"of an unknown identity", accountPhone{s, p.id, p.ticket, id("unknown")}, mdm.ErrUnknownIdentity},
			{"of a suspended user", *suspended, mdm.ErrSuspended},
			{"under another EnrollmentID", accountPhone{s, "E-other", p.ticket, p.certificate}, mdm.ErrForeignCertificate},
			{"of an enrollment that ended", *ended, mdm.ErrEnded},
			{"that no Authenticate came before", *half, mdm.ErrNotAuthenticated},
		} {
			for name, step := range c.p.steps() {
				if name == "Authenticate" && c.want == mdm.ErrNotAuthenticated { //nolint:errorlint // it is the table's own
					continue
				}
				if name == "CheckOut" && c.want == mdm.ErrEnded { //nolint:errorlint // it is the table's own
					s.ok(step(token, start), "a repeated CheckOut")
					continue
				}
				s.refused(c.want, name+" "+c.what, func() error { return step(token, start) })
			}
		}
		s.refused(mdm.ErrChannel, "Exchange by a UDID", func() error {
			_, err := s.s.Exchange(s.ctx, mdm.ExchangeStep{Certificate: p.certificate, EnrollmentID: p.id, Device: true, Bearer: id(token), Idle: true, At: start})
			return err
		})
	}
	s.refused(mdm.ErrForeignCertificate, "Exchange that asks who sent it", func() error {
		_, err := s.s.Exchange(s.ctx, mdm.ExchangeStep{Certificate: p.certificate, At: start})
		return err
	})
}

func bearerNone(w *world[Devices]) {
	s := tellAccounts(w)
	s.ok(s.a.Grant(s.ctx, grantOf("t", "u1", start)), "Grant")
	by := s.enrolled("profile", "u1", start)
	p := &accountPhone{s, by.id, by.ticket, by.certificate}
	for _, token := range []string{"", "unknown", "t"} {
		s.idles(p, token, start, fmt.Sprintf("%q", token))
		s.ok(p.authenticate(token, start), "Authenticate")
		s.ok(p.tokenUpdate(token, start), "TokenUpdate")
	}
	s.inForce("t", "t-t", start, "that came with another enrollment")
}

func bearerFormer(w *world[Devices]) {
	s := tellAccounts(w)
	n := 0
	for _, name := range []string{"Authenticate", "TokenUpdate", "Exchange"} {
		for _, code := range []bool{false, true} {
			n++
			first, next := fmt.Sprint("first", n), fmt.Sprint("next", n)
			p := s.enrolledAccount(first, "u1", start)
			again := againOf(next, "u1", p.id, start)
			if code {
				s.ok(s.a.Grant(s.ctx, byCode(again, next)), "Grant")
				s.ok(s.a.RedeemCode(s.ctx, codeOf(next, next, start)), "RedeemCode")
			} else {
				s.ok(s.a.Grant(s.ctx, again), "Grant")
			}
			s.idles(p, first, start, "whose successor did not come")
			s.ok(p.steps()[name](next, start), name+" with the new token")
			s.locked(p, first, start, "whose successor came with "+name)
			s.over(first, start, "whose successor came")
			s.idles(p, next, start, "that came")
		}
	}
	half := s.enrolledHalf("half", "u1", start)
	s.ok(s.a.Grant(s.ctx, againOf("half next", "u1", half.id, start)), "Grant")
	unplanned := tokenOf(half.certificate, half.id, start)
	unplanned.Bearer, unplanned.Planned = id("half next"), false
	s.refused(mdm.ErrPlanNeeded, "TokenUpdate without a plan", func() error {
		_, err := s.s.TokenUpdate(s.ctx, unplanned)
		return err
	})
	s.ok(half.tokenUpdate("half", start), "TokenUpdate with the former token, after one that needed a plan")
	s.ok(half.checkOut("half next", start), "CheckOut with the new token")
}

func bearerRefusedEndsNone(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	stranger := s.enrolledAccount("stranger", "u2", start)
	next := s.identifiedAccount("next", "u1", start)
	for what, step := range map[string]mdm.AuthenticateStep{
		"over the limit of devices": {EnrollmentID: next.id, DeviceLimit: 1},
		"over another's device":     {EnrollmentID: stranger.id},
		"by a UDID":                 {EnrollmentID: p.id, Device: true},
		"too late":                  {EnrollmentID: p.id, At: start.Add(time.Hour)},
		"without a name":            {},
	} {
		step.Certificate, step.Bearer, step.Topic = next.certificate, id("next"), topic
		if step.At.IsZero() {
			step.At = start
		}
		before := s.state()
		_, err := s.s.Authenticate(s.ctx, step)
		s.truth(err != nil, "Authenticate %s succeeds", what)
		s.equal(s.state(), before, "what is stored after Authenticate "+what)
		s.idles(p, "p", start, "after an Authenticate "+what)
		s.idles(stranger, "stranger", start, "after an Authenticate "+what)
	}
	s.ok(next.authenticate("next", start), "Authenticate after refused ones")
}

func bearerStartOver(w *world[Devices]) {
	s := tellAccounts(w)
	first := s.enrolledHalf("p", "u1", start)
	again := s.startOver(first, start.Add(time.Minute))
	for name, step := range first.steps() {
		s.refused(mdm.ErrUnknownIdentity, name+" of the first attempt", func() error { return step("p", start) })
	}
	s.inForce("p", "t-p", start, "of the ticket that is not spent")
	s.ok(s.a.RevokeTokens(s.ctx, first.id), "RevokeTokens of the first attempt")
	s.ok(s.s.Unenroll(s.ctx, first.id, start), "Unenroll of the first attempt")
	s.ok(again.tokenUpdate("p", start.Add(time.Minute)), "TokenUpdate of the next attempt")
	s.idles(again, "p", start.Add(time.Minute), "of the next attempt")
	s.ok(s.a.Grant(s.ctx, againOf("later", "u1", again.id, start)), "Grant")
	s.idles(again, "later", start, "of a repeated sign-in")
	s.locked(again, "p", start, "of before")
	s.ok(s.a.RevokeTokens(s.ctx, again.id), "RevokeTokens")
	s.locked(again, "later", start, "that was revoked")
}

func bearerTakeOver(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	s.ok(s.a.Grant(s.ctx, againOf("again", "u1", p.id, start)), "Grant")
	s.idles(p, "again", start, "of a repeated sign-in")
	next := s.identifiedAccount("next", "u1", start)
	next.id = p.id
	s.refused(mdm.ErrBearer, "Authenticate of the newer ticket with the former token", func() error { return next.authenticate("again", start) })
	s.ok(next.authenticate("next", start), "Authenticate of the newer ticket")
	s.locked(next, "again", start, "of before")
	s.locked(next, "p", start, "of before")
	s.ok(next.tokenUpdate("next", start), "TokenUpdate")
	s.refused(mdm.ErrUnknownIdentity, "Exchange of the former identity", func() error { return p.exchange("next", start) })
	s.is(s.a.Grant(s.ctx, againOf("stranger", "u2", p.id, start)), enroll.ErrAnotherPerson, "Grant of another person")
}

func bearerSuspended(w *world[Devices]) {
	s := tellAccounts(w)
	p, other := s.enrolledAccount("p", "u1", start), s.enrolledAccount("other", "u2", start)
	s.granted("pair", "u1", start)
	s.ok(s.a.Grant(s.ctx, byCode(againOf("open", "u1", p.id, start), "open")), "Grant")
	s.repeated("SuspendUser", func() error { return s.s.SuspendUser(s.ctx, "u1", true) })
	for name, step := range p.steps() {
		s.refused(mdm.ErrSuspended, name+" of a suspended user", func() error { return step("p", start) })
	}
	s.refused(mdm.ErrSuspended, "TokenTicket of a suspended user", func() error {
		_, err := s.a.TokenTicket(s.ctx, id("p"), start)
		return err
	})
	s.refused(mdm.ErrSuspended, "RedeemCode of a suspended user", func() error { return s.a.RedeemCode(s.ctx, codeOf("open", "x", start)) })
	s.refused(mdm.ErrSuspended, "Refresh of a suspended user", func() error { return s.a.Refresh(s.ctx, refreshOf("pair", "x", start)) })
	s.refused(mdm.ErrSuspended, "Grant of a suspended user", func() error { return s.a.Grant(s.ctx, againOf("x", "u1", p.id, start)) })
	s.repeated("SuspendUser, lifted", func() error { return s.s.SuspendUser(s.ctx, "u1", false) })
	s.locked(p, "p", start, "of before the suspension")
	for _, token := range []string{"p", "pair"} {
		s.over(token, start, "of before the suspension")
	}
	s.is(s.a.RedeemCode(s.ctx, codeOf("open", "x", start)), enroll.ErrGrant, "RedeemCode of before the suspension")
	s.is(s.a.Refresh(s.ctx, refreshOf("pair", "x", start)), enroll.ErrGrant, "Refresh of before the suspension")
	enrollment, err := s.s.Enrollment(s.ctx, p.id)
	s.ok(err, "Enrollment")
	s.ok(s.a.Grant(s.ctx, againOf("healed", "u1", p.id, start)), "Grant after the suspension")
	s.idles(p, "healed", start, "of a sign-in after the suspension")
	after, err := s.s.Enrollment(s.ctx, p.id)
	s.ok(err, "Enrollment")
	s.equal(withoutContact(after), withoutContact(enrollment), "the enrollment, which is the same")
	s.idles(other, "other", start, "of another person")
}

func bearerEnded(w *world[Devices]) {
	s := tellAccounts(w)
	other := s.enrolledAccount("other", "u1", start)
	for _, name := range []string{"CheckOut", "Unenroll"} {
		p := s.enrolledAccount(name, "u1", start)
		s.inForce(name, p.ticket, start, "of an enrollment")
		s.ok(s.a.Grant(s.ctx, byCode(againOf(name+" pair", "u1", p.id, start), name)), "Grant")
		s.ok(s.a.RedeemCode(s.ctx, codeOf(name, name+" pair", start)), "RedeemCode")
		s.ok(s.a.Grant(s.ctx, byCode(againOf(name+" open", "u1", p.id, start), name+" open")), "Grant")
		if name == "CheckOut" {
			s.ok(p.checkOut(name+" pair", start), "CheckOut")
		} else {
			s.ok(s.s.Unenroll(s.ctx, p.id, start), "Unenroll")
		}
		s.over(name, start, "of an enrollment that ended")
		s.is(s.a.Refresh(s.ctx, refreshOf(name+" pair", "x", start)), enroll.ErrGrant, "Refresh of an enrollment that ended")
		s.is(s.a.RedeemCode(s.ctx, codeOf(name+" open", "x", start)), enroll.ErrGrant, "RedeemCode of an enrollment that ended")
		s.refused(mdm.ErrEnded, "Exchange of an enrollment that ended", func() error { return p.exchange(name+" pair", start) })
	}
	s.idles(other, "other", start, "of another device")
}

// accountNodes are where racers run.
func (s *accounts) accountNodes() func(i int) enroll.AccountStore {
	second, ok := s.second().(enroll.AccountStore)
	if !ok {
		second = s.a
	}
	nodes := []enroll.AccountStore{s.a, second}
	return func(i int) enroll.AccountStore { return nodes[i%2] }
}

func raceSession(w *world[Devices]) {
	s := tellAccounts(w)
	node := s.accountNodes()
	for round := range 4 {
		errs := together(racers, func(i int) error {
			step := grantOf(fmt.Sprint(round, " ", i), "u1", start)
			step.Session = id(fmt.Sprint("session ", round))
			return node(i).Grant(s.ctx, step)
		})
		s.only(errs, enroll.ErrSessionUsed, "Grant of one session")
		for i, lost := range errs {
			if name := fmt.Sprint(round, " ", i); lost == nil {
				s.inForce(name, "t-"+name, start, "of the Grant that won")
			} else {
				s.over(name, start, "of a Grant that lost")
			}
		}
	}
	s.equal(len(s.state().Tickets), 4, "tickets")
}

func raceCode(w *world[Devices]) {
	s := tellAccounts(w)
	node := s.accountNodes()
	for round := range 4 {
		code := fmt.Sprint("code", round)
		s.ok(s.a.Grant(s.ctx, byCode(grantOf(code, "u1", start), code)), "Grant")
		errs := together(racers, func(i int) error {
			return node(i).RedeemCode(s.ctx, codeOf(code, fmt.Sprint(code, " ", i), start))
		})
		s.only(errs, enroll.ErrGrant, "RedeemCode of one code")
		for i := range errs {
			s.over(fmt.Sprint(code, " ", i), start, "of a code that came more than once")
		}
	}
}

func raceRefresh(w *world[Devices]) {
	s := tellAccounts(w)
	node := s.accountNodes()
	for round := range 4 {
		name := fmt.Sprint("pair", round)
		s.granted(name, "u1", start)
		w.race(racers, func(i int) error { return node(i).Refresh(s.ctx, refreshOf(name, fmt.Sprint(name, " ", i), start)) })
		good := 0
		for i := range racers {
			_, err := s.a.TokenTicket(s.ctx, id(fmt.Sprint(name, " ", i)), start)
			if err == nil {
				good++
				continue
			}
			s.is(err, enroll.ErrToken, "TokenTicket")
		}
		s.equal(good, 1, "how many access tokens are in force")
		s.over(name, start, "of before the exchange")
	}
}

func raceSuspension(w *world[Devices]) {
	s := tellAccounts(w)
	node := s.accountNodes()
	for round := range 4 {
		user := fmt.Sprint("user", round)
		s.granted(user+" pair", user, start)
		errs := together(racers, func(i int) error {
			name := fmt.Sprint(user, " ", i)
			switch i % 3 {
			case 0:
				return s.s.SuspendUser(s.ctx, user, true)
			case 1:
				return node(i).Grant(s.ctx, grantOf(name, user, start))
			}
			return node(i).Refresh(s.ctx, refreshOf(user+" pair", name, start))
		})
		for i, err := range errs {
			if i%3 == 0 {
				s.ok(err, "SuspendUser")
			} else if err != nil {
				s.is(err, mdm.ErrSuspended, "a Grant or Refresh at the same time")
			}
		}
		s.ok(s.s.SuspendUser(s.ctx, user, false), "SuspendUser, lifted")
		for i := range errs {
			s.over(fmt.Sprint(user, " ", i), start, "of before or during the suspension")
		}
	}
}
