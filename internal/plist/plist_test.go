package plist_test

import (
	"embed"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
)

//go:embed testdata/hostile
var hostile embed.FS

const head = `<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">`

func doc(body string) string { return head + `<plist version="1.0">` + body + `</plist>` }

func hostileFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(hostile, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path], err = hostile.ReadFile(path)
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, files, "the hostile bytes are missing")
	return files
}

func TestUnmarshalRefusesWhatEndsTheLibrary(t *testing.T) {
	for name, b := range hostileFiles(t) {
		t.Run(name, func(t *testing.T) {
			var v any
			require.ErrorIs(t, plist.Unmarshal(b, plist.Limits{}, &v), plist.ErrSyntax)
			require.Nil(t, v)
		})
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"empty dictionary":        {doc(`<dict/>`), nil},
		"every kind of value":     {doc(`<dict><key>a</key><array><string>x</string><integer>-5</integer><real>1.5</real><true/><false/><data>AAEC</data><date>2026-01-31T12:00:00Z</date></array></dict>`), nil},
		"surrounding white space": {"\n" + `<plist version="1.0"><dict></dict></plist>` + "\n", nil},
		"empty":                   {"", plist.ErrSyntax},
		"white space only":        {" \n", plist.ErrSyntax},
		"binary":                  {"bplist00\xd0\x08", plist.ErrSyntax},
		"OpenStep":                {"{UDID=abc;MessageType=Authenticate;}", plist.ErrSyntax},
		"UTF-16":                  {"\xff\xfe<\x00p\x00", plist.ErrSyntax},
		"XML 1.1":                 {`<?xml version="1.1"?><plist version="1.0"><dict/></plist>`, plist.ErrSyntax},
		"another encoding":        {`<?xml version="1.0" encoding="latin1"?><plist version="1.0"><dict/></plist>`, plist.ErrSyntax},
		"internal subset":         {`<!DOCTYPE plist [<!ENTITY a "b">]><plist version="1.0"><dict/></plist>`, plist.ErrSyntax},
		"namespace":               {`<x:plist xmlns:x="u" version="1.0"><dict/></x:plist>`, plist.ErrSyntax},
		"attribute":               {doc(`<dict a="b"/>`), plist.ErrSyntax},
		"no wrapper":              {`<dict/>`, plist.ErrSyntax},
		"nothing inside":          {doc(``), plist.ErrSyntax},
		"two values":              {doc(`<dict/><dict/>`), plist.ErrSyntax},
		"second root":             {doc(`<dict/>`) + `<plist version="1.0"><dict/></plist>`, plist.ErrSyntax},
		"trailing text":           {doc(`<dict/>`) + `x`, plist.ErrSyntax},
		"duplicate key":           {doc(`<dict><key>a</key><true/><key>a</key><false/></dict>`), plist.ErrSyntax},
		"key after key":           {doc(`<dict><key>a</key><key>b</key><true/></dict>`), plist.ErrSyntax},
		"key without value":       {doc(`<dict><key>a</key></dict>`), plist.ErrSyntax},
		"value without key":       {doc(`<dict><true/></dict>`), plist.ErrSyntax},
		"key in an array":         {doc(`<array><key>a</key></array>`), plist.ErrSyntax},
		"text between":            {doc(`<dict>x<key>a</key><true/></dict>`), plist.ErrSyntax},
		"child in a string":       {doc(`<string>a<b/></string>`), plist.ErrSyntax},
		"archiver reference":      {doc(`<dict><key>CF$UID</key><integer>1</integer></dict>`), plist.ErrSyntax},
		"integer beyond 64 bits":  {doc(`<integer>18446744073709551615</integer>`), plist.ErrSyntax},
		"hexadecimal":             {doc(`<integer>0x7f</integer>`), plist.ErrSyntax},
		"date of the year 0":      {doc(`<date>0000-01-01T00:00:00Z</date>`), plist.ErrSyntax},
		"unclosed":                {head + `<plist version="1.0"><dict>`, plist.ErrSyntax},
		"16 levels":               {doc(strings.Repeat("<array>", 16) + strings.Repeat("</array>", 16)), nil},
		"17 levels":               {doc(strings.Repeat("<array>", 17) + strings.Repeat("</array>", 17)), plist.ErrTooDeep},
		"a million open arrays":   {head + `<plist version="1.0">` + strings.Repeat("<array>", 1e6), plist.ErrTooLarge},
		"9000 arrays in 64 KiB":   {`<plist version="1.0">` + strings.Repeat("<array>", 9000), plist.ErrTooDeep},
		"2001 elements":           {doc(`<array>` + strings.Repeat("<true/>", 2000) + `</array>`), plist.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			err := plist.Check([]byte(c.in), plist.Limits{})
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestErrorHoldsNothingOfTheInput(t *testing.T) {
	err := plist.Check([]byte(doc(`<dict>secret</dict>`)), plist.Limits{})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
	var v struct{ A int64 }
	err = plist.Unmarshal([]byte(doc(`<dict><key>A</key><string>secret</string></dict>`)), plist.Limits{}, &v)
	require.ErrorIs(t, err, plist.ErrSyntax)
	require.NotContains(t, err.Error(), "secret")
}

func TestMarshalRefusesWhatWouldBeCorrupt(t *testing.T) {
	for name, v := range map[string]any{
		"nil pointer":       struct{ C *string }{},
		"control character": map[string]string{"a": "x\x01"},
		"invalid UTF-8":     map[string]string{"a": "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := plist.Marshal(v)
			require.Error(t, err)
			require.Nil(t, b)
		})
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, b := range hostileFiles(f) {
		f.Add(b)
	}
	f.Add([]byte(doc(`<dict><key>a</key><array><string>x</string><integer>-5</integer><true/><data>AAEC</data></array></dict>`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first any
		if plist.Unmarshal(b, plist.Limits{}, &first) != nil {
			return
		}
		encoded, err := plist.Marshal(first)
		if err != nil {
			return // a character that XML cannot carry
		}
		var second any
		require.NoError(t, plist.Unmarshal(encoded, plist.Limits{Bytes: 1 << 20}, &second))
		require.Equal(t, first, second)
	})
}
