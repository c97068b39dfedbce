package mdm

import (
	"maps"
	"slices"
	"strings"
)

// Allows reports whether the gate lets something pass by its name alone, in the
// words of ForbiddenError.What: "command EraseDevice", "query SerialNumber" or
// "payload com.apple.vpn.managed". What is named otherwise is not allowed. A
// page that says what a company can do is made of it, so that the page and the
// gate cannot differ.
func (w Way) Allows(what string) bool {
	kind, name, _ := strings.Cut(what, " ")
	if w.Mode() != ModeUser {
		return kind == "command" || kind == "query" || kind == "payload"
	}
	switch kind {
	case "command":
		return userCommands[name]
	case "query":
		return name != "" && !notUserQueries[name] && !notUserSecurity[name]
	case "payload":
		return userPayloads[name]
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
