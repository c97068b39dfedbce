// Package judge holds the decisions of a store that need no database: who may send
// a step, download a ticket, present a challenge or have an EnrollmentID, in the
// order that mdm.Store and enroll.TicketStore demand. The adapters for SQL databases
// read what it takes, and write what follows. The store in memory decides by itself:
// the others are compared with it.
package judge

import "github.com/enrollkit/enrollkit/mdm"

// Sender is what a store knows of the certificate that a step came with.
type Sender struct {
	Known     bool // it was issued, and not replaced
	Suspended bool // its user is
	Way       mdm.Way
	// Bound says that it has an enrollment, which is named so and in that state.
	Bound        bool
	EnrollmentID string
	State        mdm.EnrollmentState
	// Bearer says that the token which came along is in force and the enrollment's.
	Bearer bool
}

// Judge returns the error of mdm.Store that the step of a device that names itself
// so is refused with, or nil. Device says that the name is a UDID.
func (s Sender) Judge(enrollmentID string, device bool) error {
	switch {
	case !s.Known:
		return mdm.ErrUnknownIdentity
	case s.Suspended:
		return mdm.ErrSuspended
	case enrollmentID != "" && device != (s.Way.Mode() == mdm.ModeDevice):
		return mdm.ErrChannel
	case !s.Bound:
		return mdm.ErrNotAuthenticated
	case s.EnrollmentID != enrollmentID:
		return mdm.ErrForeignCertificate
	case s.State == mdm.StateEnded:
		return mdm.ErrEnded
	case s.Way.Account() && !s.Bearer:
		return mdm.ErrBearer
	}
	return nil
}
