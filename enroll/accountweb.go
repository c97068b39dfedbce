package enroll

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/mdm"
)

// The sign-ins that a device begins.
const (
	flowAccountWeb   = "account"
	flowAccountOAuth = "oauth2"
)

// accountBound is what an account-driven sign-in keeps with the browser, in a
// cookie: every part of it is bounded.
type accountBound struct {
	Session string `json:"session"` // sealed, as in the path
	// Typed is what the person typed in Settings.
	Typed string `json:"typed,omitempty"`
	// State and Challenge are the OAuth client's.
	State     string `json:"state,omitempty"`
	Challenge string `json:"challenge,omitempty"`
}

// sessionError is a failure in a web session that Settings opened: there the
// portal's own sign-in would lead nowhere.
type sessionError struct {
	err error
	// again begins the session anew; empty when that is for Settings to do.
	again string
	// back tells the device of it (RFC 6749 §4.1.2.1), empty where Apple documents
	// no way to. The person taps it, having read the page.
	back string
}

func (e *sessionError) Error() string { return e.err.Error() }
func (e *sessionError) Unwrap() error { return e.err }

// inSession is a failure of an attempt that belongs to a web session.
func (p *Portal) inSession(err error, a attempt) error {
	var b accountBound
	var session webSession
	failed := &sessionError{err: err}
	if json.Unmarshal(a.Bound, &b) != nil || p.webSessions.open(b.Session, &session) != nil {
		return failed
	}
	if p.now().Unix() < session.Expires {
		failed.again = p.sessionAddress(a.Flow, b)
	}
	if a.Flow == flowAccountOAuth {
		failed.back = RedirectURI + "?" + encoded(authorizationError(denial(Remedy(err)), b.State))
	}
	return failed
}

// sessionAddress is where the device opened a web session.
func (p *Portal) sessionAddress(flow string, b accountBound) string {
	if flow == flowAccountWeb {
		query := ""
		if b.Typed != "" {
			query = "?" + encoded(url.Values{"user-identifier": {b.Typed}})
		}
		return p.cfg.Prefix + "/account/login/" + b.Session + query
	}
	query := url.Values{"response_type": {"code"}, "client_id": {p.cfg.Account.ClientID}, "redirect_uri": {RedirectURI}}
	for name, value := range map[string]string{"state": b.State, "login_hint": b.Typed, "code_challenge": b.Challenge} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if b.Challenge != "" {
		query.Set("code_challenge_method", "S256")
	}
	return p.cfg.Prefix + "/account/authorize/" + b.Session + "?" + encoded(query)
}

var (
	errNotOffered  = errors.New("enroll: Device Enrollment is not offered to this person")
	errOtherPerson = errors.New("enroll: signed in as another person than was typed in Settings")
)

// accountLogin is where the device opens the web session of MethodWeb. It adds
// what the person typed; a browser that was given the address adds nothing.
func (p *Portal) accountLogin(w http.ResponseWriter, r *http.Request, sealed string) error {
	session, err := p.openWebSession(sealed)
	if err != nil {
		return &sessionError{err: err}
	}
	query, err := deviceQuery(r)
	if err != nil {
		return err
	}
	typed := query["user-identifier"]
	switch {
	case len(typed) > 1 || len(typed) == 1 && !identifierOK(typed[0]):
		return refuse(CodeSettingsOnly)
	case len(typed) == 0 && session.Enrollment == "":
		return refuse(CodeSettingsOnly)
	case len(typed) == 0: // Apple does not say what an enrolled device adds
		typed = []string{""}
	}
	return p.beginAccount(w, r, flowAccountWeb, accountBound{Session: sealed, Typed: typed[0]})
}

// deviceQuery reads the query of a device, in which a plus stands for itself:
// devices send the one of an address as it is.
func deviceQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, "+", "%2B"))
	if err != nil {
		return nil, refuse(CodeBadRequest)
	}
	return query, nil
}

// identifierOK reports whether somebody can have typed s as an account.
func identifierOK(s string) bool {
	return s != "" && len(s) <= maxHint && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '"' || r == '\\' || !unicode.IsPrint(r)
	})
}

func (p *Portal) beginAccount(w http.ResponseWriter, r *http.Request, flow string, b accountBound) error {
	bound, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := p.begin(w, r, flow, b.Typed, bound); err != nil {
		return p.inSession(err, attempt{Flow: flow, Bound: bound})
	}
	return nil
}

// signedInForDevice judges the end of a device's web session, and returns what
// the store is to keep of it. For an enrolled device the store judges who it is:
// it knows the person, whatever they are called by now.
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
	case session.Enrollment != "":
		return b, step, nil
	case b.Typed != "" && !strings.EqualFold(b.Typed, s.user.ManagedAppleAccount):
		return b, step, errOtherPerson
	case !p.offers(session.Way, s.user):
		return b, step, errNotOffered
	}
	if err := p.room(r.Context(), s.user.ID); err != nil {
		return b, step, err
	}
	t, err := p.newTicket(s.user, session.Way, step.Session)
	if err != nil {
		return b, step, err
	}
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
		p.issued(r.Context(), *t)
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
	h.Set("Location", address+"?"+encoded(values))
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// encoded is a query in which a space is %20: not everybody takes a plus for one.
func encoded(values url.Values) string { return strings.ReplaceAll(values.Encode(), "+", "%20") }
