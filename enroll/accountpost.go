package enroll

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/profile"
)

// machineError is a refusal of an enrollment POST: an empty answer, since a code
// or a challenge would let the device go on.
type machineError struct {
	status int
	header http.Header
	err    error
}

func (e *machineError) Error() string { return e.err.Error() }
func (e *machineError) Unwrap() error { return e.err }

// accountPost serves the enrollment POST of a way: without a bearer token it
// challenges, with one in force it answers the profile. Who sent it, an Apple
// device or not, is judged before anything else.
func (p *Portal) accountPost(way mdm.Way) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, machineinfo.MaxBytes))
		var over *http.MaxBytesError
		switch {
		case errors.As(err, &over):
			return &machineError{status: http.StatusRequestEntityTooLarge, err: err}
		case err != nil:
			return &machineError{status: http.StatusBadRequest, err: err}
		}
		info, err := machineinfo.Verify(body, p.cfg.Account.Anchor)
		if err != nil {
			return &machineError{status: machineinfo.Status(err), err: err}
		}
		if err := p.fits(way, info); err != nil {
			return &machineError{status: http.StatusForbidden, err: err}
		}
		token, there := bearerOf(r)
		if !there {
			return p.challenged(way, errors.New("no bearer token"))
		}
		t, u, err := p.bearerTicket(r.Context(), way, token)
		if err != nil {
			return err
		}
		os, _ := info.OS()
		signed, t, err := p.accountProfile(r, t, u, os.Major)
		if err != nil {
			return err
		}
		p.cfg.Observer.TicketMoved(r.Context(), t)
		p.cfg.Logger.InfoContext(r.Context(), "enroll: profile handed out", "ticket", t.Ref, "way", string(way), "downloads", t.Downloads)
		send(w, http.StatusOK, profile.ContentType, bytes.NewBuffer(signed))
		return nil
	}
}

// families are the kinds of device that are served. A Mac shows its bearer token
// on a user's channel only, for which there is no server here, and the others have
// no such enrollment. One that nobody knows yet may be a new name of these.
var families = []string{"iPhone", "iPad", "RealityDevice", ""}

// fits refuses a device that does not know the way, and one that discovery would
// not have sent here: where a domain serves a file, discovery is asked nothing. A
// system that does not tell its version is let on: it knows.
func (p *Portal) fits(way mdm.Way, info machineinfo.Info) error {
	if !p.offered(way) {
		return fmt.Errorf("enroll: devices enroll here by the way %s only", p.cfg.Way)
	}
	if !slices.Contains(families, info.Family()) {
		return fmt.Errorf("enroll: a device of the family %s is not served", info.Family())
	}
	major, minor := p.cfg.least(way)
	if os, told := info.OS(); told && os.Before(major, minor) {
		return fmt.Errorf("enroll: %s is before %d.%d, the first for this way", os, major, minor)
	}
	return nil
}

// challenged is the refusal that lets the person sign in.
func (p *Portal) challenged(way mdm.Way, why error) error {
	h, err := p.challenge(way, "")
	if err != nil {
		return err
	}
	return &machineError{status: http.StatusUnauthorized, header: h, err: why}
}

// bearerTicket finds the ticket of a token and its person.
func (p *Portal) bearerTicket(ctx context.Context, way mdm.Way, token string) (Ticket, jit.User, error) {
	forbidden := func(err error) error { return &machineError{status: http.StatusForbidden, err: err} }
	access := sha256.Sum256([]byte(token))
	t, err := p.cfg.Account.Store.TokenTicket(ctx, access, p.now())
	if errors.Is(err, ErrToken) && token != "" && p.cfg.Account.External != nil {
		err = p.admitNew(ctx, way, token)
		if refused := Remedy(err).status(); err != nil && !errors.Is(err, ErrToken) && refused == http.StatusForbidden {
			return t, jit.User{}, forbidden(err)
		}
		if err == nil {
			t, err = p.cfg.Account.Store.TokenTicket(ctx, access, p.now())
		}
	}
	switch {
	case errors.Is(err, ErrToken):
		return t, jit.User{}, p.challenged(way, err)
	case errors.Is(err, mdm.ErrSuspended):
		return t, jit.User{}, forbidden(err)
	case err != nil:
		return t, jit.User{}, stored("token", err)
	case t.Way != way:
		return t, jit.User{}, forbidden(errors.New("enroll: the token is for another way"))
	}
	u, err := p.cfg.Users.User(ctx, t.UserID)
	switch {
	case errors.Is(err, jit.ErrUnknownUser) || err == nil && u.Suspended:
		return t, u, forbidden(jit.ErrSuspended)
	case err != nil:
		return t, u, stored("user", err)
	case !p.offers(way, u):
		return t, u, forbidden(errNotOffered)
	}
	return t, u, nil
}

// accountProfile makes the profile of a ticket with a new challenge for SCEP,
// and counts it as a download. Who has as many devices as allowed is told now,
// before the device makes room for work.
func (p *Portal) accountProfile(r *http.Request, t Ticket, u jit.User, targetOS int) ([]byte, Ticket, error) {
	ctx := r.Context()
	if err := p.room(ctx, t.UserID); err != nil && t.State != TicketEnrolled {
		return nil, t, err
	}
	challenge, err := p.secret()
	if err != nil {
		return nil, t, err
	}
	signed, err := p.signedProfile(t.Way, u, challenge, targetOS)
	if err != nil {
		return nil, t, err
	}
	moved, err := p.cfg.Tickets.Download(ctx, DownloadStep{
		TicketID: t.ID, Challenge: sha256.Sum256([]byte(challenge)), At: p.now(),
		Clocks: p.cfg.Clocks, MaxDownloads: p.cfg.MaxDownloads, MaxAge: p.cfg.MaxAge,
	})
	for _, over := range []error{ErrUnknownTicket, ErrTicketExpired, ErrTicketSpent, ErrTicketSuperseded, ErrTicketExhausted} {
		if errors.Is(err, over) {
			return nil, t, &machineError{status: http.StatusForbidden, err: err}
		}
	}
	if err != nil {
		return nil, t, stored("download", err)
	}
	return signed, moved, nil
}

// signedProfile builds and signs the profile of a way.
func (p *Portal) signedProfile(way mdm.Way, u jit.User, challenge string, targetOS int) ([]byte, error) {
	cfg := p.cfg.enrollment(u.ManagedAppleAccount, challenge, targetOS)
	build := profile.UserEnrollment
	switch way {
	case mdm.WayAccount:
		build = profile.AccountUserEnrollment
	case mdm.WayAccountDevice:
		build = profile.AccountDeviceEnrollment
	case mdm.WayDevice:
		build = profile.DeviceEnrollment
		cfg.ManagedAppleID = ""
	}
	if way.Account() {
		cfg.RequiredAppID = p.cfg.Account.RequiredAppID
	}
	if way.Mode() == mdm.ModeDevice {
		cfg.AccessRights, cfg.Description = p.cfg.DeviceEnrollment.AccessRights, p.cfg.wholeDescription
	}
	built, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("enroll: profile: %w", err)
	}
	plain, err := built.Marshal()
	if err != nil {
		return nil, fmt.Errorf("enroll: profile: %w", err)
	}
	signed, err := p.cfg.Signer.Sign(plain)
	if err != nil {
		return nil, &failure{CodeSigning, err}
	}
	return signed, nil
}
