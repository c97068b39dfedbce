package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/storage"
)

// tale is the story of one phone, as it goes.
type tale struct {
	*server
	tell   *teller
	user   string // who holds the phone
	way    way
	phone  *mdmtest.Phone
	before storage.State
	at     string // the step that is tried
}

// story lets a new simulated iPhone go the whole way. What the server made of it
// is read off the store.
func (s *server) story(ctx context.Context, tell *teller, o options) (err error) {
	begun := time.Now()
	t := &tale{server: s, tell: tell, user: o.user, way: o.way, at: "signin"}
	wayIn := t.download
	if o.way.account() {
		t.at, wayIn = "discovery", t.settings
	}
	defer func() {
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		tell.failed(t.at, err)
	}()

	if t.before, err = s.store.State(ctx); err != nil {
		return err
	}
	if t.phone, err = s.newPhone(o.ios); err != nil {
		return err
	}
	if err := wayIn(ctx); err != nil {
		return err
	}
	if err := t.install(ctx); err != nil {
		return err
	}
	t.done(detail{"seconds": time.Since(begun).Seconds()}, "")
	return nil
}

// done tells that the step held, and which one is tried next.
func (t *tale) done(d detail, next string) {
	t.tell.step(t.at, d)
	t.at = next
}

// newPhone is a phone out of the box, which pushes reach.
func (s *server) newPhone(ios string) (*mdmtest.Phone, error) {
	device, err := s.deviceCA.Device()
	if err != nil {
		return nil, err
	}
	phone, err := mdmtest.New(mdmtest.Config{
		Transport: s.network, Roots: s.roots, OSVersion: ios,
		Account: mdmtest.AccountConfig{Device: device, DomainURL: s.domainURL},
	})
	if err != nil {
		return nil, err
	}
	s.phones.add(phone)
	return phone, nil
}

// domainURL is where a phone finds the web site of a domain: here, there is no
// other one.
func (s *server) domainURL(string) string { return s.base.String() }

// download is the way in that begins in Safari.
func (t *tale) download(ctx context.Context) error {
	if err := t.phone.SignIn(ctx, t.portal(), t.user, password); err != nil {
		return err
	}
	t.done(detail{"user": t.user}, "jit")
	if err := t.person(ctx); err != nil {
		return err
	}
	if t.way == wayDevice {
		if err := t.choose(ctx); err != nil {
			return fmt.Errorf("choosing Device Enrollment: %w", err)
		}
	}
	ref, err := t.ticket(ctx, "profile")
	if err != nil {
		return err
	}
	raw, err := t.phone.Download(ctx)
	if err != nil {
		return err
	}
	if t.phone.Waiting().UserEnrollment() == (t.way == wayDevice) {
		return fmt.Errorf("the portal handed out a profile of another way than %s", t.way)
	}
	return t.received(raw, ref)
}

// choose lets the person choose Device Enrollment, on the page that says what the
// company sees then. That is a ticket of its own.
func (t *tale) choose(ctx context.Context) error {
	_, err := t.phone.Safari.Submit(ctx, map[string]string{"way": string(mdm.WayDevice)})
	return err
}

// settings is the way in that begins in Settings.
func (t *tale) settings(ctx context.Context) error {
	account, err := t.phone.Discover(ctx, t.user)
	if err != nil {
		return err
	}
	t.done(detail{"domain": domain, "version": account.Server.Version, "base_url": account.Server.BaseURL}, "challenge")

	challenge, err := account.RequestChallenge(ctx)
	if err != nil {
		return err
	}
	asked := detail{"method": challenge.Method}
	if challenge.Method == mdmtest.MethodOAuth2 {
		asked["client_id"], asked["scope"], asked["token_url"] = challenge.ClientID, challenge.Scope, challenge.TokenURL
	}
	t.done(asked, "signin")

	if err := account.SignIn(ctx, t.user, password); err != nil {
		return err
	}
	t.done(detail{"user": t.user}, "jit")
	if err := t.person(ctx); err != nil {
		return err
	}
	ref, err := t.ticket(ctx, "token")
	if err != nil {
		return err
	}
	if err := account.RequestToken(ctx); err != nil {
		return err
	}
	t.done(detail{"type": "Bearer", "refreshable": account.Tokens.Refresh != ""}, "profile")

	if err := account.RequestProfile(ctx); err != nil {
		return err
	}
	return t.received(account.Profile, ref)
}

// person tells what a sign-in made of who signed in.
func (t *tale) person(ctx context.Context) error {
	after, err := t.store.State(ctx)
	if err != nil {
		return err
	}
	_, person, err := issued(t.before, after, t.user)
	if err != nil {
		return err
	}
	_, known := findUser(t.before, person.ID)
	t.done(detail{"created": !known, "user": person.ID, "groups": groups(person), "managed_apple_account": person.ManagedAppleAccount}, "ticket")
	return nil
}

// ticket tells which one the profile is for.
func (t *tale) ticket(ctx context.Context, next string) (ref string, err error) {
	after, err := t.store.State(ctx)
	if err != nil {
		return "", err
	}
	ticket, _, err := issued(t.before, after, t.user)
	if err != nil {
		return "", err
	}
	t.done(detail{"ref": ticket.Ref}, next)
	return ticket.Ref, nil
}

// received keeps the profile in a file, to be looked at.
func (t *tale) received(raw []byte, ref string) error {
	file := filepath.Join(t.dir, "enroll-"+ref+".mobileconfig")
	if err := replace(file, raw); err != nil {
		return err
	}
	t.done(detail{"sha256": digest(sha256.Sum256(raw)), "file": file}, "identity")
	return nil
}

// install goes from the profile that waits to the policy on the phone.
func (t *tale) install(ctx context.Context) error {
	id, err := t.phone.ObtainIdentity(ctx)
	if err != nil {
		return err
	}
	t.done(detail{"sha256": digest(id.Digest()), "not_after": id.Certificate.NotAfter.UTC().Format(time.RFC3339)}, "authenticate")

	if err := t.phone.Authenticate(ctx); err != nil {
		return err
	}
	t.done(detail{"enrollment_id": id.ID()}, "token-update")

	if err := t.phone.TokenUpdate(ctx); err != nil {
		return err
	}
	t.done(detail{"enrollment_id": id.ID()}, "push")

	if err := t.phone.AwaitPush(ctx); err != nil {
		return err
	}
	pushed, err := t.pushes.await(ctx, id.ID())
	if err != nil {
		return err
	}
	t.done(detail{"apns_id": pushed.ID, "status": pushed.Status}, "sso")

	if _, err := t.phone.Connect(ctx); err != nil {
		return err
	}
	sso, err := installedSSO(t.phone.Installed())
	if err != nil {
		return err
	}
	t.done(sso, "done")
	return nil
}

// issued finds the last ticket that came between two states, and whose it is.
func issued(before, after storage.State, account string) (enroll.Ticket, jit.User, error) {
	known := map[string]bool{}
	for _, t := range before.Tickets {
		known[t.ID] = true
	}
	for _, t := range slices.Backward(after.Tickets) {
		if u, ok := findUser(after, t.UserID); ok && !known[t.ID] && strings.EqualFold(u.ManagedAppleAccount, account) {
			return t, u, nil
		}
	}
	return enroll.Ticket{}, jit.User{}, fmt.Errorf("no ticket was issued for %s", account)
}

func findUser(s storage.State, id string) (jit.User, bool) {
	for _, u := range s.Users {
		if u.ID == id {
			return u, true
		}
	}
	return jit.User{}, false
}

// installedSSO is the Extensible SSO payload as the phone read it.
func installedSSO(profiles []mdmtest.Installed) (detail, error) {
	for _, p := range profiles {
		for _, payload := range p.Payloads {
			if payload["PayloadType"] != "com.apple.extensiblesso" {
				continue
			}
			d := detail{"command_uuid": p.CommandUUID, "extension": payload["ExtensionIdentifier"], "type": payload["Type"]}
			for key, name := range map[string]string{"URLs": "urls", "Hosts": "hosts"} {
				if v, ok := payload[key]; ok {
					d[name] = v
				}
			}
			return d, nil
		}
	}
	return nil, fmt.Errorf("none of the %d profiles that were installed holds an Extensible SSO payload", len(profiles))
}

func digest(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }
