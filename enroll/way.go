package enroll

import (
	"errors"
	"net/http"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
)

// offered reports whether this company enrolls devices a way.
func (p *Portal) offered(way mdm.Way) bool { return p.cfg.Way == "" || p.cfg.Way == way }

// offers reports whether a person may enroll a way.
func (p *Portal) offers(way mdm.Way, u jit.User) bool {
	return p.offered(way) && (way.Mode() == mdm.ModeUser || p.cfg.DeviceEnrollment.offered(u))
}

// firstWay is the way of the ticket that a sign-in at the portal issues. It is
// never Device Enrollment by a download: that is chosen, by who has read what
// the company sees then.
func (p *Portal) firstWay() mdm.Way {
	if p.cfg.Way == "" || p.cfg.Way == mdm.WayDevice {
		return mdm.WayProfile
	}
	return p.cfg.Way
}

// choice is what a person may choose on the page of a ticket: a way that is not
// the ticket's, or none.
func (p *Portal) choice(t Ticket, u jit.User) mdm.Way {
	switch {
	case t.Way != mdm.WayDevice && p.offers(mdm.WayDevice, u) && p.cfg.DeviceEnrollment != nil:
		return mdm.WayDevice
	case t.Way == mdm.WayDevice && p.cfg.Way == "":
		return mdm.WayProfile
	}
	return ""
}

// way handles the choice: a new ticket in the same session supersedes the one of
// before. A repeat finds that it is done, or goes on where it was broken off.
func (p *Portal) way(w http.ResponseWriter, r *http.Request) error {
	form, err := p.form(w, r)
	if err != nil {
		return err
	}
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	if v.session == nil {
		return p.redirect(w, r, "")
	}
	t, err := p.cfg.Tickets.Ticket(r.Context(), v.session.Ticket)
	if errors.Is(err, ErrUnknownTicket) { // of a choice that was broken off
		t, err = Ticket{Way: p.firstWay(), Issued: p.now()}, nil
	}
	if err != nil {
		return stored("ticket", err)
	}
	way := mdm.Way(form.Get("way"))
	switch {
	case way != mdm.WayDevice && way != mdm.WayProfile:
		return refuse(CodeBadRequest)
	case way == t.Way:
		return p.redirect(w, r, "/ready")
	case way != p.choice(t, v.user):
		return errNotOffered
	}
	if err := p.refusal(t); err != nil && !errors.Is(err, ErrTicketExhausted) {
		return err
	}
	if err := p.room(r.Context(), v.user.ID); err != nil {
		return err
	}
	next, err := p.newTicket(v.user, way, v.session.ID)
	if err != nil {
		return err
	}
	session := *v.session
	session.Ticket = next.ID
	if err := p.cfg.Sessions.PutSession(r.Context(), session, [32]byte{}); err != nil {
		return stored("session", err)
	}
	if err := p.cfg.Tickets.IssueTicket(r.Context(), next, [32]byte{}); err != nil {
		return stored("ticket", err)
	}
	p.issued(r.Context(), next)
	return p.redirect(w, r, "/ready")
}
