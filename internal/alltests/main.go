// Command alltests runs every test of the repository with nothing but Go and
// git to start from:
//
//	go run ./internal/alltests
//
// On Debian as root it installs what the tests of real components need;
// elsewhere it names what is missing and the tests that need it are skipped.
// With CI=true a missing component is a failure. The last line is the count.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// needs are the programs that tests run, and the Debian packages they come in.
var needs = []struct{ program, pkg string }{
	{"openssl", "openssl"},
}

// modules are the directories with a go.mod, root first.
func modules() []string {
	dirs := []string{"."}
	if _, err := os.Stat(filepath.Join("internal", "e2e", "go.mod")); err == nil {
		dirs = append(dirs, filepath.Join("internal", "e2e"))
	}
	return dirs
}

type counts struct{ passed, failed, skipped int }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	ci := os.Getenv("CI") == "true"
	if missing := provide(ctx); len(missing) > 0 {
		fmt.Printf("MISSING, so their tests are skipped: %s\n", strings.Join(missing, ", "))
		if ci {
			fmt.Println("in CI a missing component is a failure")
			return 1
		}
	}
	var total counts
	broken := false
	for _, dir := range modules() {
		c, err := test(ctx, dir)
		total.passed += c.passed
		total.failed += c.failed
		total.skipped += c.skipped
		if err != nil {
			fmt.Printf("%s: %v\n", dir, err)
			broken = true
		}
	}
	if broken && total.failed == 0 {
		total.failed = 1
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped)
	if total.failed > 0 || total.passed == 0 || ci && total.skipped > 0 {
		return 1
	}
	return 0
}

// provide installs what is missing where it can, and returns what still is.
func provide(ctx context.Context) []string {
	var programs, packages []string
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil {
			programs, packages = append(programs, n.program), append(packages, n.pkg)
		}
	}
	if len(programs) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		return programs
	}
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-qy", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Printf("apt-get %s: %v\n", args[0], err)
			return programs
		}
	}
	return nil
}

// test runs the tests of one module, prints what failed or was skipped with
// its output, and counts. An error means that go test itself failed.
func test(ctx context.Context, dir string) (counts, error) {
	var c counts
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "./...")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	count(out, &c)
	return c, cmd.Wait()
}

func count(events io.Reader, c *counts) {
	output := map[string][]string{}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output, ImportPath string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		key := e.Package + e.ImportPath + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			output[key] = append(output[key], e.Output)
			continue
		case "pass":
			if e.Test != "" {
				c.passed++
			} else {
				fmt.Printf("ok   %s\n", e.Package)
			}
		case "fail", "build-fail":
			if e.Test != "" {
				c.failed++
			}
			fmt.Printf("FAIL %s\n%s", key, strings.Join(output[key], ""))
		case "skip":
			if e.Test != "" {
				c.skipped++
				fmt.Printf("SKIP %s\n%s", key, strings.Join(output[key], ""))
			}
		default:
			continue
		}
		delete(output, key)
	}
}
