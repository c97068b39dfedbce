// Package plist reads and writes XML property lists from and for the network.
//
// It is the only caller of the property list library, which on its own accepts
// far more than XML, and can be ended, process and all, by inputs of under 100
// bytes. Every input passes Check first: one pass over the tokens, without
// recursion, that bounds size, depth and number of elements and refuses
// everything that is not a plain XML property list.
package plist

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	library "howett.net/plist"
)

// Limits bound an input. A zero field has the default in its comment.
type Limits struct {
	Bytes    int // 64 KiB
	Depth    int // 16 nested containers
	Elements int // 2000
}

func (l Limits) withDefaults() Limits {
	def := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	def(&l.Bytes, 64<<10)
	def(&l.Depth, 16)
	def(&l.Elements, 2000)
	return l
}

// What is wrong with an input, for errors.Is.
var (
	ErrSyntax   = errors.New("not a plain XML property list")
	ErrTooLarge = errors.New("property list is too large")
	ErrTooDeep  = errors.New("property list is nested too deeply")
)

// Error is a refused input: where it was refused, why, and under which of
// ErrSyntax, ErrTooLarge and ErrTooDeep. It holds nothing of the input.
type Error struct {
	Offset int64
	Reason string
	Kind   error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("plist: %v: %s at byte %d", e.Kind, e.Reason, e.Offset)
}

// Unwrap returns Kind.
func (e *Error) Unwrap() error { return e.Kind }

// Unmarshal checks b and decodes it into v, a pointer to a zero value. On
// error v is not meaningful.
func Unmarshal(b []byte, l Limits, v any) error {
	if err := Check(b, l); err != nil {
		return err
	}
	format, err := library.Unmarshal(b, v)
	if err != nil {
		return fmt.Errorf("plist: %w: a value has another type than is wanted here", ErrSyntax)
	}
	if format != library.XMLFormat {
		return &Error{Reason: "another format than XML", Kind: ErrSyntax}
	}
	return nil
}

// Marshal encodes v as an XML property list. It fails where the result would
// not be one, such as for a nil pointer or a control character in a string.
func Marshal(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := library.NewEncoderForFormat(&out, library.XMLFormat)
	encoder.Indent("\t")
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("plist: %w", err)
	}
	const unbounded = 1 << 30
	if err := Check(out.Bytes(), Limits{Bytes: unbounded, Depth: 64, Elements: unbounded}); err != nil {
		return nil, fmt.Errorf("plist: the value does not make a property list: %w", err)
	}
	if bytes.ContainsRune(out.Bytes(), utf8.RuneError) {
		return nil, fmt.Errorf("plist: %w: a string holds a character that XML has no room for", ErrSyntax)
	}
	return out.Bytes(), nil
}

// Check reports whether b is a plain XML property list within l.
func Check(b []byte, l Limits) error {
	l = l.withDefaults()
	if len(b) > l.Bytes {
		return &Error{Offset: int64(l.Bytes), Reason: fmt.Sprintf("more than %d bytes", l.Bytes), Kind: ErrTooLarge}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("<")) || !utf8.Valid(b) {
		return &Error{Reason: "does not begin as XML in UTF-8", Kind: ErrSyntax}
	}
	c := checker{limits: l, decoder: xml.NewDecoder(bytes.NewReader(b))}
	c.decoder.Strict = true
	for {
		token, err := c.decoder.RawToken()
		if errors.Is(err, io.EOF) {
			return c.end()
		}
		if err != nil {
			return c.syntax("malformed XML")
		}
		if err := c.token(token); err != nil {
			return err
		}
	}
}

// container is an open element of the document.
type container struct {
	name  string
	keys  map[string]bool // of a dict
	value bool            // a dict awaits the value of a key; plist has its value
}

type checker struct {
	limits   Limits
	decoder  *xml.Decoder
	open     []container
	leaf     string // name of the open leaf, "" for none
	text     []byte
	elements int
	done     bool
	doctype  bool
}

func (c *checker) syntax(reason string) error {
	return &Error{Offset: c.decoder.InputOffset(), Reason: reason, Kind: ErrSyntax}
}

func (c *checker) end() error {
	if !c.done {
		return c.syntax("ends early")
	}
	return nil
}

func (c *checker) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.ProcInst:
		return c.instruction(t)
	case xml.Directive:
		return c.directive(t)
	case xml.Comment:
		return nil
	case xml.CharData:
		if c.leaf != "" {
			c.text = append(c.text, t...)
			return nil
		}
		if len(bytes.TrimSpace(t)) > 0 {
			return c.syntax("text outside a value")
		}
		return nil
	case xml.StartElement:
		return c.start(t)
	case xml.EndElement:
		return c.close(t)
	}
	return c.syntax("unexpected token")
}

func (c *checker) instruction(t xml.ProcInst) error {
	if t.Target != "xml" || c.elements > 0 || c.doctype {
		return c.syntax("processing instruction")
	}
	text := string(t.Inst)
	if !strings.Contains(text, `version="1.0"`) && !strings.Contains(text, `version='1.0'`) {
		return c.syntax("another XML version than 1.0")
	}
	if m := encodingPattern.FindStringSubmatch(text); m != nil && !strings.EqualFold(m[1], "utf-8") {
		return c.syntax("another encoding than UTF-8")
	}
	return nil
}

var encodingPattern = regexp.MustCompile(`encoding\s*=\s*["']([^"']*)["']`)

func (c *checker) directive(t xml.Directive) error {
	if c.doctype || c.elements > 0 || !bytes.HasPrefix(t, []byte("DOCTYPE plist")) || bytes.ContainsAny(t, "[]") {
		return c.syntax("document type declaration")
	}
	c.doctype = true
	return nil
}

func (c *checker) start(t xml.StartElement) error {
	name := t.Name.Local
	if t.Name.Space != "" {
		return c.syntax("namespace")
	}
	for _, a := range t.Attr {
		if name != "plist" || a.Name.Space != "" || a.Name.Local != "version" || a.Value != "1.0" {
			return c.syntax("attribute")
		}
	}
	if c.leaf != "" {
		return c.syntax("element inside a value")
	}
	c.elements++
	if c.elements > c.limits.Elements {
		return &Error{Offset: c.decoder.InputOffset(), Reason: fmt.Sprintf("more than %d elements", c.limits.Elements), Kind: ErrTooLarge}
	}
	if len(c.open) == 0 {
		if name != "plist" || c.done {
			return c.syntax("root is not one plist")
		}
		c.open = append(c.open, container{name: name})
		return nil
	}
	if err := c.place(name); err != nil {
		return err
	}
	switch name {
	case "dict", "array":
		if len(c.open) > c.limits.Depth { // the plist element itself does not count
			return &Error{Offset: c.decoder.InputOffset(), Reason: fmt.Sprintf("more than %d levels", c.limits.Depth), Kind: ErrTooDeep}
		}
		next := container{name: name}
		if name == "dict" {
			next.keys = map[string]bool{}
		}
		c.open = append(c.open, next)
	case "key", "string", "integer", "real", "date", "data", "true", "false":
		c.leaf, c.text = name, c.text[:0]
	default:
		return c.syntax("unknown element")
	}
	return nil
}

// place says whether an element may stand where it does.
func (c *checker) place(name string) error {
	in := &c.open[len(c.open)-1]
	switch {
	case in.name == "plist" && in.value:
		return c.syntax("second value")
	case in.name == "plist":
		in.value = true
	case in.name == "dict" && name == "key" && in.value:
		return c.syntax("key without a value")
	case in.name == "dict" && name != "key" && !in.value:
		return c.syntax("value without a key")
	case in.name == "dict":
		in.value = name == "key"
		return nil
	}
	if name == "key" {
		return c.syntax("key outside a dictionary")
	}
	return nil
}

func (c *checker) close(t xml.EndElement) error {
	if t.Name.Space != "" {
		return c.syntax("namespace")
	}
	if c.leaf != "" {
		if t.Name.Local != c.leaf {
			return c.syntax("mismatched element")
		}
		err := c.value()
		c.leaf = ""
		return err
	}
	if len(c.open) == 0 || c.open[len(c.open)-1].name != t.Name.Local {
		return c.syntax("mismatched element")
	}
	last := c.open[len(c.open)-1]
	c.open = c.open[:len(c.open)-1]
	switch {
	case last.name == "dict" && last.value:
		return c.syntax("key without a value")
	case last.name == "plist" && !last.value:
		return c.syntax("no value")
	case last.name == "plist":
		c.done = true
	}
	return nil
}

// value checks the text of the leaf that ends.
func (c *checker) value() error {
	text := string(c.text)
	switch c.leaf {
	case "key":
		dict := c.open[len(c.open)-1]
		if text == "CF$UID" {
			return c.syntax("archiver reference")
		}
		if dict.keys[text] {
			return c.syntax("duplicate key")
		}
		dict.keys[text] = true
	case "true", "false":
		if strings.TrimSpace(text) != "" {
			return c.syntax("text in a boolean")
		}
	case "integer":
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return c.syntax("integer out of range")
		}
	case "real":
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return c.syntax("malformed real")
		}
	case "date":
		at, err := time.Parse("2006-01-02T15:04:05Z", text)
		if err != nil || at.Year() < 1900 || at.Year() > 2200 {
			return c.syntax("malformed date")
		}
	case "data":
		if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return c.syntax("malformed data")
		}
	}
	return nil
}
