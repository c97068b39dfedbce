package layout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// core is every module that a program with enroll and mdm links.
var core = []string{
	"go.mozilla.org/pkcs7",
	"howett.net/plist",
	"rsc.io/qr",
}

// kits are the test kits, and the packages that they exercise: whoever imports
// those already has every module of the kit.
var kits = table{
	"enroll/machineinfo/machineinfotest": {"enroll/machineinfo"},
	"enroll/scep/sceptest":               {"enroll/scep"},
	"mdm/mdmtest":                        {"mdm"},
	"push/pushtest":                      {"push"},
	"sso/ssotest":                        {"sso/oidc"},
	"storage/storagetest":                {"enroll", "mdm", "push"},
	"storage/transfer/transfertest":      {"enroll", "mdm", "push"},
}

func paths(names ...string) []string {
	var out []string
	for _, n := range names {
		out = append(out, module+"/"+n)
	}
	return out
}

func TestCoreLinksAFixedList(t *testing.T) {
	g := list(t, "-deps", "-json=ImportPath,Imports,Module", "./enroll", "./mdm")
	require.Equal(t, core, g.modules(paths("enroll", "mdm")...), "what every importer pays has changed")
}

// light are packages of ours that a test beside an importable package may use,
// for what they link is little. The rest (databases, identity providers of
// others, browsers) is for internal/e2e.
var light = []string{"enroll", "mdm", "push", "push/pushtest", "sso/oidc", "sso/ssotest"}

// checkTests finds packages whose tests use a module that neither the package
// itself needs nor is allowed: go mod tidy would list it for every importer of
// the package.
func checkTests(g graph, allowed []string) []string {
	var wrong []string
	for path := range g {
		name, mine := ours(path)
		if _, tested := g[path+".test"]; !mine || !tested || !importable(name) {
			continue
		}
		own := g.modules(path)
		for _, m := range g.modules(path + ".test") {
			if !slices.Contains(own, m) && !slices.Contains(allowed, m) {
				wrong = append(wrong, fmt.Sprintf("a test of %s uses %s", name, m))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func TestNoHeavyModuleBesideAnImportablePackage(t *testing.T) {
	g := list(t, "-deps", "-test", "-json=ImportPath,Imports,Module", "./...")
	assertions := g.modules("github.com/stretchr/testify/require")
	require.Contains(t, assertions, "github.com/stretchr/testify")
	require.NotEmpty(t, g.modules(module+"/mdm.test"), "go list names tests in another way")
	for _, wrong := range checkTests(g, append(assertions, g.modules(paths(light...)...)...)) {
		t.Error(wrong)
	}
}

func TestKitsNeedNoMore(t *testing.T) {
	g := list(t, "-deps", "-json=ImportPath,Imports,Module", "./...")
	for name := range arrows {
		if _, ok := kits[name]; !ok && strings.HasSuffix(name, "test") {
			t.Errorf("kit %s has no row", name)
		}
	}
	for kit, exercised := range kits {
		require.NotEmpty(t, g[module+"/"+kit].ImportPath, "%s is not there", kit)
		have := g.modules(paths(exercised...)...)
		for _, m := range g.modules(module + "/" + kit) {
			if !slices.Contains(have, m) {
				t.Errorf("%s links %s, which %v do not", kit, m, exercised)
			}
		}
	}
}

func TestTestsBite(t *testing.T) {
	type mod = struct{ Path string }
	g := graph{
		module + "/a":                         {Imports: []string{"example.com/light"}},
		module + "/a [" + module + "/a.test]": {Imports: []string{"example.com/light"}},
		module + "/a.test":                    {Imports: []string{module + "/a [" + module + "/a.test]", module + "/b"}},
		module + "/b":                         {},
		"example.com/light":                   {Module: &mod{"example.com/light"}},
		"example.com/heavy/sub":               {Module: &mod{"example.com/heavy"}},
	}
	require.Empty(t, checkTests(g, nil))
	g[module+"/b"] = pkg{Imports: []string{"example.com/heavy/sub"}}
	require.Equal(t, []string{"a test of a uses example.com/heavy"}, checkTests(g, nil))
	require.Empty(t, checkTests(g, []string{"example.com/heavy"}))
}
