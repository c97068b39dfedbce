package enroll

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// The sign-ins that a device begins.
const (
	flowAccountWeb   = "account"
	flowAccountOAuth = "oauth2"
)

// accountBound is what an account-driven sign-in keeps with the browser.
type accountBound struct {
	Session string `json:"session"` // sealed, as in the path
	// Typed is what the person typed in Settings.
	Typed string `json:"typed,omitempty"`
	// State and Challenge are the OAuth client's.
	State     string `json:"state,omitempty"`
	Challenge string `json:"challenge,omitempty"`
}

var (
	errNotOffered  = errors.New("enroll: Device Enrollment is not offered to this person")
	errOtherPerson = errors.New("enroll: signed in as another person than was typed in Settings")
)

// accountLogin is where the device opens the web session of MethodWeb. It adds
// what the person typed; a browser that was given the address adds nothing.
func (p *Portal) accountLogin(w http.ResponseWriter, r *http.Request, sealed string) error {
	if _, err := p.openWebSession(sealed); err != nil {
		return err
	}
	// What was typed may hold a plus, which a device does not escape.
	query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, "+", "%2B"))
	if err != nil {
		return refuse(CodeBadRequest)
	}
	typed := query["user-identifier"]
	if len(typed) != 1 || typed[0] == "" || len(typed[0]) > maxHint {
		return refuse(CodeSettingsOnly)
	}
	return p.beginAccount(w, r, flowAccountWeb, accountBound{Session: sealed, Typed: typed[0]})
}

func (p *Portal) beginAccount(w http.ResponseWriter, r *http.Request, flow string, b accountBound) error {
	bound, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return p.begin(w, r, flow, b.Typed, bound)
}

// signedInForDevice judges the end of a device's web session, and returns what
// the store is to keep of it.
func (p *Portal) signedInForDevice(r *http.Request, s signedIn) (accountBound, GrantStep, error) {
	var b accountBound
	if err := json.Unmarshal(s.attempt.Bound, &b); err != nil {
		return b, GrantStep{}, &failure{CodeSignInUnknown, err}
	}
	var session webSession
	if err := p.webSessions.open(b.Session, &session); err != nil {
		return b, GrantStep{}, &failure{CodeWebSession, err}
	}
	step := GrantStep{
		Session: digestOf(b.Session), SessionExpires: p.now().Add(2 * signInTime),
		UserID: s.user.ID, EnrollmentID: session.Enrollment, At: p.now(),
	}
	switch {
	case b.Typed != "" && !strings.EqualFold(b.Typed, s.user.ManagedAppleAccount):
		return b, step, errOtherPerson
	case !p.offers(session.Way, s.user):
		return b, step, errNotOffered
	case session.Enrollment != "":
		return b, step, nil
	}
	if err := p.room(r, s.user.ID); err != nil {
		return b, step, err
	}
	t, err := p.newTicket(s.user, step.Session)
	if err != nil {
		return b, step, err
	}
	t.Way = session.Way
	step.Ticket = &t
	return b, step, nil
}

// grant makes the end of a web session durable.
func (p *Portal) grant(r *http.Request, step GrantStep) error {
	err := p.cfg.Account.Store.Grant(r.Context(), step)
	switch {
	case errors.Is(err, mdm.ErrEnded), errors.Is(err, mdm.ErrUnknownEnrollment):
		return &failure{CodeEnrollmentEnded, err}
	case err != nil:
		return stored("grant", err)
	}
	if t := step.Ticket; t != nil {
		p.cfg.Observer.TicketMoved(r.Context(), *t)
		p.cfg.Logger.InfoContext(r.Context(), "enroll: ticket issued", "ticket", t.Ref, "user", t.UserID, "way", string(t.Way), "ownership", string(t.Ownership))
	} else {
		p.cfg.Logger.InfoContext(r.Context(), "enroll: signed in again", "user", step.UserID, "enrollment", step.EnrollmentID)
	}
	return nil
}

// handBackToken ends a sign-in of MethodWeb: the device gets its token.
func (p *Portal) handBackToken(w http.ResponseWriter, r *http.Request, s signedIn) error {
	_, step, err := p.signedInForDevice(r, s)
	if err != nil {
		return err
	}
	token, _, kept, err := p.tokens(p.cfg.Account.TokenLifetime, 0, false)
	if err != nil {
		return err
	}
	step.Tokens = kept
	if err := p.grant(r, step); err != nil {
		return err
	}
	return handBack(w, handBackWeb, url.Values{"access-token": {token}})
}

// codeLifetime is how long a code is good: the device redeems it at once.
const codeLifetime = time.Minute

// handBack leads the web session to its end, in the device. 308 is what Apple
// documents.
func handBack(w http.ResponseWriter, address string, values url.Values) error {
	h := w.Header()
	h.Set("Location", address+"?"+values.Encode())
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}
