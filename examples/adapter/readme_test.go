package adapter_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheGuideShowsCodeThatRuns finds the blocks of README.md in the tests.
func TestTheGuideShowsCodeThatRuns(t *testing.T) {
	guide, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var code string
	for _, name := range []string{"adapter_test.go", "example_test.go"} {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		code += string(b)
	}
	blocks := strings.Split(string(guide), "```go\n")[1:]
	require.Len(t, blocks, 3)
	for i, block := range blocks[:2] {
		block, _, _ = strings.Cut(block, "```")
		require.Contains(t, code, block, "block %d", i+1)
	}
}

// The guide says how small the adapter is, and what is not in it.
func TestTheAdapterIsSmall(t *testing.T) {
	for dir, limit := range map[string]int{".": 400, "journal": 250} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		lines := 0
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			lines += bytes.Count(b, []byte("\n"))
		}
		require.Positive(t, lines)
		require.Less(t, lines, limit, dir)
	}
}
