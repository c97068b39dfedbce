package storagetest

import (
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

func grantIssues(w *world[Devices]) {
	s := tellAccounts(w)
	s.ok(s.a.Grant(s.ctx, grantOf("a", "u1", start)), "Grant")
	second := grantOf("b", "u1", start)
	second.Ticket.Session = id("web session a")
	second.Ticket.Way, second.Ticket.Ownership = mdm.WayAccountDevice, enroll.OwnershipCompany
	s.ok(s.a.Grant(s.ctx, second), "Grant")
	want := *grantOf("a", "u1", start).Ticket
	want.State = enroll.TicketIssued
	s.equal(s.theTicket("t-a"), want, "the ticket, after another of the same session")
	got, err := s.a.TokenTicket(s.ctx, id("a"), start)
	s.ok(err, "TokenTicket")
	s.equal(got, want, "the token's ticket")
	got, err = s.a.TokenTicket(s.ctx, id("b"), start)
	s.ok(err, "TokenTicket")
	s.equal([]any{got.ID, got.Way, got.Ownership}, []any{"t-b", mdm.WayAccountDevice, enroll.OwnershipCompany}, "the second ticket")
	_, err = s.s.Download(s.ctx, downloadOf("t-a", "c", start))
	s.ok(err, "Download")
	got, err = s.a.TokenTicket(s.ctx, id("a"), start)
	s.ok(err, "TokenTicket")
	s.equal([]any{got.State, got.Downloads}, []any{enroll.TicketDownloaded, 1}, "the ticket is told as it stands")
}

func grantOnce(w *world[Devices]) {
	s := tellAccounts(w)
	step := grantOf("a", "u1", start)
	s.ok(s.a.Grant(s.ctx, step), "Grant")
	last := start.Add(accountSession - time.Microsecond)
	for name, again := range map[string]enroll.GrantStep{
		"again": step, "of another person": grantOf("b", "u2", last), "for an enrollment": againOf("c", "u1", "E", last), "by a code": byCode(grantOf("d", "u1", last), "d"),
	} {
		again.Session, again.At = step.Session, last
		s.refused(enroll.ErrSessionUsed, "Grant of a session that handed back, "+name, func() error { return s.a.Grant(s.ctx, again) })
	}
	s.over("b", last, "of a Grant that was refused")
	s.inForce("a", "t-a", last, "of the first Grant")
}

func grantBoundary(w *world[Devices]) {
	s := tellAccounts(w)
	step := grantOf("a", "u1", start)
	s.ok(s.a.Grant(s.ctx, step), "Grant")
	again := grantOf("b", "u1", step.SessionExpires.Add(-time.Microsecond))
	again.Session = step.Session
	s.refused(enroll.ErrSessionUsed, "Grant in the last microsecond of its session", func() error { return s.a.Grant(s.ctx, again) })
	again.At = step.SessionExpires
	s.ok(s.a.Grant(s.ctx, again), "Grant at the time when the session before would have expired")
}

func grantNew(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	s.granted("pair", "u1", start)
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("open", "u1", start), "open")), "Grant")
	s.ok(s.s.IssueTicket(s.ctx, ticketOf("issued", "u1", "s"), [32]byte{}), "IssueTicket")
	of := func(step enroll.GrantStep, ticket string) enroll.GrantStep {
		step.Ticket.ID = ticket
		return step
	}
	redeem := func(change func(*enroll.Tokens)) func() error {
		step := codeOf("open", "x", start)
		change(&step.Tokens)
		return func() error { return s.a.RedeemCode(s.ctx, step) }
	}
	refresh := func(change func(*enroll.Tokens)) func() error {
		step := refreshOf("pair", "x", start)
		change(&step.Tokens)
		return func() error { return s.a.Refresh(s.ctx, step) }
	}
	pair := grantOf("x", "u1", start)
	pair.Tokens.Refresh = id("refresh pair")
	for what, step := range map[string]func() error{
		"Grant with a ticket that was granted":         func() error { return s.a.Grant(s.ctx, of(grantOf("x", "u1", start), "t-pair")) },
		"Grant with a ticket that was issued":          func() error { return s.a.Grant(s.ctx, of(grantOf("x", "u2", start), "issued")) },
		"Grant by a code, with a ticket that is there": func() error { return s.a.Grant(s.ctx, of(byCode(grantOf("x", "u1", start), "x"), "t-pair")) },
		"Grant by an open code":                        func() error { return s.a.Grant(s.ctx, byCode(grantOf("x", "u2", start), "open")) },
		"Grant by a redeemed code":                     func() error { return s.a.Grant(s.ctx, byCode(againOf("x", "u1", p.id, start), "pair")) },
		"Grant with a refresh token that is there":     func() error { return s.a.Grant(s.ctx, pair) },
		"RedeemCode to an access token that is there":  redeem(func(t *enroll.Tokens) { t.Access = id("p") }),
		"RedeemCode to a refresh token that is there":  redeem(func(t *enroll.Tokens) { t.Refresh = id("refresh pair") }),
		"Refresh to an access token that is there":     refresh(func(t *enroll.Tokens) { t.Access = id("p") }),
		"Refresh to the access token of before":        refresh(func(t *enroll.Tokens) { t.Access = id("pair") }),
		"Refresh of a refresh token to itself":         refresh(func(t *enroll.Tokens) { t.Refresh = id("refresh pair") }),
	} {
		before := s.state()
		for range 2 {
			s.truth(step() != nil, "%s succeeds", what)
			s.equal(s.state(), before, "what is stored after "+what)
			s.over("x", start, "of a "+what)
		}
	}
	s.ok(s.a.Grant(s.ctx, grantOf("x", "u2", start)), "Grant of a web session whose Grants were errors")
	s.ok(s.a.RedeemCode(s.ctx, codeOf("open", "open", start)), "RedeemCode after errors")
	s.inForce("open", "t-open", start, "of a code whose redemptions were errors")
	for range 2 {
		s.refreshed("pair", "next", start)
	}
	s.inForce("next", "t-pair", start, "of a Refresh that came twice, with the same tokens")
	s.idles(p, "p", start, "of a Grant whose token was to come again")
}

func grantKnown(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	expired := againOf("expired", "u1", p.id, start)
	expired.Tokens.AccessExpires = start.Add(time.Minute)
	s.ok(s.a.Grant(s.ctx, expired), "Grant")
	at := start.Add(time.Hour)
	for _, token := range []string{"p", "expired"} {
		again := againOf("another session "+token, "u1", p.id, at)
		again.Tokens.Access = id(token)
		s.refused(enroll.ErrSessionUsed, "Grant of a token that is known", func() error { return s.a.Grant(s.ctx, again) })
		again = grantOf("another ticket "+token, "u1", at)
		again.Tokens.Access = id(token)
		s.refused(enroll.ErrSessionUsed, "Grant of a token that is known, with a ticket", func() error { return s.a.Grant(s.ctx, again) })
	}
	s.idles(p, "p", at, "that was granted once")
	s.locked(p, "expired", at, "that has expired")
}

func grantRefused(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	ended := s.enrolledAccount("ended", "u1", start)
	s.ok(s.s.Unenroll(s.ctx, ended.id, start), "Unenroll")
	half := s.enrolledHalf("half", "u1", start)
	s.startOver(half, start)
	s.ok(s.s.SuspendUser(s.ctx, "u3", true), "SuspendUser")
	session := id("one web session for all")
	for _, c := range []struct {
		what string
		step enroll.GrantStep
		want error
	}{
		{"of a suspended user", grantOf("x1", "u3", start), mdm.ErrSuspended},
		{"of a suspended user, by a code", byCode(grantOf("x2", "u3", start), "x2"), mdm.ErrSuspended},
		{"for an enrollment, of a suspended user", againOf("x3", "u3", p.id, start), mdm.ErrSuspended},
		{"for an unknown enrollment", againOf("x4", "u1", "E-unknown", start), mdm.ErrUnknownEnrollment},
		{"for nothing", againOf("x5", "u1", "", start), mdm.ErrUnknownEnrollment},
		{"of another person", againOf("x6", "u2", p.id, start), enroll.ErrAnotherPerson},
		{"of another person, for an enrollment that ended", againOf("x7", "u2", ended.id, start), enroll.ErrAnotherPerson},
		{"for an enrollment that ended", againOf("x8", "u1", ended.id, start), mdm.ErrEnded},
		{"for an enrollment that was replaced", againOf("x9", "u1", half.id, start), mdm.ErrEnded},
	} {
		c.step.Session = session
		s.refused(c.want, "Grant "+c.what, func() error { return s.a.Grant(s.ctx, c.step) })
		s.over(fmt.Sprint("x", 1), start, "of a Grant that was refused")
	}
	s.idles(p, "p", start, "after refused sign-ins")
	good := againOf("y", "u1", p.id, start)
	good.Session = session
	s.ok(s.a.Grant(s.ctx, good), "Grant of a session whose Grants were refused")
	s.idles(p, "y", start, "of the sign-in that was not")
}
