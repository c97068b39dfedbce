// Package enroll is the portal at which a person starts an enrollment, and the
// ticket that tells its story from the sign-in to the enrolled device.
package enroll
