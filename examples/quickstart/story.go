package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/storage"
)

// story lets a new simulated iPhone, held by user, go the whole way. What the
// server made of it is read off the store.
func (s *server) story(ctx context.Context, tell *teller, user string) (err error) {
	begun := time.Now()
	at := "signin" // the step that is tried
	defer func() {
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		tell.failed(at, err)
	}()
	done := func(d detail, next string) {
		tell.step(at, d)
		at = next
	}

	before, err := s.store.State(ctx)
	if err != nil {
		return err
	}
	phone, err := mdmtest.New(mdmtest.Config{Transport: s.transport, Roots: s.roots})
	if err != nil {
		return err
	}
	s.phones.add(phone)
	if err := phone.SignIn(ctx, s.portal(), user, password); err != nil {
		return err
	}
	done(detail{"user": user}, "jit")

	after, err := s.store.State(ctx)
	if err != nil {
		return err
	}
	ticket, person, err := issued(before, after, user)
	if err != nil {
		return err
	}
	_, known := findUser(before, person.ID)
	done(detail{"created": !known, "user": person.ID, "groups": groups(person), "managed_apple_account": person.ManagedAppleAccount}, "ticket")
	done(detail{"ref": ticket.Ref}, "profile")

	raw, err := phone.Download(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "enroll-"+ticket.Ref+".mobileconfig")
	if err := replace(file, raw); err != nil {
		return err
	}
	done(detail{"sha256": digest(sha256.Sum256(raw)), "file": file}, "identity")

	id, err := phone.ObtainIdentity(ctx)
	if err != nil {
		return err
	}
	done(detail{"sha256": digest(id.Digest()), "not_after": id.Certificate.NotAfter.UTC().Format(time.RFC3339)}, "authenticate")

	if err := phone.Authenticate(ctx); err != nil {
		return err
	}
	done(detail{"enrollment_id": id.EnrollmentID}, "token-update")

	if err := phone.TokenUpdate(ctx); err != nil {
		return err
	}
	done(detail{"enrollment_id": id.EnrollmentID}, "push")

	if err := phone.AwaitPush(ctx); err != nil {
		return err
	}
	pushed, err := s.pushes.await(ctx, id.EnrollmentID)
	if err != nil {
		return err
	}
	done(detail{"apns_id": pushed.ID, "status": pushed.Status}, "sso")

	if _, err := phone.Connect(ctx); err != nil {
		return err
	}
	sso, err := installedSSO(phone.Installed())
	if err != nil {
		return err
	}
	done(sso, "done")
	done(detail{"seconds": time.Since(begun).Seconds()}, "")
	return nil
}

// issued finds the ticket that came between two states, and whose it is.
func issued(before, after storage.State, account string) (enroll.Ticket, jit.User, error) {
	known := map[string]bool{}
	for _, t := range before.Tickets {
		known[t.ID] = true
	}
	for _, t := range after.Tickets {
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
