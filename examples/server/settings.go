package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxConfig is the size of a file with settings, in bytes.
const maxConfig = 1 << 20

var (
	errNegative = errors.New("is negative")
	errBothTLS  = errors.New("is for a server without a certificate of its own, and tls names one")
	errNoTLS    = errors.New("is missing: name certificate and key, or in proxy.trusted the networks of the proxies that end TLS")
	errHalfPair = errors.New("needs both certificate and key")
)

// settings are the fields of the configuration by their names, such as
// "database.dsn".
func (c *config) settings() map[string]reflect.Value {
	found := map[string]reflect.Value{}
	collect(reflect.ValueOf(c).Elem(), "", found)
	return found
}

func collect(group reflect.Value, prefix string, found map[string]reflect.Value) {
	for i := range group.NumField() {
		field, value := group.Type().Field(i), group.Field(i)
		tag := field.Tag.Get("json")
		switch {
		case field.Anonymous:
			collect(value, prefix, found)
		case tag == "": // ours
		case value.Kind() == reflect.Struct:
			collect(value, prefix+tag+".", found)
		default:
			found[prefix+tag] = value
		}
	}
}

const variables = "ENROLLKIT_SERVER_"

// variable is the name of a setting in the environment.
func variable(setting string) string {
	return variables + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

// readEnvironment takes the settings that the environment has. A variable that
// is none is a mistake, since it was meant to be one.
func (c *config) readEnvironment(environ []string) error {
	known := map[string]string{}
	settings := c.settings()
	for name := range settings {
		known[variable(name)] = name
	}
	var f faults
	for _, e := range slices.Sorted(slices.Values(environ)) {
		key, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(key, variables) {
			continue
		}
		name, ok := known[key]
		if !ok {
			f.add(key, errors.New("is no setting"))
			continue
		}
		f.add(key, setText(settings[name], text))
	}
	return f.err()
}

// setText gives a setting the value of a text; lists have commas.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		v.SetInt(int64(n))
	case reflect.Slice:
		var list []string
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("a %s is not set by text", v.Type())
	}
	return nil
}

// readFile takes the settings of a file. Names that are no settings are
// mistakes.
func (c *config) readFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if info.Size() > maxConfig {
		return fmt.Errorf("%s is larger than %d bytes", name, maxConfig)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return c.read(name, b)
}

func (c *config) read(name string, b []byte) error {
	var f faults
	fill(name, "", b, c.settings(), &f)
	return f.err()
}

// fill reads one object of the file.
func fill(file, prefix string, b []byte, settings map[string]reflect.Value, f *faults) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		f.add(file, fmt.Errorf("%s is no JSON object: %w", place(prefix), cmpErr(err)))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		name, raw := prefix+key, members[key]
		if v, ok := settings[name]; ok {
			decoder := json.NewDecoder(bytes.NewReader(raw))
			if err := decoder.Decode(v.Addr().Interface()); err != nil {
				f.add(file, fmt.Errorf("%s: %w", name, err))
			}
			continue
		}
		if isGroup(settings, name) {
			fill(file, name+".", raw, settings, f)
			continue
		}
		f.add(file, fmt.Errorf("%s is no setting", name))
	}
}

func isGroup(settings map[string]reflect.Value, name string) bool {
	for setting := range settings {
		if strings.HasPrefix(setting, name+".") {
			return true
		}
	}
	return false
}

func place(prefix string) string {
	if prefix == "" {
		return "it"
	}
	return strings.TrimSuffix(prefix, ".")
}

// cmpErr is the error, or that there is null where an object should be.
func cmpErr(err error) error {
	if err == nil {
		return errors.New("it is null")
	}
	return err
}
