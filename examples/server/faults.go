package main

import (
	"errors"
	"fmt"
	"strings"
)

// fault is one mistake, and the setting that has it.
type fault struct {
	setting string
	place   string // where it stands, when that says more than the name
	err     error
}

// Error implements error.
func (f *fault) Error() string {
	if f.place != "" {
		return f.place + ": " + f.err.Error()
	}
	return f.setting + ": " + f.err.Error()
}

// Unwrap returns what is wrong.
func (f *fault) Unwrap() error { return f.err }

// faults are all mistakes of a configuration: whoever starts a server for the
// first time shall not have to try once for each.
type faults struct {
	list []error
	// unread are settings that stand somewhere, or may, and could not be read: what
	// they are is not known, and so not judged.
	unread map[string]bool
}

// add notes what is wrong with a setting, or with a group of settings, if
// anything is. Several mistakes in one error are several.
func (f *faults) add(setting string, err error) {
	if err == nil || f.unknown(setting) {
		return
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) && len(several.Unwrap()) > 0 && err.Error() == errors.Join(several.Unwrap()...).Error() {
		for _, one := range several.Unwrap() {
			f.add(setting, one)
		}
		return
	}
	f.list = append(f.list, &fault{setting: setting, err: err})
}

// addUnread notes why a setting could not be read, and where it stands. No more is
// noted of it. Several is what that leaves unread when it is no setting itself: a
// group, or the rest of a file.
func (f *faults) addUnread(setting, place string, err error, several ...string) {
	f.list = append(f.list, &fault{setting, place, err})
	if f.unread == nil {
		f.unread = map[string]bool{}
	}
	for _, name := range append(several, setting) {
		f.unread[name] = true
	}
}

// isRead says that a setting was read after all, elsewhere.
func (f *faults) isRead(setting string) { delete(f.unread, setting) }

// unknown reports whether a setting could not be read, or one of a group.
func (f *faults) unknown(setting string) bool {
	for name := range f.unread {
		if name == setting || strings.HasPrefix(name, setting+".") {
			return true
		}
	}
	return false
}

// join adds mistakes that were collected elsewhere.
func (f *faults) join(err error) {
	if err != nil {
		f.list = append(f.list, err)
	}
}

// missing notes settings that have no value, unless more is known of why.
func (f *faults) missing(settings ...string) {
	for _, s := range settings {
		if !f.has(s) {
			f.add(s, fmt.Errorf("is missing (in the environment: %s)", variable(s)))
		}
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
