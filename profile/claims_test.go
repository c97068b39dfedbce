package profile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
)

// with is a profile of custom payloads.
func with(name string, payloads ...map[string]any) *profile.Profile {
	header := func(kind, id string) profile.Common {
		return profile.Common{Type: kind, Version: 1, Identifier: id, UUID: profile.UUID(id)}
	}
	p := &profile.Profile{Common: header("Configuration", "com.example."+name)}
	for i, values := range payloads {
		p.Content = append(p.Content, profile.Custom{
			Common: header("com.apple.extensiblesso", fmt.Sprintf("com.example.%s.%d", name, i+1)), Values: values,
		})
	}
	return p
}

func redirect(urls ...string) map[string]any { return map[string]any{"Type": "Redirect", "URLs": urls} }
func credential(hosts ...string) map[string]any {
	return map[string]any{"Type": "Credential", "Hosts": hosts}
}

func marshal(t testing.TB, p *profile.Profile) []byte {
	t.Helper()
	b, err := p.Marshal()
	require.NoError(t, err)
	return b
}

func TestClaims(t *testing.T) {
	claims, err := profile.Claims(marshal(t, with("a", redirect("HTTPS://Login.Example.com/", "https://login.example.com/Path/"), credential("Example.okta.com"))))
	require.NoError(t, err)
	require.Equal(t, []string{
		"the profile identifier com.example.a", "the URL https://login.example.com",
		"the URL https://login.example.com/Path/", "the host example.okta.com",
	}, claims)
}

func TestClaimsRefuses(t *testing.T) {
	for name, encoded := range map[string]string{
		"nothing":            "",
		"binary":             "bplist00",
		"a string":           `<plist version="1.0"><string>x</string></plist>`,
		"no identifier":      `<plist version="1.0"><dict><key>PayloadContent</key><array/></dict></plist>`,
		"no payloads":        `<plist version="1.0"><dict><key>PayloadIdentifier</key><string>a</string></dict></plist>`,
		"encrypted payloads": `<plist version="1.0"><dict><key>PayloadIdentifier</key><string>a</string><key>PayloadContent</key><data>AAEC</data></dict></plist>`,
		"payload is text":    `<plist version="1.0"><dict><key>PayloadIdentifier</key><string>a</string><key>PayloadContent</key><array><string>x</string></array></dict></plist>`,
		"too large":          `<plist version="1.0"><string>` + strings.Repeat("x", 2<<20) + `</string></plist>`,
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := profile.Claims([]byte(encoded))
			require.ErrorIs(t, err, profile.ErrMalformed)
			require.Nil(t, claims)
		})
	}
	_, err := profile.Claims(marshal(t, with("a", credential("h"), credential("g", "H"))))
	var clash *profile.ClashError
	require.ErrorAs(t, err, &clash)
	require.Equal(t, profile.ClashError{First: "com.example.a.1", Second: "com.example.a.2", Claim: "the host h"}, *clash)
}

func TestCheck(t *testing.T) {
	a, b, c := with("a", redirect("https://one"), credential("h")), with("b", redirect("https://two")), with("c", redirect("https://one", "https://two"), credential("h.example"))
	require.NoError(t, profile.Check(a, b))
	require.NoError(t, profile.Check())
	err := profile.Check(a, b, c)
	require.ErrorIs(t, err, profile.ErrClash)
	require.ErrorContains(t, err, `"com.example.a" and "com.example.c" both claim the URL https://one`)
	require.ErrorContains(t, err, `"com.example.b" and "com.example.c" both claim the URL https://two`)
	require.ErrorIs(t, profile.Check(a, a), profile.ErrClash, "one identifier twice")
	require.ErrorIs(t, profile.Check(b, with("d", credential("h"), credential("h"))), profile.ErrClash)
}

func TestCustom(t *testing.T) {
	var top map[string]any
	require.NoError(t, plist.Unmarshal(marshal(t, with("a", map[string]any{"N": 7})), plist.Limits{}, &top))
	payload := top["PayloadContent"].([]any)[0].(map[string]any)
	require.Equal(t, sorted("N"), keys(payload), "an optional key that is empty is left out")
	require.Equal(t, uint64(7), payload["N"])

	p := with("a", nil)
	require.NotPanics(t, func() { marshal(t, p) })
	payloadNamed := p.Content[0].(profile.Custom)
	payloadNamed.Organization = "Example Inc."
	p.Content[0] = payloadNamed
	require.Contains(t, string(marshal(t, p)), "Example Inc.")

	b, err := with("a", map[string]any{"PayloadUUID": "x"}).Marshal()
	require.Nil(t, b)
	violations := slices.Collect(profile.Violations(err))
	require.Len(t, violations, 1)
	require.Equal(t, "com.apple.extensiblesso.PayloadUUID", violations[0].Path)
}

func TestCertificatePayloads(t *testing.T) {
	common := profile.Common{Type: "com.apple.security.pkcs1", Version: 1, Identifier: "com.example.a.issuing", UUID: profile.UUID("issuing")}
	p := &profile.Profile{Common: with("a").Common, Content: []profile.Payload{profile.Intermediate{Common: common, Content: []byte{0x30, 0}}}}
	var top map[string]any
	require.NoError(t, plist.Unmarshal(marshal(t, p), plist.Limits{}, &top))
	payload := top["PayloadContent"].([]any)[0].(map[string]any)
	require.Equal(t, sorted("PayloadContent"), keys(payload))
	require.Equal(t, []byte{0x30, 0}, payload["PayloadContent"])
}

// What is accepted says the same after it was written anew.
func FuzzClaims(f *testing.F) {
	f.Add(marshal(f, with("a", redirect("https://one", "HTTP://Two/"), credential("h", ".g"))))
	f.Add(marshal(f, with("b", credential("h"), credential("h"))))
	f.Add([]byte(`<plist version="1.0"><dict><key>PayloadIdentifier</key><string>a</string><key>PayloadContent</key><array><dict><key>URLs</key><true/></dict></array></dict></plist>`))
	f.Add([]byte("bplist00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		claims, err := profile.Claims(b)
		if err != nil {
			require.Nil(t, claims)
			return
		}
		require.NotEmpty(t, claims)
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(claims))), len(claims), "a claim twice")
		var top map[string]any
		require.NoError(t, plist.Unmarshal(b, plist.Limits{Bytes: 2 << 20, Depth: 32, Elements: 50_000}, &top))
		again, err := plist.Marshal(top)
		if err != nil {
			return // a character that XML cannot carry
		}
		same, err := profile.Claims(again)
		require.NoError(t, err)
		require.Equal(t, claims, same)
	})
}

func TestCommonCheck(t *testing.T) {
	good := with("a").Common
	good.DisplayName, good.Description, good.Organization = "Work", "What it is for", "Example Inc."
	require.NoError(t, good.Check())
	for name, c := range map[string]struct {
		change func(*profile.Common)
		path   string
	}{
		"no type":           {func(c *profile.Common) { c.Type = "" }, "PayloadType"},
		"no UUID":           {func(c *profile.Common) { c.UUID = "" }, "PayloadUUID"},
		"version 2":         {func(c *profile.Common) { c.Version = 2 }, "PayloadVersion"},
		"no reverse domain": {func(c *profile.Common) { c.Identifier = "sso" }, "PayloadIdentifier"},
		"control character": {func(c *profile.Common) { c.DisplayName = "a\x00" }, "PayloadDisplayName"},
		"not UTF-8":         {func(c *profile.Common) { c.Description = "\xff" }, "PayloadDescription"},
		"300 characters":    {func(c *profile.Common) { c.Organization = strings.Repeat("ä", 300) }, "PayloadOrganization"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			c.change(&bad)
			violations := slices.Collect(profile.Violations(bad.Check()))
			require.Len(t, violations, 1)
			require.Equal(t, c.path, violations[0].Path)
		})
	}
	require.Len(t, slices.Collect(profile.Violations(profile.Common{}.Check())), 4, "every mistake at once")
}
