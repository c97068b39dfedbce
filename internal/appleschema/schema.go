// Package appleschema is what Apple's schema of its device management protocol
// (https://github.com/apple/device-management, MIT licence, see
// LICENSE-apple.txt) says about iOS and iPadOS: which commands, queries,
// settings, payloads and keys there are, and which of them a device under User
// Enrollment accepts. The tables are generated, names and rules without prose;
// known mistakes of the schema are corrected by the generator.
package appleschema

import (
	"iter"
	"slices"
	"strings"
)

//go:generate go run ../gen/appleschema -schema $APPLE_SCHEMA -out .

// Rule is what the schema says about one command, payload or key on iOS.
type Rule struct {
	// UserEnrollment says that a device accepts it under User Enrollment. False
	// also where the schema is silent.
	UserEnrollment bool
	// Ignored says that a device accepts it under User Enrollment and does
	// nothing with it; UserEnrollment is false then.
	Ignored bool
	// Required says that a key must be there.
	Required bool
	// Supervised says that only supervised devices honour it.
	Supervised bool
	// ByHand says that a person may install the payload without a server.
	ByHand bool
	// Multiple says that a device takes more than one payload of the type.
	Multiple bool
	// Type is a key's, in the words of property lists: "string", "integer", …
	Type string
	// Since is the version of iOS that brought it, or "".
	Since string
}

// entry is a row of a generated table, which is sorted by name.
type entry struct {
	name string
	rule Rule
}

func find(table []entry, name string) (Rule, bool) {
	i, ok := slices.BinarySearchFunc(table, name, func(e entry, n string) int { return strings.Compare(e.name, n) })
	if !ok {
		return Rule{}, false
	}
	return table[i].rule, true
}

func all(table []entry) iter.Seq2[string, Rule] {
	return func(yield func(string, Rule) bool) {
		for _, e := range table {
			if !yield(e.name, e.rule) {
				return
			}
		}
	}
}

// Command returns the rule of a command, such as DeviceInformation; false when
// iOS has no such command.
func Command(requestType string) (Rule, bool) { return find(commands[:], requestType) }

// Commands yields every command of iOS by name.
func Commands() iter.Seq2[string, Rule] { return all(commands[:]) }

// Query returns the rule of what a command asks for or carries: a query of
// DeviceInformation, an item of Settings, a key in the answer to SecurityInfo,
// and for other commands a key of the request.
func Query(command, key string) (Rule, bool) { return find(queries[:], command+"/"+key) }

// Payload returns the rule of a payload of profiles, such as
// com.apple.wifi.managed; false when iOS has no such payload.
func Payload(payloadType string) (Rule, bool) { return find(payloads[:], payloadType) }

// Payloads yields every payload of iOS by type.
func Payloads() iter.Seq2[string, Rule] { return all(payloads[:]) }

// Key returns the rule of a payload's key; a key inside a dictionary is named
// with the path to it, such as PayloadContent.URL. Keys inside arrays are not
// listed.
func Key(payloadType, key string) (Rule, bool) { return find(keys[:], payloadType+"/"+key) }

// Keys yields the keys of a payload, as Key names them.
func Keys(payloadType string) iter.Seq2[string, Rule] {
	return func(yield func(string, Rule) bool) {
		prefix := payloadType + "/"
		i, _ := slices.BinarySearchFunc(keys[:], prefix, func(e entry, n string) int { return strings.Compare(e.name, n) })
		for ; i < len(keys) && strings.HasPrefix(keys[i].name, prefix); i++ {
			if !yield(strings.TrimPrefix(keys[i].name, prefix), keys[i].rule) {
				return
			}
		}
	}
}
