package transfer

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
)

// The records as they are in a file. These names never change within a version.

type wireUser struct {
	ID                  text   `json:"id"`
	Issuer              text   `json:"issuer"`
	Subject             text   `json:"subject"`
	DisplayName         text   `json:"display_name,omitempty"`
	Groups              []text `json:"groups,omitempty"`
	GroupsStale         bool   `json:"groups_stale,omitempty"`
	ManagedAppleAccount text   `json:"managed_apple_account,omitempty"`
	Suspended           bool   `json:"suspended,omitempty"`
	Created             micros `json:"created,omitzero"`
	LastSignIn          micros `json:"last_sign_in,omitzero"`
}

type wireSuspension struct {
	User text `json:"user"`
}

type wireSession struct {
	Digest  digest `json:"digest"`
	User    text   `json:"user,omitempty"`
	Ticket  text   `json:"ticket,omitempty"`
	Expires micros `json:"expires,omitzero"`
}

type wireWebSession struct {
	Digest  digest `json:"digest"`
	Expires micros `json:"expires,omitzero"`
}

type wireTicket struct {
	ID            text            `json:"id"`
	Ref           text            `json:"ref,omitempty"`
	User          text            `json:"user,omitempty"`
	Way           text            `json:"way"`
	Ownership     text            `json:"ownership,omitempty"`
	State         text            `json:"state"`
	Session       digest          `json:"session,omitzero"`
	Issued        micros          `json:"issued,omitzero"`
	Downloads     int             `json:"downloads,omitempty"`
	Downloaded    micros          `json:"downloaded,omitzero"`
	Identified    micros          `json:"identified,omitzero"`
	Authenticated micros          `json:"authenticated,omitzero"`
	Enrolled      micros          `json:"enrolled,omitzero"`
	Ended         micros          `json:"ended,omitzero"`
	Enrollment    text            `json:"enrollment,omitempty"`
	Challenges    []wireChallenge `json:"challenges,omitempty"`
	Identities    []wireIdentity  `json:"identities,omitempty"`
}

type wireChallenge struct {
	Digest      digest `json:"digest"`
	Download    int    `json:"download"`
	Expires     micros `json:"expires,omitzero"`
	Void        bool   `json:"void,omitempty"`
	Redeemed    bool   `json:"redeemed,omitempty"`
	Key         digest `json:"key,omitzero"`
	Certificate []byte `json:"certificate,omitempty"`
}

type wireIdentity struct {
	Digest   digest `json:"digest"`
	NotAfter micros `json:"not_after,omitzero"`
	Deadline micros `json:"deadline,omitzero"`
	Replaced bool   `json:"replaced,omitempty"`
}

type wireEnrollment struct {
	ID           text     `json:"id"`
	User         text     `json:"user,omitempty"`
	Ticket       text     `json:"ticket,omitempty"`
	Way          text     `json:"way"`
	State        text     `json:"state"`
	Certificate  digest   `json:"certificate"`
	Topic        text     `json:"topic,omitempty"`
	OSVersion    text     `json:"os_version,omitempty"`
	BuildVersion text     `json:"build_version,omitempty"`
	Product      text     `json:"product,omitempty"`
	Created      micros   `json:"created,omitzero"`
	Enrolled     micros   `json:"enrolled,omitzero"`
	Ended        micros   `json:"ended,omitzero"`
	Contact      micros   `json:"contact,omitzero"`
	Token        []byte   `json:"token,omitempty"`
	PushMagic    text     `json:"push_magic,omitempty"`
	TokenStored  micros   `json:"token_stored,omitzero"`
	Push         wirePush `json:"push,omitzero"`
}

type wirePush struct {
	Request   int64  `json:"request,omitempty"`
	Settled   int64  `json:"settled,omitempty"`
	Due       micros `json:"due,omitzero"`
	Fixed     bool   `json:"fixed,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	Status    int    `json:"status,omitempty"`
	Attempted micros `json:"attempted,omitzero"`
}

type wireGrant struct {
	User        text             `json:"user,omitempty"`
	Ticket      text             `json:"ticket,omitempty"`
	Enrollment  text             `json:"enrollment,omitempty"`
	Revoked     bool             `json:"revoked,omitempty"`
	Code        *wireCode        `json:"code,omitempty"`
	Generations []wireGeneration `json:"generations,omitempty"`
}

type wireCode struct {
	Digest      digest `json:"digest"`
	ClientID    text   `json:"client_id,omitempty"`
	RedirectURI text   `json:"redirect_uri,omitempty"`
	Expires     micros `json:"expires,omitzero"`
	Redeemed    bool   `json:"redeemed,omitempty"`
}

type wireGeneration struct {
	Access         digest `json:"access"`
	AccessExpires  micros `json:"access_expires,omitzero"`
	Refresh        digest `json:"refresh,omitzero"`
	RefreshExpires micros `json:"refresh_expires,omitzero"`
	Used           bool   `json:"used,omitempty"`
}

type wireCommand struct {
	Enrollment  text   `json:"enrollment"`
	UUID        text   `json:"uuid"`
	RequestType text   `json:"request_type,omitempty"`
	Status      text   `json:"status"`
	Held        bool   `json:"held,omitempty"`
	Queued      micros `json:"queued,omitzero"`
	Updated     micros `json:"updated,omitzero"`
	Payload     []byte `json:"payload,omitempty"`
	Result      []byte `json:"result,omitempty"`
}

// text is a string that is UTF-8: JSON has no other, and would change it.
type text string

// MarshalText implements encoding.TextMarshaler.
func (t text) MarshalText() ([]byte, error) {
	if !utf8.ValidString(string(t)) {
		return nil, fmt.Errorf("%.40q is not UTF-8", string(t))
	}
	return []byte(t), nil
}

// digest is a SHA-256 in hexadecimal.
type digest [32]byte

// MarshalText implements encoding.TextMarshaler.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return fmt.Errorf("a digest has %d characters", len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// micros is a time in microseconds since 1970.
type micros struct{ t time.Time }

// IsZero is asked by encoding/json.
func (m micros) IsZero() bool { return m.t.IsZero() }

// MarshalJSON implements json.Marshaler.
func (m micros) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, m.t.UnixMicro(), 10), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *micros) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return errors.New("a time is not a whole number of microseconds")
	}
	if m.t = time.UnixMicro(n).UTC(); m.t.IsZero() {
		return errors.New("a time is that of a time that is absent")
	}
	return nil
}

// wireOf is a record as it is in a file.
func wireOf(r Record) any {
	switch r := r.(type) {
	case *User:
		w := wireUser{
			ID: text(r.ID), Issuer: text(r.Issuer), Subject: text(r.Subject), DisplayName: text(r.DisplayName),
			GroupsStale: r.GroupsStale, ManagedAppleAccount: text(r.ManagedAppleAccount), Suspended: r.Suspended,
			Created: micros{r.Created}, LastSignIn: micros{r.LastSignIn},
		}
		for _, g := range r.Groups {
			w.Groups = append(w.Groups, text(g))
		}
		return w
	case *Suspension:
		return wireSuspension{text(r.UserID)}
	case *Session:
		return wireSession{r.ID, text(r.UserID), text(r.Ticket), micros{r.Expires}}
	case *WebSession:
		return wireWebSession{r.ID, micros{r.Expires}}
	case *Ticket:
		return wireOfTicket(r)
	case *Enrollment:
		return wireEnrollment{
			text(r.ID), text(r.UserID), text(r.TicketID), text(r.Way), text(r.State), r.Certificate, text(r.Topic),
			text(r.OSVersion), text(r.BuildVersion), text(r.Product),
			micros{r.Created}, micros{r.Enrolled}, micros{r.Ended}, micros{r.Contact},
			r.Token, text(r.PushMagic), micros{r.TokenStored},
			wirePush{
				r.Push.Request, r.Push.Settled, micros{r.Push.Due}, r.Push.Fixed, r.Push.Attempt,
				r.Push.Status, micros{r.Push.Attempted},
			},
		}
	case *Grant:
		return wireOfGrant(r)
	case *Command:
		return wireCommand{
			text(r.EnrollmentID), text(r.UUID), text(r.RequestType), text(r.Status), r.Held, micros{r.Queued}, micros{r.Updated},
			r.Payload, r.Result,
		}
	}
	return nil
}

func wireOfTicket(r *Ticket) wireTicket {
	w := wireTicket{
		text(r.ID), text(r.Ref), text(r.UserID), text(r.Way), text(r.Ownership), text(r.State), r.Session, micros{r.Issued},
		r.Downloads, micros{r.Downloaded}, micros{r.Identified}, micros{r.Authenticated}, micros{r.Enrolled}, micros{r.Ended},
		text(r.EnrollmentID), nil, nil,
	}
	for _, c := range r.Challenges {
		w.Challenges = append(w.Challenges, wireChallenge{c.Digest, c.Download, micros{c.Expires}, c.Void, c.Redeemed, c.Key, c.Certificate})
	}
	for _, i := range r.Identities {
		w.Identities = append(w.Identities, wireIdentity{i.Digest, micros{i.NotAfter}, micros{i.Deadline}, i.Replaced})
	}
	return w
}

func wireOfGrant(r *Grant) wireGrant {
	w := wireGrant{User: text(r.UserID), Ticket: text(r.TicketID), Enrollment: text(r.EnrollmentID), Revoked: r.Revoked}
	if c := r.Code; c != nil {
		w.Code = &wireCode{c.Code, text(c.ClientID), text(c.RedirectURI), micros{c.Expires}, r.Redeemed}
	}
	for _, k := range r.Generations {
		w.Generations = append(w.Generations, wireGeneration{
			k.Access, micros{k.AccessExpires}, k.Refresh, micros{k.RefreshExpires}, k.Used,
		})
	}
	return w
}

// parse reads the record of a line.
func parse(k Kind, b []byte) (Record, error) {
	var r Record
	var err error
	switch k {
	case KindUser:
		r, err = decode(b, (*wireUser).record)
	case KindSuspension:
		r, err = decode(b, func(w *wireSuspension) Record { return &Suspension{string(w.User)} })
	case KindSession:
		r, err = decode(b, func(w *wireSession) Record {
			return &Session{enroll.Session{ID: w.Digest, UserID: string(w.User), Ticket: string(w.Ticket), Expires: w.Expires.t}}
		})
	case KindWebSession:
		r, err = decode(b, func(w *wireWebSession) Record { return &WebSession{w.Digest, w.Expires.t} })
	case KindTicket:
		r, err = decode(b, (*wireTicket).record)
	case KindEnrollment:
		r, err = decode(b, (*wireEnrollment).record)
	case KindGrant:
		r, err = decode(b, (*wireGrant).record)
	case KindCommand:
		r, err = decode(b, (*wireCommand).record)
	default:
		return nil, &KindError{k}
	}
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRecord, k, err)
	}
	return r, nil
}

// decode reads one JSON value that is a W and nothing else.
func decode[W any](b []byte, record func(*W) Record) (Record, error) {
	var w W
	if err := strict(b, &w); err != nil {
		return nil, err
	}
	return record(&w), nil
}

// strict reads one JSON value, and refuses fields that it does not know.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%v", err) //nolint:errorlint // an io.EOF of its own means nothing to a caller
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows the value")
	}
	return nil
}

// some is nil for no bytes: empty and nil are the same.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func (w *wireUser) record() Record {
	u := jit.User{
		ID: string(w.ID), Issuer: string(w.Issuer), Subject: string(w.Subject), DisplayName: string(w.DisplayName),
		GroupsStale: w.GroupsStale, ManagedAppleAccount: string(w.ManagedAppleAccount), Suspended: w.Suspended,
		Created: w.Created.t, LastSignIn: w.LastSignIn.t,
	}
	for _, g := range w.Groups {
		u.Groups = append(u.Groups, string(g))
	}
	return &User{u}
}

func (w *wireTicket) record() Record {
	t := &Ticket{Ticket: enroll.Ticket{
		ID: string(w.ID), Ref: string(w.Ref), UserID: string(w.User), Way: mdm.Way(w.Way), Ownership: enroll.Ownership(w.Ownership),
		State: enroll.TicketState(w.State), Session: w.Session, Issued: w.Issued.t, Downloads: w.Downloads,
		Downloaded: w.Downloaded.t, Identified: w.Identified.t, Authenticated: w.Authenticated.t, Enrolled: w.Enrolled.t,
		Ended: w.Ended.t, EnrollmentID: string(w.Enrollment),
	}}
	for _, c := range w.Challenges {
		t.Challenges = append(t.Challenges, Challenge{c.Digest, c.Download, c.Expires.t, c.Void, c.Redeemed, c.Key, some(c.Certificate)})
	}
	for _, i := range w.Identities {
		t.Identities = append(t.Identities, Identity{i.Digest, i.NotAfter.t, i.Deadline.t, i.Replaced})
	}
	return t
}

func (w *wireEnrollment) record() Record {
	return &Enrollment{
		Enrollment: mdm.Enrollment{
			ID: string(w.ID), UserID: string(w.User), TicketID: string(w.Ticket), Way: mdm.Way(w.Way), State: mdm.EnrollmentState(w.State),
			Certificate: w.Certificate, Topic: string(w.Topic), OSVersion: string(w.OSVersion), BuildVersion: string(w.BuildVersion),
			Product: string(w.Product), Created: w.Created.t, Enrolled: w.Enrolled.t, Ended: w.Ended.t, Contact: w.Contact.t,
		},
		Token: some(w.Token), PushMagic: string(w.PushMagic), TokenStored: w.TokenStored.t,
		Push: Push{w.Push.Request, w.Push.Settled, w.Push.Due.t, w.Push.Fixed, w.Push.Attempt, w.Push.Status, w.Push.Attempted.t},
	}
}

func (w *wireGrant) record() Record {
	g := &Grant{UserID: string(w.User), TicketID: string(w.Ticket), EnrollmentID: string(w.Enrollment), Revoked: w.Revoked}
	if c := w.Code; c != nil {
		g.Redeemed = c.Redeemed
		g.Code = &enroll.AuthorizationCode{
			Code: c.Digest, ClientID: string(c.ClientID), RedirectURI: string(c.RedirectURI), Expires: c.Expires.t,
		}
	}
	for _, k := range w.Generations {
		g.Generations = append(g.Generations, Generation{
			Used:   k.Used,
			Tokens: enroll.Tokens{Access: k.Access, AccessExpires: k.AccessExpires.t, Refresh: k.Refresh, RefreshExpires: k.RefreshExpires.t},
		})
	}
	return g
}

func (w *wireCommand) record() Record {
	return &Command{
		Command: mdm.Command{
			UUID: string(w.UUID), EnrollmentID: string(w.Enrollment), RequestType: string(w.RequestType), Payload: some(w.Payload),
			Status: mdm.CommandStatus(w.Status), Result: some(w.Result), Queued: w.Queued.t, Updated: w.Updated.t,
		},
		Held: w.Held,
	}
}
