package layout_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// table says what each package imports.
type table map[string][]string

// arrows lists, for each package that integrators import, exactly what it
// imports of this module, internal packages apart. Adding an arrow here is a
// design decision.
var arrows = table{
	"jit":                                {},
	"profile":                            {},
	"push":                               {},
	"push/pushtest":                      {},
	"sso":                                {"jit"},
	"sso/oidc":                           {"jit", "sso"},
	"sso/ssotest":                        {},
	"sso/extension":                      {"profile"},
	"mdm":                                {"profile", "mdm/command"},
	"mdm/command":                        {},
	"mdm/policy":                         {"jit", "profile", "mdm", "mdm/command"},
	"mdm/mdmtest":                        {"enroll/scep/sceptest", "enroll/esso", "enroll/machineinfo", "enroll/machineinfo/machineinfotest"},
	"enroll":                             {"jit", "profile", "sso", "mdm", "enroll/scep", "enroll/machineinfo"},
	"enroll/esso":                        {"profile"},
	"enroll/ca":                          {},
	"enroll/discovery":                   {},
	"enroll/machineinfo":                 {},
	"enroll/machineinfo/machineinfotest": {"enroll/ca", "enroll/machineinfo"},
	"enroll/scep":                        {},
	"enroll/scep/sceptest":               {},
	"storage":                            {"jit", "sso", "mdm", "enroll", "push"},
	"storage/memory":                     {"jit", "sso", "mdm", "enroll", "push", "storage", "storage/transfer"},
	"storage/sqlite":                     {"jit", "sso", "mdm", "enroll", "push", "storage", "storage/transfer"},
	"storage/mysql":                      {"jit", "sso", "mdm", "enroll", "push", "storage", "storage/transfer"},
	"storage/postgres":                   {"jit", "sso", "mdm", "enroll", "push", "storage", "storage/transfer"},
	"storage/transfer":                   {"jit", "mdm", "enroll"},
	"storage/transfer/transfertest":      {"jit", "mdm", "enroll", "push", "storage", "storage/memory", "storage/transfer"},
	"storage/storagetest":                {"jit", "sso", "mdm", "enroll", "push", "storage", "storage/memory"},
}

// inside are the arrows of internal packages that have any.
var inside = table{
	"internal/judge":       {"enroll", "mdm"},
	"internal/sqltest":     {"mdm", "storage"},
	"internal/troubletest": {"jit", "profile", "sso/oidc", "sso/ssotest", "mdm", "mdm/command", "enroll", "enroll/ca", "storage"},
}

// owners are the only packages that import these modules.
var owners = table{
	"modernc.org/sqlite":             {"storage/sqlite"},
	"github.com/go-sql-driver/mysql": {"storage/mysql"},
	"github.com/jackc/pgx/v5":        {"examples/server", "storage/postgres"},
	"github.com/pressly/goose/v3":    {"storage/mysql", "storage/postgres", "storage/sqlite"},
	"github.com/coreos/go-oidc/v3":   {"sso/oidc"},
	"github.com/go-jose/go-jose/v4":  {"sso/oidc", "sso/ssotest"},
	"golang.org/x/oauth2":            {"sso/oidc"},
	"github.com/sideshow/apns2":      {"push"},
	"howett.net/plist":               {"internal/plist"},
	"go.mozilla.org/pkcs7":           {"internal/cms"},
	"rsc.io/qr":                      {"enroll"},
	"github.com/stretchr/testify":    {},
}

// checkArrows compares imports, by package, with the rows of a table, and
// returns every difference.
func checkArrows(imports, rows table) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for name, list := range imports {
		row, known := rows[name]
		switch internal := strings.HasPrefix(name, "internal/"); {
		case !known && importable(name):
			say("%s has no row", name)
		case !known && !internal:
			continue // an example may import everything
		}
		for _, dep := range list {
			if !strings.HasPrefix(dep, "internal/") && !slices.Contains(row, dep) {
				say("%s must not import %s", name, dep)
			}
		}
	}
	for name, row := range rows {
		list, ok := imports[name]
		if !ok {
			say("%s is in the table and not there", name)
			continue
		}
		for _, dep := range row {
			if !slices.Contains(list, dep) {
				say("%s does not import %s: remove the arrow", name, dep)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// checkOwners compares who imports which module with the rows of a table.
func checkOwners(g graph, rows table) []string {
	found := table{}
	for path, p := range g {
		name, mine := ours(path)
		if !mine {
			continue
		}
		for _, dep := range p.Imports {
			for mod := range rows {
				if (dep == mod || strings.HasPrefix(dep, mod+"/")) && !slices.Contains(found[mod], name) {
					found[mod] = append(found[mod], name)
				}
			}
		}
	}
	var wrong []string
	for mod, row := range rows {
		got, want := slices.Sorted(slices.Values(found[mod])), slices.Sorted(slices.Values(row))
		if !slices.Equal(got, want) {
			wrong = append(wrong, fmt.Sprintf("%s is imported by %v, not by %v", mod, got, want))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// imports are the arrows of a graph's packages.
func (g graph) imports() table {
	out := table{}
	for path, p := range g {
		name, mine := ours(path)
		if !mine {
			continue
		}
		out[name] = []string{}
		for _, i := range p.Imports {
			if dep, mine := ours(i); mine {
				out[name] = append(out[name], dep)
			}
		}
	}
	return out
}

func TestArrows(t *testing.T) {
	rows := maps.Clone(arrows)
	maps.Copy(rows, inside)
	for _, wrong := range checkArrows(list(t, "-json=ImportPath,Imports", "./...").imports(), rows) {
		t.Error(wrong)
	}
}

func TestModulesStayWithTheirOwners(t *testing.T) {
	for _, wrong := range checkOwners(list(t, "-json=ImportPath,Imports", "./..."), owners) {
		t.Error(wrong)
	}
}

// TestArrowsBite changes one thing at a time in what the table says is right.
func TestArrowsBite(t *testing.T) {
	good := func() table {
		imports := table{"internal/x": {"internal/y"}, "internal/y": {}, "examples/all": slices.Collect(maps.Keys(arrows))}
		for name, row := range arrows {
			imports[name] = append([]string{"internal/x"}, row...)
		}
		return imports
	}
	require.Empty(t, checkArrows(good(), arrows))

	names := slices.Sorted(maps.Keys(arrows))
	for _, from := range names {
		for _, to := range names {
			imports := good()
			if i := slices.Index(imports[from], to); i >= 0 {
				imports[from] = slices.Delete(imports[from], i, i+1)
				require.Equal(t, []string{from + " does not import " + to + ": remove the arrow"}, checkArrows(imports, arrows))
			} else {
				imports[from] = append(imports[from], to)
				require.Equal(t, []string{from + " must not import " + to}, checkArrows(imports, arrows))
			}
		}
		imports := good()
		delete(imports, from)
		require.Equal(t, []string{from + " is in the table and not there"}, checkArrows(imports, arrows))
	}

	imports := good()
	imports["internal/x"] = append(imports["internal/x"], "mdm")
	require.Equal(t, []string{"internal/x must not import mdm"}, checkArrows(imports, arrows))
	imports = good()
	imports["extra"] = []string{}
	require.Equal(t, []string{"extra has no row"}, checkArrows(imports, arrows))
	imports["mdm"] = append(imports["mdm"], "extra")
	require.Equal(t, []string{"extra has no row", "mdm must not import extra"}, checkArrows(imports, arrows))
}

func TestOwnersBite(t *testing.T) {
	rows := table{"example.com/driver": {"storage/sqlite"}, "example.com/test": {}}
	g := graph{
		module + "/storage/sqlite": {Imports: []string{"example.com/driver/sub"}},
		module + "/mdm":            {Imports: []string{"example.com/driverless"}},
		"example.com/other":        {Imports: []string{"example.com/driver"}},
	}
	require.Empty(t, checkOwners(g, rows))
	g[module+"/mdm"] = pkg{Imports: []string{"example.com/driver"}}
	require.Equal(t, []string{"example.com/driver is imported by [mdm storage/sqlite], not by [storage/sqlite]"}, checkOwners(g, rows))
	delete(g, module+"/mdm")
	delete(g, module+"/storage/sqlite")
	require.Equal(t, []string{"example.com/driver is imported by [], not by [storage/sqlite]"}, checkOwners(g, rows))
}
