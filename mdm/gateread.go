package mdm

import (
	"maps"
	"slices"
	"strings"

	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// Allows reports whether the gate lets something pass by its name alone, in the
// words of ForbiddenError.What: "command EraseDevice", "query SerialNumber" or
// "payload com.apple.vpn.managed". What is named otherwise is not allowed. A
// page that says what a company can do is made of it, so that the page and the
// gate cannot differ. Under Device Enrollment it is the gate of
// profile.DefaultAccessRights.
func (w Way) Allows(what string) bool { return w.AllowsWith(profile.DefaultAccessRights, what) }

// AllowsWith is Allows by the access rights that the profiles of Device
// Enrollment name. Under User Enrollment they do not matter.
func (w Way) AllowsWith(rights profile.AccessRights, what string) bool {
	kind, name, _ := strings.Cut(what, " ")
	user := w.Mode() == ModeUser
	switch {
	case name == "":
		return false
	case kind == "command" && user:
		return userCommands[name]
	case kind == "command":
		return judge(w, rights, command.Raw{Type: name}) == nil
	case kind == "query" && user && notUserSecurity[name]:
		return false
	case kind == "query":
		return judge(w, rights, command.Raw{Type: "DeviceInformation", Values: map[string]any{"Queries": []any{name}}}) == nil
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
