package storagetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The environment of a child: where its store is, and which part it is of.
const (
	childPlace = "STORAGETEST_CHILD"
	childPart  = "STORAGETEST_PART"
)

// script is a story that a child tells to its store, and that goes on after it
// was killed. Steps are repeated, as devices and people repeat them.
type script[S any] struct {
	// prepare are the steps before, at which nothing is killed.
	prepare, steps []scripted[S]
	// probe returns what can be seen of the store without a change.
	probe func(ctx context.Context, s S) (any, error)
}

type scripted[S any] struct {
	name string
	do   func(ctx context.Context, s S) (any, error)
}

const crashRule = `A step that was acknowledged is there when the process is killed right after; one that was not is there
	entirely or not at all; and whoever repeats it and goes on gets what an undisturbed run gives.`

// crashClause kills a child at every step of a script.
func crashClause[S any](part string, told script[S], reference func() S) clause[S] {
	return clause[S]{
		name: "survives being killed", rule: crashRule, durable: true,
		check: func(w *world[S]) {
			for k := range told.steps {
				for _, when := range []moment{before, during, after} {
					// In short, what was acknowledged: by the steps after it, and by itself.
					if testing.Testing() && testing.Short() && when != [...]moment{after, before}[k%2] {
						continue
					}
					w.crash(part, told, reference, k, when)
				}
			}
		},
	}
}

// moment is when the child is killed.
type moment int

const (
	before moment = iota // the step begins
	during               // somewhere, perhaps before or after
	after                // it was acknowledged
)

func (m moment) String() string { return [...]string{"before", "during", "after"}[m] }

// crash kills a child at step k, reopens its place, repeats the step, tells the
// rest, and compares with the reference.
func (w *world[S]) crash(part string, told script[S], reference func() S, k int, when moment) {
	w.Helper()
	what := fmt.Sprintf("killed %s step %d, %s", when, k+1, told.steps[k].name)
	place := filepath.Join(w.place, fmt.Sprint(part, k, when))
	w.ok(os.MkdirAll(place, 0o700), "a place for the child")
	w.ok(killAt(w.Context(), place, part, k, when), what)

	s, err := w.open(place)
	w.ok(err, what+": opening the place again")
	w.nodes = append(w.nodes, s)
	got, err := told.rest(w.Context(), s, k)
	w.ok(err, what)
	w.closeAll()

	var allowed []string
	for done := k; done <= k+1; done++ { // how many steps were stored
		if when == before && done > k || when == after && done == k {
			continue
		}
		ref := reference()
		for _, step := range slices.Concat(told.prepare, told.steps[:done]) {
			_, err := step.do(w.Context(), ref)
			w.ok(err, "the reference: "+step.name)
		}
		want, err := told.rest(w.Context(), ref, k)
		w.ok(err, "the reference")
		if want == got {
			return
		}
		allowed = append(allowed, want)
	}
	w.fail("%s; then what is there, and what the steps answer:\n%s\nThe reference:\n%s", what, got, strings.Join(allowed, "\nor\n"))
}

// rest tells the script from step k on and returns what was seen.
func (told script[S]) rest(ctx context.Context, s S, k int) (string, error) {
	var seen strings.Builder
	look := func(what string) error {
		v, err := told.probe(ctx, s)
		if err == nil {
			fmt.Fprintf(&seen, " %s: %s\n", what, show(v))
		}
		return err
	}
	if err := look("reopened"); err != nil {
		return "", err
	}
	for _, step := range told.steps[k:] {
		answer, err := step.do(ctx, s)
		fmt.Fprintf(&seen, " %s: %s, %s\n", step.name, show(answer), class(err))
		if err := look("stored"); err != nil {
			return "", err
		}
	}
	return seen.String(), nil
}

// killAt runs a child and kills it at step k.
func killAt(ctx context.Context, place, part string, k int, when moment) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // for a child that hangs
	defer cancel()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$") //nolint:gosec // the test itself
	cmd.Env = append(os.Environ(), childPlace+"="+place, childPart+"="+part)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) error {
		if lines.Scan() && lines.Text() == want {
			return nil
		}
		return fmt.Errorf("the child says %q instead of %q (does TestMain call storagetest.Main?): %s", lines.Text(), want, complaint.String())
	}
	err = func() error {
		for i := range k + 1 {
			if err := expect(fmt.Sprint("ready ", i)); err != nil || i == k && when == before {
				return err
			}
			if _, err := fmt.Fprintln(in, "go"); err != nil {
				return err
			}
			if i == k && when == during {
				// Real time: nothing but the disk decides how far the child comes.
				<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond) //nolint:gosec // any moment will do
				return nil
			}
			if err := expect(fmt.Sprint("done ", i)); err != nil {
				return err
			}
		}
		return nil
	}()
	if kill := cmd.Process.Kill(); err == nil {
		err = kill
	}
	_ = cmd.Wait() // it was killed
	return err
}

// child is what a child process does: one step for each line that it reads.
func child(s Suite, place string, in io.Reader, out io.Writer) int {
	ctx := context.Background()
	var err error
	switch part := os.Getenv(childPart); part {
	case "users":
		err = obey(ctx, s.Users, place, userScript(), in, out)
	case "states":
		err = obey(ctx, s.States, place, stateScript(), in, out)
	case "sessions":
		err = obey(ctx, s.Sessions, place, sessionScript(), in, out)
	case "devices":
		err = obey(ctx, s.Devices, place, deviceScript(), in, out)
	case "accounts":
		err = obey(ctx, devicesOf(s.Accounts), place, accountScript(), in, out)
	case "retention":
		err = obey(ctx, s.Retention, place, retentionScript(), in, out)
	default:
		err = fmt.Errorf("there is no part %q", part)
	}
	fmt.Fprintln(os.Stderr, "storagetest: child:", err)
	return 1 // it is to be killed
}

func obey[S any](ctx context.Context, open func(string) (S, error), place string, told script[S], in io.Reader, out io.Writer) error {
	s, err := open(place)
	if err != nil {
		return err
	}
	for _, step := range told.prepare {
		if _, err := step.do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	lines := bufio.NewScanner(in)
	for i, step := range told.steps {
		fmt.Fprintln(out, "ready", i)
		if !lines.Scan() {
			return fmt.Errorf("the parent is gone: %w", lines.Err())
		}
		if _, err := step.do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintln(out, "done", i)
	}
	lines.Scan() // until it is killed
	return nil
}
