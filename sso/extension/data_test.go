package extension_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
)

func document(s string) string { return `<plist version="1.0">` + s + `</plist>` }

func TestParseData(t *testing.T) {
	want := extension.Data{
		"text": "a\nb", "number": uint64(7), "real": 0.5, "on": true, "raw": []byte{1, 2}, "list": []any{"x", map[string]any{}},
		"at": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	const dict = `<dict><key>text</key><string>a
b</string><key>number</key><integer>7</integer><key>real</key><real>0.5</real><key>on</key><true/><key>raw</key><data>AQI=</data>` +
		`<key>list</key><array><string>x</string><dict/></array><key>at</key><date>2026-01-02T03:04:05Z</date></dict>`
	for _, s := range []string{document(dict), dict, "\n  " + dict + "\n", `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "a" "b">` + document(dict)} {
		d, err := extension.ParseData([]byte(s))
		require.NoError(t, err)
		require.Equal(t, want, d)
	}
}

func TestParseDataRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		kind error
	}{
		"nothing":          {"", extension.ErrSyntax},
		"JSON":             {`{"a":1}`, extension.ErrSyntax},
		"binary":           {"bplist00", extension.ErrSyntax},
		"OpenStep":         {"{a=b;}", extension.ErrSyntax},
		"duplicate key":    {`<dict><key>a</key><true/><key>a</key><true/></dict>`, extension.ErrSyntax},
		"second root":      {`<dict/><dict/>`, extension.ErrSyntax},
		"entity":           {`<!DOCTYPE plist [<!ENTITY a "b">]>` + document(`<dict/>`), extension.ErrSyntax},
		"archiver":         {`<dict><key>a</key><dict><key>CF$UID</key><integer>1</integer></dict></dict>`, extension.ErrSyntax},
		"an array":         {document(`<array/>`), extension.ErrNotDictionary},
		"a text":           {document(`<string>secret</string>`), extension.ErrNotDictionary},
		"64 KiB":           {`<dict><key>a</key><string>` + strings.Repeat("x", extension.MaxDataBytes) + `</string></dict>`, extension.ErrTooLarge},
		"1001 elements":    {`<dict><key>a</key><array>` + strings.Repeat("<true/>", extension.MaxDataElements-2) + `</array></dict>`, extension.ErrTooLarge},
		"nine levels":      {`<dict><key>a</key>` + strings.Repeat("<array>", extension.MaxDataDepth) + strings.Repeat("</array>", extension.MaxDataDepth) + `</dict>`, extension.ErrTooDeep},
		"NaN":              {`<dict><key>a</key><real>nan</real></dict>`, extension.ErrForbiddenType},
		"infinity":         {`<dict><key>a</key><real>inf</real></dict>`, extension.ErrForbiddenType},
		"empty key":        {`<dict><key></key><true/></dict>`, extension.ErrText},
		"C1 control":       {"<dict><key>a</key><string>\u0085</string></dict>", extension.ErrText},
		"Intune":           {`<dict><key>a</key><string>{{ DeviceRegistration }}</string></dict>`, extension.ErrVariable},
		"Intune in a list": {`<dict><key>a</key><array><string>{{DEVICEREGISTRATION}}</string></array></dict>`, extension.ErrVariable},
		"Intune in a key":  {`<dict><key>{{DEVICEREGISTRATION}}</key><true/></dict>`, extension.ErrVariable},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := extension.ParseData([]byte(c.in))
			require.Nil(t, d)
			require.ErrorIs(t, err, c.kind)
			var data *extension.DataError
			require.ErrorAs(t, err, &data)
			require.True(t, strings.HasPrefix(data.Path, "com.apple.extensiblesso.ExtensionData"), data.Path)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	for name, in := range map[string]string{
		"1000 elements": `<dict><key>a</key><array>` + strings.Repeat("<true/>", extension.MaxDataElements-3) + `</array></dict>`,
		"eight levels":  `<dict><key>a</key>` + strings.Repeat("<array>", extension.MaxDataDepth-1) + strings.Repeat("</array>", extension.MaxDataDepth-1) + `</dict>`,
	} {
		_, err := extension.ParseData([]byte(in))
		require.NoError(t, err, name)
	}
}

func TestDataOfAProgram(t *testing.T) {
	loop := map[string]any{}
	loop["loop"] = loop
	for name, c := range map[string]struct {
		value any
		kind  error
		path  string
	}{
		"nil":                 {nil, extension.ErrForbiddenType, ".k"},
		"a struct":            {struct{ A int }{1}, extension.ErrForbiddenType, ".k"},
		"a channel":           {make(chan int), extension.ErrForbiddenType, ".k"},
		"a pointer":           {new("x"), extension.ErrForbiddenType, ".k"},
		"nil in a list":       {[]any{1, nil}, extension.ErrForbiddenType, ".k[1]"},
		"64 bits":             {uint64(math.MaxUint64), extension.ErrForbiddenType, ".k"},
		"infinity":            {math.Inf(1), extension.ErrForbiddenType, ".k"},
		"the year 10000":      {time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), extension.ErrForbiddenType, ".k"},
		"not UTF-8":           {"\xff", extension.ErrText, ".k"},
		"NUL in a list":       {[]string{"a", "\x00"}, extension.ErrText, ".k[1]"},
		"NUL in a secret":     {extension.Secret("\x00"), extension.ErrText, ".k"},
		"key of another kind": {map[string]any{"CF$UID": 1}, extension.ErrText, ".k"},
		"a loop":              {loop, extension.ErrTooDeep, ".k.loop.loop.loop.loop.loop.loop.loop"},
		"too many":            {make([]any, 5000), extension.ErrTooLarge, ""},
		"a large text":        {strings.Repeat("x", 1<<20), extension.ErrTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := extension.Profile(config(), extension.Microsoft{Extra: extension.Data{"k": c.value}})
			require.ErrorIs(t, err, c.kind)
			require.Contains(t, paths(err), "com.apple.extensiblesso.ExtensionData"+c.path)
		})
	}
	for _, fine := range []any{"x", extension.Secret("x"), true, 1, int64(-1), uint64(1), 1.5, time.Unix(0, 0), []byte{}, []string{"a"}, []any{}, map[string]any{}, extension.Data{"d": "e"}} {
		p, err := extension.Profile(config(), extension.Microsoft{Extra: extension.Data{"k": fine}})
		require.NoError(t, err, "%T", fine)
		_, err = p.Marshal()
		require.NoError(t, err, "%T", fine)
	}
}

func TestDataErrorIsAViolation(t *testing.T) {
	_, err := extension.ParseData([]byte(`<dict><key>a</key><real>nan</real></dict>`))
	for v := range profile.Violations(fmt.Errorf("saving: %w", err)) {
		require.Equal(t, "com.apple.extensiblesso.ExtensionData.a", v.Path)
		require.Equal(t, "forbidden type: a real must be finite", v.Reason)
		return
	}
	t.Fatal("no violation")
}

// What is accepted is the same after it was written and read again; what is
// refused is a DataError and nothing else.
func FuzzParseData(f *testing.F) {
	for _, s := range []string{
		`<dict><key>a</key><array><string>x</string><integer>-5</integer><true/><data>AAEC</data><real>1.5</real></array></dict>`,
		document(`<dict><key>at</key><date>2026-01-02T03:04:05Z</date></dict>`),
		document(`<array/>`), `<dict><key>a</key><real>nan</real></dict>`, `{a=b;}`, "bplist00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := extension.ParseData(b)
		if err != nil {
			var data *extension.DataError
			require.ErrorAs(t, err, &data)
			require.Nil(t, d)
			return
		}
		require.NoError(t, d.Check())
		encoded, err := plist.Marshal(map[string]any(d))
		require.NoError(t, err)
		again, err := extension.ParseData(encoded)
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}
