package layout_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// walker finds the types of other modules that a package's exported objects
// are made of.
type walker struct {
	// foreign says what is wrong with a package's types here, or "".
	foreign func(path string) string
	at      string
	seen    map[types.Type]bool
	wrong   []string
}

// walk returns what is wrong with the exported objects of a package.
func walk(p *types.Package, foreign func(path string) string) []string {
	w := &walker{foreign: foreign}
	for _, name := range p.Scope().Names() {
		if !token.IsExported(name) {
			continue
		}
		w.at, w.seen = p.Path()+"."+name, map[types.Type]bool{}
		obj := p.Scope().Lookup(name)
		if named, ok := obj.Type().(*types.Named); ok && named.Obj() == obj {
			w.declared(named)
		} else {
			w.visit(obj.Type())
		}
	}
	slices.Sort(w.wrong)
	return slices.Compact(w.wrong)
}

// declared visits what a user of a type can reach.
func (w *walker) declared(n *types.Named) {
	if w.seen[n] {
		return
	}
	w.seen[n] = true
	w.params(n.TypeParams())
	w.visit(n.Underlying())
	for m := range n.Methods() {
		if m.Exported() {
			w.visit(m.Type())
		}
	}
}

func (w *walker) params(list *types.TypeParamList) {
	for p := range list.TypeParams() {
		w.visit(p.Constraint())
	}
}

func (w *walker) visit(t types.Type) {
	switch t := t.(type) {
	case *types.Named:
		for a := range t.TypeArgs().Types() {
			w.visit(a)
		}
		w.name(t.Obj())
		if !t.Obj().Exported() && w.foreignTo(t.Obj()) == "" {
			w.declared(t) // its exported methods and fields are reachable
		}
	case *types.Alias:
		for a := range t.TypeArgs().Types() {
			w.visit(a)
		}
		w.name(t.Obj())
		w.visit(types.Unalias(t))
	case *types.Pointer:
		w.visit(t.Elem())
	case *types.Slice:
		w.visit(t.Elem())
	case *types.Array:
		w.visit(t.Elem())
	case *types.Chan:
		w.visit(t.Elem())
	case *types.Map:
		w.visit(t.Key())
		w.visit(t.Elem())
	case *types.Signature:
		w.params(t.TypeParams())
		w.visit(t.Params())
		w.visit(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			w.visit(v.Type())
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() || f.Embedded() {
				w.visit(f.Type())
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			w.visit(m.Type())
		}
		for e := range t.EmbeddedTypes() {
			w.visit(e)
		}
	case *types.Union:
		for term := range t.Terms() {
			w.visit(term.Type())
		}
	}
}

func (w *walker) foreignTo(o types.Object) string {
	if o.Pkg() == nil {
		return "" // error, comparable
	}
	return w.foreign(o.Pkg().Path())
}

func (w *walker) name(o types.Object) {
	if reason := w.foreignTo(o); reason != "" {
		w.wrong = append(w.wrong, fmt.Sprintf("%s has %s.%s, %s", w.at, o.Pkg().Path(), o.Name(), reason))
	}
}

func TestExportedObjectsAreOurs(t *testing.T) {
	g := list(t, "-deps", "-export", "-json=ImportPath,Name,Export,Standard,Imports,Module", "./...")
	fset := token.NewFileSet()
	gc := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(g[path].Export) })
	judge := func(path string) string {
		name, mine := ours(path)
		switch {
		case mine && !importable(name):
			return "which nobody outside can name"
		case mine || g[path].Standard:
			return ""
		}
		return "a type of another module"
	}
	n := 0
	for path, p := range g {
		if name, mine := ours(path); !mine || !importable(name) || p.Name == "main" {
			continue
		}
		loaded, err := gc.Import(path)
		require.NoError(t, err)
		for _, wrong := range walk(loaded, judge) {
			t.Error(strings.TrimPrefix(wrong, module+"/"))
		}
		n++
	}
	require.GreaterOrEqual(t, n, len(arrows), "packages were not loaded")
}

// modulesOfSource checks packages given as source, in order.
type modulesOfSource map[string]*types.Package

func (m modulesOfSource) Import(path string) (*types.Package, error) {
	if p := m[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no package %q", path)
}

func TestExportedBites(t *testing.T) {
	fset, loaded := token.NewFileSet(), modulesOfSource{}
	load := func(path, source string) *types.Package {
		file, err := parser.ParseFile(fset, path+".go", source, 0)
		require.NoError(t, err)
		p, err := (&types.Config{Importer: loaded}).Check(path, fset, []*ast.File{file}, nil)
		require.NoError(t, err)
		loaded[path] = p
		return p
	}
	load("other", "package other\ntype T struct{ X int }\ntype I interface{ M() }\ntype G[P any] struct{}\n")
	judge := func(path string) string {
		if path == "other" {
			return "bad"
		}
		return ""
	}
	for source, want := range map[string]string{
		"func F(other.T)":                                          "p.F",
		"func F() (int, *other.T, error)":                          "p.F",
		"func F(...[]map[string]chan other.T)":                     "p.F",
		"func F(func(other.I) error)":                              "p.F",
		"func F[P other.I](P) {}":                                  "p.F",
		"var V other.T":                                            "p.V",
		"type A = other.T":                                         "p.A",
		"type S struct{ F [2]other.T }":                            "p.S",
		"type S struct{ other.T }":                                 "p.S",
		"type hidden struct{ F other.T }; type S struct{ hidden }": "p.S",
		"type S struct{ F struct{ G other.T } }":                   "p.S",
		"type S other.T; func F() (x S)":                           "",
		"type S struct{}; func (*S) M(other.T) {}":                 "p.S",
		"type I interface{ M() other.T }":                          "p.I",
		"type I interface{ other.I }":                              "p.I",
		"type I interface{ int | other.T }":                        "p.I",
		"type S[P other.I] struct{}":                               "p.S",
		"type g[P any] struct{}; func F(g[other.T])":               "p.F",
		"func F(other.G[int])":                                     "p.F",
		"type hidden struct{}; func (hidden) M(other.T) {}; func F() hidden { return hidden{} }": "p.F",
		"func f(other.T)":                               "",
		"type S struct{ f other.T }":                    "",
		"type S struct{}; func (S) m(other.T) {}":       "",
		"type hidden struct{ F other.T }; var v hidden": "",
		"type S struct{ Next *S; F func(S) error }":     "",
	} {
		p := load("p", "package p\nimport \"other\"\nvar _ other.T\n"+source+"\n")
		wrong := walk(p, judge)
		if want == "" {
			require.Empty(t, wrong, source)
			continue
		}
		require.NotEmpty(t, wrong, source)
		require.True(t, strings.HasPrefix(wrong[0], want+" has other."), "%s: %s", source, wrong)
	}
}
