package mdm

import (
	"maps"
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/mdm/command"
)

// Allows reports whether the gate lets something pass by its name alone, in the
// words of ForbiddenError.What: "command EraseDevice", "query SerialNumber" or
// "payload com.apple.vpn.managed". What is named otherwise is not allowed. A
// page that says what a company can do is made of it, so that the page and the
// gate cannot differ.
func (w Way) Allows(what string) bool {
	kind, name, _ := strings.Cut(what, " ")
	user := w.Mode() == ModeUser
	switch {
	case name == "":
		return false
	case kind == "command" && user:
		return userCommands[name]
	case kind == "command":
		return Allowed(w, command.Raw{Type: name}) == nil
	case kind == "query" && user && notUserSecurity[name]:
		return false
	case kind == "query":
		return Allowed(w, command.Raw{Type: "DeviceInformation", Values: map[string]any{"Queries": []any{name}}}) == nil
	case kind == "payload":
		return !user || userPayloads[name]
	}
	return false
}

// RefusedQueries lists the questions about a device that the gate refuses, in
// order; none outside User Enrollment.
func (w Way) RefusedQueries() []string {
	if w.Mode() != ModeUser {
		return nil
	}
	return slices.Sorted(maps.Keys(notUserQueries))
}
