package appleschema

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// anyName is the name of a key that stands for all.
const anyName = "ANY"

// validator walks one document.
type validator struct {
	target   Target
	json     bool
	problems []Problem
}

func (v *validator) wrong(path, what string) {
	v.problems = append(v.problems, Problem{path, what})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (v *validator) standing(r Rule) Standing {
	if v.target.Enrollment == DeviceEnrollment {
		return r.Device
	}
	return r.User
}

// inForce reports whether the target's iOS has it.
func (v *validator) inForce(r Rule) bool {
	os := v.target.OS
	return os == "" || !older(os, r.Since) && (r.Until == "" || older(os, r.Until))
}

// older compares versions of iOS; nothing is older than none.
func older(version, than string) bool {
	if than == "" {
		return false
	}
	return slices.Compare(numbers(version), numbers(than)) < 0
}

func numbers(version string) []int {
	var list []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		list = append(list, n)
	}
	return list
}

// whole judges a document of its own kind.
func (v *validator) whole(path string, n *node, document map[string]any) {
	v.permitted(path, n)
	v.dictionary(path, n, document)
}

// permitted judges that n is there at all.
func (v *validator) permitted(path string, n *node) {
	switch {
	case v.standing(n.rule) == Forbidden:
		v.wrong(path, fmt.Sprintf("%s is forbidden under %s", n.name, v.target.Enrollment))
	case n.rule.Supervised:
		v.wrong(path, n.name+" is for supervised devices only")
	case !v.inForce(n.rule):
		v.wrong(path, fmt.Sprintf("%s is not in iOS %s (since %s, until %q)", n.name, v.target.OS, n.rule.Since, n.rule.Until))
	}
}

func (v *validator) dictionary(path string, n *node, dict map[string]any) {
	if len(n.keys) == 0 && n.rule.Type == "dictionary" {
		return // nothing is said about what is inside
	}
	for _, k := range n.keys {
		_, there := dict[k.name]
		if !there && k.name != anyName && v.standing(k.rule) == Required && v.inForce(k.rule) {
			v.wrong(join(path, k.name), "is missing")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(dict)) {
		k := n.key(name)
		if k == nil {
			k = n.key(anyName)
		}
		if k == nil {
			v.wrong(join(path, name), "is unknown")
			continue
		}
		v.permitted(join(path, name), k)
		v.value(join(path, name), k, dict[name])
	}
}

func (v *validator) value(path string, n *node, value any) {
	if n.rule.Type == "any" || n.rule.Type == "" {
		return
	}
	if !v.typed(n.rule.Type, value) {
		v.wrong(path, fmt.Sprintf("is %T and not %s", value, n.rule.Type))
		return
	}
	switch value := value.(type) {
	case map[string]any:
		v.dictionary(path, n, value)
	case []any:
		for i, item := range value {
			v.item(fmt.Sprintf("%s[%d]", path, i), n, item)
		}
	case string:
		v.text(path, n, value)
	default:
		v.listed(path, n, fmt.Sprint(value))
	}
}

func (v *validator) listed(path string, n *node, value string) {
	if len(n.values) > 0 && !slices.Contains(n.values, value) {
		v.wrong(path, fmt.Sprintf("is %q and none of %q", value, n.values))
	}
}

func (v *validator) text(path string, n *node, value string) {
	v.listed(path, n, value)
	if n.rule.Pattern != "" && !regexp.MustCompile(n.rule.Pattern).MatchString(value) {
		v.wrong(path, "does not match "+n.rule.Pattern)
	}
	if len(n.keys) == 0 {
		return
	}
	choice := n.key(value)
	if choice == nil {
		v.wrong(path, fmt.Sprintf("%q is unknown", value))
		return
	}
	v.permitted(path, choice)
}

// item judges one element of an array: by the only alternative, or by the one
// that the element names.
func (v *validator) item(path string, n *node, value any) {
	switch len(n.keys) {
	case 0:
		return
	case 1:
		v.value(path, &n.keys[0], value)
		return
	}
	dict, ok := value.(map[string]any)
	if !ok {
		v.wrong(path, fmt.Sprintf("is %T and not dictionary", value))
		return
	}
	for i, alternative := range n.keys {
		if names(alternative, dict) {
			v.permitted(path, &n.keys[i])
			v.value(path, &n.keys[i], value)
			return
		}
	}
	v.wrong(path, "is none of the alternatives")
}

// names reports whether dict says by a key with a single value that it is the
// alternative.
func names(alternative node, dict map[string]any) bool {
	return slices.ContainsFunc(alternative.keys, func(k node) bool {
		return len(k.values) == 1 && dict[k.name] == k.values[0]
	})
}

// typed reports whether a value has a type of property lists. JSON has no data
// and no dates, which are strings there.
func (v *validator) typed(kind string, value any) bool {
	ok := false
	switch kind {
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "integer":
		return v.integer(value)
	case "real":
		_, ok = value.(float64)
		ok = ok || v.integer(value)
	case "data":
		if text, isText := value.(string); v.json && isText {
			_, err := base64.StdEncoding.DecodeString(text)
			return err == nil
		}
		_, ok = value.([]byte)
	case "date":
		if text, isText := value.(string); v.json && isText {
			_, err := time.Parse(time.RFC3339, text)
			return err == nil
		}
		_, ok = value.(time.Time)
	case "array":
		_, ok = value.([]any)
	case "dictionary":
		_, ok = value.(map[string]any)
	}
	return ok
}

func (v *validator) integer(value any) bool {
	switch n := value.(type) {
	case int64, uint64, int:
		return true
	case float64:
		return v.json && n == math.Trunc(n)
	case json.Number:
		_, err := n.Int64()
		return v.json && err == nil
	}
	return false
}
