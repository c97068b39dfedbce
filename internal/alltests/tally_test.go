package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module writes a module of the packages in files, a path to its content.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example.com/m\n\ngo 1.26\n"
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return dir
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return lines[len(lines)-1]
}

const head = "package p\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"testing\"\n)\n\nvar _, _ = fmt.Print, os.Exit\n\n"

func TestCount(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		ci    bool
		line  string
		code  int
		shown []string
	}{
		"pass": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) { t.Run("one", func(t *testing.T) {}); t.Run("two", func(t *testing.T) {}) }
func Example() { fmt.Println("x")
	// Output: x
}; func FuzzF(f *testing.F) { f.Add("s"); f.Fuzz(func(t *testing.T, s string) {}) }`},
			line:  "6 passed, 0 failed, 0 skipped",
			shown: []string{"ok   example.com/m/p: 6 passed"},
		},
		"failures are shown in full": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) { t.Run("good", func(t *testing.T) {}); t.Run("bad", func(t *testing.T) { t.Error("why it failed") }) }`},
			line:  "1 passed, 2 failed, 0 skipped",
			code:  1,
			shown: []string{"why it failed", "FAIL example.com/m/p: 1 passed, 2 failed"},
		},
		"skip": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { t.Skip("SKIPPED: no such program") }`},
			line:  "1 passed, 0 failed, 1 skipped",
			shown: []string{"SKIPPED: no such program"},
		},
		"skip in CI": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { t.Skip("SKIPPED: no such program") }`},
			ci:    true,
			line:  "1 passed, 1 failed, 0 skipped",
			code:  1,
			shown: []string{"SKIPPED: no such program", "a skipped test is a failure in CI", "FAIL example.com/m/p"},
		},
		"a package and a test that do not build": {
			files: map[string]string{
				"a/a.go": "package a\n\nvar X int = \"text\"\n", "a/a_test.go": strings.ReplaceAll(head, "package p", "package a") + "func TestA(t *testing.T) {}",
				"b/b_test.go": strings.ReplaceAll(head, "package p", "package b") + "func TestB(t *testing.T) { undefined() }",
				"c/c_test.go": strings.ReplaceAll(head, "package p", "package c") + "func TestC(t *testing.T) {}",
			},
			line:  "1 passed, 2 failed, 0 skipped",
			code:  1,
			shown: []string{"cannot use \"text\"", "undefined: undefined", "FAIL example.com/m/a: 0 passed, 1 failed", "FAIL example.com/m/b"},
		},
		"a package without tests that does not build": {
			files: map[string]string{"a/a.go": "package a\n\nvar X int = \"text\"\n", "p/p_test.go": head + "func TestA(t *testing.T) {}"},
			line:  "1 passed, 1 failed, 0 skipped",
			code:  1,
			shown: []string{"cannot use \"text\""},
		},
		"an import that is not there": {
			files: map[string]string{"a/a.go": "package a\n\nimport _ \"example.com/m/none\"\n", "p/p_test.go": head + "func TestA(t *testing.T) {}"},
			line:  "1 passed, 1 failed, 0 skipped",
			code:  1,
			shown: []string{"example.com/m/none"},
		},
		"panic outside a test's goroutine": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) { done := make(chan int); go func() { panic("boom") }(); <-done }`},
			line:  "0 passed, 1 failed, 0 skipped",
			code:  1,
			shown: []string{"boom"},
		},
		"exit in the middle": {
			files: map[string]string{"p/p_test.go": head + `
func TestA(t *testing.T) {}
func TestB(t *testing.T) { fmt.Println("last words"); os.Exit(3) }`},
			code:  1,
			shown: []string{"last words", "TestB did not end"},
		},
		"exit before any test": {
			files: map[string]string{"p/p_test.go": head + `
func TestMain(m *testing.M) { fmt.Println("no database"); os.Exit(1) }
func TestA(t *testing.T) {}`},
			line:  "0 passed, 1 failed, 0 skipped",
			code:  1,
			shown: []string{"no database"},
		},
		"nothing ran": {
			files: map[string]string{"p/p.go": "package p\n"},
			line:  "0 passed, 0 failed, 0 skipped",
			code:  1,
			shown: []string{"example.com/m/p has no tests"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			tally := &tally{out: &out, ci: c.ci}
			dir := module(t, c.files)
			if err := tally.module(t.Context(), dir, false); err != nil {
				tally.broken(dir, err)
			}
			require.Equal(t, c.code, tally.finish(), out.String())
			if c.line != "" {
				require.Equal(t, c.line, lastLine(out.String()), out.String())
			}
			for _, s := range c.shown {
				require.Contains(t, out.String(), s)
			}
		})
	}
}

func TestModuleThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("not a module file\n"), 0o600))
	var out strings.Builder
	tally := &tally{out: &out, passed: 5}
	err := tally.module(t.Context(), dir, false)
	require.Error(t, err)
	tally.broken(dir, err)
	require.Equal(t, 1, tally.finish())
	require.Equal(t, "5 passed, 1 failed, 0 skipped", lastLine(out.String()))
}

func TestMissingComponent(t *testing.T) {
	none := component{[]string{"no-such-program", "/no/such/*/path"}, []string{"nothing"}, "the impossible"}
	some := component{[]string{"no-such-program", "go"}, nil, ""}
	require.Equal(t, []component{none}, absent([]component{none, some}))
	for ci, want := range map[bool]string{false: "1 passed, 0 failed, 0 skipped", true: "1 passed, 1 failed, 0 skipped"} {
		var out strings.Builder
		tally := &tally{out: &out, ci: ci, passed: 1}
		tally.missing(none)
		tally.finish()
		require.Contains(t, out.String(), "MISSING no-such-program: NOT TESTED is the impossible")
		require.Equal(t, want, lastLine(out.String()))
	}
}

func TestBadFlags(t *testing.T) {
	require.Equal(t, 2, run(t.Context(), []string{"-none"}, t.Output()))
	require.Equal(t, 2, run(t.Context(), []string{"./..."}, t.Output()))
}
