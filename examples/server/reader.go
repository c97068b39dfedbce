package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// readFile takes the settings of a file, and notes what is wrong in it.
func (c *config) readFile(name string, f *faults) {
	b, err := readFile(name)
	if err != nil {
		r := reader{settings: c.settings(), faults: f}
		f.addUnread("-config", "", err, r.rest()...)
		return
	}
	c.read(name, b, f)
}

// read takes the settings of a file with this content. Names that are no settings
// are mistakes, and so are names that are there twice, and null. Where it is no
// JSON any more, it ends, and what would have come is not known.
func (c *config) read(name string, b []byte, f *faults) {
	r := reader{
		file: name, content: b, decoder: json.NewDecoder(bytes.NewReader(b)),
		settings: c.settings(), seen: map[string]bool{}, faults: f,
	}
	if err := r.all(); err != nil {
		f.addUnread("-config", r.place(), err, r.rest()...)
	}
}

// reader reads a file with settings.
type reader struct {
	file     string
	content  []byte
	decoder  *json.Decoder
	settings map[string]reflect.Value
	seen     map[string]bool // settings and groups that were there
	faults   *faults
}

// place is where the reader is.
func (r *reader) place() string {
	return fmt.Sprintf("%s:%d", r.file, 1+bytes.Count(r.content[:r.decoder.InputOffset()], []byte("\n")))
}

// printed is a name as it is, or quoted when it would not stay one line.
func printed(name string) string {
	quoted := strconv.Quote(name)
	if name != "" && len(quoted) == len(name)+2 {
		return name
	}
	return quoted
}

// next begins with the value, or the end, that comes next.
func (r *reader) next() []byte {
	return bytes.TrimLeft(r.content[r.decoder.InputOffset():], " \t\r\n:")
}

// rest are the settings that were not there.
func (r *reader) rest() (names []string) {
	for name := range r.settings {
		if !r.seen[name] {
			names = append(names, name)
		}
	}
	return names
}

// all reads the whole file.
func (r *reader) all() error {
	if !bytes.HasPrefix(r.next(), []byte("{")) {
		return errors.New("it is no JSON object")
	}
	if err := r.object(""); err != nil {
		return fmt.Errorf("it is no JSON object: %w", err)
	}
	if !json.Valid(r.content) { // all settings that are there were read
		r.faults.addUnread("-config", r.place(), errors.New("something is behind the JSON object"))
	}
	return nil
}

// object reads the settings of a group. An error is one of the syntax.
func (r *reader) object(prefix string) error {
	if _, err := r.token(); err != nil { // its brace
		return err
	}
	for r.decoder.More() {
		key, err := r.token()
		if err != nil {
			return err
		}
		if err := r.member(prefix + fmt.Sprint(key)); err != nil {
			return err
		}
	}
	_, err := r.token()
	return err
}

func (r *reader) token() (json.Token, error) {
	token, err := r.decoder.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return token, err
}

// member reads a setting or a group.
func (r *reader) member(name string) error {
	place, group := r.place()+": "+printed(name), r.group(name)
	v, isSetting := r.settings[name]
	twice := r.seen[name]
	if twice {
		r.faults.addUnread(name, place, errors.New("is there twice"))
	}
	if len(group) > 0 && bytes.HasPrefix(r.next(), []byte("{")) {
		r.seen[name] = true
		return r.object(name + ".")
	}
	var raw json.RawMessage
	if err := r.decoder.Decode(&raw); err != nil {
		return err
	}
	r.seen[name] = true
	switch {
	case twice: // that is said already
	case len(group) > 0:
		r.faults.addUnread(name, place, errors.New("is no JSON object"), group...)
	case !isSetting:
		r.faults.list = append(r.faults.list, &fault{name, place, errors.New("is no setting")})
	default:
		if err := setJSON(v, raw); err != nil {
			r.faults.addUnread(name, place, err)
		}
	}
	return nil
}

// group are the settings of a group, none when it is none.
func (r *reader) group(name string) (settings []string) {
	for setting := range r.settings {
		if strings.HasPrefix(setting, name+".") {
			settings = append(settings, setting)
		}
	}
	return settings
}

// setJSON gives a setting a value of the file, or leaves it as it is.
func setJSON(v reflect.Value, raw []byte) error {
	var list []*string
	if string(raw) == "null" || v.Kind() == reflect.Slice && json.Unmarshal(raw, &list) == nil && slices.Contains(list, nil) {
		return errors.New("is null: leave it out")
	}
	read := reflect.New(v.Type())
	err := json.Unmarshal(raw, read.Interface())
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("is a %s and not %s", wrong.Value, wanted(v))
	}
	if err == nil {
		v.Set(read.Elem())
	}
	return err
}

// wanted is what a setting takes.
func wanted(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[duration]() {
		return `a time such as "20s"`
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "a list of strings"
	default:
		return "a string"
	}
}
