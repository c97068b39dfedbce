package main

import (
	"errors"
	"fmt"
	"strings"
)

// fault is one mistake, and the setting that has it.
type fault struct {
	setting string
	err     error
}

// Error implements error.
func (f *fault) Error() string { return f.setting + ": " + f.err.Error() }

// Unwrap returns what is wrong.
func (f *fault) Unwrap() error { return f.err }

// faults are all mistakes of a configuration: whoever starts a server for the
// first time shall not have to try once for each.
type faults struct{ list []error }

// add notes what is wrong with a setting, if anything is. Several mistakes in
// one error are several.
func (f *faults) add(setting string, err error) {
	if err == nil {
		return
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) && len(several.Unwrap()) > 0 && err.Error() == errors.Join(several.Unwrap()...).Error() {
		for _, one := range several.Unwrap() {
			f.add(setting, one)
		}
		return
	}
	f.list = append(f.list, &fault{setting, err})
}

// join adds mistakes that were collected elsewhere.
func (f *faults) join(err error) {
	if err != nil {
		f.list = append(f.list, err)
	}
}

// missing notes settings that have no value.
func (f *faults) missing(settings ...string) {
	for _, s := range settings {
		f.add(s, fmt.Errorf("is missing (in the environment: %s)", variable(s)))
	}
}

// has reports whether something is wrong with a setting already.
func (f *faults) has(setting string) bool {
	for _, err := range f.list {
		var one *fault
		if errors.As(err, &one) && one.setting == setting {
			return true
		}
	}
	return false
}

func (f *faults) err() error { return errors.Join(f.list...) }

// describe writes an error for who started the server, one mistake a line.
func describe(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) == 1 {
		return "server: " + lines[0]
	}
	return fmt.Sprintf("server: %d mistakes:\n  %s", len(lines), strings.Join(lines, "\n  "))
}
