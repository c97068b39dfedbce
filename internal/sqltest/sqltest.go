// Package sqltest has what tests of the adapters in SQL ask in the same way.
package sqltest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/storage"
)

// quoted are strings and comments.
var quoted = regexp.MustCompile(`'[^']*'|--[^\n]*`)

// Dialect fails when statements, or those of the files that patterns name, have
// what is foreign to some of the databases that are to know them. What is bad has
// to be found, so that the expression is seen to work.
func Dialect(t *testing.T, foreign *regexp.Regexp, statements, patterns, bad []string) {
	t.Helper()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			statements = append(statements, string(b))
		}
	}
	for _, statement := range statements {
		if found := foreign.FindString(quoted.ReplaceAllString(statement, "")); found != "" {
			t.Errorf("%q in: %s", found, statement)
		}
	}
	for _, statement := range bad {
		if !foreign.MatchString(statement) {
			t.Errorf("not found to be foreign: %s", statement)
		}
	}
}

// Store is what FanOut takes of a store.
type Store interface {
	Enqueue(ctx context.Context, commands ...mdm.Command) error
	State(ctx context.Context) (storage.State, error)
}

// FanOut queues 70 MiB for an enrollment, more than one statement takes: first with
// an enrollment that is unknown as the last one, and then with a UUID that is there
// as the last one. It calls listen with the second.
func FanOut(t *testing.T, s Store, enrollmentID string, queued time.Time, listen func(step func() error)) {
	t.Helper()
	commands := make([]mdm.Command, 70)
	for i := range commands {
		commands[i] = mdm.Command{
			UUID: fmt.Sprint("large", i), EnrollmentID: enrollmentID, RequestType: "DeviceInformation",
			Payload: make([]byte, 1<<20), Queued: queued,
		}
	}
	state := func() storage.State {
		t.Helper()
		list, err := s.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := state()
	last := &commands[len(commands)-1]
	last.EnrollmentID = "unknown"
	if err := s.Enqueue(t.Context(), commands...); !errors.Is(err, mdm.ErrUnknownEnrollment) {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, state()) {
		t.Fatal("the first ones are not undone")
	}

	last.EnrollmentID, last.UUID = enrollmentID, commands[0].UUID
	listen(func() error { return s.Enqueue(t.Context(), commands...) })
	if n, want := len(state().Commands), len(before.Commands)+len(commands)-1; n != want {
		t.Fatalf("%d commands, not %d: one was there already", n, want)
	}
}
