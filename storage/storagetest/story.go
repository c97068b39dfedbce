package storagetest

import (
	"context"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
)

const topic = "com.apple.mgmt.External.example"

var clocks = enroll.Clocks{Wait: 15 * time.Minute, Window: 8 * time.Minute, Grace: 12 * time.Minute}

// story tells enrollments to a store, step by step.
type story struct {
	*world[Devices]
	ctx context.Context
	s   Devices
}

func tell(w *world[Devices]) *story { return &story{world: w, ctx: w.Context(), s: w.store} }

// The steps as callers make them. Names are turned into digests.

func ticketOf(name, user, session string) enroll.Ticket {
	return enroll.Ticket{
		ID: name, Ref: "REF" + name, UserID: user, Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		Session: id(session), Issued: start,
	}
}

func downloadOf(ticket, challenge string, at time.Time) enroll.DownloadStep {
	return enroll.DownloadStep{TicketID: ticket, Challenge: id(challenge), At: at, Clocks: clocks, MaxDownloads: 10, MaxAge: time.Hour}
}

func identifyOf(challenge, key string, at time.Time) enroll.IdentifyStep {
	der := certificateOf(challenge, key)
	return enroll.IdentifyStep{
		Challenge: id(challenge), Key: id(key), Certificate: der, Digest: id(string(der)),
		NotAfter: at.AddDate(1, 0, 0), At: at,
	}
}

// certificateOf is what is issued to a key for a challenge.
func certificateOf(challenge, key string) []byte {
	return []byte("certificate for " + challenge + " to " + key)
}

func authenticateOf(certificate [32]byte, enrollmentID string, at time.Time) mdm.AuthenticateStep {
	return mdm.AuthenticateStep{
		Certificate: certificate, EnrollmentID: enrollmentID, Topic: topic,
		OSVersion: "17.6.1", BuildVersion: "21G93", Product: "iPhone15,2", At: at,
	}
}

func tokenOf(certificate [32]byte, enrollmentID string, at time.Time) mdm.TokenUpdateStep {
	return mdm.TokenUpdateStep{
		Certificate: certificate, EnrollmentID: enrollmentID, Topic: topic,
		Token: []byte("token of " + enrollmentID), PushMagic: "magic of " + enrollmentID, At: at, Planned: true,
	}
}

func commandOf(enrollmentID, uuid string, at time.Time) mdm.Command {
	return mdm.Command{
		UUID: uuid, EnrollmentID: enrollmentID, RequestType: "DeviceInformation", Payload: []byte("payload of " + uuid),
		Status: mdm.CommandQueued, Queued: at, Updated: at,
	}
}

// phone is a device that goes through the story.
type phone struct {
	*story
	id          string
	ticket      string
	certificate [32]byte
}

// identified is a phone that has its identity.
func (s *story) identified(name, user string, at time.Time) *phone {
	s.Helper()
	ticket := ticketOf("t-"+name, user, "session of "+name)
	ticket.Issued = at
	s.ok(s.s.IssueTicket(s.ctx, ticket, [32]byte{}), "IssueTicket")
	return s.downloaded(name, ticket.ID, "c-"+name, at)
}

// downloaded is a phone with an identity for a challenge of its own.
func (s *story) downloaded(name, ticket, challenge string, at time.Time) *phone {
	s.Helper()
	_, err := s.s.Download(s.ctx, downloadOf(ticket, challenge, at))
	s.ok(err, "Download")
	step := identifyOf(challenge, "key of "+name, at)
	_, err = s.s.Identify(s.ctx, step)
	s.ok(err, "Identify")
	return &phone{story: s, id: "E-" + name, ticket: ticket, certificate: step.Digest}
}

// authenticated is a phone whose Authenticate was accepted.
func (s *story) authenticated(name, user string, at time.Time) *phone {
	s.Helper()
	p := s.identified(name, user, at)
	_, err := p.authenticate(at)
	s.ok(err, "Authenticate")
	return p
}

// enrolled is a phone that is enrolled, with an empty queue and no push asked
// for. Whatever push is due, of others too, is done.
func (s *story) enrolled(name, user string, at time.Time) *phone {
	s.Helper()
	p := s.authenticated(name, user, at)
	_, err := s.s.TokenUpdate(s.ctx, tokenOf(p.certificate, p.id, at))
	s.ok(err, "TokenUpdate")
	s.settleAll(at)
	return p
}

func (p *phone) authenticate(at time.Time) (mdm.Enrollment, error) {
	return p.s.Authenticate(p.ctx, authenticateOf(p.certificate, p.id, at))
}

// enqueue queues commands, by UUID.
func (p *phone) enqueue(at time.Time, uuids ...string) {
	p.Helper()
	var commands []mdm.Command
	for _, uuid := range uuids {
		commands = append(commands, commandOf(p.id, uuid, at))
	}
	p.ok(p.s.Enqueue(p.ctx, commands...), "Enqueue")
}

// idle begins a session and returns the UUID of the command it is given, or "".
func (p *phone) idle(at time.Time) string {
	p.Helper()
	out, err := p.exchange(mdm.ExchangeStep{Idle: true, At: at})
	p.ok(err, "Exchange at Idle")
	if out.Reported != nil {
		p.fail("Idle reported the command %s", out.Reported.UUID)
	}
	return uuid(out.Next)
}

// report answers a command and returns the command that it concerned, or "",
// and the next one, or "".
func (p *phone) report(command string, status mdm.CommandStatus, at time.Time) (reported, next string) {
	p.Helper()
	out, err := p.exchange(mdm.ExchangeStep{CommandUUID: command, Status: status, Result: []byte(command + " " + string(status)), At: at})
	p.ok(err, "Exchange that reports "+string(status))
	return uuid(out.Reported), uuid(out.Next)
}

func (p *phone) exchange(x mdm.ExchangeStep) (mdm.Exchanged, error) {
	x.Certificate, x.EnrollmentID = p.certificate, p.id
	return p.s.Exchange(p.ctx, x)
}

func uuid(c *mdm.Command) string {
	if c == nil {
		return ""
	}
	return c.UUID
}

// enrollment is the phone's record.
func (p *phone) enrollment() mdm.Enrollment {
	p.Helper()
	e, err := p.s.Enrollment(p.ctx, p.id)
	p.ok(err, "Enrollment")
	return e
}

// theTicket is a ticket's record.
func (s *story) theTicket(id string) enroll.Ticket {
	s.Helper()
	t, err := s.s.Ticket(s.ctx, id)
	s.ok(err, "Ticket")
	return t
}

// command is a command as stored.
func (p *phone) command(uuid string) mdm.Command {
	p.Helper()
	for _, c := range p.state().Commands {
		if c.UUID == uuid && c.EnrollmentID == p.id {
			return c
		}
	}
	p.fail("State does not list the command %s", uuid)
	return mdm.Command{}
}

// state is everything but the users.
func (s *story) state() storage.State {
	s.Helper()
	state, err := s.s.State(s.ctx)
	s.ok(err, "State")
	state.Users = nil
	return state
}

// refused fails unless a step returns an error, twice, and leaves no trace.
func (s *story) refused(want error, what string, step func() error) {
	s.Helper()
	before := s.state()
	for range 2 {
		s.is(step(), want, what)
		s.equal(s.state(), before, what+": what is stored after a refused step")
	}
}

// repeated fails unless a step succeeds and then changes nothing more.
func (s *story) repeated(what string, step func() error) {
	s.Helper()
	s.ok(step(), what)
	once := s.state()
	s.ok(step(), what+", done again as after a lost answer")
	s.equal(s.state(), once, what+": what is stored after it was done twice")
}

// claims are the enrollments with a push due.
func (s *story) claims(at time.Time) []push.Target {
	s.Helper()
	targets, err := s.s.ClaimPushes(s.ctx, at, time.Minute, 100)
	s.ok(err, "ClaimPushes")
	return targets
}

// due fails unless just these enrollments have a push due, in this order. It
// claims them.
func (s *story) due(at time.Time, what string, ids ...string) []push.Target {
	s.Helper()
	targets := s.claims(at)
	got := []string{}
	for _, t := range targets {
		got = append(got, t.EnrollmentID)
	}
	s.equal(got, append([]string{}, ids...), what+": who is to be woken")
	return targets
}

// settleAll does what is asked for.
func (s *story) settleAll(at time.Time) {
	s.Helper()
	for _, t := range s.claims(at) {
		s.ok(s.s.SettlePushes(s.ctx, push.Result{Target: t, ID: "apns-1", Status: 200, At: at}), "SettlePushes")
	}
}

// names makes n names.
func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return list
}
