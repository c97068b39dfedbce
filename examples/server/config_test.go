package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/storage"
)

// company writes the files of a trial without starting anything, and returns
// its settings.
func company(t *testing.T) config {
	t.Helper()
	return newTrial(t, "postgres:///enrollkit", trialBase, nil).settings
}

// mistakes are the lines that newNode returns for settings.
func mistakes(c config) []string {
	_, err := newNode(c, &faults{}, slog.New(slog.DiscardHandler))
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// Every mistake is named by its setting, and no other setting is.
func TestMistakes(t *testing.T) {
	good := company(t)
	require.Empty(t, mistakes(good))
	require.NoError(t, os.WriteFile(filepath.Join(good.dir, "text"), []byte("text"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(good.dir, "bad-policies", "100%"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(good.dir, "bad-policies", "a.mobileconfig"), []byte("text"), 0o600))
	other := filepath.Join(t.TempDir(), "other.key")
	wrongKey, err := os.ReadFile(filepath.Join(good.dir, "tls.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(other, wrongKey, 0o600))

	for name, c := range map[string]struct {
		edit func(*config)
		want []string // how the lines begin
	}{
		"empty": {func(c *config) { *c = defaults() }, []string{
			"base_url: is missing", "organization: is missing", "identifier: is missing", "database.dsn: is missing",
			"sign_in.client_id: is missing", "signing.certificate: is missing", "signing.key: is missing",
			"devices.ca.certificate: is missing", "devices.ca.key: is missing", "devices.ra.certificate: is missing",
			"devices.ra.key: is missing", "push.certificate: is missing", "push.key: is missing", "cookie_keys: is missing",
			"database.keys: is missing", "tls: is missing", "sign_in.issuer: the preset generic needs an issuer",
		}},
		"addresses": {func(c *config) { c.Listen, c.Admin = "nowhere", "127.0.0.1:http:1" }, []string{"listen:", "admin:"}},
		"base URL":  {func(c *config) { c.BaseURL = "http://mdm.example.com/x" }, []string{"base_url: must be https://"}},
		"files that are not there": {func(c *config) {
			c.TLS.Certificate, c.Signing.Key, c.Devices.CA.Certificate, c.Devices.RA.Key = "x1", "x2", "x3", "x4"
			c.Push.Certificate, c.Push.Roots, c.CookieKeys, c.Database.Keys = "x5", "x6", []string{"x7"}, []string{"seal.key", "x8"}
			c.SignIn.Roots, c.Account.DeviceCA, c.Policies = "x9", "x10", "x11"
		}, []string{
			"cookie_keys: open", "database.keys: open", "devices.ca.certificate: open", "devices.ra.key: open", "tls.certificate: open",
			"signing.key: open", "push.roots: open", "push.certificate: open", "sign_in.roots: open", "account.device_ca: open", "policies: open",
		}},
		"files that are something else": {func(c *config) {
			c.TLS.Certificate, c.Signing.Key, c.Devices.CA.Certificate, c.Devices.RA.Key = "text", "text", "text", "text"
			c.Push.Certificate, c.Push.Roots, c.CookieKeys, c.Database.Keys = "text", "text", []string{"text"}, []string{"text"}
			c.SignIn.Roots, c.Account.DeviceCA = "text", "text"
		}, []string{
			"cookie_keys: text has not 32 bytes", "database.keys: text has not 32 bytes", "devices.ca: text and", "devices.ra: scep-ra-chain.pem and text", "tls: text and",
			"signing: profile-signing-chain.pem and text", "push.roots: text has no certificate", "push: push: push certificate", "sign_in.roots: text has no", "account.device_ca: machineinfo",
		}},
		"a key of another certificate": {func(c *config) { c.Signing.Key = other }, []string{"signing: profile-signing-chain.pem and"}},
		"an authority that is none":    {func(c *config) { c.Devices.CA = c.TLS }, []string{"devices.ca:"}},
		"an RA of another authority":   {func(c *config) { c.Devices.RA = c.TLS }, []string{"devices.ra:"}},
		"policies":                     {func(c *config) { c.Policies = "bad-policies" }, []string{"policies: ", "policies: assignment 0"}},
		"no TLS and no proxy":          {func(c *config) { c.TLS = pairConfig{} }, []string{"tls: is missing"}},
		"TLS twice":                    {func(c *config) { c.Proxy.Trusted = []string{"10.0.0.0/8"} }, []string{"proxy.trusted: is for"}},
		"half a pair":                  {func(c *config) { c.TLS.Key = "" }, []string{"tls: needs both"}},
		"networks": {func(c *config) {
			c.TLS, c.Proxy.Trusted = pairConfig{}, []string{"10.0.0.1", "10.0.0.0/8", "x"}
		}, []string{"proxy.trusted:", "proxy.trusted:"}},
		"a header without a proxy": {func(c *config) { c.Proxy.ClientCertificateHeader = "X" }, []string{"proxy.client_certificate_header:"}},
		"numbers": {func(c *config) { c.Database.Connections, c.Devices.Limit, c.Stop.Delay, c.Push.Lease = -1, -1, -1, -1 }, []string{
			"database.connections: is negative", "devices.limit: is negative", "push.lease: is negative", "stop.delay: is negative",
		}},
		"retention": {func(c *config) { c.Retention = retentionConfig{Keep: duration(119 * time.Minute)} }, []string{
			"retention.keep: is under 2h0m0s", "retention.every: must be positive",
		}},
		"mistakes of several parts": {func(c *config) {
			c.Organization, c.Policies, c.Account.Method, c.Devices.RA = "", "bad-policies", "kerberos", c.Signing
		}, []string{"organization: is missing", "policies:", "account.method:", "policies:", "devices.ra:"}},
		"log level":                  {func(c *config) { c.LogLevel = "loud" }, []string{"log_level:"}},
		"DSN":                        {func(c *config) { c.Database.DSN = "postgres://a:secret@b:x/" }, []string{"database.dsn:"}},
		"preset":                     {func(c *config) { c.SignIn.Preset = "adfs" }, []string{"sign_in.preset:"}},
		"Entra without a tenant":     {func(c *config) { c.SignIn.Preset, c.SignIn.Issuer = "entra", "" }, []string{"sign_in:"}},
		"Entra with an issuer":       {func(c *config) { c.SignIn.Preset = "entra" }, []string{"sign_in.issuer:"}},
		"Google without a domain":    {func(c *config) { c.SignIn.Preset, c.SignIn.Issuer = "google", "" }, []string{"sign_in:"}},
		"two secrets":                {func(c *config) { c.SignIn.ClientSecretFile = "seal.key" }, []string{"sign_in.client_secret_file:"}},
		"method":                     {func(c *config) { c.Account.Method = "kerberos" }, []string{"account.method:"}},
		"account without anchor":     {func(c *config) { c.Account.DeviceCA = "" }, []string{"account.device_ca:"}},
		"domains":                    {func(c *config) { c.Account.Domains = []string{"not a domain"} }, []string{"account.domains:"}},
		"families of nobody":         {func(c *config) { c.DeviceEnrollment = deviceConfig{Families: []string{"iPad"}} }, []string{"device_enrollment.groups:"}},
		"families":                   {func(c *config) { c.DeviceEnrollment.Families = []string{"Pixel"} }, []string{"device_enrollment.families:"}},
		"a push service without TLS": {func(c *config) { c.Push.Host = "http://x" }, []string{"push:"}},
	} {
		t.Run(name, func(t *testing.T) {
			edited := good
			c.edit(&edited)
			got := mistakes(edited)
			for i, line := range got {
				if i >= len(c.want) {
					break
				}
				require.True(t, strings.HasPrefix(line, c.want[i]), "line %d is %q and not %q of\n%s", i, line, c.want[i], strings.Join(got, "\n"))
			}
			require.Len(t, got, len(c.want), strings.Join(got, "\n"))
			require.NotContains(t, strings.Join(got, "\n"), "secret@")
		})
	}
}

// readText is what is wrong in a file f.
func readText(c *config, text string) (lines []string) {
	var f faults
	c.read("f", []byte(text), &f)
	for _, err := range f.list {
		lines = append(lines, err.Error())
	}
	return lines
}

func TestReadFile(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"nothing": {`{}`, nil},
		"space":   {"\n { \n } \n", nil},
		"no JSON": {`base_url = "x"`, []string{"f:1: it is no JSON object"}},
		"empty":   {``, []string{"f:1: it is no JSON object"}},
		"null":    {`null`, []string{"f:1: it is no JSON object"}},
		"another type": {`{"base_url": 7, "stop": {"delay": "soon", "limit": 20}, "tls": "x", "cookie_keys": ["a", 5], "sign_in": {"require_mfa": "x"}, "devices": {"limit": 0.5}}`, []string{
			"f:1: base_url: is a number and not a string", `f:1: stop.delay: time: invalid duration "soon"`, `f:1: stop.limit: is a number and not a time such as "20s"`,
			"f:1: tls: is no JSON object", "f:1: cookie_keys: is a number and not a list of strings", "f:1: sign_in.require_mfa: is a string and not true or false",
			"f:1: devices.limit: is a number 0.5 and not a whole number",
		}},
		"unknown":    {"{\n\"base\": \"x\",\n\n\"database\": {\"url\": \"y\", \"dsn\": \"z\"}, \"BASE_URL\": 1}", []string{"f:2: base: is no setting", "f:4: database.url: is no setting", "f:4: BASE_URL: is no setting"}},
		"a bad name": {`{"a\nb\"": 1}`, []string{`f:1: "a\nb\"": is no setting`}},
		"no name":    {`{"": 1}`, []string{`f:1: "": is no setting`}},
		"null in it": {`{"listen": null, "database": null, "stop": {"delay": null}, "cookie_keys": ["a", null], "x": null}`, []string{
			"f:1: listen: is null: leave it out", "f:1: database: is no JSON object", "f:1: stop.delay: is null", "f:1: cookie_keys: is null", "f:1: x: is no setting",
		}},
		"twice": {"{\"listen\": \":1\", \"stop\": {\"delay\": \"1s\",\n\"delay\": 5},\n\"listen\": \":1\", \"stop\": {\"delay\": \"2s\", \"limit\": 7}, \"x\": 1, \"x\": 2}", []string{
			"f:2: stop.delay: is there twice", "f:3: listen: is there twice", "f:3: stop: is there twice", "f:3: stop.delay: is there twice", "f:3: stop.limit: is a number",
			"f:3: x: is no setting", "f:3: x: is there twice",
		}},
		"more behind it":    {"{\"base_url\": 7}\ntrailing", []string{"f:1: base_url: is a number", "f:1: something is behind the JSON object"}},
		"a comma too few":   {"{\"base_url\": 7,\n\"stop\": {\"delay\": 5 \"limit\": 7}}", []string{"f:1: base_url: is a number", "f:2: stop.delay: is a number", "f:2: it is no JSON object: invalid character"}},
		"a comma too many":  {`{"listen": ":1",}`, []string{"f:1: it is no JSON object: invalid character"}},
		"an end too early":  {`{"stop": {"delay": 5`, []string{"f:1: stop.delay: is a number", "f:1: it is no JSON object: unexpected EOF"}},
		"an end in a value": {`{"stop": {"delay": "5`, []string{"f:1: it is no JSON object: unexpected EOF"}},
		"another bracket":   {`{"stop": {"delay": 5]}`, []string{"f:1: stop.delay: is a number", "f:1: it is no JSON object"}},
		"good":              {`{"database": {"dsn": "z", "keys": ["a", "b"]}, "push": {"certificate": "c", "lease": "3s"}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := defaults()
			lines := readText(&s, c.text)
			require.Len(t, lines, len(c.want), strings.Join(lines, "\n"))
			for i, line := range lines {
				require.True(t, strings.HasPrefix(line, c.want[i]), "%q and not %q", line, c.want[i])
			}
			if len(c.want) > 0 && name != "unknown" {
				require.Equal(t, defaults().BaseURL, s.BaseURL, "what is refused changes nothing")
				require.Equal(t, defaults().Stop.Limit, s.Stop.Limit)
			}
		})
	}
}

// A mistake in what is read hides no other one, and is not taken for others.
func TestMistakesOfBoth(t *testing.T) {
	good := company(t)
	file := filepath.Join(good.dir, "edited.json")
	missing := func(settings ...string) (lines []string) {
		for _, s := range settings {
			lines = append(lines, s+": is missing")
		}
		return lines
	}
	all := missing("organization", "identifier", "database.dsn", "sign_in.client_id", "signing.certificate", "signing.key",
		"devices.ca.certificate", "devices.ca.key", "devices.ra.certificate", "devices.ra.key", "push.certificate", "push.key", "cookie_keys", "database.keys", "tls")
	issuer := "sign_in.issuer: the preset generic needs"
	for name, c := range map[string]struct {
		text    string
		environ []string
		want    []string
	}{
		"of the file":     {`{"base_url": 7}`, nil, slices.Concat([]string{file + ":1: base_url: is a number"}, all, []string{issuer})},
		"behind the file": {`{} x`, nil, slices.Concat([]string{file + ":1: something is behind"}, missing("base_url"), all, []string{issuer})},
		"of the environment": {`{}`, []string{"ENROLLKIT_SERVER_STOP_LIMIT=7", "ENROLLKIT_SERVER_X=1", "ENROLLKIT_SERVER_STOP_DELAY=-1s"}, slices.Concat(
			[]string{"ENROLLKIT_SERVER_STOP_LIMIT: time:", "ENROLLKIT_SERVER_X: is no setting"}, missing("base_url"), all[:len(all)-1],
			[]string{"stop.delay: is negative"}, all[len(all)-1:], []string{issuer})},
		"of the file, and not of the environment": {`{"base_url": 7, "listen": 8, "stop": {"delay": 9}}`, []string{"ENROLLKIT_SERVER_BASE_URL=https://mdm.example.com", "ENROLLKIT_SERVER_LISTEN=:1"}, slices.Concat(
			[]string{file + ":1: base_url:", file + ":1: listen:", file + ":1: stop.delay:"}, all, []string{issuer})},
		"twice, and bad": {`{"listen": "nowhere", "admin": "nowhere", "listen": ":1"}`, nil, slices.Concat(
			[]string{file + ":1: listen: is there twice"}, missing("base_url"), all[:len(all)-1], []string{"admin:"}, all[len(all)-1:], []string{issuer})},
		"groups": {`{"sign_in": 1, "tls": [], "signing": null, "devices": {"ca": "x", "ra": {"key": 1}}, "push": {}, "database": ""}`, nil, slices.Concat(
			[]string{file + ":1: sign_in: is no", file + ":1: tls:", file + ":1: signing:", file + ":1: devices.ca:", file + ":1: devices.ra.key:", file + ":1: database:"},
			missing("base_url", "organization", "identifier", "devices.ra.certificate", "push.certificate", "push.key", "cookie_keys"))},
		"networks": {`{"proxy": {"trusted": "10.0.0.0/8"}}`, nil, slices.Concat([]string{file + ":1: proxy.trusted:"}, missing("base_url"), all[:len(all)-1], []string{issuer})},
		// What would have come after the place is not known to be missing.
		"syntax": {`{"organization": "", "stop": {"delay": "-1s"}, "sign_in" "x"}`, []string{"ENROLLKIT_SERVER_LOG_LEVEL=loud", "ENROLLKIT_SERVER_BASE_URL="}, []string{
			file + ":1: it is no JSON", "base_url: is missing", "organization: is missing", "log_level:", "stop.delay: is negative"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			var out bytes.Buffer
			require.Equal(t, 2, run(t.Context(), []string{"-config", file}, c.environ, &out, &out))
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			require.Equal(t, fmt.Sprintf("server: %d mistakes:", len(lines)-1), lines[0], out.String())
			require.Len(t, lines[1:], len(c.want), out.String())
			for i, line := range lines[1:] {
				require.True(t, strings.HasPrefix(line, "  "+c.want[i]), "%q and not %q of\n%s", line, c.want[i], out.String())
			}
		})
	}
}

// The example has every setting, and none that is not one.
func TestExampleFile(t *testing.T) {
	var c config
	var f faults
	c.readFile("server.example.json", &f)
	require.NoError(t, f.err())
	written, err := json.Marshal(c)
	require.NoError(t, err)
	example, err := os.ReadFile("server.example.json")
	require.NoError(t, err)
	require.JSONEq(t, string(example), string(written))
}

// The guide names every group of settings.
func TestGuide(t *testing.T) {
	b, err := os.ReadFile("README.md")
	require.NoError(t, err)
	c := defaults()
	for name := range c.settings() {
		group, _, _ := strings.Cut(name, ".")
		if group == "log_level" {
			continue // says what it is
		}
		require.Contains(t, string(b), "`"+group, name)
	}
	require.Contains(t, string(b), variable("database.dsn"))
}

func TestEnvironment(t *testing.T) {
	c := defaults()
	c.BaseURL = "https://old.example.com"
	var f faults
	c.readEnvironment([]string{
		"PATH=/bin", "ENROLLKIT_SERVER_BASE_URL=https://mdm.example.com", "ENROLLKIT_SERVER_DATABASE_DSN=postgres:///a?b=c",
		"ENROLLKIT_SERVER_DATABASE_KEYS=new.key, old.key", "ENROLLKIT_SERVER_SIGN_IN_REQUIRE_MFA=true", "ENROLLKIT_SERVER_STOP_LIMIT=7s",
		"ENROLLKIT_SERVER_DEVICES_LIMIT=3", "ENROLLKIT_SERVER_PUSH_CERTIFICATE=p.pem", "ENROLLKIT_SERVER_RETENTION_KEEP=720h",
	}, &f)
	require.NoError(t, f.err())
	require.Equal(t, "https://mdm.example.com", c.BaseURL)
	require.Equal(t, "postgres:///a?b=c", c.Database.DSN)
	require.Equal(t, []string{"new.key", "old.key"}, c.Database.Keys)
	require.True(t, c.SignIn.RequireMFA)
	require.EqualValues(t, 7e9, c.Stop.Limit)
	require.Equal(t, 3, c.Devices.Limit)
	require.EqualValues(t, 720*time.Hour, c.Retention.Keep)
	require.EqualValues(t, storage.DefaultEvery, c.Retention.Every, "what nobody set")
	require.Equal(t, "p.pem", c.Push.Certificate)

	before := c
	c.readEnvironment([]string{
		"ENROLLKIT_SERVER_DATABASE_URL=x", "ENROLLKIT_SERVER_DEVICES_LIMIT=many", "ENROLLKIT_SERVER_SIGN_IN_REQUIRE_MFA=perhaps", "ENROLLKIT_SERVER_STOP_LIMIT=7",
	}, &f)
	require.Len(t, f.list, 4, f.err())
	require.ErrorContains(t, f.err(), "ENROLLKIT_SERVER_DATABASE_URL: is no setting")
	require.Equal(t, before, c, "what is refused changes nothing")
}

// What is written for further nodes says the same as what it was written from.
func TestSettingsRoundTrip(t *testing.T) {
	w := newTrial(t, "postgres:///enrollkit", trialBase, nil)
	read, f := configure(flags{config: w.config}, nil)
	require.NoError(t, f.err())
	require.Equal(t, w.settings, read)
	b, err := json.Marshal(read)
	require.NoError(t, err)
	require.NotContains(t, string(b), w.dir, "files are named beside it")
}

func TestDuration(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"168h": 168 * time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second, "1m": time.Minute, "10s": 10 * time.Second, "0s": 0, "1.5s": 1500 * time.Millisecond,
	} {
		b, err := duration(d).MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(b))
		var back duration
		require.NoError(t, back.UnmarshalText(b))
		require.EqualValues(t, d, back)
	}
}

// The program says all that is wrong, and starts nothing.
func TestRun(t *testing.T) {
	file := company(t).dir + "/server.json"
	for name, c := range map[string]struct {
		args, environ []string
		code          int
		says          string
	}{
		"help":             {[]string{"-h"}, nil, 0, "ENROLLKIT_SERVER_"},
		"a flag":           {[]string{"-x"}, nil, 2, "-x"},
		"an argument":      {[]string{"x"}, nil, 2, "unexpected argument"},
		"both":             {[]string{"-dev", "d", "-config", "c"}, nil, 2, "-dev makes"},
		"two modes":        {[]string{"-config", file, "-check", "-reseal"}, nil, 2, "one at a time"},
		"of a trial":       {[]string{"-dev", "d", "-reseal"}, nil, 2, "go with a -config"},
		"no file":          {[]string{"-config", "nothing.json"}, nil, 2, "nothing.json"},
		"nothing":          {nil, nil, 2, "mistakes:\n"},
		"a trial alone":    {[]string{"-dev", t.TempDir(), "-dev-idp", "127.0.0.1:0"}, nil, 2, "ENROLLKIT_SERVER_DATABASE_DSN"},
		"a trial and more": {[]string{"-dev", t.TempDir(), "-dev-idp", "127.0.0.1:0"}, []string{"ENROLLKIT_SERVER_X=1", "ENROLLKIT_SERVER_STOP_DELAY=-1s"}, 2, "server: 3 mistakes"},
		"variables":        {[]string{"-config", file, "-check"}, []string{"ENROLLKIT_SERVER_X=1"}, 2, "ENROLLKIT_SERVER_X: is no setting"},
		"check":            {[]string{"-config", file, "-check"}, nil, 0, "good"},
		"check of a trial": {[]string{"-dev", t.TempDir(), "-dev-idp", "127.0.0.1:0", "-check"}, []string{"ENROLLKIT_SERVER_DATABASE_DSN=postgres:///x"}, 0, "good"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.Equal(t, c.code, run(t.Context(), c.args, c.environ, io.MultiWriter(&out), &out), out.String())
			require.Contains(t, out.String(), c.says)
		})
	}
}

func TestPolicies(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"2.mobileconfig", "1.mobileconfig", "README.md", ".hidden.mobileconfig", "a%2Fb/x.mobileconfig", "eng/y.mobileconfig", ".git/z.mobileconfig"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	list, err := readPolicies(dir)
	require.NoError(t, err)
	var got []string
	for _, a := range list {
		got = append(got, a.Group+":"+a.Name+":"+string(a.Profile))
	}
	require.Equal(t, []string{":1:1.mobileconfig", ":2:2.mobileconfig", "a/b:x:a%2Fb/x.mobileconfig", "eng:y:eng/y.mobileconfig"}, got)
}
