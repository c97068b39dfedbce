package judge

import (
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// Claim is an identity without an enrollment that asks for an EnrollmentID. Tickets
// are numbered as they were issued.
type Claim struct {
	User     string
	Ticket   int64
	Deadline time.Time // for the first Authenticate
	Bearer   bool      // the token is in force and was given with this ticket, or none is asked for

	// Holder has the EnrollmentID now.
	Holder Holder
	// Others is how many other enrolled devices the user has.
	Others int
}

// Holder is who has an EnrollmentID; the zero value is nobody.
type Holder struct {
	User   string
	Ticket int64
	Spent  bool // the ticket is
}

// Judge returns the error of mdm.Store that a first Authenticate at a time, as the
// store keeps it, is refused with, or nil.
func (c Claim) Judge(a mdm.AuthenticateStep, at time.Time) error {
	older := c.Ticket < c.Holder.Ticket || c.Ticket == c.Holder.Ticket && c.Holder.Spent
	switch {
	case !at.Before(c.Deadline):
		return mdm.ErrUnknownIdentity
	case a.EnrollmentID == "", c.Holder != Holder{} && (c.User != c.Holder.User || older):
		return mdm.ErrForeignCertificate
	case !c.Bearer:
		return mdm.ErrBearer
	case a.DeviceLimit > 0 && c.Others >= a.DeviceLimit:
		return mdm.ErrDeviceLimit
	}
	return nil
}
