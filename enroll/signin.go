package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
)

const (
	// signInTime is how long a person may take at the identity provider.
	signInTime = 10 * time.Minute
	maxHint    = 256 // bytes of a login hint
)

// flowPortal is the sign-in of the portal's own pages.
const flowPortal = "portal"

// attempt is a sign-in on its way: what the browser keeps of it, sealed. It is
// bound to this purpose by its seal, and single use by the StateStore.
type attempt struct {
	// Flow names the ending.
	Flow    string `json:"flow"`
	Expires int64  `json:"expires"` // Unix seconds
	Secret  []byte `json:"secret"`  // the Authenticator's
	// Session is the cookie that the sign-in will set when it succeeds.
	Session string `json:"session"`
	// Prior is the Session of the browser's attempt before this one, if that
	// did not come to an answer: it may have succeeded all the same.
	Prior string `json:"prior,omitempty"`
	// Bound is what the flow wants to find again.
	Bound json.RawMessage `json:"bound,omitempty"`
}

// signedIn is a person who has just signed in.
type signedIn struct {
	user    jit.User
	attempt attempt
}

// ending is what a flow does with a person who has just signed in.
type ending func(w http.ResponseWriter, r *http.Request, s signedIn) error

// login begins the portal's sign-in, on a device for which that leads somewhere.
func (p *Portal) login(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	if v.page != pageProfile && v.page != pageAccount {
		return p.advise(w, v, v.page, "login")
	}
	return p.begin(w, r, flowPortal, r.URL.Query().Get("login_hint"), nil)
}

// begin sends the browser to the identity provider. The attempt is durable
// before it goes.
func (p *Portal) begin(w http.ResponseWriter, r *http.Request, flow, hint string, bound json.RawMessage) error {
	if len(hint) > maxHint {
		hint = ""
	}
	session, err := p.secret()
	if err != nil {
		return err
	}
	begun, err := p.cfg.Authenticator.Begin(r.Context(), sso.Request{RedirectURL: p.CallbackURL(), LoginHint: hint})
	if err != nil {
		return err
	}
	a := attempt{Flow: flow, Expires: p.now().Add(signInTime).Unix(), Secret: begun.Secret, Session: session, Bound: bound}
	if before, err := p.openAttempt(r); err == nil {
		a.Prior = before.Session
	}
	sealed, err := p.attempt.seal(a)
	if err != nil {
		return err
	}
	if err := p.cfg.States.OpenState(r.Context(), begun.Key, time.Unix(a.Expires, 0).UTC()); err != nil {
		return stored("sign-in state", err)
	}
	p.setCookie(w, p.cookies.signIn, sealed, signInTime)
	return seeOther(w, begun.URL)
}

// openAttempt returns the browser's attempt. It fails with CodeSignInUnknown.
func (p *Portal) openAttempt(r *http.Request) (attempt, error) {
	var a attempt
	if err := p.attempt.open(cookie(r, p.cookies.signIn), &a); err != nil {
		return attempt{}, &failure{CodeSignInUnknown, err}
	}
	if p.now().Unix() >= a.Expires {
		return attempt{}, &failure{CodeSignInUnknown, errors.New("enroll: sign-in took too long")}
	}
	return a, nil
}

// callback is where the provider sends the browser back to, for every flow: its
// address is registered there.
func (p *Portal) callback(w http.ResponseWriter, r *http.Request) error {
	s, err := p.finish(w, r)
	if err == nil {
		err = p.endings[s.attempt.Flow](w, r, s)
	}
	if err != nil && s.attempt.Flow != flowPortal && len(s.attempt.Bound) > 0 {
		return p.inSession(err, s.attempt)
	}
	return err
}

// finish redeems a callback. The attempt is used up before the provider is
// asked, so that of any number of equal callbacks one goes on; whoever is in
// the end refused begins anew. The attempt comes with errors too, once it is
// known.
func (p *Portal) finish(w http.ResponseWriter, r *http.Request) (signedIn, error) {
	ctx, query := r.Context(), r.URL.Query()
	a, err := p.openAttempt(r)
	if err != nil {
		return signedIn{}, err
	}
	if p.endings[a.Flow] == nil {
		return signedIn{}, &failure{CodeSignInUnknown, errors.New("enroll: sign-in of an unknown flow")}
	}
	failed := signedIn{attempt: a}
	key, err := p.cfg.Authenticator.State(a.Secret, query)
	if err != nil {
		return failed, err
	}
	if err := p.cfg.States.ConsumeState(ctx, key, p.now()); err != nil {
		return failed, stored("sign-in state", err)
	}
	p.setCookie(w, p.cookies.signIn, "", -1)
	id, err := p.cfg.Authenticator.Finish(ctx, sso.Request{RedirectURL: p.CallbackURL()}, a.Secret, query)
	if err != nil {
		return failed, err
	}
	u, created, err := p.cfg.Provisioner.SignIn(ctx, id)
	if err != nil {
		return failed, provisioned(err)
	}
	if u.Suspended {
		return failed, jit.ErrSuspended
	}
	if err := p.verifyAccount(ctx, u); err != nil {
		return failed, err
	}
	p.cfg.Logger.InfoContext(ctx, "enroll: signed in", "flow", a.Flow, "user", u.ID, "created", created)
	return signedIn{u, a}, nil
}

// provisioned says that an error is the store's unless it is one that jit means.
func provisioned(err error) error {
	var unmapped *jit.MappingError
	if errors.As(err, &unmapped) {
		return err
	}
	return stored("user", err)
}

func (p *Portal) verifyAccount(ctx context.Context, u jit.User) error {
	if p.cfg.Accounts == nil {
		return nil
	}
	err := p.cfg.Accounts.VerifyAccount(ctx, u.ManagedAppleAccount)
	if errors.Is(err, ErrAccountUnknown) {
		return err
	}
	if err != nil {
		p.cfg.Logger.WarnContext(ctx, "enroll: Managed Apple Account was not checked", "user", u.ID, "error", err)
	}
	return nil
}

// issue is the ending of the portal's sign-in: a new session, which ends the
// browser's former one, and a ticket, which supersedes its open one.
func (p *Portal) issue(w http.ResponseWriter, r *http.Request, s signedIn) error {
	ctx := r.Context()
	if p.cfg.Way != "" && !p.offers(p.cfg.Way, s.user) {
		return errNotOffered
	}
	if err := p.room(ctx, s.user.ID); err != nil {
		return err
	}
	id, ok := sessionID(s.attempt.Session)
	if !ok {
		return refuse(CodeInternal)
	}
	former, previous, err := p.former(ctx, r, s.attempt)
	if err != nil {
		return err
	}
	t, err := p.newTicket(s.user, p.firstWay(), id)
	if err != nil {
		return err
	}
	session := Session{ID: id, UserID: s.user.ID, Ticket: t.ID, Expires: t.Issued.Add(p.sessionTime())}
	if err := p.cfg.Sessions.PutSession(ctx, session, former); err != nil {
		return stored("session", err)
	}
	if err := p.cfg.Tickets.IssueTicket(ctx, t, previous); err != nil {
		return stored("ticket", err)
	}
	p.issued(ctx, t)
	p.setCookie(w, p.cookies.session, s.attempt.Session, p.sessionTime())
	return p.redirect(w, r, "/ready")
}

// room tells a person in time who has as many devices as allowed.
func (p *Portal) room(ctx context.Context, userID string) error {
	if p.cfg.DeviceLimit == 0 {
		return nil
	}
	have, err := p.cfg.Tickets.Devices(ctx, userID)
	if err != nil {
		return stored("devices", err)
	}
	if have >= p.cfg.DeviceLimit {
		return refuse(CodeDeviceLimit)
	}
	return nil
}

// former returns the browser's session from before this sign-in, which ends, and
// the session whose open ticket is superseded. The two differ when an earlier
// sign-in was committed and its answer got lost: the browser holds the older
// cookie then, and the ticket belongs to the session it never heard of.
func (p *Portal) former(ctx context.Context, r *http.Request, a attempt) (session, ticket [32]byte, err error) {
	if id, ok := sessionID(cookie(r, p.cookies.session)); ok {
		session = id
	}
	ticket = session
	if prior, ok := sessionID(a.Prior); ok {
		_, err := p.cfg.Sessions.Session(ctx, prior, p.now())
		switch {
		case err == nil:
			ticket = prior
		case !errors.Is(err, ErrNoSession):
			return session, ticket, stored("session", err)
		}
	}
	return session, ticket, nil
}

// sessionTime is how long a session lasts: past the end of its ticket, so that
// the page can tell how it ended.
func (p *Portal) sessionTime() time.Duration { return p.cfg.MaxAge + time.Hour }
