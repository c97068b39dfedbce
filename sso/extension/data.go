package extension

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
)

// The bounds of ExtensionData.
const (
	MaxDataBytes    = 64 << 10 // as an XML property list
	MaxDataDepth    = 8        // dictionaries and arrays inside each other, the outermost included
	MaxDataElements = 1000     // keys and values
)

// Data is ExtensionData: what the device hands to the extension. Its values are
// string, Secret, bool, int, int64, uint64, float64, time.Time, []byte,
// []string, []any, map[string]any and Data. Since any of them may be a secret,
// fmt and log/slog write the keys only.
type Data map[string]any

// Format implements fmt.Formatter.
func (d Data) Format(f fmt.State, _ rune) { fmt.Fprint(f, d.keys()) }

// LogValue implements slog.LogValuer.
func (d Data) LogValue() slog.Value { return slog.StringValue(d.keys()) }

func (d Data) keys() string {
	return "[keys " + strings.Join(slices.Sorted(maps.Keys(d)), " ") + "]"
}

// Secret is a text that fmt and log/slog write as "[secret]" and that
// encoding/json refuses. As a property list it is what it is.
type Secret string

const redacted = "[secret]"

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements json.Marshaler; it always fails, so that a secret gets
// into JSON, which may be a log, only by conversion to string.
func (Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("extension: a secret is not written as JSON")
}

// What is wrong with ExtensionData, for errors.Is.
var (
	// ErrSyntax: it is not a plain XML property list.
	ErrSyntax = errors.New("not a plain XML property list")
	// ErrNotDictionary: the property list is no dictionary.
	ErrNotDictionary = errors.New("not a dictionary")
	// ErrTooLarge: it is over MaxDataBytes or MaxDataElements.
	ErrTooLarge = errors.New("too large")
	// ErrTooDeep: it is over MaxDataDepth.
	ErrTooDeep = errors.New("nested too deeply")
	// ErrForbiddenType: a value has no place in a property list.
	ErrForbiddenType = errors.New("forbidden type")
	// ErrText: a key or a text holds characters that have no place there.
	ErrText = errors.New("forbidden character")
	// ErrVariable: a text holds a variable that another product would replace.
	ErrVariable = errors.New("variable of another product")
)

// DataError is ExtensionData that cannot be used. It repeats no value.
type DataError struct {
	// Path is where, such as com.apple.extensiblesso.ExtensionData.apps[2].
	Path string
	// Kind is one of the errors above.
	Kind   error
	Reason string
}

// Error implements error.
func (e *DataError) Error() string {
	return fmt.Sprintf("extension: %s: %v: %s", e.Path, e.Kind, e.Reason)
}

// Unwrap returns Kind, and what is wrong as a *profile.Violation.
func (e *DataError) Unwrap() []error {
	return []error{e.Kind, &profile.Violation{Path: e.Path, Reason: fmt.Sprintf("%v: %s", e.Kind, e.Reason)}}
}

const dataPath = PayloadType + ".ExtensionData"

// ParseData reads ExtensionData from an XML property list whose value is a
// dictionary, or from the bare <dict> that vendors print. The error joins a
// *DataError for each mistake.
func ParseData(b []byte) (Data, error) {
	fail := func(kind error, reason string) (Data, error) {
		return nil, &DataError{Path: dataPath, Kind: kind, Reason: reason}
	}
	if len(b) > MaxDataBytes {
		return fail(ErrTooLarge, fmt.Sprintf("more than %d bytes", MaxDataBytes))
	}
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("<dict")) {
		b = slices.Concat([]byte(`<plist version="1.0">`), b, []byte("</plist>"))
	}
	var v any
	err := plist.Unmarshal(b, plist.Limits{Bytes: MaxDataBytes + 64, Depth: MaxDataDepth, Elements: MaxDataElements + 1}, &v)
	var at *plist.Error
	switch {
	case errors.Is(err, plist.ErrTooLarge):
		return fail(ErrTooLarge, fmt.Sprintf("more than %d elements", MaxDataElements))
	case errors.Is(err, plist.ErrTooDeep):
		return fail(ErrTooDeep, fmt.Sprintf("more than %d levels", MaxDataDepth))
	case errors.As(err, &at):
		return fail(ErrSyntax, fmt.Sprintf("%s at byte %d", at.Reason, at.Offset))
	case err != nil:
		return fail(ErrSyntax, "it cannot be decoded")
	}
	d, ok := v.(map[string]any)
	if !ok {
		return fail(ErrNotDictionary, "the value inside <plist> must be a <dict>")
	}
	if err := Data(d).Check(); err != nil {
		return nil, err
	}
	return d, nil
}

// Check judges every value. The error joins a *DataError for each mistake.
func (d Data) Check() error {
	w := walk{}
	w.dict(dataPath, d, 1)
	if len(w.errs) == 0 && len(d) > 0 {
		encoded, err := plist.Marshal(map[string]any(d))
		switch {
		case err != nil:
			w.fail(dataPath, ErrForbiddenType, "it does not make a property list")
		case len(encoded) > MaxDataBytes:
			w.fail(dataPath, ErrTooLarge, fmt.Sprintf("more than %d bytes", MaxDataBytes))
		}
	}
	return errors.Join(w.errs...)
}

// walk judges values and ends at the first that is over a bound.
type walk struct {
	elements int
	over     bool
	errs     []error
}

func (w *walk) fail(path string, kind error, reason string) {
	w.errs = append(w.errs, &DataError{Path: path, Kind: kind, Reason: reason})
}

// enter reports whether one more value, or level, is within the bounds.
func (w *walk) enter(path string, depth int) bool {
	if w.over {
		return false
	}
	w.elements++
	if w.over = w.elements > MaxDataElements; w.over {
		w.fail(dataPath, ErrTooLarge, fmt.Sprintf("more than %d elements", MaxDataElements))
		return false
	}
	if depth > MaxDataDepth {
		w.fail(path, ErrTooDeep, fmt.Sprintf("more than %d levels", MaxDataDepth))
		return false
	}
	return true
}

func (w *walk) dict(path string, d map[string]any, depth int) {
	if !w.enter(path, depth) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(d)) {
		if !w.enter(path, depth) {
			return
		}
		if key == "" || key == "CF$UID" || len(key) > maxText || badString(key) != "" {
			w.fail(path, ErrText, "a key is empty, too long, or holds characters that a key must not have")
			continue
		}
		if isVariable(key) {
			w.fail(path, ErrVariable, variable)
			continue
		}
		w.value(path+"."+key, d[key], depth+1)
	}
}

func (w *walk) value(path string, v any, depth int) {
	switch v := v.(type) {
	case Data:
		w.dict(path, v, depth)
		return
	case map[string]any:
		w.dict(path, v, depth)
		return
	case []any:
		if w.enter(path, depth) {
			for i, item := range v {
				w.value(fmt.Sprintf("%s[%d]", path, i), item, depth+1)
			}
		}
		return
	case []string:
		if w.enter(path, depth) {
			for i, item := range v {
				w.value(fmt.Sprintf("%s[%d]", path, i), item, depth+1)
			}
		}
		return
	}
	if !w.enter(path, 0) {
		return
	}
	switch v := v.(type) {
	case string:
		w.text(path, v)
	case Secret:
		w.text(path, string(v))
	case bool, int, int64, []byte:
	case uint64:
		if v > math.MaxInt64 {
			w.fail(path, ErrForbiddenType, "an integer has 63 bits and a sign")
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.fail(path, ErrForbiddenType, "a real must be finite")
		}
	case time.Time:
		if y := v.UTC().Year(); y < 1900 || y > 2200 {
			w.fail(path, ErrForbiddenType, "a date must be between 1900 and 2200")
		}
	case nil:
		w.fail(path, ErrForbiddenType, "a property list has no null, leave the key out")
	default:
		w.fail(path, ErrForbiddenType, fmt.Sprintf("a property list has no place for a Go %T", v))
	}
}

func (w *walk) text(path, s string) {
	if reason := badString(s); reason != "" {
		w.fail(path, ErrText, reason)
	} else if isVariable(s) {
		w.fail(path, ErrVariable, variable)
	}
}

// badString says why a text cannot stand in a property list, or nothing.
func badString(s string) string {
	if !utf8.ValidString(s) {
		return "is not UTF-8"
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r <= 0x9f || r == utf8.RuneError || r == 0xfffe || r == 0xffff
	}) {
		return "holds a control character"
	}
	return ""
}

const variable = "{{DEVICEREGISTRATION}} is filled in by Microsoft Intune only, leave the key out"

// isVariable is true for a text with the variable of Microsoft's own product,
// which published examples carry along. A device would take it as it stands.
func isVariable(s string) bool {
	return strings.Contains(strings.ToUpper(strings.Join(strings.Fields(s), "")), "{{DEVICEREGISTRATION}}")
}

// merge adds the further keys of extra to what a preset made.
func (v *violations) merge(made, extra Data) Data {
	for _, key := range slices.Sorted(maps.Keys(extra)) {
		if _, twice := made[key]; twice {
			v.add("ExtensionData."+key, "is set by the preset's own fields")
			continue
		}
		made[key] = extra[key]
	}
	return made
}
