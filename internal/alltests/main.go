// Command alltests runs every test of the repository with nothing but Go and
// git to start from:
//
//	go run ./internal/alltests
//
// On Debian as root it installs what the tests of real components need;
// elsewhere it names what is missing and the tests that need it are skipped.
// With CI=true a missing component and a skipped test are failures. -race runs
// the tests under the race detector, which needs a C compiler.
//
// The last line is the count: tests, subtests, examples and fuzz seeds, and one
// failure for each package that did not get as far as a test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// packageTimeout bounds the tests of one package, which take minutes, under the race
// detector on a machine that is ten times slower.
const packageTimeout = time.Hour

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("alltests", flag.ContinueOnError)
	race := flags.Bool("race", false, "run the tests under the race detector")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil || flags.NArg() > 0 {
		return 2
	}
	t := &tally{out: out, ci: os.Getenv("CI") == "true"}
	for _, c := range provide(ctx, out, *race) {
		t.missing(c)
	}
	for _, dir := range modules() {
		if err := t.module(ctx, dir, *race); err != nil {
			t.broken(dir, err)
		}
	}
	return t.finish()
}

// modules are the directories with a go.mod, root first.
func modules() []string {
	dirs := []string{"."}
	if nested := filepath.Join("internal", "e2e"); exists(filepath.Join(nested, "go.mod")) {
		dirs = append(dirs, nested)
	}
	return dirs
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// module runs the tests of one module. The error is what go test did not say
// by an event of a test or a package.
func (t *tally) module(ctx context.Context, dir string, race bool) error {
	args := []string{"test", "-json", "-count=1", "-shuffle=on", "-timeout=" + packageTimeout.String()}
	if race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./...")...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	reported := t.reported
	countErr := t.count(events)
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) && t.reported > reported && ctx.Err() == nil {
		return countErr // go test ended as the events said
	} else if err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return countErr
}
