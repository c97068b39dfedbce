package enroll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
)

// refAlphabet has no I, L, O and U: what is read out is understood (Crockford's
// base 32).
const refAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// newRef makes what a person reads out to the help desk.
func newRef(random io.Reader) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("enroll: no randomness: %w", err)
	}
	var ref strings.Builder
	for _, c := range b {
		ref.WriteByte(refAlphabet[c%32])
	}
	return ref.String(), nil
}

// newTicket makes the ticket of a person's session.
func (p *Portal) newTicket(u jit.User, way mdm.Way, session [32]byte) (Ticket, error) {
	var b [16]byte
	if _, err := io.ReadFull(p.cfg.Random, b[:]); err != nil {
		return Ticket{}, fmt.Errorf("enroll: no randomness: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	ref, err := newRef(p.cfg.Random)
	if err != nil {
		return Ticket{}, err
	}
	return Ticket{
		ID:  fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]),
		Ref: ref, UserID: u.ID, Way: way, Ownership: p.cfg.Ownership(u, way),
		State: TicketIssued, Session: session, Issued: p.now(),
	}, nil
}

// issued tells that a ticket is durable.
func (p *Portal) issued(ctx context.Context, t Ticket) {
	p.cfg.Observer.TicketMoved(ctx, t)
	p.cfg.Logger.InfoContext(ctx, "enroll: ticket issued", "ticket", t.Ref, "user", t.UserID, "way", string(t.Way), "ownership", string(t.Ownership))
}

// TicketExpired is how a ticket is shown whose time is over. It is not stored:
// it follows from the times that are.
const TicketExpired TicketState = "expired"

// standing is where a ticket stands at some time, as a page tells it.
type standing struct {
	Ref   string      `json:"ref"`
	State TicketState `json:"state"`
	// Text says it in words.
	Text string `json:"text"`
	// Left is how many seconds are left of what Text speaks of, 0 when no clock
	// runs; Of is how many there were.
	Left int `json:"left"`
	Of   int `json:"of"`
	// Downloads is how often the profile was downloaded, DownloadsLeft how often
	// it may be.
	Downloads     int `json:"downloads"`
	DownloadsLeft int `json:"downloads_left"`
	// Over: nothing will change any more.
	Over bool `json:"over"`
	// Problem says why it is over, when that is not the good end.
	Problem *toldProblem `json:"problem,omitempty"`
}

// refusal is why a ticket's profile is not handed out, or nil. The store judges
// the same once more, in the step that counts the download.
func (p *Portal) refusal(t Ticket) error {
	age := p.now().Sub(t.Issued)
	switch {
	case t.State == TicketSuperseded:
		return ErrTicketSuperseded
	case t.State == TicketEnrolled:
		return ErrTicketSpent
	case t.Downloads == 0 && age > p.cfg.Clocks.Wait, age > p.cfg.MaxAge:
		return ErrTicketExpired
	case t.Downloads >= p.cfg.MaxDownloads:
		return ErrTicketExhausted
	}
	return nil
}

// standing tells a ticket's story so far.
func (p *Portal) standing(t Ticket) standing {
	now, clocks := p.now(), p.cfg.Clocks
	s := standing{Ref: t.Ref, State: t.State, Downloads: t.Downloads, DownloadsLeft: max(0, p.cfg.MaxDownloads-t.Downloads)}
	refusal := p.refusal(t)
	if refusal != nil {
		s.DownloadsLeft = 0
	}
	clock := func(from time.Time, of time.Duration) {
		if left := from.Add(of).Sub(now); left > 0 {
			s.Left, s.Of = int((left+time.Second-1)/time.Second), int(of/time.Second)
		}
	}
	// installing: the latest download may still lead to a device.
	installing := t.Downloads > 0 && now.Before(t.Downloaded.Add(clocks.Window+clocks.Grace))
	over := func() {
		s.State, s.Over = TicketExpired, true
		if !errors.Is(refusal, ErrTicketExpired) && !errors.Is(refusal, ErrTicketExhausted) {
			refusal = ErrTicketExpired
		}
		problem := told(Remedy(refusal))
		s.Problem, s.Text = &problem, problem.Title+"."
	}
	switch {
	case t.State == TicketEnrolled:
		s.Text, s.Over = "Done. This device is set up.", true
	case t.State == TicketSuperseded:
		problem := told(Remedy(ErrTicketSuperseded))
		s.Text, s.Over, s.Problem = problem.Title+".", true, &problem
	case t.State == TicketAuthenticated:
		s.Text = "The device has checked in. Almost done."
	case t.State == TicketIdentified && installing:
		s.Text = "The device has its identity. It checks in next."
	case t.State == TicketIssued && refusal == nil:
		clock(t.Issued, clocks.Wait)
		s.Text = "Waiting for you to download the profile."
	case installing && now.Before(t.Downloaded.Add(clocks.Window)):
		clock(t.Downloaded, clocks.Window)
		s.Text = "The profile waits in Settings. Install it now."
	case installing:
		s.Text = "If you have tapped Enroll already, just go on. Otherwise iOS has deleted the profile: download it again."
		if s.DownloadsLeft == 0 {
			s.Text = "If you have tapped Enroll already, just go on. Otherwise iOS has deleted the profile: sign in again."
		}
	case refusal == nil:
		s.Text = "iOS has deleted the profile, because it was not installed in time. Download it again."
	default:
		over()
	}
	return s
}
