package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/porttest"
)

// asProgram makes the test binary be the program, see crash_test.go.
const asProgram = "ENROLLKIT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// told is a line of -json.
type told struct {
	Step   string
	OK     bool
	Error  *string
	Detail map[string]any
}

// runJSON runs the program in this process and reads what it told.
func runJSON(t *testing.T, args ...string) (code int, lines []told) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"-json", "-addr", "127.0.0.1:0"}, args...), &stdout, &stderr)
	for line := range strings.Lines(stdout.String()) {
		var l told
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		require.NoError(t, dec.Decode(&l), "standard output has a line that is no step: %q", line)
		lines = append(lines, l)
	}
	if t.Failed() || len(lines) == 0 {
		t.Log(stderr.String())
	}
	return code, lines
}

// detailKeys are those of each step.
var detailKeys = map[string][]string{
	"listen":       {"apns", "data", "url"},
	"discovery":    {"base_url", "domain", "version"},
	"challenge":    {"method"},
	"signin":       {"user"},
	"jit":          {"created", "groups", "managed_apple_account", "user"},
	"ticket":       {"ref"},
	"token":        {"refreshable", "type"},
	"profile":      {"file", "sha256"},
	"identity":     {"not_after", "sha256"},
	"authenticate": {"enrollment_id"},
	"token-update": {"enrollment_id"},
	"push":         {"apns_id", "status"},
	"sso":          {"command_uuid", "extension", "type", "urls"},
	"done":         {"seconds"},
}

// contract are the steps of a way, in order.
func contract(w way) []string {
	steps := []string{"listen", "signin", "jit", "ticket", "profile"}
	if w.account() {
		steps = []string{"listen", "discovery", "challenge", "signin", "jit", "ticket", "token", "profile"}
	}
	return append(steps, "identity", "authenticate", "token-update", "push", "sso", "done")
}

// requireContract holds the lines against the contract, and returns the details
// by step.
func requireContract(t *testing.T, w way, lines []told) map[string]map[string]any {
	t.Helper()
	details := map[string]map[string]any{}
	for i, step := range contract(w) {
		require.Greater(t, len(lines), i, "%q was not told", step)
		l := lines[i]
		require.Equal(t, step, l.Step)
		require.Nil(t, l.Error)
		require.True(t, l.OK)
		want := detailKeys[step]
		if l.Detail["method"] == "apple-oauth2" {
			want = []string{"client_id", "method", "scope", "token_url"}
		}
		require.Equal(t, want, slices.Sorted(maps.Keys(l.Detail)), step)
		details[step] = l.Detail
	}
	require.Len(t, lines, len(contract(w)))
	return details
}

func TestOnceTellsEveryStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	code, lines := runJSON(t, "-once", "-data", dir, "-addr", porttest.Address(t))
	require.Zero(t, code, "%+v", lines[len(lines)-1])
	first := requireContract(t, wayProfile, lines)
	require.Equal(t, dir, first["listen"]["data"])
	require.Regexp(t, `^https://127\.0\.0\.1:\d+$`, first["listen"]["url"])
	require.Regexp(t, `^https://127\.0\.0\.1:\d+$`, first["listen"]["apns"])
	require.Equal(t, "alice@example.com", first["signin"]["user"])
	require.Equal(t, true, first["jit"]["created"])
	require.Equal(t, []any{"byod", "engineering"}, first["jit"]["groups"])
	require.Equal(t, "alice@example.com", first["jit"]["managed_apple_account"])
	require.Len(t, first["ticket"]["ref"], 8)
	require.FileExists(t, first["profile"]["file"].(string))
	require.Len(t, first["profile"]["sha256"], 64)
	require.EqualValues(t, 200, first["push"]["status"])
	require.Equal(t, "com.microsoft.azureauthenticator.ssoextension", first["sso"]["extension"])
	require.Equal(t, "Redirect", first["sso"]["type"])
	require.Contains(t, first["sso"]["urls"], "https://login.microsoftonline.com")
	require.Positive(t, first["done"]["seconds"])

	// The same directory again: the person is known, the phone is a new one.
	code, lines = runJSON(t, "-once", "-data", dir)
	require.Zero(t, code, "%+v", lines[len(lines)-1])
	second := requireContract(t, wayProfile, lines)
	require.Equal(t, false, second["jit"]["created"])
	require.Equal(t, first["jit"]["user"], second["jit"]["user"])
	require.Equal(t, first["listen"]["url"], second["listen"]["url"])
	for _, new := range [][2]string{{"ticket", "ref"}, {"authenticate", "enrollment_id"}, {"identity", "sha256"}, {"push", "apns_id"}, {"sso", "command_uuid"}} {
		require.NotEqual(t, first[new[0]][new[1]], second[new[0]][new[1]], new)
	}

	w := open(t, "-data", dir)
	state := w.state()
	require.Len(t, state["users"], 1)
	require.Len(t, state["enrollments"], 2)
	for _, e := range state["enrollments"] {
		require.Equal(t, "enrolled", e["state"])
	}
	for _, c := range state["commands"] {
		require.Equal(t, "InstallProfile", c["request_type"])
		require.Equal(t, "Acknowledged", c["status"])
	}
}

func TestContractorsGetAnotherPolicy(t *testing.T) {
	code, lines := runJSON(t, "-once", "-data", t.TempDir(), "-user", "bob@example.com")
	require.Zero(t, code, "%+v", lines[len(lines)-1])
	told := requireContract(t, wayProfile, lines)
	require.Equal(t, []any{"contractors"}, told["jit"]["groups"])
	require.Equal(t, "com.example.authenticator.sso", told["sso"]["extension"])
	require.Equal(t, []any{"https://sso.example.com/contractors"}, told["sso"]["urls"])
}

func TestAFailedStepIsTheLastLine(t *testing.T) {
	code, lines := runJSON(t, "-once", "-data", t.TempDir(), "-user", "mallory@example.com")
	require.Equal(t, 1, code)
	require.Len(t, lines, 2)
	require.Equal(t, "listen", lines[0].Step)
	require.Equal(t, "signin", lines[1].Step)
	require.False(t, lines[1].OK)
	require.Contains(t, *lines[1].Error, "wrong")
	require.Nil(t, lines[1].Detail)
}

func TestAPortInUseFailsToListen(t *testing.T) {
	w := open(t)
	var stdout bytes.Buffer
	code := run(t.Context(), []string{"-once", "-json", "-data", t.TempDir(), "-addr", w.server.base.Host}, &stdout, &bytes.Buffer{})
	require.Equal(t, 1, code)
	var l told
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &l))
	require.Equal(t, "listen", l.Step)
	require.False(t, l.OK)
	require.Contains(t, *l.Error, w.server.base.Host)
}

func TestPlainWords(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), []string{"-once", "-addr", "127.0.0.1:0", "-data", dataDir(t), "-way", string(w)}, &stdout, &stderr)
			require.Zero(t, code, stdout.String())
			for line := range strings.Lines(stderr.String()) {
				require.Contains(t, line, " level=WARN msg=push ", "there is more to say than that APNs took too long, and was asked again")
			}
			text := stdout.String()
			for _, step := range contract(w) {
				require.Regexp(t, `(?m)^ +\d+\.\d{3}s  `+step+` `, text)
			}
			for _, no := range []string{"<nil>", "%!", "map["} {
				require.NotContains(t, text, no)
			}
		})
	}
}

func TestBadFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":           {[]string{"-twice"}, "-twice"},
		"argument":               {[]string{"now"}, `"now"`},
		"once without a device":  {[]string{"-once", "-no-device"}, "-no-device"},
		"address without a port": {[]string{"-addr", "127.0.0.1"}, "-addr"},
		"port too high":          {[]string{"-addr", "127.0.0.1:70000"}, "-addr"},
		"port by name":           {[]string{"-addr", "127.0.0.1:https"}, "-addr"},
		"no user":                {[]string{"-user", ""}, "-user"},
		"no time to wait":        {[]string{"-wait", "0s"}, "-wait"},
		"no window":              {[]string{"-window", "-1m"}, "-window"},
		"negative grace":         {[]string{"-grace", "-1s"}, "-grace"},
		"window too long":        {[]string{"-window", "9m"}, "8m0s"},
		"no version":             {[]string{"-ios", "seventeen"}, "-ios"},
		"version too long":       {[]string{"-ios", "17.6.1.2"}, "-ios"},
		"version of nothing":     {[]string{"-ios", ""}, "-ios"},
		"version 0":              {[]string{"-ios", "0.9"}, "-ios"},
		"version of a beta":      {[]string{"-ios", "26.1beta"}, "-ios"},
		"unknown way":            {[]string{"-way", "dep"}, "profile, account, oauth2, adde, device"},
		"no duration":            {[]string{"-wait", "soon"}, "-wait"},
		"base URL without TLS":   {[]string{"-base-url", "http://mdm.example.com"}, "-base-url"},
		"base URL with a path":   {[]string{"-base-url", "https://mdm.example.com/x"}, "-base-url"},
		"base URL with a query":  {[]string{"-base-url", "https://mdm.example.com?x=1"}, "-base-url"},
		"base URL with a user":   {[]string{"-base-url", "https://a@mdm.example.com"}, "-base-url"},
		"base URL without host":  {[]string{"-base-url", "https://"}, "-base-url"},
		"no URL":                 {[]string{"-base-url", "https://%zz"}, "-base-url"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), c.args, &stdout, &stderr))
			require.Empty(t, stdout.String())
			require.Contains(t, stderr.String(), c.want)
		})
	}
	require.Zero(t, run(t.Context(), []string{"-help"}, &bytes.Buffer{}, &bytes.Buffer{}))
}

func TestBaseURL(t *testing.T) {
	for given, want := range map[string]string{
		"https://mdm.example.com":      "https://mdm.example.com",
		"https://mdm.example.com/":     "https://mdm.example.com",
		"https://MDM.example.com:443":  "https://mdm.example.com",
		"https://mdm.example.com:8443": "https://mdm.example.com:8443",
		"https://[::1]:8443":           "https://[::1]:8443",
	} {
		o, err := parse([]string{"-base-url", given}, &bytes.Buffer{})
		require.NoError(t, err)
		require.Equal(t, want, o.baseURL.String())
	}
}
