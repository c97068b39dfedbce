package judge

import (
	"bytes"
	"fmt"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
)

// Download judges a download of a ticket, as enroll.TicketStore demands, and makes
// of the ticket what it is after that. A challenge that is known is the ticket's
// own, or another one's; with its own one the download is a repeat, which changes
// nothing. Times are as the store keeps them.
func Download(k *enroll.Ticket, d enroll.DownloadStep, at time.Time, known, own bool) (repeat bool, err error) {
	age := at.Sub(k.Issued)
	switch {
	case k.State == enroll.TicketSuperseded:
		return false, enroll.ErrTicketSuperseded
	case k.State == enroll.TicketEnrolled:
		return false, enroll.ErrTicketSpent
	case known && own:
		return true, nil
	case known:
		return false, fmt.Errorf("storage: download for ticket %s: another ticket has this challenge", k.ID)
	case k.Downloads == 0 && age > d.Clocks.Wait, age > d.MaxAge:
		return false, enroll.ErrTicketExpired
	case k.Downloads >= d.MaxDownloads:
		return false, enroll.ErrTicketExhausted
	}
	k.Downloads++
	k.Downloaded = at
	if k.State == enroll.TicketIssued {
		k.State = enroll.TicketDownloaded
	}
	return false, nil
}

// Challenge is what a store knows of one that a key presents.
type Challenge struct {
	Known   bool   // it was opened, and is not void
	Key     []byte // whose it is; nil while it is nobody's
	Expires time.Time
	Ticket  enroll.TicketState
}

// Judge returns enroll.ErrChallenge unless the challenge is this key's, or open for
// its first one.
func (c Challenge) Judge(key [32]byte, now time.Time) error {
	switch {
	case !c.Known,
		c.Key != nil && !bytes.Equal(c.Key, key[:]),
		c.Key == nil && (!now.Before(c.Expires) || c.Ticket == enroll.TicketEnrolled):
		return enroll.ErrChallenge
	}
	return nil
}
