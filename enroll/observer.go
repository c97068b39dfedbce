package enroll

import (
	"context"
	"time"
)

// Observer is told what happened to tickets, always after it is durable and
// before the person or the device is answered, so its methods must be quick. A
// crash may lose an event: what must be known is read off the ticket. What
// follows on the device's side is told by mdm.Observer.
type Observer interface {
	// TicketMoved: the ticket was issued, or its profile was downloaded (again).
	TicketMoved(ctx context.Context, t Ticket)
	// IdentityIssued: a download's challenge was redeemed by a device. A device
	// that asks again repeats the event.
	IdentityIssued(ctx context.Context, certificate [32]byte, notAfter time.Time)
}

// NopObserver does nothing. Embed it to observe some events only.
type NopObserver struct{}

// TicketMoved implements Observer.
func (NopObserver) TicketMoved(context.Context, Ticket) {}

// IdentityIssued implements Observer.
func (NopObserver) IdentityIssued(context.Context, [32]byte, time.Time) {}

var _ Observer = NopObserver{}
