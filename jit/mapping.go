package jit

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mapping says how a text is made from the claims of a sign-in. It is either
// the name of a claim ("preferred_username") or a template in which each
// {claim} is replaced by the claim's value: "{upn}",
// "{email|localpart|lower}@appleid.example.com".
//
// The filters are lower (lower case), localpart (what is before the last @) and
// domain (what is behind it). A claim name may hold anything but braces and the
// bar; a brace cannot be written as text. Claims that are strings or whole
// numbers can be mapped. When Identity.Claims lacks it, sub, email, name and
// preferred_username are taken from the fields of Identity.
//
// The zero Mapping stands for the default of the field that it configures.
type Mapping string

// MappingError is a claim, or the text made from claims, that is missing or not
// usable. It is a matter for the administrator: the mapping or the provider's
// configuration has to change.
type MappingError struct {
	// Field is what was being mapped, such as "managed_apple_account".
	Field string
	// Claim is the claim at fault, empty when it is the text as a whole.
	Claim string
	// Problem says in a few words what is wrong. It quotes no claim's value.
	Problem string
}

// Error implements error.
func (e *MappingError) Error() string {
	if e.Claim == "" {
		return fmt.Sprintf("jit: mapping of %s: %s", e.Field, e.Problem)
	}
	return fmt.Sprintf("jit: mapping of %s: claim %q: %s", e.Field, e.Claim, e.Problem)
}

const (
	maxRunes   = 256  // of each text in a record
	maxMapping = 1024 // bytes of a Mapping
)

// part is text, or a claim with its filters.
type part struct {
	text    string
	claim   string
	filters []filter
}

type filter func(string) string

var filters = map[string]filter{
	"lower": strings.ToLower,
	"localpart": func(s string) string {
		if i := strings.LastIndexByte(s, '@'); i >= 0 {
			return s[:i]
		}
		return s
	},
	"domain": func(s string) string {
		if i := strings.LastIndexByte(s, '@'); i >= 0 {
			return s[i+1:]
		}
		return ""
	},
}

// template is a parsed Mapping.
type template struct {
	field string
	parts []part
}

func parseMapping(field string, m Mapping) (template, error) {
	bad := func(problem string) (template, error) {
		return template{}, &MappingError{Field: field, Problem: problem}
	}
	s := string(m)
	switch {
	case len(s) > maxMapping:
		return bad("template is too long")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unwanted):
		return bad("template holds control characters")
	case !strings.ContainsAny(s, "{}"):
		s = "{" + s + "}"
	}
	t := template{field: field}
	for s != "" {
		text, rest, open := strings.Cut(s, "{")
		if strings.Contains(text, "}") {
			return bad("} without {")
		}
		if text != "" {
			t.parts = append(t.parts, part{text: text})
		}
		if !open {
			break
		}
		expr, after, closed := strings.Cut(rest, "}")
		if !closed || strings.Contains(expr, "{") {
			return bad("{ without }")
		}
		names := strings.Split(expr, "|")
		p := part{claim: names[0]}
		if p.claim == "" || strings.TrimSpace(p.claim) != p.claim {
			return bad("a claim has no name, or space around it")
		}
		for _, name := range names[1:] {
			f, ok := filters[name]
			if !ok {
				return bad(fmt.Sprintf("unknown filter %q", name))
			}
			p.filters = append(p.filters, f)
		}
		t.parts = append(t.parts, p)
		s = after
	}
	return t, nil
}

// expand makes the text. A claim that is missing, empty or empty after its
// filters is a *MappingError.
func (t template) expand(id Identity) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.claim == "" {
			b.WriteString(p.text)
			continue
		}
		v, problem := claimText(id, p.claim)
		if problem != "" {
			return "", &MappingError{Field: t.field, Claim: p.claim, Problem: problem}
		}
		for _, f := range p.filters {
			v = f(v)
		}
		if v == "" {
			return "", &MappingError{Field: t.field, Claim: p.claim, Problem: "nothing is left after its filters"}
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

const fraction = "is not a whole number that survives as text"

// claimText returns the claim as text, or what is wrong with it.
func claimText(id Identity, name string) (text, problem string) {
	switch v := id.Claims[name].(type) {
	case nil:
		text = map[string]string{"sub": id.Subject, "email": id.Email, "name": id.Name,
			"preferred_username": id.PreferredUsername}[name]
	case string:
		text = v
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return "", fraction
		}
		text = strconv.FormatInt(n, 10)
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return "", fraction
		}
		text = strconv.FormatInt(int64(v), 10)
	case int:
		text = strconv.Itoa(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	default:
		return "", "is neither text nor a number"
	}
	switch {
	case text == "":
		return "", "is missing"
	case len(text) > maxRunes*utf8.UTFMax:
		return "", "is too long"
	}
	return text, ""
}

// unwanted are characters that have no place in a record: controls, line
// separators, what turns the direction of text, and the mark of broken UTF-8.
func unwanted(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) ||
		r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == utf8.RuneError
}

// clean strips unwanted characters and outer space, and keeps 256 runes.
func clean(s string) string {
	if len(s) > 16*maxRunes {
		s = s[:16*maxRunes]
	}
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unwanted(r) {
			return -1
		}
		return r
	}, s))
	if utf8.RuneCountInString(s) > maxRunes {
		s = strings.TrimSpace(string([]rune(s)[:maxRunes]))
	}
	return s
}

// usable is true for a text that can be taken as it is: cutting or stripping it
// would make it name something else.
func usable(s string) bool {
	return s != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxRunes && !strings.ContainsFunc(s, unwanted)
}

// checkAccount judges a Managed Apple Account: one word with an @ inside.
func checkAccount(field, s string) error {
	local, domain, at := strings.Cut(s, "@")
	switch {
	case !usable(s):
		return &MappingError{Field: field, Problem: "result is too long or holds control characters"}
	case !at || local == "" || domain == "" || strings.Contains(domain, "@") || strings.ContainsFunc(s, unicode.IsSpace):
		return &MappingError{Field: field, Problem: "result is not of the form name@domain"}
	}
	return nil
}
