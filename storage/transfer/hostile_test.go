package transfer_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage/transfer"
)

const head = `{"format":"enrollkit transfer","version":1,"id":"0","kinds":["user","suspension","session","web_session","ticket","enrollment","grant","command"]}` + "\n"

func TestHeadersThatAreRefused(t *testing.T) {
	var version *transfer.VersionError
	var kind *transfer.KindError
	for what, c := range map[string]struct {
		header string
		want   error
		as     any
	}{
		"nothing":             {"", transfer.ErrIncomplete, nil},
		"a part":              {head[:20], transfer.ErrIncomplete, nil},
		"no JSON":             {"PK\x03\x04\n", transfer.ErrFormat, nil},
		"not UTF-8":           {"\xff\n", transfer.ErrRecord, nil},
		"another format":      {`{"format":"other","version":1}` + "\n", transfer.ErrFormat, nil},
		"an array":            {"[]\n", transfer.ErrFormat, nil},
		"an unknown field":    {`{"format":"enrollkit transfer","version":1,"id":"0","kinds":[],"compressed":true}` + "\n", transfer.ErrFormat, nil},
		"more behind it":      {`{"format":"enrollkit transfer","version":1,"id":"0","kinds":[]} {}` + "\n", transfer.ErrFormat, nil},
		"a later version":     {`{"format":"enrollkit transfer","version":2,"shape":"round"}` + "\n", nil, &version},
		"an earlier version":  {`{"format":"enrollkit transfer"}` + "\n", nil, &version},
		"an unknown kind":     {`{"format":"enrollkit transfer","version":1,"id":"0","kinds":["rumour"]}` + "\n", nil, &kind},
		"a kind twice":        {`{"format":"enrollkit transfer","version":1,"id":"0","kinds":["user","user"]}` + "\n", nil, &kind},
		"sealed and no key":   {`{"format":"enrollkit transfer","version":1,"id":"0","kinds":[],"sealed":true}` + "\n", transfer.ErrKey, nil},
		"a line without end":  {strings.Repeat(" ", transfer.DefaultMaxLine+1), transfer.ErrTooLong, nil},
		"a long line":         {strings.Repeat(" ", transfer.DefaultMaxLine) + "\n", transfer.ErrTooLong, nil},
		"nested without end":  {strings.Repeat("[", 100_000) + "\n", transfer.ErrTooDeep, nil},
		"nested and in order": {strings.Repeat(`{"a":`, 9) + "0" + strings.Repeat("}", 9) + "\n", transfer.ErrTooDeep, nil},
	} {
		r, err := transfer.NewReader(strings.NewReader(c.header), transfer.ReadOptions{})
		require.Nil(t, r, what)
		var line *transfer.LineError
		require.ErrorAs(t, err, &line, what)
		require.Equal(t, int64(1), line.Line, what)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, what)
		}
		if c.as != nil {
			require.ErrorAs(t, err, c.as, what)
		}
	}
	require.Equal(t, 0, version.Found%2)
	require.Equal(t, 1, version.Known)
	_, err := transfer.NewReader(strings.NewReader(head), transfer.ReadOptions{Keys: [][]byte{key(1)}})
	require.ErrorIs(t, err, transfer.ErrKey, "keys, and a file that anybody may have written")
}

const digest = "0000000000000000000000000000000000000000000000000000000000000001"

func TestRecordsThatAreRefused(t *testing.T) {
	for what, c := range map[string]struct {
		line string
		want error
	}{
		"no JSON":                      {`?`, transfer.ErrRecord},
		"an empty line":                {``, transfer.ErrRecord},
		"an unknown field of a line":   {`{"kind":"user","record":{"id":"u"},"more":1}`, transfer.ErrRecord},
		"an unknown field":             {`{"kind":"user","record":{"id":"u","shoe_size":43}}`, transfer.ErrRecord},
		"no record":                    {`{"kind":"user"}`, transfer.ErrRecord},
		"null":                         {`{"kind":"user","record":null}`, transfer.ErrRecord},
		"sealed":                       {`{"kind":"user","sealed":"AAAA"}`, transfer.ErrDamaged},
		"another type":                 {`{"kind":"user","record":{"id":7}}`, transfer.ErrRecord},
		"two on a line":                {`{"kind":"user","record":{"id":"u"}}{"kind":"user","record":{"id":"u"}}`, transfer.ErrRecord},
		"no ID":                        {`{"kind":"user","record":{"issuer":"i"}}`, transfer.ErrRecord},
		"not UTF-8":                    {`{"kind":"user","record":{"id":"` + "\xff" + `"}}`, transfer.ErrRecord},
		"a time that is a text":        {`{"kind":"user","record":{"id":"u","created":"yesterday"}}`, transfer.ErrRecord},
		"a time that is a fraction":    {`{"kind":"user","record":{"id":"u","created":1.5}}`, transfer.ErrRecord},
		"a time beyond all":            {`{"kind":"user","record":{"id":"u","created":99999999999999999999}}`, transfer.ErrRecord},
		"the time that is absent":      {`{"kind":"user","record":{"id":"u","created":-62135596800000000}}`, transfer.ErrRecord},
		"a short digest":               {`{"kind":"web_session","record":{"digest":"00"}}`, transfer.ErrRecord},
		"a digest of other letters":    {`{"kind":"web_session","record":{"digest":"` + strings.Repeat("g", 64) + `"}}`, transfer.ErrRecord},
		"no digest":                    {`{"kind":"session","record":{"user":"u"}}`, transfer.ErrRecord},
		"an unknown way":               {`{"kind":"ticket","record":{"id":"t","way":"magic","state":"issued"}}`, transfer.ErrRecord},
		"an unknown state":             {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"lost"}}`, transfer.ErrRecord},
		"downloads below zero":         {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"issued","downloads":-1}}`, transfer.ErrRecord},
		"a challenge of no download":   {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"issued","challenges":[{"digest":"` + digest + `","download":1}]}}`, transfer.ErrRecord},
		"a key without a redemption":   {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"issued","downloads":1,"challenges":[{"digest":"` + digest + `","download":1,"key":"` + digest + `"}]}}`, transfer.ErrRecord},
		"a challenge twice":            {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"issued","downloads":2,"challenges":[{"digest":"` + digest + `","download":1},{"digest":"` + digest + `","download":2}]}}`, transfer.ErrRecord},
		"an identity twice":            {`{"kind":"ticket","record":{"id":"t","way":"profile","state":"issued","identities":[{"digest":"` + digest + `"},{"digest":"` + digest + `"}]}}`, transfer.ErrRecord},
		"an enrollment without ID":     {`{"kind":"enrollment","record":{"way":"profile","state":"enrolled","certificate":"` + digest + `"}}`, transfer.ErrRecord},
		"one without certificate":      {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled"}}`, transfer.ErrRecord},
		"one in no state":              {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"","certificate":"` + digest + `"}}`, transfer.ErrRecord},
		"a magic without token":        {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled","certificate":"` + digest + `","push_magic":"m"}}`, transfer.ErrRecord},
		"more settled than asked":      {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled","certificate":"` + digest + `","push":{"settled":1}}}`, transfer.ErrRecord},
		"due and not asked":            {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled","certificate":"` + digest + `","push":{"due":1}}}`, transfer.ErrRecord},
		"asked and never due":          {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled","certificate":"` + digest + `","push":{"request":1}}}`, transfer.ErrRecord},
		"a status without an attempt":  {`{"kind":"enrollment","record":{"id":"E","way":"profile","state":"enrolled","certificate":"` + digest + `","push":{"status":200}}}`, transfer.ErrRecord},
		"a grant for nothing":          {`{"kind":"grant","record":{"generations":[{"access":"` + digest + `"}]}}`, transfer.ErrRecord},
		"a grant without tokens":       {`{"kind":"grant","record":{"ticket":"t"}}`, transfer.ErrRecord},
		"tokens and an open code":      {`{"kind":"grant","record":{"ticket":"t","code":{"digest":"` + digest + `"},"generations":[{"access":"` + digest + `"}]}}`, transfer.ErrRecord},
		"a token twice":                {`{"kind":"grant","record":{"ticket":"t","generations":[{"access":"` + digest + `"},{"access":"` + digest + `"}]}}`, transfer.ErrRecord},
		"too many generations":         {`{"kind":"grant","record":{"ticket":"t","generations":[` + strings.Repeat(`{"access":"`+digest+`"},`, 64) + `{"access":"` + digest + `"}]}}`, transfer.ErrRecord},
		"a command in no state":        {`{"kind":"command","record":{"enrollment":"E","uuid":"c","status":"Lost"}}`, transfer.ErrRecord},
		"held and acknowledged":        {`{"kind":"command","record":{"enrollment":"E","uuid":"c","status":"Acknowledged","held":true}}`, transfer.ErrRecord},
		"a payload that is not base64": {`{"kind":"command","record":{"enrollment":"E","uuid":"c","status":"Queued","payload":"?"}}`, transfer.ErrRecord},
		"nested":                       {`{"kind":"user","record":{"id":` + strings.Repeat("[", 10_000) + `}}`, transfer.ErrTooDeep},
		"long":                         {`{"kind":"user","record":{"id":"` + strings.Repeat("u", transfer.DefaultMaxLine) + `"}}`, transfer.ErrTooLong},
		"an end of other records":      {`{"kind":"end","record":{"records":1,"sha256":"` + digest + `"}}`, transfer.ErrDamaged},
		"an end that is none":          {`{"kind":"end"}`, transfer.ErrRecord},
	} {
		r, err := transfer.NewReader(strings.NewReader(head+`{"kind":"user","record":{"id":"first"}}`+"\n"+c.line+"\n"), transfer.ReadOptions{})
		require.NoError(t, err, what)
		_, err = r.Next()
		require.NoError(t, err, what)
		e, err := r.Next()
		require.ErrorIs(t, err, c.want, what)
		require.Zero(t, e, what)
		var line *transfer.LineError
		require.ErrorAs(t, err, &line, what)
		require.Equal(t, int64(3), line.Line, what)
		_, again := r.Next()
		require.Equal(t, err, again, "%s: after an error", what)
	}
	for _, k := range []string{"rumour", ""} {
		_, err := read([]byte(head + `{"kind":"` + k + `","record":{}}` + "\n"))
		var kind *transfer.KindError
		require.ErrorAs(t, err, &kind)
		require.Equal(t, transfer.Kind(k), kind.Kind)
	}
}

// TestACutFile is cut at every byte, or at every seventh of a sealed one: what is
// whole is read, and then it is said that there is more.
func TestACutFile(t *testing.T) {
	for i, keys := range [][][]byte{nil, {key(1)}} {
		whole := write(t, cursors(sample()), keys...)
		first := bytes.IndexByte(whole, '\n') + 1
		for n := 0; n < len(whole); n += 1 + 6*i {
			entries, err := read(whole[:n], keys...)
			require.ErrorIs(t, err, transfer.ErrIncomplete, "cut at %d", n)
			if n >= first {
				require.Len(t, entries, bytes.Count(whole[first:n], []byte("\n")))
			}
		}
	}
}

func TestAnEndHasNothingBehindIt(t *testing.T) {
	whole := write(t, cursors(sample()))
	_, err := read(append(bytes.Clone(whole), '\n'))
	require.ErrorIs(t, err, transfer.ErrDamaged)
	_, err = read(append(bytes.Clone(whole), whole...))
	require.ErrorIs(t, err, transfer.ErrDamaged)
}

// TestAChangedFile has every byte changed: no such file is read to its end.
func TestAChangedFile(t *testing.T) {
	whole := write(t, cursors(sample()))
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		_, err := read(changed)
		require.Error(t, err, "byte %d", i)
	}
}

// TestASealedFileThatWasChanged: nothing of it is taken that was not written at
// that place of that file.
func TestASealedFileThatWasChanged(t *testing.T) {
	entries := cursors(sample())
	whole := write(t, entries, key(1))
	for i := 0; i < len(whole); i += 3 {
		changed := bytes.Clone(whole)
		changed[i] ^= 1
		got, err := read(changed, key(1))
		require.Error(t, err, "byte %d", i)
		require.Equal(t, entries[:len(got)], append([]transfer.Entry{}, got...), "byte %d", i)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	plain := bytes.SplitAfter(write(t, entries), []byte("\n"))
	var other bytes.Buffer
	w, err := transfer.NewWriter(&other, transfer.WriteOptions{Keys: [][]byte{key(1)}})
	require.NoError(t, err)
	require.NoError(t, w.Write(entries[0]))
	foreign := bytes.SplitAfter(other.Bytes(), []byte("\n"))
	n := len(lines) - 1
	for what, b := range map[string][]byte{
		"two lines change places": join(append([][]byte{lines[0], lines[2], lines[1]}, lines[3:]...)...),
		"a line is missing":       join(append([][]byte{lines[0]}, lines[2:]...)...),
		"a line comes twice":      join(append([][]byte{lines[0], lines[1]}, lines[1:]...)...),
		"a line of another file":  join(append([][]byte{lines[0], foreign[1]}, lines[2:]...)...),
		"a line in clear":         join(append([][]byte{lines[0], plain[1]}, lines[2:]...)...),
		"an early end":            join(lines[0], lines[1], lines[n-1]),
		"an early end in clear":   join(lines[0], lines[1], []byte(`{"kind":"end","record":{"records":1,"sha256":"`+digest+`"}}`+"\n")),
	} {
		_, err := read(b, key(1))
		require.ErrorIs(t, err, transfer.ErrDamaged, what)
	}
	_, err = read(whole, key(2))
	require.ErrorIs(t, err, transfer.ErrKey)
	_, err = read(whole)
	require.ErrorIs(t, err, transfer.ErrKey)
	_, err = read(write(t, entries), key(1))
	require.ErrorIs(t, err, transfer.ErrKey)
}

// FuzzReader reads any file. What it accepts it writes, and reads again, as it was;
// an error says in which line, and of which sort it is.
func FuzzReader(f *testing.F) {
	f.Add(write(f, cursors(sample())), 0)
	f.Add(write(f, cursors(sample()), key(1)), 0)
	for _, r := range sample() {
		f.Add(write(f, []transfer.Entry{{Record: r}}), 0)
	}
	for _, s := range []string{
		"", "{}\n", head, head[:40], head + `{"kind":"user","record":{"id":"u","groups":[],"created":0}}` + "\n",
		head + `{"kind":"command","cursor":"\u0000","record":{"enrollment":"E","UUID":"\ud800","status":"Queued","payload":""}}` + "\n",
		head + `{"kind":"end","record":{"records":0,"sha256":"` + digest + `"}}` + "\n", strings.Repeat("[", 1000) + "\n",
		strings.Replace(head, `"version":1`, `"version":1e0`, 1), strings.Replace(head, `"version":1`, `"version":2`, 1),
	} {
		f.Add([]byte(s), 0)
	}
	f.Add(write(f, cursors(sample())), 100)
	f.Fuzz(func(t *testing.T, b []byte, maxLine int) {
		for _, keys := range [][][]byte{nil, {key(1)}} {
			fuzzed(t, b, keys, maxLine)
		}
	})
}

func fuzzed(t *testing.T, b []byte, keys [][]byte, maxLine int) {
	r, err := transfer.NewReader(bytes.NewReader(b), transfer.ReadOptions{Keys: keys, MaxLine: maxLine})
	if err != nil {
		require.Nil(t, r)
		sorted(t, err)
		return
	}
	var list []transfer.Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			require.Zero(t, e)
			sorted(t, err)
			break
		}
		list = append(list, e)
	}
	again, err := read(write(t, list))
	require.NoError(t, err)
	require.Equal(t, list, again)
}

// sorted fails when an error is of no sort that a caller could tell.
func sorted(t *testing.T, err error) {
	t.Helper()
	var line *transfer.LineError
	require.ErrorAs(t, err, &line)
	for _, named := range []error{
		transfer.ErrFormat, transfer.ErrTooLong, transfer.ErrTooDeep, transfer.ErrRecord, transfer.ErrIncomplete, transfer.ErrDamaged, transfer.ErrKey,
	} {
		if errors.Is(err, named) {
			return
		}
	}
	var version *transfer.VersionError
	var kind *transfer.KindError
	require.True(t, errors.As(err, &version) || errors.As(err, &kind), "%v", err)
}
