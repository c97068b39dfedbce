package profile

import (
	"fmt"
	"maps"
)

// Custom is a payload of a type that has no struct here. Values are its keys
// beside those of Common; they are what a property list can hold.
type Custom struct {
	Common
	Values map[string]any
}

var _ Payload = Custom{}

// MarshalPlist is how the property list library asks a value for what stands
// in its place. A *Violation: Values has a key of Common.
func (c Custom) MarshalPlist() (any, error) {
	all := maps.Clone(c.Values)
	if all == nil {
		all = map[string]any{}
	}
	for _, key := range []struct {
		name     string
		value    any
		optional bool
	}{
		{"PayloadType", c.Type, false},
		{"PayloadVersion", c.Version, false},
		{"PayloadIdentifier", c.Identifier, false},
		{"PayloadUUID", c.UUID, false},
		{"PayloadDisplayName", c.DisplayName, true},
		{"PayloadDescription", c.Description, true},
		{"PayloadOrganization", c.Organization, true},
	} {
		if _, twice := all[key.name]; twice {
			return nil, &Violation{Path: fmt.Sprintf("%s.%s", c.Type, key.name), Reason: "is set by the payload's own fields"}
		}
		if !key.optional || key.value != "" {
			all[key.name] = key.value
		}
	}
	return all, nil
}
