package appleschema

import (
	"fmt"
	"maps"
	"slices"
)

// Kind is a kind of documents.
type Kind string

// The kinds. Where a document names itself, Validate needs no name.
const (
	// KindCommand is the Command of an answer to a device, RequestType included.
	KindCommand Kind = "command"
	// KindReport is a connect request; its name is the RequestType of the
	// command that it reports on, or "" for Idle and CommandFormatError.
	KindReport Kind = "report"
	// KindCheckIn is a check-in message, KindCheckInAnswer the answer to the one
	// that is named, such as GetToken.
	KindCheckIn       Kind = "check-in"
	KindCheckInAnswer Kind = "check-in answer"
	// KindError is an error document, in JSON.
	KindError Kind = "error"
	// KindProfile is a profile with its payloads, KindPayload one payload.
	KindProfile Kind = "profile"
	KindPayload Kind = "payload"
	// KindMachineInfo is what a device tells before it enrolls.
	KindMachineInfo Kind = "machine information"
	// KindDiscovery is the answer of service discovery, in JSON.
	KindDiscovery Kind = "discovery"
	// KindESSO is the document of Enrollment SSO, in JSON.
	KindESSO Kind = "Enrollment SSO"
	// KindDeclaration is a declaration, in JSON.
	KindDeclaration Kind = "declaration"
	// KindCredential is what a credential asset refers to, in JSON; named.
	KindCredential Kind = "credential"
	// KindSynchronization is a document of declarative management, in JSON:
	// TokensResponse, DeclarationItemsResponse or StatusReport; named.
	KindSynchronization Kind = "synchronization"
)

// Enrollment is the kind of enrollment that a document is for.
type Enrollment int

// The kinds of enrollment.
const (
	UserEnrollment Enrollment = iota
	DeviceEnrollment
)

// String is Apple's name of it.
func (e Enrollment) String() string {
	if e == DeviceEnrollment {
		return "Device Enrollment"
	}
	return "User Enrollment"
}

// Target is what a document is for.
type Target struct {
	Enrollment Enrollment
	// OS is the version of iOS, such as "17.6"; "" is any.
	OS string
}

// Problem is one thing that is wrong with a document.
type Problem struct {
	// Path is where, such as PayloadContent[1].ServerURL.
	Path string
	What string
}

// String is path and text.
func (p Problem) String() string { return p.Path + ": " + p.What }

// Validate holds a decoded document against the schema: required keys are
// there, none is unknown, types and enumerated values are right, and nothing is
// forbidden or from another version of iOS. The values of document are what
// internal/plist decodes, and for the kinds in JSON what encoding/json does. An
// empty name is taken from the document.
func Validate(kind Kind, name string, document map[string]any, target Target) []Problem {
	v := &validator{target: target}
	v.document(kind, name, document)
	return v.problems
}

// selfNamed are the keys by which documents name themselves.
var selfNamed = map[Kind]string{KindCommand: "RequestType", KindCheckIn: "MessageType", KindError: "code", KindPayload: "PayloadType", KindDeclaration: "Type"}

var inJSON = []Kind{KindError, KindDiscovery, KindESSO, KindDeclaration, KindCredential, KindSynchronization}

func (v *validator) document(kind Kind, name string, document map[string]any) {
	v.json = slices.Contains(inJSON, kind)
	key := selfNamed[kind]
	if own, _ := document[key].(string); key != "" {
		if own == "" || name != "" && own != name {
			v.wrong(key, fmt.Sprintf("does not say %q", name))
			return
		}
		name = own
	}
	var n *node
	switch kind {
	case KindCommand:
		n = extended(find(commands, name), node{name: "RequestType", rule: required("string")})
	case KindReport:
		v.report(name, document)
		return
	case KindCheckIn:
		n = find(checkIns, name)
	case KindCheckInAnswer:
		n = find(checkInAnswers, name)
	case KindError:
		n = find(failures, name)
	case KindProfile:
		v.profile(document)
		return
	case KindPayload:
		v.payload("", document)
		return
	case KindMachineInfo:
		n = find(others, "MachineInfo")
	case KindDiscovery:
		n = &discovery
	case KindESSO:
		n = find(others, "ESSO")
	case KindDeclaration:
		v.declaration(name, document)
		return
	case KindCredential:
		n = find(credentials, name)
	case KindSynchronization:
		n = find(synchronization, name)
	}
	if n == nil {
		v.wrong("", fmt.Sprintf("iOS has no %s %q", kind, name))
		return
	}
	v.whole("", n, document)
}

func required(kind string) Rule { return Rule{User: Required, Device: Required, Type: kind} }

// extended is n with more keys; nil stays nil.
func extended(n *node, more ...node) *node {
	if n == nil {
		return nil
	}
	e := *n
	e.keys = append(slices.Clip(n.keys), more...)
	return &e
}

// report judges a connect request. Only a command that was carried out is
// answered in full.
func (v *validator) report(name string, document map[string]any) {
	n := &node{name: name, keys: reported}
	status, _ := document["Status"].(string)
	uuid, _ := document["CommandUUID"].(string)
	if uuid == "" && status != "Idle" && status != "CommandFormatError" {
		v.wrong("CommandUUID", "is missing")
	}
	if name != "" {
		if find(commands, name) == nil {
			v.wrong("", fmt.Sprintf("iOS has no command %q", name))
			return
		}
		if answer := find(reports, name); answer != nil && status == "Acknowledged" {
			n = extended(n, answer.keys...)
		}
	}
	v.whole("", n, document)
	// The schema has the rules of queries where they are asked, not where they
	// are answered.
	if answers, ok := document["QueryResponses"].(map[string]any); ok {
		for _, key := range slices.Sorted(maps.Keys(answers)) {
			if query := queried("DeviceInformation").key(key); query != nil {
				v.permitted("QueryResponses."+key, query)
			}
		}
	}
}

func (v *validator) profile(document map[string]any) {
	v.whole("", find(payloads, topLevel), document)
	content, _ := document["PayloadContent"].([]any)
	for i, item := range content {
		if payload, ok := item.(map[string]any); ok {
			v.payload(fmt.Sprintf("PayloadContent[%d]", i), payload)
		}
	}
}

const kerberos = "com.apple.AppSSOKerberos.KerberosExtension"

func (v *validator) payload(path string, document map[string]any) {
	name, _ := document["PayloadType"].(string)
	if document["ExtensionIdentifier"] == kerberos && name == "com.apple.extensiblesso" {
		name += "(kerberos)"
	}
	n := extended(find(payloads, name), find(payloads, commonKeys).keys...)
	if n == nil || name == topLevel || name == commonKeys {
		v.wrong(path, fmt.Sprintf("iOS has no payload %q", name))
		return
	}
	v.whole(path, n, document)
}

// declarationBase is the row of what all declarations share.
const declarationBase = "any"

func (v *validator) declaration(name string, document map[string]any) {
	base, own := find(declarations, declarationBase), find(declarations, name)
	if own == nil || name == declarationBase {
		v.wrong("Type", fmt.Sprintf("iOS has no declaration %q", name))
		return
	}
	v.whole("", base, document)
	if payload, ok := document["Payload"].(map[string]any); ok {
		v.whole("Payload", own, payload)
	}
}
