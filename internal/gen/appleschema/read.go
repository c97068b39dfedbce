package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a file of the schema; key lists stay nodes because some contain
// themselves.
type document struct {
	Payload      item      `yaml:"payload"`
	PayloadKeys  yaml.Node `yaml:"payloadkeys"`
	ResponseKeys yaml.Node `yaml:"responsekeys"`
}

// item is a document or a key without what is inside it.
type item struct {
	Key             string     `yaml:"key"`
	RequestType     string     `yaml:"requesttype"`
	PayloadType     string     `yaml:"payloadtype"`
	DeclarationType string     `yaml:"declarationtype"`
	CredentialType  string     `yaml:"credentialtype"`
	Type            string     `yaml:"type"`
	Presence        string     `yaml:"presence"`
	RangeList       []any      `yaml:"rangelist"`
	Format          string     `yaml:"format"`
	SupportedOS     *supported `yaml:"supportedOS"`
}

type supported struct {
	IOS struct {
		Introduced         string   `yaml:"introduced"`
		Removed            string   `yaml:"removed"`
		Supervised         bool     `yaml:"supervised"`
		RequiresDEP        bool     `yaml:"requiresdep"`
		AllowManualInstall bool     `yaml:"allowmanualinstall"`
		AccessRights       string   `yaml:"accessrights"`
		AllowedEnrollments []string `yaml:"allowed-enrollments"`
		UserEnrollment     struct {
			Mode string `yaml:"mode"`
		} `yaml:"userenrollment"`
	} `yaml:"iOS"`
}

// rights are the bits of AccessRights of com.apple.mdm by the schema's names;
// DeviceInformation is a "Special Case", whose queries have a right each.
var rights = map[string]int{
	"None": 0, "n/a": 0, "Special Case": 0,
	"AllowInspection": 1, "AllowInstallationRemoval": 2, "AllowPasscodeRemovalAndLock": 4, "AllowDeviceErase": 8,
	"AllowQueryDeviceInformation": 16, "AllowQueryNetworkInformation": 32, "AllowProvisioningInspection": 64,
	"AllowProvisioningInstallationRemoval": 128, "AllowQueryApplications": 256, "AllowQueryRestrictions": 512,
	"AllowQuerySecurity": 1024, "AllowSettings": 2048, "AllowAppInstallation": 4096,
}

// document is one file as the table wants it; false when iOS does not have it.
func (t table) document(doc document, file string) (node, bool, error) {
	silent := rule{User: "Forbidden"}
	if t.open {
		silent.User = ""
	}
	top, there, err := doc.Payload.rule(silent)
	keys := doc.PayloadKeys
	if t.answer {
		keys = doc.ResponseKeys
	}
	if err != nil || !there || doc.Payload.SupportedOS == nil || t.answer && len(keys.Content) == 0 {
		return node{}, false, err
	}
	n := node{rule: top}
	n.name = doc.Payload.RequestType + doc.Payload.PayloadType + doc.Payload.DeclarationType + doc.Payload.CredentialType
	// The Kerberos extension has a file, but not a type, of its own.
	if strings.Contains(file, "(kerberos)") {
		n.name += "(kerberos)"
	}
	inner := top
	inner.Right, inner.ByHand, inner.Device = 0, false, ""
	n.keys, err = list(keys, inner, nil)
	if n.name == "" { // an error document is known by its code
		for _, k := range n.keys {
			if k.name == "code" && len(k.values) == 1 {
				n.name = fmt.Sprint(k.values[0])
			}
		}
	}
	if n.name == "" && err == nil {
		err = fmt.Errorf("a document without a name")
	}
	return n, true, err
}

// rule reads what i says about iOS, where silence means as in its parent; false
// when iOS does not have it.
func (i item) rule(parent rule) (rule, bool, error) {
	r := parent
	r.Type, r.Until, r.Device = strings.Trim(i.Type, "<>"), "", ""
	if r.User == "Required" {
		r.User = ""
	}
	if i.Presence == "required" {
		r.Device = "Required"
		if r.User == "" {
			r.User = "Required"
		}
	}
	if i.SupportedOS == nil {
		return r, true, nil
	}
	ios := i.SupportedOS.IOS
	if ios.Introduced == "n/a" {
		return rule{}, false, nil
	}
	if ios.Introduced != "" {
		r.Since = ios.Introduced
	}
	r.Until = ios.Removed
	r.Supervised = parent.Supervised || ios.Supervised || ios.RequiresDEP
	r.ByHand = ios.AllowManualInstall
	if ios.AccessRights != "" {
		right, known := rights[ios.AccessRights]
		if !known {
			return rule{}, false, fmt.Errorf("no right is called %q", ios.AccessRights)
		}
		r.Right = right
	}
	switch mode := ios.UserEnrollment.Mode; mode {
	case "":
	case "allowed":
		if r.User = ""; i.Presence == "required" {
			r.User = "Required"
		}
	case "required":
		r.User = "Required"
	case "forbidden":
		r.User = "Forbidden"
	case "ignored":
		r.User = "Ignored"
	default:
		return rule{}, false, fmt.Errorf("no mode of User Enrollment is called %q", mode)
	}
	if named := ios.AllowedEnrollments; named != nil {
		if !slices.Contains(named, "user") {
			r.User = "Forbidden"
		}
		if !slices.Contains(named, "device") {
			r.Device = "Forbidden"
			r.Supervised = r.User == "Forbidden"
		}
	}
	return r, true, nil
}

// list reads a list of keys. around are the lists that it is inside of: one
// that contains itself ends there, and anything may follow.
func list(keys yaml.Node, parent rule, around []*yaml.Node) ([]node, error) {
	var nodes []node
	for _, entry := range keys.Content {
		entry = resolve(entry)
		var i item
		if err := fields(entry, &i); err != nil {
			return nil, err
		}
		if i.Key == "" {
			continue
		}
		r, there, err := i.rule(parent)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", i.Key, err)
		}
		if !there {
			continue
		}
		n := node{name: i.Key, rule: r, values: i.RangeList}
		if strings.HasPrefix(i.Format, "^") { // some are prose
			n.rule.Pattern = i.Format
		}
		if strings.HasPrefix(n.name, "ANY") {
			n.name = "ANY"
		}
		inner := r
		inner.Right = 0
		if inside := subkeys(entry); inside != nil {
			if slices.Contains(around, inside) {
				n.keys = []node{{name: "ANY", rule: rule{Type: "any"}}}
			} else if n.keys, err = list(*inside, inner, append(slices.Clip(around), inside)); err != nil {
				return nil, fmt.Errorf("%s: %w", i.Key, err)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func subkeys(key *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(key.Content); i += 2 {
		if key.Content[i].Value == "subkeys" {
			return resolve(key.Content[i+1])
		}
	}
	return nil
}

// fields decodes a key without its subkeys.
func fields(n *yaml.Node, i *item) error {
	flat := yaml.Node{Kind: yaml.MappingNode}
	for j := 0; j+1 < len(n.Content); j += 2 {
		if n.Content[j].Value != "subkeys" {
			flat.Content = append(flat.Content, n.Content[j], n.Content[j+1])
		}
	}
	return flat.Decode(i)
}
