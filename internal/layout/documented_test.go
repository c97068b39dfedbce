package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// selfEvident are methods whose meaning is the same everywhere.
var selfEvident = []string{"Error", "Is", "String", "Unwrap"}

// undocumented lists what a package exports without saying what it is. One
// comment may speak for a group of constants or variables.
func undocumented(files []*ast.File) []string {
	var missing []string
	need := func(name string, docs ...*ast.CommentGroup) {
		if i := slices.IndexFunc(docs, func(d *ast.CommentGroup) bool { return d.Text() != "" }); i < 0 {
			missing = append(missing, name)
		}
	}
	documented := false
	for _, f := range files {
		documented = documented || f.Doc.Text() != ""
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				name, ok := receiver(d)
				if ok && d.Name.IsExported() && (d.Recv == nil || !slices.Contains(selfEvident, d.Name.Name)) {
					need(name+d.Name.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						for _, n := range s.Names {
							if n.IsExported() {
								need(n.Name, d.Doc, s.Doc, s.Comment)
							}
						}
					case *ast.TypeSpec:
						if !s.Name.IsExported() {
							continue
						}
						need(s.Name.Name, d.Doc, s.Doc)
						if i, ok := s.Type.(*ast.InterfaceType); ok {
							for _, m := range i.Methods.List {
								for _, n := range m.Names {
									need(s.Name.Name+"."+n.Name, m.Doc, m.Comment)
								}
							}
						}
					}
				}
			}
		}
	}
	if !documented {
		missing = append(missing, "the package")
	}
	return missing
}

// receiver is the prefix of a method's name, empty for a function; ok is false
// for methods of a type that is not exported.
func receiver(d *ast.FuncDecl) (prefix string, ok bool) {
	if d.Recv == nil {
		return "", true
	}
	t := d.Recv.List[0].Type
	if star, pointer := t.(*ast.StarExpr); pointer {
		t = star.X
	}
	if index, generic := t.(*ast.IndexExpr); generic {
		t = index.X
	}
	name, named := t.(*ast.Ident)
	if !named || !name.IsExported() {
		return "", false
	}
	return name.Name + ".", true
}

// parse reads the files of a directory: those of the package, or its tests.
func parse(t *testing.T, dir string, tests bool) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}

// examples counts the Examples of test files that are outside of the package, as
// an importer is.
func examples(files []*ast.File) (n int) {
	for _, f := range files {
		if !strings.HasSuffix(f.Name.Name, "_test") {
			continue
		}
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && strings.HasPrefix(d.Name.Name, "Example") {
				n++
			}
		}
	}
	return n
}

// TestEveryExportIsDocumented: the documentation is the manual, and every package
// that others import begins it with an example.
func TestEveryExportIsDocumented(t *testing.T) {
	packages := 0
	for path := range list(t, "-json=ImportPath", "./...") {
		name, mine := ours(path)
		if !mine || !importable(name) {
			continue
		}
		packages++
		dir := filepath.Join("..", "..", filepath.FromSlash(name))
		assert.Empty(t, undocumented(parse(t, dir, false)), "%s exports without a comment", name)
		assert.Positive(t, examples(parse(t, dir, true)), "%s has no Example", name)
	}
	require.Greater(t, packages, 20)
}

func TestUndocumentedExportsAreFound(t *testing.T) {
	source := `package p

const A, b = 1, 2

// Documented for all.
const (
	C = 3
	D = 4
)

var E int // documented here

type F struct{}

func (F) G()       {}
func (f *F) Error() string { return "" }

// H is documented.
type H interface {
	I()
	// J is documented.
	J()
}

type k struct{}

func (k) L() {}

func M() {}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.ParseComments)
	require.NoError(t, err)
	require.Equal(t, []string{"A", "F", "F.G", "H.I", "M", "the package"}, undocumented([]*ast.File{f}))
	require.Zero(t, examples([]*ast.File{f}))
}
