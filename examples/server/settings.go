package main

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

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
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
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
func (c *config) readEnvironment(environ []string, f *faults) {
	known := map[string]string{}
	settings := c.settings()
	for name := range settings {
		known[variable(name)] = name
	}
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
		if err := setText(settings[name], text); err != nil {
			f.addUnread(name, key, err)
			continue
		}
		f.isRead(name)
	}
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
