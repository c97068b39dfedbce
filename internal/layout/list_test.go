package layout_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/enrollkit/enrollkit"

// pkg is a package as go list tells of it.
type pkg struct {
	ImportPath, Name, Export string
	Standard                 bool
	Module                   *struct{ Path string }
	Imports                  []string
}

// graph is packages by import path. Packages of tests have the path that go
// list -test gives them.
type graph map[string]pkg

func list(t *testing.T, args ...string) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return g
		} else {
			require.NoError(t, err)
		}
		g[p.ImportPath] = p
	}
}

// ours cuts the module's path off an import path.
func ours(path string) (name string, ok bool) { return strings.CutPrefix(path, module+"/") }

// importable reports whether others may import the package of this name.
func importable(name string) bool {
	return !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "examples/")
}

// modules are the other modules that the packages link, sorted.
func (g graph) modules(paths ...string) []string {
	seen, found := map[string]bool{}, map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		p := g[path]
		if p.Module != nil && p.Module.Path != module {
			found[p.Module.Path] = true
		}
		for _, i := range p.Imports {
			visit(i)
		}
	}
	for _, p := range paths {
		visit(p)
	}
	var out []string
	for m := range found {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}
