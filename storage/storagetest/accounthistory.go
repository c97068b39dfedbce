package storagetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// accountHistory is a random history of devices that enroll by an account.
type accountHistory struct {
	*history
	sessions, codes []string
	pairs           []string // access tokens with a refresh token
	access          []string
	names           int
	certified       map[[32]byte]string // the ticket of a certificate
	// belongs is the ticket or EnrollmentID that a code or token was granted for.
	belongs map[string]string
}

func checkAccountHistories(w *world[Devices]) {
	eachHistory(w, func(h *history) func() {
		a := &accountHistory{history: h, certified: map[[32]byte]string{}, belongs: map[string]string{}}
		return a.step
	})
}

// on gives a step to both stores, as account stores.
func (h *accountHistory) on(what string, step func(Accounts) (any, error)) {
	h.Helper()
	h.do(what, func(d Devices) (any, error) {
		a, ok := d.(Accounts)
		if !ok {
			h.fail("%v", errNoAccounts)
		}
		return step(a)
	})
}

// name makes a name that was not there.
func (h *accountHistory) name() string {
	h.names++
	return fmt.Sprint("n", h.names)
}

func (h *accountHistory) step() {
	h.Helper()
	h.now = h.now.Add(time.Duration(h.rng.IntN(20)) * time.Second)
	if h.chance(3) {
		h.now = h.now.Add(time.Duration(h.rng.IntN(50)) * time.Minute)
	}
	if h.chance(1) && !h.suite.Volatile {
		h.log = append(h.log, "reopen")
		h.reopen()
		h.s = h.store
	}
	steps := []struct {
		weight int
		do     func()
	}{
		{6, h.signIn}, {6, h.signInAgain}, {8, h.redeem}, {10, h.refresh}, {12, h.tokenTicket}, {1, h.revoke}, {9, h.phone}, {5, h.newcomer},
		{10, h.authenticate}, {8, h.tokenUpdate}, {25, h.exchange}, {2, h.checkOut}, {1, h.unenroll}, {1, h.suspend}, {2, h.prune},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := h.rng.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

// tokens are new ones.
func (h *accountHistory) tokens(of string, refresh bool) enroll.Tokens {
	name := h.name()
	t := enroll.Tokens{Access: id(name)}
	h.belongs[name] = of
	h.access = append(h.access, name)
	if h.chance(25) {
		t.AccessExpires = h.now.Add(time.Duration(h.rng.IntN(90)) * time.Minute)
	}
	if refresh {
		t.Refresh = id("refresh " + name)
		if h.chance(30) {
			t.RefreshExpires = h.now.Add(time.Duration(h.rng.IntN(300)) * time.Minute)
		}
	}
	return t
}

// grant is a sign-in for a ticket or EnrollmentID.
func (h *accountHistory) grant(of string) enroll.GrantStep {
	session := h.name()
	if s, ok := recent(h.history, h.sessions); ok && h.chance(8) {
		session = s
	}
	h.sessions = append(h.sessions, session)
	s := enroll.GrantStep{Session: id("web session " + session), SessionExpires: h.now.Add(accountSession), UserID: h.user(), At: h.now}
	if !h.chance(50) {
		s.Tokens = h.tokens(of, false)
		return s
	}
	code := h.name()
	h.codes = append(h.codes, code)
	h.belongs[code] = of
	s = byCode(s, code)
	s.Code.Expires = h.now.Add(time.Duration(h.rng.IntN(120)) * time.Second)
	return s
}

func (h *accountHistory) signIn() {
	name := "t" + h.name()
	known, ok := recent(h.history, h.tickets)
	if ok = ok && h.chance(3); ok {
		name = known // which is refused, unless it was pruned
	}
	s := h.grant(name)
	t := ticketOf(name, s.UserID, "s"+h.name())
	t.Issued, t.Way = h.now, oneOf(h.history, mdm.WayAccount, mdm.WayAccount, mdm.WayAccountDevice)
	if !ok {
		h.tickets = append(h.tickets, t.ID)
		h.ways[t.ID] = t.Way
	}
	s.Ticket = &t
	h.on(fmt.Sprintf("Grant %s to %s by %s", t.ID, s.UserID, t.Way), func(a Accounts) (any, error) { return nil, a.Grant(h.ctx, s) })
}

func (h *accountHistory) signInAgain() {
	enrollmentID := h.enrollmentID()
	s := h.grant(enrollmentID)
	s.EnrollmentID = enrollmentID
	if e, err := h.ref.Enrollment(h.ctx, s.EnrollmentID); err == nil && !h.chance(10) {
		s.UserID = e.UserID
	}
	h.on(fmt.Sprintf("Grant for %s to %s", s.EnrollmentID, s.UserID), func(a Accounts) (any, error) { return nil, a.Grant(h.ctx, s) })
}

func (h *accountHistory) redeem() {
	code, ok := recent(h.history, h.codes)
	if !ok {
		return
	}
	s := codeOf(code, "", h.now)
	s.Tokens = h.tokens(h.belongs[code], true)
	if h.chance(4) {
		s.ClientID = "another"
	}
	h.exchanged("RedeemCode "+code, func(a Accounts) error { return a.RedeemCode(h.ctx, s) })
}

func (h *accountHistory) refresh() {
	pair, ok := recent(h.history, h.pairs)
	if !ok {
		return
	}
	s := refreshOf(pair, "", h.now)
	s.Tokens = h.tokens(h.belongs[pair], true)
	if h.chance(8) {
		s.ClientID = "another"
	}
	if h.chance(3) {
		s.Tokens.Refresh = s.Refresh
	}
	h.exchanged(fmt.Sprintf("Refresh %s to %s", pair, h.access[len(h.access)-1]), func(a Accounts) error { return a.Refresh(h.ctx, s) })
}

// exchanged is a step that may answer the tokens made last.
func (h *accountHistory) exchanged(what string, step func(Accounts) error) {
	made := h.access[len(h.access)-1]
	h.on(what, func(a Accounts) (any, error) {
		err := step(a)
		if err == nil && a == h.ref {
			h.pairs = append(h.pairs, made)
		}
		return nil, err
	})
}

// token is an access token that was given out, or none.
func (h *accountHistory) token() string {
	if t, ok := recent(h.history, h.access); ok && !h.chance(3) {
		return t
	}
	return oneOf(h.history, "", "unknown")
}

func (h *accountHistory) tokenTicket() {
	token := h.token()
	h.on("TokenTicket "+token, func(a Accounts) (any, error) { return a.TokenTicket(h.ctx, id(token), h.now) })
}

func (h *accountHistory) revoke() {
	e := h.enrollmentID()
	h.on("RevokeTokens "+e, func(a Accounts) (any, error) { return nil, a.RevokeTokens(h.ctx, e) })
}

// newcomer goes the whole way, at the first attempt or a later one.
func (h *accountHistory) newcomer() {
	h.straight = true
	h.signIn()
	h.redeem()
	for attempt := 1; attempt == 1 || attempt < 4 && h.rng.IntN(2) == 0; attempt++ {
		h.download()
		h.identify()
		h.certify()
		from := h.certificates[len(h.certificates)-1]
		from.enrollmentID = h.enrollmentID()
		h.authenticateAs(from, h.tokenOf("", h.certified[from.certificate]), 0)
	}
	h.straight = false
	h.tokenUpdate()
}

// certify notes which ticket each certificate is for.
func (h *accountHistory) certify() {
	for challenge, key := range h.keys {
		h.certified[identifyOf(challenge, key, h.now).Digest] = h.of[challenge]
	}
}

// phone gets an identity for a ticket.
func (h *accountHistory) phone() {
	h.straight = h.rng.IntN(2) == 0
	h.download()
	h.identify()
	h.straight = false
	h.certify()
}

// sender is a device, mostly one that may send, and mostly with a token of its own.
func (h *accountHistory) sender() (from device, token string) {
	from = h.history.sender()
	return from, h.tokenOf(from.enrollmentID, "")
}

// tokenOf is one of the later tokens of an enrollment or a ticket, mostly.
func (h *accountHistory) tokenOf(enrollmentID, ticket string) string {
	if e, err := h.ref.Enrollment(h.ctx, enrollmentID); err == nil && ticket == "" {
		ticket = e.TicketID
	}
	var own []string
	for _, t := range slices.Backward(h.access) {
		if of := h.belongs[t]; len(own) < 6 && (of == enrollmentID || of == ticket) {
			own = append(own, t)
		}
	}
	if len(own) == 0 || h.chance(8) {
		return h.token()
	}
	return own[h.rng.IntN(len(own))]
}

func (h *accountHistory) authenticate() {
	from, token := h.sender()
	if n := len(h.certificates); n > 0 && h.chance(85) {
		from = h.certificates[n-1-h.rng.IntN(min(n, 2))]
		from.enrollmentID = h.enrollmentID()
		token = h.tokenOf(from.enrollmentID, h.certified[from.certificate])
	}
	h.authenticateAs(from, token, oneOf(h.history, 0, 0, 0, 2))
}

func (h *accountHistory) authenticateAs(from device, token string, limit int) {
	step := authenticateOf(from.certificate, from.enrollmentID, h.now)
	step.Device, step.Bearer, step.DeviceLimit = from.udid, id(token), limit
	h.on(fmt.Sprintf("Authenticate %x %s with %s", from.certificate[:3], from.enrollmentID, token), func(a Accounts) (any, error) {
		e, err := a.Authenticate(h.ctx, step)
		return withoutContact(e), err
	})
}

func (h *accountHistory) tokenUpdate() {
	from, token := h.sender()
	step := tokenOf(from.certificate, from.enrollmentID, h.now)
	step.Device, step.Bearer, step.Planned = from.udid, id(token), h.chance(80)
	h.on(fmt.Sprintf("TokenUpdate %x %s with %s planned %v", from.certificate[:3], from.enrollmentID, token, step.Planned), func(a Accounts) (any, error) {
		e, err := a.TokenUpdate(h.ctx, step)
		return withoutContact(e), err
	})
}

func (h *accountHistory) exchange() {
	from, token := h.sender()
	step := mdm.ExchangeStep{Certificate: from.certificate, EnrollmentID: from.enrollmentID, Device: from.udid, Bearer: id(token), Idle: h.chance(70), At: h.now}
	h.on(fmt.Sprintf("Exchange %x %s with %s", from.certificate[:3], from.enrollmentID, token), func(a Accounts) (any, error) { return a.Exchange(h.ctx, step) })
}

func (h *accountHistory) checkOut() {
	from, token := h.sender()
	step := mdm.CheckOutStep{Certificate: from.certificate, EnrollmentID: from.enrollmentID, Device: from.udid, Bearer: id(token), At: h.now}
	h.on(fmt.Sprintf("CheckOut %x %s with %s", from.certificate[:3], from.enrollmentID, token), func(a Accounts) (any, error) {
		e, err := a.CheckOut(h.ctx, step)
		return withoutContact(e), err
	})
}
