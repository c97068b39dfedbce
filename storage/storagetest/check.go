package storagetest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"time"
)

// start is when the clauses begin. Microseconds are what every store keeps.
var start = time.Date(2026, time.November, 24, 9, 0, 0, 123456000, time.UTC)

// ok fails when a step did not succeed.
func (w *world[S]) ok(err error, what string) {
	w.Helper()
	if err != nil {
		w.fail("%s: %v", what, err)
	}
}

// is fails when an error is not the one that the contract names.
func (w *world[S]) is(err, want error, what string) {
	w.Helper()
	if !errors.Is(err, want) {
		w.fail("%s: the error is %q, and has to be %q", what, text(err), text(want))
	}
}

func text(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// equal fails when two values differ. Nil and empty slices are the same.
func (w *world[S]) equal(got, want any, what string) {
	w.Helper()
	if !same(got, want) {
		w.fail("%s:\n got  %s\n want %s", what, show(got), show(want))
	}
}

// truth fails when something does not hold.
func (w *world[S]) truth(holds bool, format string, args ...any) {
	w.Helper()
	if !holds {
		w.fail(format, args...)
	}
}

func same(a, b any) bool {
	return reflect.DeepEqual(a, b) || show(a) == show(b)
}

// show prints a value with the names of its fields. Empty slices print as nil.
func show(v any) string {
	b, err := json.Marshal(plain(reflect.ValueOf(v)))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// plain is a value for show: times as RFC 3339 with their zone, bytes as text,
// and nothing for what is zero.
func plain(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if t, ok := v.Interface().(time.Time); ok {
		return t.Format(time.RFC3339Nano)
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			return b
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	case reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			if f := v.Field(i); v.Type().Field(i).IsExported() && !f.IsZero() && (f.Kind() != reflect.Slice || f.Len() > 0) {
				fields[v.Type().Field(i).Name] = plain(f)
			}
		}
		return fields
	default:
		return v.Interface()
	}
}

// oddTimes are times as callers have them: of other zones, with the monotonic
// clock, with nanoseconds, and far away.
func oddTimes() []time.Time {
	return []time.Time{
		start,
		start.In(time.FixedZone("", 5*3600+1800)),
		start.Add(999 * time.Nanosecond),
		time.Now(),
		time.Date(1969, time.December, 31, 23, 59, 59, 999999999, time.UTC),
		time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC),
	}
}

// sameTime fails when a time did not come back as timesRule says.
func (w *world[S]) sameTime(got, want time.Time, what string) {
	w.Helper()
	if d := want.Sub(got); d >= time.Microsecond || d <= -time.Microsecond {
		w.fail("%s is %v, and was %v", what, got, want)
	}
	if got.Location() != time.UTC {
		w.fail("%s is in the zone %v", what, got.Location())
	}
	if got != got.Round(0) {
		w.fail("%s has a reading of the monotonic clock", what)
	}
}

// oddTexts are texts that something between here and the disk may change, of at
// most so many bytes.
func oddTexts(limit int) []string {
	texts := []string{
		"plain", "Plain", "plain ", " plain", "PLAIN", // five names
		"é", "e\u0301", "ß", "ss", "İ", "ı", // composed, decomposed, folded
		`'; DROP TABLE users; --`, `"quoted" \ %s $1 ?1 :a`, "{}[]<>&", "😀 字 עברית", "\\x00", "NULL", "", "0", "1e3",
	}
	return append(texts, strings.Repeat("x", limit), strings.Repeat("字", limit/3))
}

// race runs calls at the same time and fails when one returns an error.
func (w *world[S]) race(n int, call func(i int) error) {
	w.Helper()
	for i, err := range together(n, call) {
		if err != nil {
			w.fail("call %d of %d at the same time: %v", i+1, n, err)
		}
	}
}

// together runs calls at the same time and returns their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			errs[i] = call(i)
		})
	}
	close(begin)
	all.Wait()
	return errs
}

// gone is a context that is over.
func (w *world[S]) gone() context.Context {
	ctx, cancel := context.WithCancel(w.Context())
	cancel()
	return ctx
}

// only fails unless exactly one call succeeded and the others returned want.
func (w *world[S]) only(errs []error, want error, what string) {
	w.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		w.is(err, want, what)
	}
	w.equal(won, 1, what+": how many of the calls at the same time succeeded")
}

// id is a digest made of a name.
func id(name string) [32]byte { return sha256.Sum256([]byte(name)) }
