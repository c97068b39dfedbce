// Package command has Apple's MDM commands as Go types, and writes them as the
// property list that a device expects in answer to a connect request
// (https://developer.apple.com/documentation/devicemanagement/commands-and-queries).
//
// A type here says how a command is spelled, not whether it may be sent: what
// User Enrollment forbids is refused by the gate of package mdm.
package command
