package transfertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
)

// after is what devices and people do when the fleet has moved, and what each of
// them was answered.
type after struct {
	fleet
	log []string
}

// goOn has a fleet go on and returns the answers. claimed are the pushes that a
// worker was making when the server was stopped.
func goOn(ctx context.Context, s storage.Store, claimed []push.Target) []string {
	a := &after{fleet: fleet{ctx: ctx, s: s, claimed: claimed}}
	a.attemptsGoOn()
	a.devicesGoOn()
	a.accountsGoOn()
	a.peopleGoOn()
	state, err := s.State(ctx)
	a.said("State", state, err)
	return a.log
}

// said notes an answer. Whatever was not expected to be refused, and was, shows
// when the answers of two stores are compared.
func (a *after) said(what string, answer any, err error) {
	b, fault := json.Marshal(answer)
	if fault != nil {
		b = []byte(fault.Error())
	}
	shown := strings.NewReplacer(`""`, "null", "[]", "null").Replace(string(b)) // empty and nil are the same
	a.log = append(a.log, fmt.Sprintf("%s: %s, %s", what, shown, class(err)))
}

// class is the error that the contract names, or that there is another one.
func class(err error) string {
	for _, named := range []error{
		enroll.ErrUnknownTicket, enroll.ErrTicketExpired, enroll.ErrTicketSuperseded, enroll.ErrTicketSpent, enroll.ErrTicketExhausted,
		enroll.ErrChallenge, enroll.ErrNoSession, enroll.ErrSessionUsed, enroll.ErrAnotherPerson, enroll.ErrGrant, enroll.ErrToken,
		mdm.ErrUnknownIdentity, mdm.ErrForeignCertificate, mdm.ErrNotAuthenticated, mdm.ErrEnded, mdm.ErrSuspended, mdm.ErrDeviceLimit,
		mdm.ErrChannel, mdm.ErrBearer, mdm.ErrPlanNeeded, mdm.ErrUnknownEnrollment, jit.ErrSuspended, jit.ErrUnknownUser,
	} {
		if errors.Is(err, named) {
			return named.Error()
		}
	}
	if err != nil {
		return "an error that is not named"
	}
	return "no error"
}

func (a *after) authenticates(d device, at time.Time) {
	e, err := a.authenticate(d, at)
	a.said("Authenticate "+d.id(), e, err)
}

func (a *after) updates(d device, token string, at time.Time, plan ...string) {
	e, err := a.tokenUpdate(d, token, at, plan...)
	a.said("TokenUpdate "+d.id(), e, err)
}

func (a *after) exchanges(d device, x mdm.ExchangeStep, at time.Time) {
	out, err := a.exchange(d, x, at)
	a.said(fmt.Sprintf("Exchange %s %s %s", d.id(), x.CommandUUID, x.Status), out, err)
}

// idles asks for commands and acknowledges one after the other.
func (a *after) idles(d device, at time.Time) {
	x := mdm.ExchangeStep{Idle: true}
	for range 10 {
		out, err := a.exchange(d, x, at)
		a.said(fmt.Sprintf("Exchange %s %s", d.id(), x.CommandUUID), out, err)
		if out.Next == nil {
			return
		}
		x = report(out.Next.UUID, mdm.CommandAcknowledged)
	}
}

// wakes claims what is due. The numbers of requests are a store's own.
func (a *after) wakes(at time.Time) []push.Target {
	targets := a.claim(at)
	shown := slices.Clone(targets)
	for i := range shown {
		shown[i].Request = 0
	}
	a.said("ClaimPushes", shown, nil)
	return targets
}

func (a *after) challenges(challenge, key string, at time.Time) {
	der, err := a.s.Challenge(a.ctx, id(challenge), id(key), at)
	a.said("Challenge "+challenge+" "+key, string(der), err)
}

// attemptsGoOn is at minute 50.
func (a *after) attemptsGoOn() {
	at := minute(50)
	for _, name := range []string{"issued", "downloaded", "superseded", "busy", "half"} {
		a.said("Download "+name, nil, a.download(name, "c-after "+name, at))
	}
	a.said("Download again", nil, a.download("downloaded", "c-downloaded 1", at))
	a.said("Download too often", nil, a.download("downloaded", "c-downloaded 4", at))
	a.said("Download too late", nil, a.download("issued", "c-too late", minute(101)))

	a.challenges("c-identified", "key for c-identified", at)
	a.challenges("c-identified", "another key", at)
	a.challenges("c-identified 2", "another key", at)
	a.challenges("c-identified 2", "another key", minute(61))
	a.challenges("c-superseded", "key for c-superseded", at)
	a.challenges("c-twice", "key for c-twice", at)
	a.said("Identify again", nil, a.identify("c-identified", at))
	a.authenticates(device{name: "identified", challenge: "c-identified"}, minute(60)) // the deadline
	a.authenticates(device{name: "identified", challenge: "c-identified"}, minute(59))
	a.updates(device{name: "identified", challenge: "c-identified"}, "1", minute(62), "planned")

	half := device{name: "half", challenge: "c-half"}
	a.authenticates(half, at)
	a.idles(half, at)
	a.updates(half, "1", at, "planned", "planned too")
	a.idles(half, at)
	for _, d := range []device{
		{name: "twice", challenge: "c-twice"},
		{name: "twice 2", challenge: "c-twice 2"},
		{name: "again", challenge: "c-again"},
		{name: "superseded", challenge: "c-superseded"},
		{name: "finishing", challenge: "c-finishing"},
		{name: "mover", challenge: "c-mover"},
		{name: "mover", challenge: "c-between"},
		{name: "mover", challenge: "c-anew"},
	} {
		a.authenticates(d, at)
		a.updates(d, "1", at)
		a.idles(d, at)
	}
	a.authenticates(device{name: "again 2", challenge: "c-again 2"}, at)
	a.said("Enrollment", nil, func() error { _, err := a.s.Enrollment(a.ctx, "E-again"); return err }())
	a.authenticates(device{name: "third of two", challenge: "c-third of two"}, at)
	for _, user := range []string{"u1", "u6", "u9", "nobody"} {
		n, err := a.s.Devices(a.ctx, user)
		a.said("Devices of "+user, n, err)
	}
	a.issue("issued", "u6", mdm.WayProfile, at) // a repeat
	a.said("IssueTicket", nil, a.s.IssueTicket(a.ctx, ticketOf("next", "u6", "session of next", mdm.WayProfile, at), id("session of downloaded")))
	a.said("Download", nil, a.download("downloaded", "c-superseded now", at))
}

func (a *after) devicesGoOn() {
	at := minute(70)
	busy, idle := device{name: "busy", challenge: "c-busy"}, device{name: "idle", challenge: "c-idle"}
	a.exchanges(busy, mdm.ExchangeStep{Status: mdm.CommandFormatError, Result: []byte("bad")}, at) // of what was sent last
	a.exchanges(busy, report("done", mdm.CommandError), at)
	a.exchanges(busy, report("queued", mdm.CommandAcknowledged), at) // and NotNow is left, which asks for a push
	a.wakes(minute(79))
	for _, target := range a.wakes(minute(80)) {
		a.settle(push.Result{Target: target, Status: 200, At: minute(80)})
	}
	a.said("Enqueue", nil, a.s.Enqueue(a.ctx, commands(busy, at, "done", "more")...))
	a.idles(busy, at)
	a.exchanges(idle, report("notnow", mdm.CommandAcknowledged), at)
	a.idles(idle, at)

	for _, target := range a.claimed { // the worker's answers come late
		a.settle(push.Result{Target: target, Status: 200, At: at})
	}
	targets := a.wakes(minute(91))
	for i, target := range targets {
		r := push.Result{Target: target, Status: 200, At: minute(91)}
		if i == 0 {
			r.Retry, r.Status = minute(95), 429
		}
		a.settle(r)
	}
	dead := device{name: "dead", challenge: "c-dead", udid: true}
	a.updates(dead, "another", minute(92))
	a.wakes(minute(99))
	a.exchanges(device{name: "dead", challenge: "c-dead"}, mdm.ExchangeStep{Idle: true}, at) // named as under User Enrollment
	a.idles(device{name: "asked", challenge: "c-busy", udid: true}, at)                      // by a foreign certificate

	suspended := device{name: "suspended", challenge: "c-suspended"}
	a.idles(suspended, at)
	a.updates(suspended, "1", at)
	a.said("SuspendUser", nil, a.s.SuspendUser(a.ctx, "u3", false))
	a.wakes(minute(100))
	a.idles(suspended, at)
	for _, name := range []string{"left", "removed"} {
		d := device{name: name, challenge: "c-" + name}
		a.idles(d, at)
		a.updates(d, "1", at)
		e, err := a.s.CheckOut(a.ctx, mdm.CheckOutStep{Certificate: digestOf(d.challenge), EnrollmentID: d.id(), At: at})
		a.said("CheckOut "+name, e, err)
		a.said("Unenroll "+name, nil, a.s.Unenroll(a.ctx, d.id(), at))
	}
}

func (a *after) accountsGoOn() {
	at := minute(80)
	refreshed := device{name: "refreshed", challenge: "c-refreshed"}
	for _, bearer := range []string{"", "refreshed", "lost", "refreshed 2", "refreshed 3", "refreshed 2", "often 19"} {
		refreshed.bearer = bearer
		a.exchanges(refreshed, mdm.ExchangeStep{Idle: true}, at)
	}
	refreshed.bearer = "refreshed 3"
	a.exchanges(refreshed, mdm.ExchangeStep{Idle: true}, minute(34+120)) // it has expired
	a.said("Refresh", nil, a.refresh("refreshed 3", "refreshed 4", at))
	a.said("Refresh, the answer was lost", nil, a.refresh("refreshed 3", "refreshed 5", at))
	refreshed.bearer = "refreshed 5"
	a.exchanges(refreshed, mdm.ExchangeStep{Idle: true}, at)
	a.said("Refresh, by another", nil, a.refresh("refreshed 2", "stolen", at))
	a.exchanges(refreshed, mdm.ExchangeStep{Idle: true}, at)

	often := device{name: "often", challenge: "c-often", bearer: "often 19"}
	a.idles(often, at)
	a.said("Refresh", nil, a.refresh("often 19", "often 20", at))
	often.bearer = "often 20"
	a.idles(often, at)
	a.said("Refresh, by another", nil, a.refresh("often 10", "stolen", at))
	a.idles(often, at)

	again := device{name: "again signed in", challenge: "c-again signed in"}
	for _, bearer := range []string{"again signed in", "second sign-in", "again signed in"} {
		again.bearer = bearer
		a.exchanges(again, mdm.ExchangeStep{Idle: true}, at)
	}
	a.said("Grant, by another person", nil, a.signInAgain(again, "u1", "of another", at))
	switched := device{name: "switched", challenge: "c-switched"}
	for _, bearer := range []string{"switched", "switched to"} {
		switched.bearer = bearer
		a.exchanges(switched, mdm.ExchangeStep{Idle: true}, at)
	}
	for _, name := range []string{"revoked", "gone", "a suspended one"} {
		a.exchanges(device{name: name, challenge: "c-" + name, bearer: name}, mdm.ExchangeStep{Idle: true}, at)
	}
	a.said("SuspendUser", nil, a.s.SuspendUser(a.ctx, "u3 by account", false))
	a.exchanges(device{name: "a suspended one", challenge: "c-a suspended one", bearer: "a suspended one"}, mdm.ExchangeStep{Idle: true}, at)
	a.said("Grant", nil, a.signInAgain(device{name: "revoked"}, "a3", "revoked no more", at))
	a.exchanges(device{name: "revoked", challenge: "c-revoked", bearer: "revoked no more"}, mdm.ExchangeStep{Idle: true}, at)

	a.said("Grant, with the same web session", nil, a.signIn("with a code", "a4", mdm.WayAccount, minute(60)))
	a.said("RedeemCode", nil, a.redeem("with a code", "with a code", minute(59)))
	a.said("RedeemCode of a stolen code", nil, a.redeem("with a stolen code", "stolen a third time", minute(40)))
	for _, token := range []string{"with a code", "with tokens", "stolen", "second sign-in", "nothing"} {
		t, err := a.s.TokenTicket(a.ctx, id(token), minute(60))
		a.said("TokenTicket "+token, t, err)
	}
	a.said("Download", nil, a.download("with a code", "c-with a code", minute(60)))
	a.said("Identify", nil, a.identify("c-with a code", minute(61)))
	d := device{name: "with a code", challenge: "c-with a code", bearer: "with tokens", udid: true}
	a.authenticates(d, minute(62))
	d.bearer = "with a code"
	a.authenticates(d, minute(62))
	a.updates(d, "1", minute(63), "planned")
	a.idles(d, minute(64))
}

func (a *after) peopleGoOn() {
	for i, name := range []string{"alice", "bob", "carol " + odd, "dave"} {
		u, created, err := a.s.Provision(a.ctx, jit.Profile{
			ID: fmt.Sprint("new", i), Issuer: "https://idp.example.com", Subject: name, DisplayName: name, KeepGroups: true, At: minute(80),
		})
		a.said(fmt.Sprint("Provision ", name, " created ", created), u, err)
	}
	for _, id := range []string{"u1", "u2", "u3", "new3"} {
		u, err := a.s.User(a.ctx, id)
		a.said("User "+id, u, err)
	}
	a.said("PutSession", nil, a.s.PutSession(a.ctx, enroll.Session{ID: id("c"), UserID: "u2", Expires: minute(60)}, id("b")))
	for _, name := range []string{"a", "b", "c"} {
		for _, at := range []time.Time{minute(59), minute(60)} {
			session, err := a.s.Session(a.ctx, id(name), at)
			a.said("Session "+name, session, err)
		}
	}
}

// forget is what a server does now and then, if its store can, and what is left.
func forget(ctx context.Context, s storage.Store) []string {
	a := &after{fleet: fleet{ctx: ctx, s: s}}
	p, can := s.(storage.Pruner)
	for _, before := range []time.Time{minute(41), minute(75), minute(60 * 24 * 90)} {
		if can {
			n, err := p.Prune(ctx, storage.PruneStep{ExpiredBefore: before, OverBefore: before, Limit: 1000})
			a.said("Prune", n, err)
			state, err := s.State(ctx)
			a.said("State after Prune", state, err)
		}
	}
	return a.log
}

// difference is the first answer in which two logs differ, with what came before.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf(" got  %s\n want %s\nafter\n  %s", at(got, i), at(want, i), strings.Join(want[max(0, min(i, len(want))-5):min(i, len(want))], "\n  "))
		}
	}
	return ""
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing more"
}
