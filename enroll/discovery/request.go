package discovery

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a request, in bytes.
const (
	maxQuery      = 4096
	maxIdentifier = 320 // of a mail address, RFC 5321 §4.5.3.1: 64, @, 255
	maxFamily     = 32
)

// question is what a device asks.
type question struct {
	domain string // canonical
	family Family // as sent, "" without one
}

// parse reads the query of a request. Its error is errMalformed.
//
// A plus sign stands for itself: devices send it unescaped, and it is part of
// many an address. So this is not url.ParseQuery, which is for forms.
func parse(query string) (question, error) {
	if len(query) > maxQuery {
		return question{}, errMalformed
	}
	var identifiers, asked []string
	for item := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(item, "=")
		name, nameErr := url.PathUnescape(name)
		value, valueErr := url.PathUnescape(value)
		if nameErr != nil || valueErr != nil {
			return question{}, errMalformed
		}
		switch name {
		case "user-identifier":
			identifiers = append(identifiers, value)
		case "model-family":
			asked = append(asked, value)
		}
	}
	if len(identifiers) != 1 || len(asked) > 1 {
		return question{}, errMalformed
	}
	domain, err := domainOf(identifiers[0])
	if err != nil {
		return question{}, err
	}
	q := question{domain: domain}
	if len(asked) == 1 {
		if !familyOK(asked[0]) {
			return question{}, errMalformed
		}
		q.family = Family(asked[0])
	}
	return q, nil
}

// domainOf is the canonical domain of a typed identifier: what follows the last
// @. The part before it is looked at for its characters only.
func domainOf(identifier string) (string, error) {
	at := strings.LastIndexByte(identifier, '@')
	if len(identifier) > maxIdentifier || at <= 0 || !localOK(identifier[:at]) {
		return "", errMalformed
	}
	return canonical(identifier[at+1:])
}

// localOK reports whether s can stand before the @ of an address without
// quotes: atoms and dots of RFC 5322 §3.2.3, with the letters of RFC 6531.
// There is no second @ among them, which devices refuse as well.
func localOK(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case r < utf8.RuneSelf:
			if !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r) {
				return false
			}
		case !unicode.In(r, unicode.L, unicode.M, unicode.N):
			return false
		}
	}
	return true
}

// familyOK reports whether s may name a family, also one that is not known yet.
func familyOK(s string) bool {
	return s != "" && len(s) <= maxFamily && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}
