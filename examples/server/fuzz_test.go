package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// judged is what must hold of settings that were read, whatever they were read
// from: each mistake names where it is, in a line, and without one they are
// written and read again as the same.
func judged(t *testing.T, c config, f *faults, place string) {
	t.Helper()
	for _, err := range f.list {
		require.Regexp(t, place, err.Error())
		require.NotContains(t, err.Error(), "\n")
	}
	c.judgeNumbers(f) // whatever the values are
	c.judgeTLS(f)
	written, err := json.Marshal(c)
	require.NoError(t, err, "whatever was refused, the rest is whole")
	again, more := defaults(), &faults{}
	again.read("f", written, more)
	require.NoError(t, more.err())
	require.Equal(t, c, again)
}

// A file that is refused in nothing is JSON, and its settings are settings.
func FuzzFile(f *testing.F) {
	example, err := os.ReadFile("server.example.json")
	require.NoError(f, err)
	f.Add(string(example))
	for _, text := range []string{
		`{}`, `{}:`, "{}\f", ``, `null`, `[{}]`, `{"base_url": 7, "x": 1}`, `{"listen": null, "listen": ":1"} x`, `{"tls": {}, "tls": "x"}`, `{"stop": {"delay": "1h", "limit": 5`,
		`{"sign_in": {"require_mfa": true, "tenants": ["a", null]}, "devices": {"limit": 1e400}}`, `{"retention": {"keep": "-1ns"}, "cookie_keys": []}`, `{"a\nb": {"listen": 1}, "": 2}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, faults := defaults(), &faults{}
		c.read("f", []byte(text), faults)
		if faults.err() == nil {
			var members map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(text), &members), "the whole of it is JSON")
		}
		judged(t, c, faults, `^f:\d+: .`)
	})
}

// A variable that is no setting is named.
func FuzzEnvironment(f *testing.F) {
	for _, text := range []string{
		"BASE_URL=https://mdm.example.com", "DATABASE_KEYS=a, b,,c\nSTOP_DELAY=1h2m", "DEVICES_LIMIT=-3\nSIGN_IN_REQUIRE_MFA=T", "X=1", "STOP_DELAY=7\nDEVICES_LIMIT=x\nSIGN_IN_REQUIRE_MFA=\n",
		"STOP=1", "BASE_URL", "=", "LISTEN=:1\nLISTEN=:2",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip("JSON cannot write it")
		}
		environ := []string{"PATH=/bin"}
		for line := range strings.SplitSeq(text, "\n") {
			environ = append(environ, variables+line)
		}
		c, faults := defaults(), &faults{}
		c.readEnvironment(environ, faults)
		known := map[string]bool{}
		for name := range c.settings() {
			known[variable(name)] = true
		}
		for _, e := range environ[1:] {
			if key, _, _ := strings.Cut(e, "="); !known[key] {
				require.ErrorContains(t, faults.err(), key+": is no setting")
			}
		}
		judged(t, c, faults, "^"+variables+".*: ")
	})
}
