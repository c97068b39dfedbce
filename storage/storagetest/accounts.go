package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// Accounts is the part of an adapter that serves account-driven enrollment. It
// is one database with Devices.
type Accounts interface {
	Devices
	enroll.AccountStore
}

var errNoAccounts = errors.New("the store of the suite's Accounts is none")

func accountClauses() []clause[Devices] {
	return slices.Concat([]clause[Devices]{
		{name: "a sign-in issues its ticket", rule: `Grant with a Ticket records the ticket, superseding nothing, and its
			access token leads to it.`, check: grantIssues},
		{name: "a web session hands back once", rule: `A second Grant of a web session is ErrSessionUsed, whoever it is for,
			until SessionExpires.`, check: grantOnce},
		{name: "a web session is over at its time", rule: atItsTime, check: grantBoundary},
		{name: "an access token is granted once", rule: `Grant of an access token that is known is ErrSessionUsed, in force or
			not: another server's may come again when it has expired here.`, check: grantKnown},
		{name: "codes, tokens and tickets are new", rule: `A Grant whose ticket or code, and a Grant, RedeemCode or Refresh whose
			tokens are there already, is an error, and nothing changes: each names one thing, or one person would be
			served as another. Only what a repeated Refresh ends comes again with it.`, check: grantNew},
		{name: "a refused sign-in leaves its web session", rule: `Grant is mdm.ErrSuspended for a suspended user, and without
			a Ticket mdm.ErrUnknownEnrollment, mdm.ErrEnded or ErrAnotherPerson; nothing is stored, and the session may
			hand back yet.`, check: grantRefused},
		{name: "an access token expires", rule: `A token is in force until AccessExpires, and forever without.`, check: accessExpires},
		{name: "a code is redeemed once", rule: `A code that is redeemed again is ErrGrant, and takes the tokens of the first
			redemption with it (RFC 6749 §4.1.2).`, check: codeOnce},
		{name: "a code is bound", rule: `A code is ErrGrant for another client, another redirect URI, and once it has
			expired; such an attempt changes nothing.`, check: codeBound},
		{name: "refresh tokens are rotated", rule: `Refresh makes new tokens; the former ones end when one of the new is
			used.`, check: refreshRotates},
		{name: "a refresh is repeated", rule: `A refresh token may come again as long as no token that it was exchanged for
			came: the answer was lost. The tokens of that answer end.`, check: refreshRepeated},
		{name: "a stolen refresh token ends the grant", rule: `A refresh token that comes again after a token that it was
			exchanged for revokes the whole grant (RFC 9700 §4.14.2), also one of long ago.`, check: refreshReused},
		{name: "a refresh token is bound", rule: `A refresh token is ErrGrant for another client, once it has expired, and
			when it is unknown; such an attempt changes nothing.`, check: refreshBound},
		{name: "a forgotten refresh token", rule: `A refresh token that was replaced long ago is ErrGrant, whether the store
			remembers it or not, and the tokens in force are few.`, check: refreshMany},
		{name: "a token of a repeated sign-in", rule: `A token of a grant without a ticket is in force for its enrollment,
			and TokenTicket is ErrToken.`, check: againHasNoTicket},
		{name: "tokens are revoked", rule: `RevokeTokens ends all tokens and open codes of an enrollment, and of no other;
			repeating it changes nothing.`, check: revokeTokens},
		{name: "a cancelled call grants nothing", rule: `A call whose context is over returns an error and changes nothing.`, check: accountCancelled},
		{name: "what a sign-in was given is its own", rule: `A Ticket or Code that the caller changes afterwards is stored as
			it was.`, check: accountAliasing},
		{name: "times and texts of a grant", rule: timesRule + " " + textRule, check: accountValues},
		{name: "grants survive reopening", durable: true, rule: `Used sessions, codes, tokens and what was revoked are as
			they were after the process ends.`, check: accountReopen},
	}, bearerClauses(), accountRaceClauses(), []clause[Devices]{
		{name: "random histories", check: checkAccountHistories, rule: `Whatever steps come in whatever order, an adapter
			answers as storage/memory does, and stores the same.`},
		crashClause("accounts", accountScript(), func() Devices { return memory.New() }),
	})
}

// accounts tells account-driven enrollments to a store.
type accounts struct {
	*story
	a enroll.AccountStore
}

func tellAccounts(w *world[Devices]) *accounts {
	w.Helper()
	a, ok := w.store.(enroll.AccountStore)
	if !ok {
		w.fail("%v", errNoAccounts)
	}
	return &accounts{tell(w), a}
}

const (
	accountSession = 20 * time.Minute
	client         = "client"
	redirect       = "scheme:/redirection"
)

// grantOf is a sign-in by which a device enrolls; its access token has its name.
func grantOf(name, user string, at time.Time) enroll.GrantStep {
	t := ticketOf("t-"+name, user, "web session "+name)
	t.Way, t.Issued = mdm.WayAccount, at
	return enroll.GrantStep{
		Session: id("web session " + name), SessionExpires: at.Add(accountSession), UserID: user, Ticket: &t,
		Tokens: enroll.Tokens{Access: id(name)}, At: at,
	}
}

// againOf is a repeated sign-in for an enrollment.
func againOf(name, user, enrollmentID string, at time.Time) enroll.GrantStep {
	s := grantOf(name, user, at)
	s.Ticket, s.EnrollmentID = nil, enrollmentID
	return s
}

// byCode makes a sign-in one that hands back a code of its name.
func byCode(s enroll.GrantStep, name string) enroll.GrantStep {
	s.Tokens = enroll.Tokens{}
	s.Code = &enroll.AuthorizationCode{Code: id("code " + name), ClientID: client, RedirectURI: redirect, Expires: s.At.Add(time.Minute)}
	return s
}

// pairOf are an access and a refresh token of a name.
func pairOf(name string, at time.Time) enroll.Tokens {
	return enroll.Tokens{Access: id(name), AccessExpires: at.Add(time.Hour), Refresh: id("refresh " + name), RefreshExpires: at.AddDate(1, 0, 0)}
}

func codeOf(code, tokens string, at time.Time) enroll.CodeStep {
	return enroll.CodeStep{Code: id("code " + code), ClientID: client, RedirectURI: redirect, Tokens: pairOf(tokens, at), At: at}
}

func refreshOf(former, tokens string, at time.Time) enroll.RefreshStep {
	return enroll.RefreshStep{Refresh: id("refresh " + former), ClientID: client, Tokens: pairOf(tokens, at), At: at}
}

// granted signs in by a code and redeems it for tokens of the name.
func (s *accounts) granted(name, user string, at time.Time) {
	s.Helper()
	s.ok(s.a.Grant(s.ctx, byCode(grantOf(name, user, at), name)), "Grant")
	s.ok(s.a.RedeemCode(s.ctx, codeOf(name, name, at)), "RedeemCode")
}

// refreshed exchanges the refresh token of one name for tokens of another.
func (s *accounts) refreshed(former, tokens string, at time.Time) {
	s.Helper()
	s.ok(s.a.Refresh(s.ctx, refreshOf(former, tokens, at)), "Refresh")
}

// inForce fails unless an access token leads to its ticket. That uses it.
func (s *accounts) inForce(token, ticket string, at time.Time, what string) {
	s.Helper()
	t, err := s.a.TokenTicket(s.ctx, id(token), at)
	s.ok(err, "TokenTicket, "+what)
	s.equal(t.ID, ticket, "the token's ticket")
}

// over fails unless an access token is not in force, twice.
func (s *accounts) over(token string, at time.Time, what string) {
	s.Helper()
	s.refused(enroll.ErrToken, "TokenTicket, "+what, func() error {
		t, err := s.a.TokenTicket(s.ctx, id(token), at)
		s.equal(t, enroll.Ticket{}, "the ticket that comes with an error")
		return err
	})
}

func accessExpires(w *world[Devices]) {
	s := tellAccounts(w)
	step := grantOf("a", "u1", start)
	step.Tokens.AccessExpires = start.Add(time.Hour)
	s.ok(s.a.Grant(s.ctx, step), "Grant")
	s.ok(s.a.Grant(s.ctx, grantOf("b", "u1", start)), "Grant")
	s.inForce("a", "t-a", start.Add(time.Hour-time.Microsecond), "in its last microsecond")
	s.over("a", start.Add(time.Hour), "when it expires")
	s.inForce("b", "t-b", start.AddDate(50, 0, 0), "without an end")
	s.over("unknown", start, "that nobody was given")
	_, err := s.a.TokenTicket(s.ctx, [32]byte{}, start)
	s.is(err, enroll.ErrToken, "TokenTicket of no token")
}

func codeOnce(w *world[Devices]) {
	s := tellAccounts(w)
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("a", "u1", start), "a")), "Grant")
	s.over("a", start, "of a code that is not redeemed")
	s.ok(s.a.RedeemCode(s.ctx, codeOf("a", "a", start)), "RedeemCode")
	s.inForce("a", "t-a", start, "of a code that was redeemed")
	s.granted("b", "u1", start)
	s.refused(enroll.ErrGrant, "RedeemCode a second time", func() error { return s.a.RedeemCode(s.ctx, codeOf("a", "thief", start.AddDate(0, 0, 1))) })
	s.over("thief", start, "of a second redemption")
	s.over("a", start, "of a code that was redeemed twice")
	s.refused(enroll.ErrGrant, "Refresh of a code that was redeemed twice", func() error { return s.a.Refresh(s.ctx, refreshOf("a", "c", start)) })
	s.inForce("b", "t-b", start, "of another sign-in of that person")
}

func codeBound(w *world[Devices]) {
	s := tellAccounts(w)
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("a", "u1", start), "a")), "Grant")
	good := codeOf("a", "a", start.Add(time.Minute-time.Microsecond))
	for what, change := range map[string]func(*enroll.CodeStep){
		"by another client":                func(c *enroll.CodeStep) { c.ClientID = "another" },
		"by a client of another case":      func(c *enroll.CodeStep) { c.ClientID = "Client" },
		"without a client":                 func(c *enroll.CodeStep) { c.ClientID = "" },
		"for another redirect URI":         func(c *enroll.CodeStep) { c.RedirectURI += "/" },
		"without a redirect URI":           func(c *enroll.CodeStep) { c.RedirectURI = "" },
		"when it has expired":              func(c *enroll.CodeStep) { c.At = start.Add(time.Minute) },
		"that nobody was given":            func(c *enroll.CodeStep) { c.Code = id("another") },
		"that is none":                     func(c *enroll.CodeStep) { c.Code = [32]byte{} },
		"that is the sign-in's access":     func(c *enroll.CodeStep) { c.Code = id("a") },
		"that is the sign-in's own digest": func(c *enroll.CodeStep) { c.Code = id("web session a") },
	} {
		bad := good
		change(&bad)
		s.refused(enroll.ErrGrant, "RedeemCode "+what, func() error { return s.a.RedeemCode(s.ctx, bad) })
	}
	s.ok(s.a.RedeemCode(s.ctx, good), "RedeemCode in its last microsecond, after attempts that were refused")
	s.inForce("a", "t-a", start, "of the code")
}

func refreshRotates(w *world[Devices]) {
	s := tellAccounts(w)
	s.granted("a", "u1", start)
	s.inForce("a", "t-a", start, "before it is refreshed")
	s.refreshed("a", "b", start.Add(time.Hour))
	s.over("a", start.Add(time.Hour), "when it expires")
	s.inForce("a", "t-a", start, "while the new one did not come")
	s.inForce("b", "t-a", start.Add(2*time.Hour-time.Microsecond), "that was made by Refresh")
	s.over("a", start, "after the new one came")
	s.refreshed("b", "c", start)
	s.refreshed("c", "d", start)
	s.over("b", start, "whose successor was exchanged, which is a use")
	s.inForce("d", "t-a", start, "that was made by Refresh")
}

func refreshRepeated(w *world[Devices]) {
	s := tellAccounts(w)
	s.granted("a", "u1", start)
	for _, lost := range []string{"lost 1", "lost 2", "lost 3"} {
		s.refreshed("a", lost, start)
	}
	s.over("lost 1", start, "of an answer that was lost")
	s.over("lost 2", start, "of an answer that was lost")
	s.refused(enroll.ErrGrant, "Refresh by what was lost", func() error { return s.a.Refresh(s.ctx, refreshOf("lost 1", "x", start)) })
	s.inForce("lost 3", "t-a", start, "of the last answer")
	s.refreshed("lost 3", "b", start)
	s.inForce("b", "t-a", start, "that was made after that")
}

func refreshReused(w *world[Devices]) {
	s := tellAccounts(w)
	for name, use := range map[string]func(string){
		"came":          func(token string) { s.inForce(token, "t-"+token[:len(token)-1], start, "that was made by Refresh") },
		"was exchanged": func(token string) { s.refreshed(token, token+"3", start) },
	} {
		name = "whose successor " + name
		s.granted(name, "u1", start)
		s.granted(name+" of another device", "u1", start)
		s.refreshed(name, name+"2", start)
		use(name + "2")
		s.refused(enroll.ErrGrant, "Refresh by a token "+name, func() error { return s.a.Refresh(s.ctx, refreshOf(name, "thief", start)) })
		for _, token := range []string{name, name + "2", name + "3", "thief"} {
			s.over(token, start, "of a grant whose refresh token came twice")
			s.is(s.a.Refresh(s.ctx, refreshOf(token, "x", start)), enroll.ErrGrant, "Refresh in a grant that was revoked")
		}
		s.inForce(name+" of another device", "t-"+name+" of another device", start, "of another sign-in")
	}
	s.granted("a", "u1", start)
	for i := range 6 {
		s.refreshed([]string{"a", "a1", "a2", "a3", "a4", "a5"}[i], fmt.Sprint("a", i+1), start)
	}
	s.is(s.a.Refresh(s.ctx, refreshOf("a", "thief", start)), enroll.ErrGrant, "Refresh by the first of seven tokens")
	s.over("a6", start, "of a grant whose first refresh token came again")
}

func refreshBound(w *world[Devices]) {
	s := tellAccounts(w)
	s.granted("a", "u1", start)
	s.ok(s.a.Grant(s.ctx, grantOf("web", "u1", start)), "Grant")
	last := start.AddDate(1, 0, 0).Add(-time.Microsecond)
	for what, change := range map[string]func(*enroll.RefreshStep){
		"by another client":     func(r *enroll.RefreshStep) { r.ClientID = "another" },
		"without a client":      func(r *enroll.RefreshStep) { r.ClientID = "" },
		"when it has expired":   func(r *enroll.RefreshStep) { r.At = start.AddDate(1, 0, 0) },
		"that nobody was given": func(r *enroll.RefreshStep) { r.Refresh = id("another") },
		"that is an access":     func(r *enroll.RefreshStep) { r.Refresh = id("a") },
		"that is none":          func(r *enroll.RefreshStep) { r.Refresh = [32]byte{} },
	} {
		bad := refreshOf("a", "b", last)
		change(&bad)
		s.refused(enroll.ErrGrant, "Refresh by a token "+what, func() error { return s.a.Refresh(s.ctx, bad) })
	}
	s.over("refresh a", start, "that is a refresh token")
	s.inForce("a", "t-a", start, "after attempts that were refused")
	s.refreshed("a", "b", last)
	s.inForce("b", "t-a", last, "made in the last microsecond")
}

func refreshMany(w *world[Devices]) {
	s := tellAccounts(w)
	s.granted("a0", "u1", start)
	const n = 40
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Minute) }
	for i := range n {
		s.refreshed(fmt.Sprint("a", i), fmt.Sprint("a", i+1), at(i))
		s.inForce(fmt.Sprint("a", i+1), "t-a0", at(i), "that was just made")
		s.over(fmt.Sprint("a", i), at(i), "that was just replaced")
	}
	s.is(s.a.Refresh(s.ctx, refreshOf("a0", "thief", at(n))), enroll.ErrGrant, "Refresh by a token of long ago")
	s.over("thief", at(n), "of a token of long ago")
}

func againHasNoTicket(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	before := s.state()
	s.ok(s.a.Grant(s.ctx, againOf("again", "u1", p.id, start)), "Grant")
	s.equal(s.state(), before, "what is stored: there is no new ticket")
	s.over("again", start, "of a repeated sign-in")
	s.idles(p, "again", start, "of a repeated sign-in")
}

func revokeTokens(w *world[Devices]) {
	s := tellAccounts(w)
	p, other := s.enrolledAccount("p", "u1", start), s.enrolledAccount("other", "u1", start)
	s.ok(s.a.Grant(s.ctx, againOf("again", "u1", p.id, start)), "Grant")
	s.ok(s.a.Grant(s.ctx, byCode(againOf("open", "u1", p.id, start), "open")), "Grant")
	s.refused(mdm.ErrUnknownEnrollment, "RevokeTokens of an unknown enrollment", func() error { return s.a.RevokeTokens(s.ctx, "E-unknown") })
	s.repeated("RevokeTokens", func() error { return s.a.RevokeTokens(s.ctx, p.id) })
	s.locked(p, "p", start, "that was revoked")
	s.locked(p, "again", start, "that was revoked")
	s.over("p", start, "that was revoked")
	s.is(s.a.RedeemCode(s.ctx, codeOf("open", "late", start)), enroll.ErrGrant, "RedeemCode of an enrollment whose tokens were revoked")
	s.idles(other, "other", start, "of another device of that person")
	s.ok(s.a.Grant(s.ctx, againOf("later", "u1", p.id, start)), "Grant after RevokeTokens")
	s.idles(p, "later", start, "granted after RevokeTokens")
}

func accountCancelled(w *world[Devices]) {
	s := tellAccounts(w)
	p := s.enrolledAccount("p", "u1", start)
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("code", "u1", start), "code")), "Grant")
	s.granted("pair", "u1", start)
	before, gone := s.state(), w.gone()
	for name, step := range map[string]func() error{
		"Grant":        func() error { return s.a.Grant(gone, grantOf("x", "u1", start)) },
		"RedeemCode":   func() error { return s.a.RedeemCode(gone, codeOf("code", "x", start)) },
		"Refresh":      func() error { return s.a.Refresh(gone, refreshOf("pair", "x", start)) },
		"RevokeTokens": func() error { return s.a.RevokeTokens(gone, p.id) },
		"TokenTicket": func() error {
			_, err := s.a.TokenTicket(gone, id("pair"), start)
			return err
		},
	} {
		s.truth(step() != nil, "%s succeeds when its context is over", name)
		s.equal(s.state(), before, "what is stored after "+name)
	}
	s.over("x", start, "of a call whose context was over")
	s.idles(p, "p", start, "after RevokeTokens whose context was over")
	s.ok(s.a.Grant(s.ctx, grantOf("x", "u1", start)), "Grant")
	s.ok(s.a.RedeemCode(s.ctx, codeOf("code", "y", start)), "RedeemCode")
	s.refreshed("pair", "z", start)
}

func accountAliasing(w *world[Devices]) {
	s := tellAccounts(w)
	step := byCode(grantOf("a", "u1", start), "a")
	s.ok(s.a.Grant(s.ctx, step), "Grant")
	step.Ticket.ID, step.Ticket.UserID, step.Ticket.Way = "changed", "u2", mdm.WayDevice
	step.Code.ClientID, step.Code.Code = "changed", id("changed")
	step.Code.Expires = start
	s.ok(s.a.RedeemCode(s.ctx, codeOf("a", "a", start.Add(time.Second))), "RedeemCode, after the caller changed what it had passed")
	t, err := s.a.TokenTicket(s.ctx, id("a"), start)
	s.ok(err, "TokenTicket")
	s.equal([]any{t.ID, t.UserID, t.Way}, []any{"t-a", "u1", mdm.WayAccount}, "the ticket, after the caller changed it")
}

func accountValues(w *world[Devices]) {
	s := tellAccounts(w)
	for i, at := range oddTimes() {
		name := names("time", 6)[i]
		step := grantOf(name, "u1", at)
		step.SessionExpires, step.Tokens.AccessExpires = at.Add(time.Minute), at.Add(time.Minute)
		s.ok(s.a.Grant(s.ctx, step), "Grant")
		s.inForce(name, "t-"+name, at, "at the time of its grant")
		s.over(name, at.Add(time.Minute), "when it expires")
		t, err := s.a.TokenTicket(s.ctx, id(name), at)
		s.ok(err, "TokenTicket")
		s.sameTime(t.Issued, at, "Issued")
	}
	users := oddTexts(36)
	for i, text := range oddTexts(128) {
		name := names("text", 100)[i]
		step := byCode(grantOf(name, users[i], start), name)
		step.Code.ClientID, step.Code.RedirectURI = text, text+"?"
		s.ok(s.a.Grant(s.ctx, step), "Grant")
		redeem := codeOf(name, name, start)
		redeem.ClientID, redeem.RedirectURI = text, text
		s.is(s.a.RedeemCode(s.ctx, redeem), enroll.ErrGrant, "RedeemCode for a redirect URI that is alike")
		redeem.RedirectURI += "?"
		s.ok(s.a.RedeemCode(s.ctx, redeem), "RedeemCode")
		refresh := refreshOf(name, name+" 2", start)
		refresh.ClientID = text + " "
		s.is(s.a.Refresh(s.ctx, refresh), enroll.ErrGrant, "Refresh by a client that is alike")
		refresh.ClientID = text
		s.ok(s.a.Refresh(s.ctx, refresh), "Refresh")
	}
}

func accountReopen(w *world[Devices]) {
	s := tellAccounts(w)
	p, locked := s.enrolledAccount("p", "u1", start), s.enrolledAccount("locked", "u1", start)
	s.ok(s.a.Grant(s.ctx, againOf("p2", "u1", p.id, start)), "Grant")
	s.ok(s.a.RevokeTokens(s.ctx, locked.id), "RevokeTokens")
	s.ok(s.a.Grant(s.ctx, byCode(grantOf("open", "u1", start), "open")), "Grant")
	s.granted("used", "u1", start)
	s.refreshed("used", "used 2", start)
	s.granted("revoked", "u1", start)
	s.is(s.a.RedeemCode(s.ctx, codeOf("revoked", "x", start)), enroll.ErrGrant, "RedeemCode a second time")
	w.reopen()
	s = tellAccounts(w)
	p.accounts, locked.accounts = s, s
	s.is(s.a.Grant(s.ctx, grantOf("p", "u1", start)), enroll.ErrSessionUsed, "Grant of a session that handed back before")
	s.locked(locked, "locked", start, "that was revoked before")
	s.over("revoked", start, "that was revoked before")
	s.ok(s.a.RedeemCode(s.ctx, codeOf("open", "open", start)), "RedeemCode after reopening")
	s.refreshed("used", "used 3", start)
	s.over("used 2", start, "of an answer that was lost before")
	s.idles(p, "p", start, "whose successor did not come yet")
	s.idles(p, "p2", start, "granted before")
	s.locked(p, "p", start, "whose successor came")
}
