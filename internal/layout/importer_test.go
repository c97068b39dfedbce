package layout_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// heavy are databases, identity providers and browsers, by their modules.
var heavy = regexp.MustCompile(`sqlite|modernc|goose|pgx|mysql|mongo|zitadel|chromedp|playwright`)

// TestImporterPaysLittle makes the module of somebody who imports the core, and
// reads what go mod tidy lists for it.
func TestImporterPaysLittle(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write("go.sum", string(sums))
	write("go.mod", "module example.com/importer\n\ngo 1.26.0\n\nrequire "+module+" v0.0.0\n\nreplace "+module+" => "+root+"\n")
	write("main.go", `package main

import (
	_ "`+module+`/enroll"
	_ "`+module+`/mdm"
)

func main() {}
`)
	cmd := exec.CommandContext(t.Context(), "go", "mod", "tidy")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	sums, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	require.NoError(t, err)
	require.NotEmpty(t, sums)
	require.Empty(t, heavy.FindAllString(string(sums), -1), "go.sum of an importer:\n%s", sums)
}
