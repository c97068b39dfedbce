// Package mdm speaks Apple's MDM protocol with enrolled devices: check-in,
// commands, the durable queue, and the gate that refuses what Apple forbids
// under User Enrollment.
package mdm
