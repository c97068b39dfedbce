package main

import "slices"

// correction mends one mistake of the schema, or what it says only in prose, or
// what Apple documented after it.
type correction struct {
	table, document string
	// key is the path to a key, nil for the document itself; the last one may be
	// missing from the schema.
	key    []string
	reason string
	mend   func(n *node)
}

var corrections = func() []correction {
	list := []correction{
		{
			table: "payloads", document: "com.apple.cellularprivatenetwork.managed",
			reason: "iOS refuses it under User Enrollment (errata of iOS 26)",
			mend:   func(n *node) { n.rule.User = "Forbidden" },
		}, {
			table: "payloads", document: "com.apple.mdm", key: []string{"AccessRights"},
			reason: "account-driven User Enrollment is cancelled by it, the profile-driven kind ignores it",
			mend:   func(n *node) { n.rule.User = "Forbidden" },
		}, {
			table: "payloads", document: "com.apple.mdm", key: []string{"ManagedAppleID"},
			reason: "only profile-driven User Enrollment has it; Device Enrollment would become another kind by it",
			mend:   func(n *node) { n.rule.User, n.rule.Device = "", "Forbidden" },
		}, {
			table: "payloads", document: "TopLevel", key: []string{"ConsentText"},
			reason: "it holds the texts by language, not dictionaries that hold them",
			mend:   func(n *node) { n.keys = []node{{name: "ANY", rule: rule{Type: "string"}}} },
		}, {
			table: "payloads", document: "com.apple.extensiblesso(kerberos)", key: []string{"ExtensionData", "domainRealmMapping"},
			reason: "the name of a realm is the key, for which the schema writes Realm",
			mend:   func(n *node) { n.keys[0].name = "ANY" },
		}, {
			table: "synchronization", document: "TokensResponse", key: []string{"SyncTokens"},
			reason: "its keys are named by a type that no file describes",
			mend: func(n *node) {
				n.keys = []node{text("DeclarationsToken", "Required"), text("Timestamp", "Required")}
				n.keys[1].rule.Type = "date"
			},
		}, {
			table: "others", document: "ESSO", key: []string{"ConfigurationProfile"},
			reason: "Declarations may stand for it since iOS 18.4",
			mend:   func(n *node) { n.rule.User, n.rule.Device = "", "" },
		}, {
			table: "others", document: "ESSO", key: []string{"Declarations"},
			reason: "new with iOS 18.4",
			mend: func(n *node) {
				n.rule = rule{Type: "array", Since: "18.4"}
				n.keys = []node{{name: "Declaration", rule: rule{Type: "data"}}}
			},
		}, {
			table: "others", document: "MachineInfo", key: []string{"OS_VERSION"},
			reason: "Apple's page of account-driven enrollment shows a request without it",
			mend:   func(n *node) { n.rule.User, n.rule.Device = "", "" },
		}, {
			table: "others", document: "MachineInfo", key: []string{"UDID"},
			reason: "an account-driven enrollment has not yet begun when it is asked for: reduced to what User Enrollment allows",
			mend:   func(n *node) { n.rule.Device = "" },
		}, {
			table: "others", document: "MachineInfo", key: []string{"SERIAL"},
			reason: "as UDID",
			mend:   func(n *node) { n.rule.Device = "" },
		},
	}
	for _, message := range []string{"Authenticate", "TokenUpdate", "CheckOut", "GetToken", "DeclarativeManagement"} {
		list = append(list,
			correction{
				table: "checkIns", document: message, key: []string{"EnrollmentID"},
				reason: "only User Enrollment has one, which is in the prose",
				mend:   func(n *node) { n.rule.User, n.rule.Device = "Required", "Forbidden" },
			},
			correction{
				table: "checkIns", document: message, key: []string{"UDID"},
				reason: "Device Enrollment needs one, which is in the prose",
				mend:   func(n *node) { n.rule.User, n.rule.Device = "Forbidden", "Required" },
			},
		)
	}
	return list
}()

func text(name, standing string) node {
	return node{name: name, rule: rule{User: standing, Device: standing, Type: "string"}}
}

// used are the corrections that found what they correct.
var used = map[int]bool{}

// correct applies what corrections there are for n, a document of a table.
func correct(table string, n *node) {
	for i, c := range corrections {
		if c.table != table || c.document != n.name {
			continue
		}
		at := n
		for depth, name := range c.key {
			k := slices.IndexFunc(at.keys, func(k node) bool { return k.name == name })
			if k < 0 && depth == len(c.key)-1 {
				at.keys = append(at.keys, node{name: name})
				k = len(at.keys) - 1
			}
			if k < 0 {
				at = nil
				break
			}
			at = &at.keys[k]
		}
		if at != nil {
			c.mend(at)
			used[i] = true
		}
	}
}

func unused() []string {
	var left []string
	for i, c := range corrections {
		if !used[i] {
			left = append(left, c.table+" "+c.document)
		}
	}
	return left
}
