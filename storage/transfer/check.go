package transfer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/mdm"
)

// What no store can hold is refused before one is asked.

func (u *User) check() error { return needed("id", u.ID) }

func (s *Suspension) check() error { return nil }

func (s *Session) check() error { return some32("digest", s.ID) }

func (s *WebSession) check() error { return some32("digest", s.ID) }

func (t *Ticket) check() error {
	states := []enroll.TicketState{
		enroll.TicketIssued, enroll.TicketDownloaded, enroll.TicketIdentified, enroll.TicketAuthenticated,
		enroll.TicketEnrolled, enroll.TicketSuperseded,
	}
	err := cmp.Or(needed("id", t.ID), oneOf("state", t.State, states), checkWay(t.Way), positive("downloads", t.Downloads))
	if err != nil {
		return err
	}
	seen := map[[32]byte]bool{{}: true}
	for i, c := range t.Challenges {
		if seen[c.Digest] {
			return fmt.Errorf("challenge %d has no digest of its own", i+1)
		}
		seen[c.Digest] = true
		if c.Download < 1 || c.Download > t.Downloads || i > 0 && c.Download <= t.Challenges[i-1].Download {
			return fmt.Errorf("challenge %d is of download %d", i+1, c.Download)
		}
		if !c.Redeemed && (c.Key != [32]byte{} || len(c.Certificate) > 0) {
			return fmt.Errorf("challenge %d has a certificate and is not redeemed", i+1)
		}
	}
	var before [32]byte
	for i, k := range t.Identities {
		if slices.Compare(k.Digest[:], before[:]) <= 0 {
			return fmt.Errorf("identity %d is not in order", i+1)
		}
		before = k.Digest
	}
	return nil
}

func (e *Enrollment) check() error {
	states := []mdm.EnrollmentState{mdm.StateAuthenticated, mdm.StateEnrolled, mdm.StateEnded, mdm.StateReplaced}
	p := e.Push
	err := cmp.Or(needed("id", e.ID), oneOf("state", e.State, states), checkWay(e.Way), positive("attempt", p.Attempt),
		some32("certificate", e.Certificate))
	switch {
	case err != nil:
		return err
	case p.Settled < 0 || p.Request < p.Settled:
		return fmt.Errorf("of %d requests for a push %d are settled", p.Request, p.Settled)
	case p.Due.IsZero() != (p.Request == p.Settled):
		return errors.New("a request for a push and the time when it is due come together")
	case len(e.Token) == 0 && (e.PushMagic != "" || !e.TokenStored.IsZero()):
		return errors.New("there is a PushMagic without a token")
	case p.Attempted.IsZero() && p.Status != 0:
		return errors.New("there is the status of a push that was not attempted")
	}
	return nil
}

// maxGenerations is more than a store remembers.
const maxGenerations = 64

func (g *Grant) check() error {
	switch {
	case g.TicketID == "" && g.EnrollmentID == "":
		return errors.New("it is neither for a ticket nor for an enrollment")
	case g.Code == nil && g.Redeemed:
		return errors.New("a code was redeemed and there is none")
	case len(g.Generations) > maxGenerations:
		return fmt.Errorf("it has %d generations of tokens", len(g.Generations))
	case len(g.Generations) == 0 && (g.Code == nil || g.Redeemed):
		return errors.New("it has no tokens")
	case len(g.Generations) > 0 && g.Code != nil && !g.Redeemed:
		return errors.New("it has tokens and its code was not redeemed")
	}
	seen := map[[32]byte]bool{{}: true}
	for i, k := range g.Generations {
		if seen[k.Access] || k.Refresh != [32]byte{} && seen[k.Refresh] {
			return fmt.Errorf("generation %d has no tokens of its own", i+1)
		}
		seen[k.Access], seen[k.Refresh] = true, true
	}
	return some32("digest of its code or first token", g.ID())
}

func (c *Command) check() error {
	statuses := []mdm.CommandStatus{
		mdm.CommandQueued, mdm.CommandSent, mdm.CommandNotNow, mdm.CommandAcknowledged, mdm.CommandError,
		mdm.CommandFormatError, mdm.CommandCancelled,
	}
	if c.Held && c.Status != mdm.CommandNotNow {
		return fmt.Errorf("it is held and its status is %s", c.Status)
	}
	return cmp.Or(needed("enrollment", c.EnrollmentID), oneOf("status", c.Status, statuses))
}

func checkWay(w mdm.Way) error {
	return oneOf("way", w, []mdm.Way{mdm.WayProfile, mdm.WayAccount, mdm.WayAccountDevice, mdm.WayDevice})
}

func needed(name, value string) error {
	if value == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return nil
}

func some32(name string, d [32]byte) error {
	if d == [32]byte{} {
		return fmt.Errorf("%s is missing", name)
	}
	return nil
}

func positive(name string, n int) error {
	if n < 0 {
		return fmt.Errorf("%s is %d", name, n)
	}
	return nil
}

func oneOf[T ~string](name string, value T, known []T) error {
	if !slices.Contains(known, value) {
		return fmt.Errorf("%s is %.40q", name, string(value))
	}
	return nil
}
