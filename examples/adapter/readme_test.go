package adapter_test

import (
	"os"
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
