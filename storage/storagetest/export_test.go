package storagetest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// Clauses are the names of all clauses of a suite, as part/name.
func (s Suite) Clauses() []string {
	var list []string
	for _, p := range s.parts() {
		for _, c := range p.clauses {
			list = append(list, p.name+"/"+c.name)
		}
	}
	return list
}

// Failure runs one clause and returns why it failed, or "".
func (s Suite) Failure(t *testing.T, clause string) string {
	t.Helper()
	for _, p := range s.parts() {
		for _, c := range p.clauses {
			if p.name+"/"+c.name != clause {
				continue
			}
			if c.missing != "" {
				t.Fatalf("the clause %q is not run: %s", clause, c.missing)
			}
			r := &recorder{ctx: t.Context()}
			done := make(chan struct{})
			go func() { // which FailNow ends
				defer close(done)
				defer r.clean()
				c.run(r)
			}()
			<-done
			return r.text.String()
		}
	}
	t.Fatalf("there is no clause %q", clause)
	return ""
}

// recorder is a testing.T whose failures are no failures.
type recorder struct {
	ctx      context.Context
	text     strings.Builder
	cleanups []func()
}

func (*recorder) Helper()                          {}
func (*recorder) Logf(string, ...any)              {}
func (r *recorder) Errorf(format string, a ...any) { fmt.Fprintf(&r.text, format+"\n", a...) }
func (*recorder) FailNow()                         { runtime.Goexit() }
func (r *recorder) Cleanup(f func())               { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Context() context.Context       { return r.ctx }
func (r *recorder) clean() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func (r *recorder) TempDir() string {
	dir, err := os.MkdirTemp("", "storagetest")
	if err != nil {
		panic(err)
	}
	r.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
