package main

import (
	"fmt"
	"io"
	"strings"
)

// rule is appleschema.Rule; User and Device are names of its standings, "" for
// the zero one.
type rule struct {
	User, Device       string
	Supervised, ByHand bool
	Right              int
	Type, Since, Until string
	Pattern            string
}

// node is appleschema's node.
type node struct {
	name   string
	rule   rule
	values []any
	keys   []node
}

// write writes n as an element of a Go literal.
func (n node) write(w io.Writer) {
	fmt.Fprintf(w, "{name: %q", n.name)
	if fields := n.rule.fields(); fields != "" {
		fmt.Fprintf(w, ", rule: Rule{%s}", fields)
	}
	if len(n.values) > 0 {
		fmt.Fprint(w, ", values: []string{")
		for _, v := range n.values {
			fmt.Fprintf(w, "%q, ", fmt.Sprint(v))
		}
		fmt.Fprint(w, "}")
	}
	if len(n.keys) > 0 {
		fmt.Fprint(w, ", keys: []node{\n")
		for _, k := range n.keys {
			k.write(w)
		}
		fmt.Fprint(w, "}")
	}
	fmt.Fprint(w, "},\n")
}

func (r rule) fields() string {
	var fields []string
	add := func(set bool, format string, args ...any) {
		if set {
			fields = append(fields, fmt.Sprintf(format, args...))
		}
	}
	add(r.User != "", "User: %s", r.User)
	add(r.Device != "", "Device: %s", r.Device)
	add(r.Supervised, "Supervised: true")
	add(r.ByHand, "ByHand: true")
	add(r.Right != 0, "Right: %d", r.Right)
	add(r.Type != "", "Type: %q", r.Type)
	add(r.Since != "", "Since: %q", r.Since)
	add(r.Until != "", "Until: %q", r.Until)
	add(r.Pattern != "", "Pattern: %q", r.Pattern)
	return strings.Join(fields, ", ")
}
