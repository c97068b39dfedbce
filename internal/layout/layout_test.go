// Package layout_test holds the repository's import arrows: a package imports
// only packages below it.
package layout_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/enrollkit/enrollkit/"

// arrows lists, for each package that integrators import, what it may import
// from this module, internal packages apart. Adding an arrow here is a design
// decision.
var arrows = map[string][]string{
	"jit":                 {},
	"profile":             {},
	"push":                {},
	"sso":                 {"jit"},
	"sso/oidc":            {"jit", "sso"},
	"sso/extension":       {"profile"},
	"mdm":                 {"jit", "profile", "push", "mdm/command"},
	"mdm/command":         {},
	"mdm/policy":          {"jit", "profile", "mdm", "mdm/command"},
	"enroll":              {"jit", "profile", "sso", "mdm", "enroll/scep"},
	"enroll/ca":           {},
	"enroll/scep":         {},
	"storage":             {"jit", "sso", "mdm", "enroll", "push"},
	"storage/memory":      {"jit", "sso", "mdm", "enroll", "push", "storage"},
	"storage/sqlite":      {"jit", "sso", "mdm", "enroll", "push", "storage"},
	"storage/storagetest": {"jit", "sso", "mdm", "enroll", "push", "storage"},
}

// drivers may be linked by the named packages only.
var drivers = map[string][]string{
	"modernc.org/sqlite":           {"storage/sqlite"},
	"github.com/pressly/goose/v3":  {"storage/sqlite"},
	"github.com/coreos/go-oidc/v3": {"sso/oidc"},
	"golang.org/x/oauth2":          {"sso/oidc"},
	"github.com/sideshow/apns2":    {"push"},
	"howett.net/plist":             {"internal/plist"},
	"go.mozilla.org/pkcs7":         {"internal/cms"},
	"github.com/stretchr/testify":  {},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	list := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return list
		} else {
			require.NoError(t, err)
		}
		list[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

func TestArrows(t *testing.T) {
	list := packages(t)
	for name, allowed := range arrows {
		p, ok := list[name]
		if !ok {
			continue // not written yet
		}
		for _, imp := range p.Imports {
			dep, ours := strings.CutPrefix(imp, module)
			if ours && !strings.HasPrefix(dep, "internal/") && !slices.Contains(allowed, dep) {
				t.Errorf("%s must not import %s", name, dep)
			}
		}
	}
	for name := range list {
		kit := strings.HasSuffix(name, "test")
		if _, ok := arrows[name]; !ok && !kit && !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "examples/") {
			t.Errorf("package %s has no row in the table", name)
		}
	}
}

func TestForeignModulesStayInTheirPackage(t *testing.T) {
	list := packages(t)
	for name, p := range list {
		for _, imp := range p.Imports {
			for mod, owners := range drivers {
				if (imp == mod || strings.HasPrefix(imp, mod+"/")) && !slices.Contains(owners, name) {
					t.Errorf("%s must not import %s", name, imp)
				}
			}
		}
	}
}
