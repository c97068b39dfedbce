package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// tally counts tests and prints what happens to them.
type tally struct {
	out io.Writer
	// ci makes a failure of everything that is skipped.
	ci                      bool
	passed, failed, skipped int
	// reported is how many of the failures go test knows of.
	reported int
}

// missing tells of a component that could not be had.
func (t *tally) missing(c component) {
	fmt.Fprintf(t.out, "MISSING %s: NOT TESTED is %s (Debian: apt-get install %s)\n", c.name(), c.tests, strings.Join(c.packages, " "))
	if t.ci {
		t.failed++
	}
}

// broken tells of a module whose tests did not run to their end.
func (t *tally) broken(dir string, err error) {
	fmt.Fprintf(t.out, "FAIL %s: %v\n", dir, err)
	t.failed++
}

// finish prints the count as the last line and returns the exit code. That
// nothing ran is a failure.
func (t *tally) finish() int {
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if t.failed > 0 || t.passed == 0 {
		return 1
	}
	return 0
}

// fail counts a failure that go test reported.
func (t *tally) fail(p *running) {
	t.failed++
	t.reported++
	p.failed++
	p.reported++
}

// event is a line of go test -json; see go doc test2json and go help buildjson.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
	Elapsed                                                float64
}

// running is what is known of a package whose tests run.
type running struct {
	// output of the package and of each test that has not ended.
	output                            map[string]*strings.Builder
	passed, failed, skipped, reported int
}

func (r *running) of(test string) *strings.Builder {
	if r.output[test] == nil {
		r.output[test] = &strings.Builder{}
	}
	return r.output[test]
}

// count reads the events of go test -json to their end.
func (t *tally) count(events io.Reader) error {
	packages := map[string]*running{}
	builds := map[string]*strings.Builder{}
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e event
			switch {
			case json.Unmarshal(line, &e) != nil || e.Action == "":
				fmt.Fprintf(t.out, "%s\n", bytes.TrimSpace(line)) // the go command itself
			case e.Package == "":
				if builds[e.ImportPath] == nil {
					builds[e.ImportPath] = &strings.Builder{}
				}
				builds[e.ImportPath].WriteString(e.Output)
			default:
				if packages[e.Package] == nil {
					packages[e.Package] = &running{output: map[string]*strings.Builder{}}
				}
				t.handle(e, packages[e.Package], builds)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("events of go test: %w", err)
		}
	}
}

func (t *tally) handle(e event, p *running, builds map[string]*strings.Builder) {
	switch e.Action {
	case "output":
		p.of(e.Test).WriteString(e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	if e.Test == "" {
		t.ended(e, p, builds)
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
		p.passed++
	case "fail":
		t.fail(p)
		fmt.Fprintf(t.out, "--- %s %s\n%s", e.Package, e.Test, p.of(e.Test))
	case "skip":
		fmt.Fprintf(t.out, "--- %s %s\n%s", e.Package, e.Test, p.of(e.Test))
		if t.ci {
			fmt.Fprintln(t.out, "    a skipped test is a failure in CI")
			t.failed++
			p.failed++
		} else {
			t.skipped++
			p.skipped++
		}
	}
	delete(p.output, e.Test)
}

// ended prints the line of a package. A package that failed without a test that
// did (no build, a panic in another goroutine, os.Exit, the timeout) is one
// failure, with all that was printed.
func (t *tally) ended(e event, p *running, builds map[string]*strings.Builder) {
	if e.Action == "skip" || e.Action == "pass" && p.passed+p.failed+p.skipped == 0 {
		fmt.Fprintf(t.out, "-    %s has no tests\n", e.Package)
		return
	}
	if e.Action == "fail" {
		if b := builds[e.FailedBuild]; b != nil {
			fmt.Fprint(t.out, b)
		}
		for test, b := range p.output {
			if test != "" {
				fmt.Fprintf(t.out, "--- %s %s did not end\n%s", e.Package, test, b)
			}
		}
		fmt.Fprint(t.out, p.of(""))
		if p.reported == 0 {
			t.fail(p)
		}
	}
	word := "ok  "
	if p.failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(t.out, "%s %s: %d passed, %d failed, %d skipped in %.1fs\n", word, e.Package, p.passed, p.failed, p.skipped, e.Elapsed)
}
