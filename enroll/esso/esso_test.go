package esso_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"flag"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/esso"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	store   = 123456789
	appID   = "ABCDE12345.com.example.authenticator"
	domain  = "login.example.com"
	address = "https://mdm.example.com/ddm/profile/sso.mobileconfig"
)

// ssoProfile is a profile as the rest of the library makes it.
func ssoProfile(t testing.TB, more ...profile.Payload) []byte {
	t.Helper()
	p, err := extension.Profile(
		extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Work sign-in"},
		extension.Redirect{ExtensionIdentifier: "com.example.authenticator.sso", URLs: []string{"https://login.example.com/"}},
	)
	require.NoError(t, err)
	p.Content = append(p.Content, more...)
	b, err := p.Marshal()
	require.NoError(t, err)
	return b
}

func declare(t testing.TB, app esso.App, urls ...string) []esso.Declaration {
	t.Helper()
	list, err := esso.Declare("com.example.esso", app, urls...)
	require.NoError(t, err)
	return list
}

// standard is a document with everything that one can have.
func standard(t testing.TB) esso.Document {
	t.Helper()
	return esso.Document{
		ITunesStoreID: store, AssociatedDomains: []string{domain}, AssociatedDomainsEnableDirectDownloads: true,
		ConfigurationProfile: ssoProfile(t),
		Declarations:         declare(t, esso.App{ITunesStoreID: store, AssociatedDomains: []string{domain}}, address),
	}
}

func developer(t testing.TB) esso.Document {
	t.Helper()
	return esso.Document{AppIDs: []string{appID}, Declarations: declare(t, esso.App{BundleID: "com.example.authenticator"}, address, address+"?2")}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		document esso.Document
		mode     esso.Mode
	}{
		"profile.json":   {esso.Document{ITunesStoreID: store, AssociatedDomains: []string{domain}, ConfigurationProfile: ssoProfile(t)}, esso.Standard},
		"standard.json":  {standard(t), esso.Standard},
		"developer.json": {developer(t), esso.Developer},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := c.document.Encode(c.mode)
			require.NoError(t, err)
			golden(t, name, b)
			parsed, err := esso.Parse(b, c.mode)
			require.NoError(t, err)
			require.Equal(t, c.document, parsed)
			for i, d := range c.document.Declarations {
				plain, err := json.MarshalIndent(d, "", "\t")
				require.NoError(t, err)
				golden(t, strings.TrimSuffix(name, ".json")+"-declaration"+string(rune('1'+i))+".json", append(plain, '\n'))
			}
		})
	}
}

// The keys and types that Apple's schema has (other/esso.yaml; Declarations are
// of iOS 18.4).
func TestKeysOfTheDocument(t *testing.T) {
	b, err := standard(t).Encode(esso.Standard)
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(b, &keys))
	require.Equal(t, float64(store), keys["iTunesStoreID"])
	require.Equal(t, []any{domain}, keys["AssociatedDomains"])
	require.Equal(t, true, keys["AssociatedDomainsEnableDirectDownloads"])
	xml, err := base64.StdEncoding.DecodeString(keys["ConfigurationProfile"].(string))
	require.NoError(t, err)
	require.Equal(t, ssoProfile(t), xml)
	require.Len(t, keys["Declarations"], 3)
	for _, d := range keys["Declarations"].([]any) {
		text, err := base64.StdEncoding.DecodeString(d.(string))
		require.NoError(t, err)
		var declaration map[string]any
		require.NoError(t, json.Unmarshal(text, &declaration))
		require.Len(t, declaration, 4)
		for _, key := range []string{"Type", "Identifier", "ServerToken", "Payload"} {
			require.Contains(t, declaration, key)
		}
	}
	require.Len(t, keys, 5, "AppIDs must be absent")

	b, err = developer(t).Encode(esso.Developer)
	require.NoError(t, err)
	clear(keys)
	require.NoError(t, json.Unmarshal(b, &keys))
	require.Len(t, keys, 2)
	require.Equal(t, []any{appID}, keys["AppIDs"])
}

// What is served later must be the same, so it is made the same.
func TestDeclareIsStable(t *testing.T) {
	app := esso.App{ITunesStoreID: store, AssociatedDomains: []string{domain}, AssociatedDomainsEnableDirectDownloads: true}
	first := declare(t, app, address)
	require.Equal(t, first, declare(t, app, address))
	other := declare(t, app, address+"?2")
	require.Equal(t, first[0], other[0])
	require.Equal(t, first[1].Identifier, other[1].Identifier)
	require.NotEqual(t, first[1].ServerToken, other[1].ServerToken, "another address is another version")
	for _, d := range first {
		require.LessOrEqual(t, len(d.ServerToken), 64)
	}
}

// violations are the paths of an error.
func violations(err error) []string {
	var paths []string
	for v := range profile.Violations(err) {
		paths = append(paths, v.Path)
	}
	return paths
}

func TestCheck(t *testing.T) {
	pkcs12 := profile.PKCS12{Common: profile.Common{Type: "com.apple.security.pkcs12", Version: 1, Identifier: "a.b", UUID: "U"}, Content: []byte{1}, Password: "x"}
	root := profile.Root{Common: profile.Common{Type: "com.apple.security.root", Version: 1, Identifier: "a.b", UUID: "U"}, Content: []byte{1}}
	mdm := profile.Root{Common: profile.Common{Type: "com.apple.mdm", Version: 1, Identifier: "a.b", UUID: "U"}, Content: []byte{1}}
	app, legacy, activation := 0, 1, 2
	payload := func(d *esso.Document, i int, json string) { d.Declarations[i].Payload = []byte(json) }
	more := func(d *esso.Document, kind, id, payload string) {
		d.Declarations = append(d.Declarations, esso.Declaration{Type: kind, Identifier: id, ServerToken: "1", Payload: []byte(payload)})
	}
	const all = `"com.example.esso.app","com.example.esso.profile1"`
	for name, c := range map[string]struct {
		edit func(*esso.Document)
		want []string // paths of violations; none: accepted
	}{
		"as it is":                    {func(*esso.Document) {}, nil},
		"profile only":                {func(d *esso.Document) { d.Declarations = nil }, nil},
		"declarations only":           {func(d *esso.Document) { d.ConfigurationProfile = nil }, nil},
		"neither":                     {func(d *esso.Document) { d.ConfigurationProfile, d.Declarations = nil, nil }, []string{"ConfigurationProfile"}},
		"no store id":                 {func(d *esso.Document) { d.ITunesStoreID, d.Declarations = 0, nil }, []string{"iTunesStoreID"}},
		"app ids in standard mode":    {func(d *esso.Document) { d.AppIDs = []string{appID} }, []string{"AppIDs"}},
		"a domain with a scheme":      {func(d *esso.Document) { d.AssociatedDomains = []string{"https://a.example", "a.example", "x"} }, []string{"AssociatedDomains[0]", "AssociatedDomains[2]"}},
		"a domain with a service":     {func(d *esso.Document) { d.AssociatedDomains = []string{"authsrv:a.example", "*.b.example"} }, nil},
		"65 domains":                  {func(d *esso.Document) { d.AssociatedDomains = slices.Repeat([]string{"a.example"}, 65) }, []string{"AssociatedDomains"}},
		"certificate beside":          {func(d *esso.Document) { d.ConfigurationProfile = ssoProfile(t, root) }, nil},
		"private key beside":          {func(d *esso.Document) { d.ConfigurationProfile = ssoProfile(t, pkcs12) }, []string{"ConfigurationProfile.PayloadContent[1]"}},
		"another payload":             {func(d *esso.Document) { d.ConfigurationProfile = ssoProfile(t, root, mdm) }, []string{"ConfigurationProfile.PayloadContent[2]"}},
		"profile that is none":        {func(d *esso.Document) { d.ConfigurationProfile = []byte("<plist") }, []string{"ConfigurationProfile.PayloadContent"}},
		"profile that is binary":      {func(d *esso.Document) { d.ConfigurationProfile = []byte("bplist00") }, []string{"ConfigurationProfile.PayloadContent"}},
		"declaration of another type": {func(d *esso.Document) { more(d, "com.apple.configuration.passcode.settings", "p", "{}") }, []string{"Declarations[3].Type"}},
		"a management declaration":    {func(d *esso.Document) { more(d, "com.apple.management.organization-info", "p", `{"Name":"x"}`) }, []string{"Declarations[3].Type"}},
		"two activations": {func(d *esso.Document) {
			more(d, "com.apple.activation.simple", "a2", `{"StandardConfigurations":[`+all+`]}`)
		}, []string{"Declarations"}},
		"no activation": {func(d *esso.Document) { d.Declarations = d.Declarations[:2] }, []string{"Declarations", "Declarations"}},
		"no app":        {func(d *esso.Document) { d.Declarations = d.Declarations[1:] }, []string{"Declarations", "Declarations"}},
		"no legacy profile": {func(d *esso.Document) {
			d.Declarations = slices.Delete(d.Declarations, 1, 2)
			payload(d, 1, `{"StandardConfigurations":["com.example.esso.app"]}`)
		}, []string{"Declarations"}},
		"one is not activated":      {func(d *esso.Document) { payload(d, activation, `{"StandardConfigurations":["com.example.esso.app"]}`) }, []string{"Declarations"}},
		"one too many is activated": {func(d *esso.Document) { payload(d, activation, `{"StandardConfigurations":[`+all+`,"x"]}`) }, []string{"Declarations"}},
		"activated twice": {func(d *esso.Document) {
			payload(d, activation, `{"StandardConfigurations":[`+all+`,"com.example.esso.app"]}`)
		}, []string{"Declarations"}},
		"in another order": {func(d *esso.Document) {
			payload(d, activation, `{"StandardConfigurations":["com.example.esso.profile1","com.example.esso.app"]}`)
		}, nil},
		"another app":                {func(d *esso.Document) { payload(d, app, `{"AppStoreID":"987654321"}`) }, []string{"Declarations[0].Payload"}},
		"an app id that is a number": {func(d *esso.Document) { payload(d, app, `{"AppStoreID":123456789}`) }, []string{"Declarations[0].Payload"}},
		"an app by bundle id":        {func(d *esso.Document) { payload(d, app, `{"BundleID":"com.example.authenticator"}`) }, []string{"Declarations[0].Payload"}},
		"an app by both": {func(d *esso.Document) {
			payload(d, app, `{"AppStoreID":"123456789","BundleID":"com.example.authenticator"}`)
		}, []string{"Declarations[0].Payload"}},
		"a profile without TLS":  {func(d *esso.Document) { payload(d, legacy, `{"ProfileURL":"http://mdm.example.com/p"}`) }, []string{"Declarations[1].Payload.ProfileURL"}},
		"a profile from nowhere": {func(d *esso.Document) { payload(d, legacy, `{}`) }, []string{"Declarations[1].Payload"}},
		"a profile from two places": {func(d *esso.Document) {
			payload(d, legacy, `{"ProfileURL":"https://mdm.example.com/p","ProfileAssetReference":"a"}`)
		}, []string{"Declarations[1].Payload"}},
		"a profile that is an asset": {func(d *esso.Document) {
			payload(d, legacy, `{"ProfileAssetReference":"a"}`)
			more(d, "com.apple.asset.data", "a", "{}")
		}, nil},
		"an asset that nobody uses": {func(d *esso.Document) { more(d, "com.apple.asset.data", "a", "{}") }, []string{"Declarations"}},
		"an asset of the app": {func(d *esso.Document) {
			payload(d, app, `{"AppStoreID":"123456789","AppConfig":{"DataAssetReference":["a"]}}`)
			more(d, "com.apple.asset.data", "a", "{}")
		}, nil},
		"identifier twice":        {func(d *esso.Document) { d.Declarations[2].Identifier = "com.example.esso.app" }, []string{"Declarations[2].Identifier"}},
		"identifier empty":        {func(d *esso.Document) { d.Declarations[2].Identifier = "" }, []string{"Declarations[2].Identifier"}},
		"identifier of 65 bytes":  {func(d *esso.Document) { d.Declarations[2].Identifier = strings.Repeat("a", 65) }, []string{"Declarations[2].Identifier"}},
		"identifier with a slash": {func(d *esso.Document) { d.Declarations[2].Identifier = "a/b" }, []string{"Declarations[2].Identifier"}},
		"no token":                {func(d *esso.Document) { d.Declarations[2].ServerToken = "" }, []string{"Declarations[2].ServerToken"}},
		"payload no object":       {func(d *esso.Document) { payload(d, app, `[]`) }, []string{"Declarations[0].Payload"}},
		"65 declarations":         {func(d *esso.Document) { d.Declarations = slices.Repeat(d.Declarations, 22) }, []string{"Declarations"}},
		"predicates are left to devices": {func(d *esso.Document) {
			payload(d, activation, `{"StandardConfigurations":[`+all+`],"Predicate":"TRUEPREDICATE"}`)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := standard(t)
			d.Declarations = slices.Clone(d.Declarations)
			c.edit(&d)
			err := d.Check(esso.Standard)
			require.Equal(t, c.want, violations(err), err)
			b, encodeErr := d.Encode(esso.Standard)
			if err != nil {
				require.Equal(t, err, encodeErr)
				require.Nil(t, b)
			} else {
				require.NoError(t, encodeErr)
			}
		})
	}
}

func TestCheckDeveloper(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*esso.Document)
		want []string
	}{
		"as it is":           {func(*esso.Document) {}, nil},
		"with a store id":    {func(d *esso.Document) { d.ITunesStoreID = store }, nil},
		"no app ids":         {func(d *esso.Document) { d.AppIDs = nil }, []string{"AppIDs", "Declarations[0].Payload"}},
		"no team":            {func(d *esso.Document) { d.AppIDs = append(d.AppIDs, "com.example.authenticator") }, []string{"AppIDs[1]"}},
		"another app":        {func(d *esso.Document) { d.AppIDs = []string{"ABCDE12345.com.example.other"} }, []string{"Declarations[0].Payload"}},
		"an app by store id": {func(d *esso.Document) { d.Declarations[0].Payload = []byte(`{"AppStoreID":"123456789"}`) }, []string{"Declarations[0].Payload"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := developer(t)
			c.edit(&d)
			require.Equal(t, c.want, violations(d.Check(esso.Developer)))
		})
	}
	require.Equal(t, []string{"iTunesStoreID", "AppIDs", "Declarations[0].Payload"}, violations(developer(t).Check(esso.Standard)), "the modes are not the same")
}

func TestCheckProfile(t *testing.T) {
	require.NoError(t, esso.CheckProfile(ssoProfile(t)))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	sign := func(content []byte) []byte {
		signed, err := cms.Sign(content, key, []*x509.Certificate{cert}, cms.SignOptions{})
		require.NoError(t, err)
		return signed
	}
	require.NoError(t, esso.CheckProfile(sign(ssoProfile(t))))
	changed := sign(ssoProfile(t))
	changed[len(changed)-1] ^= 1
	require.Error(t, esso.CheckProfile(changed), "what is signed must verify")
	require.Error(t, esso.CheckProfile(sign([]byte("<plist/>"))))

	for name, content := range map[string]string{
		"no extension":  `<dict><key>PayloadType</key><string>Configuration</string><key>PayloadIdentifier</key><string>a</string><key>PayloadUUID</key><string>U</string><key>PayloadContent</key><array/></dict>`,
		"no identifier": strings.ReplaceAll(string(ssoProfile(t)), "<key>PayloadIdentifier</key>", "<key>Other</key>"),
		"no URLs":       strings.Replace(string(ssoProfile(t)), "<key>URLs</key>", "<key>Hosts</key>", 1),
		"an entity":     `<!DOCTYPE plist [<!ENTITY a "b">]><plist/>`,
		"an array":      `<plist version="1.0"><array/></plist>`,
	} {
		if strings.HasPrefix(content, "<dict>") {
			content = `<plist version="1.0">` + content + `</plist>`
		}
		require.Error(t, esso.CheckProfile([]byte(content)), name)
	}
}

func TestParse(t *testing.T) {
	good, err := standard(t).Encode(esso.Standard)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		json string
		want error // nil: refused for what it says
	}{
		"empty":                         {"", esso.ErrDocument},
		"an array":                      {"[]", esso.ErrDocument},
		"null":                          {"null", esso.ErrDocument},
		"two objects":                   {string(good) + "{}", esso.ErrDocument},
		"store id as a string":          {strings.Replace(string(good), "123456789", `"123456789"`, 1), esso.ErrDocument},
		"store id of null":              {strings.Replace(string(good), "123456789", "null", 1), esso.ErrDocument},
		"profile not in base64":         {`{"iTunesStoreID":1,"ConfigurationProfile":"<plist>"}`, esso.ErrDocument},
		"declarations not in base64":    {`{"iTunesStoreID":1,"Declarations":[{"Type":"x"}]}`, esso.ErrDocument},
		"a declaration that is no JSON": {`{"iTunesStoreID":1,"Declarations":["AAAA"]}`, esso.ErrDocument},
		"too large":                     {`{"x":"` + strings.Repeat("x", esso.MaxBytes) + `"}`, esso.ErrDocument},
		"nested deeply":                 {strings.Repeat(`{"a":`, 100_000), esso.ErrDocument},
		"store id in lower case":        {strings.Replace(string(good), "iTunesStoreID", "itunesstoreid", 1), nil},
		"nothing of it":                 {"{}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := esso.Parse([]byte(c.json), esso.Standard)
			require.Error(t, err)
			require.Zero(t, d)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			} else {
				require.NotEmpty(t, violations(err))
			}
		})
	}
	d, err := esso.Parse(bytes.Replace(good, []byte(`{"iTunes`), []byte(`{"Future":{"a":[1]},"iTunes`), 1), esso.Standard)
	require.NoError(t, err, "keys of the future")
	require.Equal(t, standard(t), d)
}

func TestHandler(t *testing.T) {
	h, err := esso.NewHandler(standard(t), esso.Standard)
	require.NoError(t, err)
	want, err := standard(t).Encode(esso.Standard)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	defer server.Close()
	resp, err := http.Get(server.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, []string{"application/json"}, resp.Header["Content-Type"])
	got := &bytes.Buffer{}
	_, err = got.ReadFrom(resp.Body)
	require.NoError(t, err)
	require.Equal(t, want, got.Bytes())
	resp, err = http.Head(server.URL)
	require.NoError(t, err)
	require.Equal(t, int64(len(want)), resp.ContentLength)
	resp, err = http.Post(server.URL, "application/json", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	require.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))

	_, err = esso.NewHandler(esso.Document{}, esso.Standard)
	require.NotEmpty(t, violations(err))
}

func TestSetHeaders(t *testing.T) {
	h := http.Header{}
	esso.SetHeaders(h, "", "")
	require.Empty(t, h)
	esso.SetHeaders(h, "https://mdm.example.com/esso", "https://mdm.example.com/esso/developer")
	require.Equal(t, "https://mdm.example.com/esso", h.Get("x-apple-mdm-esso"))
	require.Equal(t, "https://mdm.example.com/esso/developer", h.Get("x-apple-mdm-esso-developer"))
	esso.SetHeaders(h, "https://mdm.example.com/2", "")
	require.Len(t, h, 2)
}

// FuzzParse: what is accepted is encoded, and read as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []struct {
		document esso.Document
		mode     esso.Mode
	}{{standard(f), esso.Standard}, {developer(f), esso.Developer}} {
		b, err := seed.document.Encode(seed.mode)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"iTunesStoreID":1,"ConfigurationProfile":"PHBsaXN0Lz4="}`))
	f.Add([]byte(`{"iTunesStoreID":1,"Declarations":["e30="]}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, mode := range []esso.Mode{esso.Standard, esso.Developer} {
			d, err := esso.Parse(b, mode)
			if err != nil {
				require.Zero(t, d)
				continue
			}
			first, err := d.Encode(mode)
			require.NoError(t, err)
			again, err := esso.Parse(first, mode)
			require.NoError(t, err)
			second, err := again.Encode(mode)
			require.NoError(t, err)
			require.Equal(t, string(first), string(second))
		}
	})
}
