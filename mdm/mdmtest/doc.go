// Package mdmtest is a simulated iPhone and the person who holds it, for tests
// of servers that enroll devices and for the quickstart.
//
// The phone has a real key, obtains its certificate by real SCEP, signs with
// real CMS and keeps one waiting profile for 8 minutes, as iOS does; the
// person follows the links and forms of the portal in the phone's browser. A
// knob of Config exists for each way in which real devices differ.
package mdmtest
