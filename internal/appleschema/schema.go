// Package appleschema is what Apple's schema of its device management protocol
// (https://github.com/apple/device-management, MIT licence, see
// LICENSE-apple.txt) says about iOS and iPadOS: which commands, messages,
// payloads, declarations and other documents there are, which keys they have,
// and which of them a device under User Enrollment accepts. The tables are
// generated, names and rules without prose; known mistakes of the schema are
// corrected by the generator, each by name and with its reason.
//
// Validate holds a document against it, which tests do with every document that
// a flow produces; see package schematest.
package appleschema

import (
	"iter"
	"slices"
	"strings"
)

//go:generate go run ../gen/appleschema -schema $APPLE_SCHEMA -out .

// Standing is how something stands under a kind of enrollment.
type Standing int

// The standings.
const (
	// Optional: it may be there.
	Optional Standing = iota
	// Required: it must be there.
	Required
	// Forbidden: the device refuses it. Commands and payloads about which the
	// schema is silent are Forbidden under User Enrollment.
	Forbidden
	// Ignored: the device accepts it and does nothing with it.
	Ignored
)

// Rule is what the schema says about one document or key on iOS.
type Rule struct {
	// User and Device are for User Enrollment and Device Enrollment.
	User, Device Standing
	// Supervised says that only supervised devices honour it, or only those
	// that an organization enrolled before it gave them out.
	Supervised bool
	// ByHand says that a person may install the payload without a server.
	ByHand bool
	// Right is the bit of AccessRights of com.apple.mdm that it needs under
	// Device Enrollment, or 0.
	Right int
	// Type is a key's, in the words of property lists: "string", "integer", …
	Type string
	// Since is the version of iOS that brought it, Until the one that removed
	// it, or "".
	Since, Until string
	// Pattern is the regular expression that a string must match, or "".
	Pattern string
}

// node is a document or a key with what is inside it: the keys of a
// dictionary, the alternatives for an item of an array, or the values of a
// string that have rules of their own. A key of any name is called ANY.
type node struct {
	name   string
	rule   Rule
	values []string // the only ones, if any
	keys   []node
}

// key finds what is directly inside n.
func (n *node) key(name string) *node {
	for i := range n.keys {
		if n.keys[i].name == name {
			return &n.keys[i]
		}
	}
	return nil
}

// find searches a generated table, which is sorted by name.
func find(table []node, name string) *node {
	i, ok := slices.BinarySearchFunc(table, name, func(n node, name string) int { return strings.Compare(n.name, name) })
	if !ok {
		return nil
	}
	return &table[i]
}

func rule(n *node) (Rule, bool) {
	if n == nil {
		return Rule{}, false
	}
	return n.rule, true
}

func all(table []node) iter.Seq2[string, Rule] {
	return func(yield func(string, Rule) bool) {
		for _, n := range table {
			if !yield(n.name, n.rule) {
				return
			}
		}
	}
}

// Command returns the rule of a command by its RequestType; false when iOS has
// no such command.
func Command(requestType string) (Rule, bool) { return rule(find(commands, requestType)) }

// Commands yields every command of iOS by name.
func Commands() iter.Seq2[string, Rule] { return all(commands) }

// Query returns the rule of what a command asks for or carries: a query of
// DeviceInformation, an item of Settings, a key in the answer to SecurityInfo,
// and for other commands a key of the request.
func Query(command, key string) (Rule, bool) {
	n := queried(command)
	if n == nil {
		return Rule{}, false
	}
	return rule(n.key(key))
}

// Queries yields what Query finds for a command.
func Queries(command string) iter.Seq2[string, Rule] {
	if n := queried(command); n != nil {
		return all(n.keys)
	}
	return all(nil)
}

func queried(command string) *node {
	path, table := []string{}, commands
	switch command {
	case "DeviceInformation":
		path = []string{"Queries", "QueriesItem"}
	case "Settings":
		path = []string{"Settings"}
	case "SecurityInfo":
		path, table = []string{"SecurityInfo"}, reports
	}
	n := find(table, command)
	for _, name := range path {
		if n != nil {
			n = n.key(name)
		}
	}
	return n
}

// Payload returns the rule of a payload of profiles, such as
// com.apple.wifi.managed; false when iOS has no such payload.
func Payload(payloadType string) (Rule, bool) {
	if payloadType == topLevel || payloadType == commonKeys {
		return Rule{}, false
	}
	return rule(find(payloads, payloadType))
}

// Payloads yields every payload of iOS by type.
func Payloads() iter.Seq2[string, Rule] {
	return func(yield func(string, Rule) bool) {
		for name, r := range all(payloads) {
			if name != topLevel && name != commonKeys && !yield(name, r) {
				return
			}
		}
	}
}

// Key returns the rule of a payload's key; a key inside a dictionary is named
// with the path to it, such as PayloadContent.URL.
func Key(payloadType, path string) (Rule, bool) {
	n := find(payloads, payloadType)
	for name := range strings.SplitSeq(path, ".") {
		if n == nil {
			break
		}
		n = n.key(name)
	}
	return rule(n)
}

// Keys yields the keys of a payload, but for those inside others.
func Keys(payloadType string) iter.Seq2[string, Rule] {
	if n := find(payloads, payloadType); n != nil {
		return all(n.keys)
	}
	return all(nil)
}

// The rows of payloads that are no payload.
const (
	topLevel   = "TopLevel"
	commonKeys = "CommonPayloadKeys"
)
