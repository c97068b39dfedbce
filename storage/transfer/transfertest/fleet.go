package transfertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/storage"
)

// odd is text that a store may not change.
const odd = `é e` + "\u0301" + ` ß <&> "\' 😀 字 `

var start = time.Date(2026, time.November, 24, 9, 0, 0, 123456000, time.UTC)

func minute(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }

// id is a digest of a name.
func id(name string) [32]byte { return sha256.Sum256([]byte(name)) }

// fleet is devices and people who tell their story to a store.
type fleet struct {
	ctx context.Context
	s   storage.Store
	// failed is the first step that was not answered as expected.
	failed error
	// claimed are pushes that a worker is making.
	claimed []push.Target
}

// expect notes when a step is not answered as expected.
func (f *fleet) expect(what string, err, want error) {
	if !errors.Is(err, want) && f.failed == nil {
		f.failed = fmt.Errorf("%s: %s, and not %s", what, fmt.Sprint(err), fmt.Sprint(want))
	}
}

func (f *fleet) ok(what string, err error) { f.expect(what, err, nil) }

// certificate is what is issued for a challenge.
func certificate(challenge string) []byte { return []byte("certificate for " + challenge) }

func digestOf(challenge string) [32]byte { return sha256.Sum256(certificate(challenge)) }

func ticketOf(name, user, session string, way mdm.Way, at time.Time) enroll.Ticket {
	return enroll.Ticket{ID: "t-" + name, Ref: "REF" + name, UserID: user, Way: way, Ownership: enroll.OwnershipPersonal, Session: id(session), Issued: at}
}

func (f *fleet) issue(name, user string, way mdm.Way, at time.Time) {
	f.ok("IssueTicket "+name, f.s.IssueTicket(f.ctx, ticketOf(name, user, "session of "+name, way, at), [32]byte{}))
}

func (f *fleet) download(name, challenge string, at time.Time) error {
	_, err := f.s.Download(f.ctx, enroll.DownloadStep{
		TicketID: "t-" + name, Challenge: id(challenge), At: at, MaxDownloads: 3, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: 15 * time.Minute, Window: 8 * time.Minute, Grace: 12 * time.Minute},
	})
	return err
}

func (f *fleet) identify(challenge string, at time.Time) error {
	_, err := f.s.Identify(f.ctx, enroll.IdentifyStep{
		Challenge: id(challenge), Key: id("key for " + challenge), Certificate: certificate(challenge), Digest: digestOf(challenge),
		NotAfter: at.AddDate(1, 0, 0), At: at,
	})
	return err
}

// device is who sends a step.
type device struct {
	name, challenge, bearer string
	udid                    bool
}

func (d device) id() string {
	if d.udid {
		return "00008120-" + d.name
	}
	return "E-" + d.name
}

// token is the digest of its bearer token.
func (d device) token() [32]byte {
	if d.bearer == "" {
		return [32]byte{}
	}
	return id(d.bearer)
}

func (f *fleet) authenticate(d device, at time.Time) (mdm.Enrollment, error) {
	return f.s.Authenticate(f.ctx, mdm.AuthenticateStep{
		Certificate: digestOf(d.challenge), EnrollmentID: d.id(), Device: d.udid, Bearer: d.token(), Topic: "com.apple.mgmt.External.example",
		OSVersion: "17.6.1", BuildVersion: "21G93", Product: "iPhone15,2", At: at, DeviceLimit: 2,
	})
}

func (f *fleet) tokenUpdate(d device, token string, at time.Time, plan ...string) (mdm.Enrollment, error) {
	return f.s.TokenUpdate(f.ctx, mdm.TokenUpdateStep{
		Certificate: digestOf(d.challenge), EnrollmentID: d.id(), Device: d.udid, Bearer: d.token(), Topic: "com.apple.mgmt.External.example",
		Token: []byte("\x00\xff" + token), PushMagic: "magic " + odd + token, At: at, Planned: true, Plan: commands(d, at, plan...),
	})
}

func commands(d device, at time.Time, uuids ...string) []mdm.Command {
	var list []mdm.Command
	for _, uuid := range uuids {
		list = append(list, mdm.Command{UUID: uuid, EnrollmentID: d.id(), RequestType: "DeviceInformation", Payload: []byte("\x00\xfe" + odd + uuid), Queued: at})
	}
	return list
}

func (f *fleet) exchange(d device, x mdm.ExchangeStep, at time.Time) (mdm.Exchanged, error) {
	x.Certificate, x.EnrollmentID, x.Device, x.Bearer, x.At, x.NotNowRetry = digestOf(d.challenge), d.id(), d.udid, d.token(), at, 10*time.Minute
	return f.s.Exchange(f.ctx, x)
}

func report(uuid string, status mdm.CommandStatus) mdm.ExchangeStep {
	return mdm.ExchangeStep{CommandUUID: uuid, Status: status, Result: []byte("result\x00" + odd + uuid)}
}

// step is an exchange that is expected to succeed.
func (f *fleet) step(d device, x mdm.ExchangeStep, at time.Time) {
	_, err := f.exchange(d, x, at)
	f.ok("Exchange "+d.name, err)
}

// identified is a device with its identity.
func (f *fleet) identified(name, user string, way mdm.Way, at time.Time) device {
	f.issue(name, user, way, at)
	f.ok("Download "+name, f.download(name, "c-"+name, at))
	f.ok("Identify "+name, f.identify("c-"+name, at))
	return device{name: name, challenge: "c-" + name, udid: way.Mode() == mdm.ModeDevice}
}

// enrolled is an enrolled device for which no push is due.
func (f *fleet) enrolled(name, user string, way mdm.Way, at time.Time) device {
	d := f.identified(name, user, way, at)
	f.enroll(d, at)
	return d
}

func (f *fleet) enroll(d device, at time.Time) {
	_, err := f.authenticate(d, at)
	f.ok("Authenticate "+d.name, err)
	_, err = f.tokenUpdate(d, "token of "+d.name, at)
	f.ok("TokenUpdate "+d.name, err)
	for _, target := range f.claim(at) {
		f.settle(push.Result{Target: target, ID: "apns", Status: 200, At: at})
	}
}

func (f *fleet) claim(at time.Time) []push.Target {
	targets, err := f.s.ClaimPushes(f.ctx, at, 5*time.Minute, 100)
	f.ok("ClaimPushes", err)
	return targets
}

func (f *fleet) settle(results ...push.Result) {
	f.ok("SettlePushes", f.s.SettlePushes(f.ctx, results...))
}

func (f *fleet) enqueue(d device, at time.Time, uuids ...string) {
	f.ok("Enqueue "+d.name, f.s.Enqueue(f.ctx, commands(d, at, uuids...)...))
}

// signIn is the end of a web sign-in for a ticket of its name, with a code.
func (f *fleet) signIn(name, user string, way mdm.Way, at time.Time) error {
	t := ticketOf(name, user, "", way, at)
	return f.s.Grant(f.ctx, enroll.GrantStep{
		Session: id("web session of " + name), SessionExpires: at.Add(time.Hour), UserID: user, Ticket: &t, At: at,
		Code: &enroll.AuthorizationCode{Code: id("code of " + name), ClientID: "client " + odd, RedirectURI: "apple:/" + odd, Expires: at.Add(time.Minute)},
	})
}

func (f *fleet) redeem(name, token string, at time.Time) error {
	return f.s.RedeemCode(f.ctx, enroll.CodeStep{
		Code: id("code of " + name), ClientID: "client " + odd, RedirectURI: "apple:/" + odd, Tokens: tokensOf(token, at), At: at,
	})
}

func (f *fleet) refresh(old, token string, at time.Time) error {
	return f.s.Refresh(f.ctx, enroll.RefreshStep{Refresh: id("refresh " + old), ClientID: "client " + odd, Tokens: tokensOf(token, at), At: at})
}

func tokensOf(name string, at time.Time) enroll.Tokens {
	return enroll.Tokens{Access: id(name), AccessExpires: at.Add(2 * time.Hour), Refresh: id("refresh " + name), RefreshExpires: at.AddDate(0, 1, 0)}
}

// signInAgain grants tokens at once to an enrolled device.
func (f *fleet) signInAgain(d device, user, token string, at time.Time) error {
	return f.s.Grant(f.ctx, enroll.GrantStep{
		Session: id("web session for " + token), SessionExpires: at.Add(time.Hour), UserID: user, EnrollmentID: d.id(),
		Tokens: enroll.Tokens{Access: id(token)}, At: at,
	})
}

// account is a device that enrolled by an account, with the token of its name.
func (f *fleet) account(name, user string, at time.Time) device {
	f.ok("Grant "+name, f.signIn(name, user, mdm.WayAccount, at))
	f.ok("RedeemCode "+name, f.redeem(name, name, at))
	f.ok("Download "+name, f.download(name, "c-"+name, at))
	f.ok("Identify "+name, f.identify("c-"+name, at))
	d := device{name: name, challenge: "c-" + name, bearer: name}
	f.enroll(d, at)
	return d
}

// people and what they have at the portal.
func (f *fleet) people() {
	for i, name := range []string{"alice", "bob", "carol " + odd} {
		p := jit.Profile{
			ID: fmt.Sprint("u", i+1), Issuer: "https://idp.example.com", Subject: name, DisplayName: odd + name,
			ManagedAppleAccount: strings.Fields(name)[0] + "@example.com", Groups: []string{"staff", odd}, At: start,
		}
		_, _, err := f.s.Provision(f.ctx, p)
		f.ok("Provision "+name, err)
		if i == 1 {
			p.KeepGroups, p.At = true, minute(1)
			_, _, err = f.s.Provision(f.ctx, p)
			f.ok("Provision again "+name, err)
		}
	}
	f.ok("Suspend", f.s.Suspend(f.ctx, "u2", true))
	for _, name := range []string{"a", "b"} {
		f.ok("PutSession", f.s.PutSession(f.ctx, enroll.Session{ID: id(name), UserID: "u1", Ticket: "t-" + odd, Expires: minute(60)}, [32]byte{}))
	}
}

// devices come to every state before minute 60.
func (f *fleet) devices() {
	busy := f.enrolled("busy", "u1", mdm.WayProfile, start)
	f.enqueue(busy, minute(1), "done", "failed", "notnow", "sent", "queued")
	f.step(busy, mdm.ExchangeStep{Idle: true}, minute(1))
	f.step(busy, report("done", mdm.CommandAcknowledged), minute(1))
	f.step(busy, report("failed", mdm.CommandError), minute(2))
	f.step(busy, report("notnow", mdm.CommandNotNow), minute(2))
	idle := f.enrolled("idle", "u2", mdm.WayProfile, start)
	f.enqueue(idle, minute(2), "notnow", "notnow too")
	f.step(idle, mdm.ExchangeStep{Idle: true}, minute(2))
	f.step(idle, report("notnow", mdm.CommandNotNow), minute(3))
	f.step(idle, report("notnow too", mdm.CommandNotNow), minute(3))
	f.step(idle, mdm.ExchangeStep{Idle: true}, minute(4)) // the first is sent again, the second waits with its NotNow

	var pushed []device
	for i, name := range []string{"retried", "dead", "claimed", "asked"} {
		d := f.enrolled(name, fmt.Sprint("owner of ", name), mdm.WayDevice, minute(i))
		pushed = append(pushed, d)
	}
	for i, d := range pushed[:3] {
		f.enqueue(d, minute(10+i), "c1")
	}
	for _, target := range f.claim(minute(20)) {
		switch target.EnrollmentID {
		case pushed[0].id():
			f.settle(push.Result{Target: target, Status: 503, At: minute(20), Retry: minute(75)})
		case pushed[1].id():
			f.settle(push.Result{Target: target, Status: 410, Reason: "Unregistered", At: minute(20), Dead: true})
		default:
			f.claimed = append(f.claimed, target)
		}
	}
	f.enqueue(pushed[2], minute(21), "c2")
	f.enqueue(pushed[3], minute(90), "later")

	suspended := f.enrolled("suspended", "u3", mdm.WayProfile, minute(22))
	f.enqueue(suspended, minute(22), "waits")
	f.ok("SuspendUser", f.s.SuspendUser(f.ctx, "u3", true))
	f.ok("SuspendUser", f.s.SuspendUser(f.ctx, "u4", true))
	f.ok("SuspendUser", f.s.SuspendUser(f.ctx, "u4", false))

	for _, d := range []device{f.enrolled("left", "u5", mdm.WayProfile, minute(23)), f.enrolled("removed", "u5", mdm.WayProfile, minute(23))} {
		f.enqueue(d, minute(23), "open")
		if d.name == "removed" {
			f.ok("Unenroll", f.s.Unenroll(f.ctx, d.id(), minute(24)))
			continue
		}
		_, err := f.s.CheckOut(f.ctx, mdm.CheckOutStep{Certificate: digestOf(d.challenge), EnrollmentID: d.id(), At: minute(24)})
		f.ok("CheckOut", err)
	}
}

// attempts are enrollments on their way, at minute 40.
func (f *fleet) attempts() {
	f.issue("issued", "u6", mdm.WayProfile, minute(40))
	f.issue("downloaded", "u6", mdm.WayProfile, minute(40))
	f.ok("Download", f.download("downloaded", "c-downloaded 1", minute(40)))
	f.ok("Download", f.download("downloaded", "c-downloaded 2", minute(41)))
	f.identified("identified", "u6", mdm.WayProfile, minute(40))
	f.ok("Download", f.download("identified", "c-identified 2", minute(41)))
	half := f.identified("half", "u6", mdm.WayProfile, minute(40))
	_, err := f.authenticate(half, minute(41))
	f.ok("Authenticate", err)

	// The first attempt was replaced by the second, under another name.
	twice := f.identified("twice", "u6", mdm.WayProfile, minute(40))
	_, err = f.authenticate(twice, minute(40))
	f.ok("Authenticate", err)
	f.ok("Download", f.download("twice", "c-twice 2", minute(41)))
	f.ok("Identify", f.identify("c-twice 2", minute(41)))
	_, err = f.authenticate(device{name: "twice 2", challenge: "c-twice 2"}, minute(42))
	f.ok("Authenticate", err)
	// And here the second one has its identity, and has not come yet.
	again := f.identified("again", "u6", mdm.WayProfile, minute(40))
	_, err = f.authenticate(again, minute(40))
	f.ok("Authenticate", err)
	f.ok("Download", f.download("again", "c-again 2", minute(41)))
	f.ok("Identify", f.identify("c-again 2", minute(41)))

	// A later sign-in in the same browser: one device may finish yet.
	for _, name := range []string{"superseded", "finishing"} {
		d := f.identified(name, "u7", mdm.WayProfile, minute(40))
		if name == "finishing" {
			_, err = f.authenticate(d, minute(40))
			f.ok("Authenticate", err)
		}
		f.ok("IssueTicket", f.s.IssueTicket(f.ctx, ticketOf(name+" later", "u7", "another session of "+name, mdm.WayProfile, minute(41)), id("session of "+name)))
	}

	// A device that enrolls anew keeps its name and its queue. The ticket that was
	// issued between the two has its certificate, and comes too late.
	mover := f.enrolled("mover", "u8", mdm.WayProfile, minute(30))
	f.enqueue(mover, minute(31), "from before")
	f.identified("between", "u8", mdm.WayProfile, minute(40))
	f.identified("anew", "u8", mdm.WayProfile, minute(39)) // by a clock that is behind
	_, err = f.authenticate(device{name: "mover", challenge: "c-anew"}, minute(41))
	f.ok("Authenticate", err)

	f.enrolled("first of two", "u9", mdm.WayProfile, minute(30))
	f.enrolled("second of two", "u9", mdm.WayProfile, minute(30))
	f.identified("third of two", "u9", mdm.WayProfile, minute(41))
}

// accounts are enrollments by an account, and their tokens.
func (f *fleet) accounts() {
	d := f.account("refreshed", "a1", minute(30))
	f.ok("Refresh", f.refresh("refreshed", "lost", minute(31)))
	f.ok("Refresh", f.refresh("refreshed", "refreshed 2", minute(32)))
	f.step(device{d.name, d.challenge, "refreshed 2", false}, mdm.ExchangeStep{Idle: true}, minute(33))
	f.ok("Refresh", f.refresh("refreshed 2", "refreshed 3", minute(34)))

	d = f.account("often", "a1", minute(30))
	last := "often"
	for i := range 20 {
		next := fmt.Sprint("often ", i)
		f.ok("Refresh", f.refresh(last, next, minute(31)))
		last = next
	}
	d.bearer = last
	f.enqueue(d, minute(31), "c1")

	d = f.account("again signed in", "a2", minute(30))
	f.ok("Grant", f.signInAgain(d, "a2", "second sign-in", minute(31)))
	d = f.account("switched", "a2", minute(30))
	f.ok("Grant", f.signInAgain(d, "a2", "switched to", minute(31)))
	f.step(device{d.name, d.challenge, "switched to", false}, mdm.ExchangeStep{Idle: true}, minute(32))

	d = f.account("revoked", "a3", minute(30))
	f.ok("RevokeTokens", f.s.RevokeTokens(f.ctx, d.id()))
	d = f.account("gone", "a3", minute(30))
	f.ok("Unenroll", f.s.Unenroll(f.ctx, d.id(), minute(31)))
	f.account("a suspended one", "u3 by account", minute(30))
	f.ok("SuspendUser", f.s.SuspendUser(f.ctx, "u3 by account", true))

	f.ok("Grant", f.signIn("with a code", "a4", mdm.WayAccountDevice, minute(59)))
	f.ok("Grant", f.signIn("with tokens", "a4", mdm.WayAccount, minute(40)))
	f.ok("RedeemCode", f.redeem("with tokens", "with tokens", minute(40)))
	_, err := f.s.TokenTicket(f.ctx, id("with tokens"), minute(41))
	f.ok("TokenTicket", err)
	f.ok("Grant", f.signIn("with a stolen code", "a4", mdm.WayAccount, minute(40)))
	f.ok("RedeemCode", f.redeem("with a stolen code", "stolen", minute(40)))
	f.expect("RedeemCode", f.redeem("with a stolen code", "stolen again", minute(40)), enroll.ErrGrant)
}

// grow tells the whole story of a fleet to a store.
func grow(ctx context.Context, s storage.Store) (*fleet, error) {
	f := &fleet{ctx: ctx, s: s}
	f.people()
	f.attempts()
	f.accounts()
	f.devices() // last, since enrolling others does what pushes are due
	return f, f.failed
}
