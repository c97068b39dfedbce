package mdmtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/esso"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

const store = 123456789

// ssoProfile is a profile of one extension.
func ssoProfile(t testing.TB) []byte {
	t.Helper()
	b, err := plist.Marshal(map[string]any{
		"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "com.example.sso", "PayloadUUID": "3C4E2C1E-0000-4000-8000-000000000001",
		"PayloadContent": []any{map[string]any{
			"PayloadType": "com.apple.extensiblesso", "PayloadVersion": 1, "PayloadIdentifier": "com.example.sso.extension", "PayloadUUID": "3C4E2C1E-0000-4000-8000-000000000002",
			"ExtensionIdentifier": "com.example.app.sso", "Type": "Redirect", "URLs": []any{"https://login.example.com/"},
		}},
	})
	require.NoError(t, err)
	return b
}

func TestEnrollmentSSO(t *testing.T) {
	declarations, err := esso.Declare("com.example.esso", esso.App{ITunesStoreID: store}, "https://mdm.example.com/p")
	require.NoError(t, err)
	developing, err := esso.Declare("com.example.esso", esso.App{BundleID: "com.example.app"}, "https://mdm.example.com/p")
	require.NoError(t, err)
	var judge *schematest.Transport
	a := newAccounts(t, func(c *mdmtest.Config) {
		judge = &schematest.Transport{T: t, Target: appleschema.Target{OS: "18.4"}, Base: c.Transport}
		c.Transport = judge
	})
	serve := func(d esso.Document, mode esso.Mode) http.HandlerFunc {
		h, err := esso.NewHandler(d, mode)
		require.NoError(t, err)
		return h.ServeHTTP
	}
	a.replace["/esso"] = serve(esso.Document{ITunesStoreID: store, ConfigurationProfile: ssoProfile(t), Declarations: declarations}, esso.Standard)
	a.replace["/declared"] = serve(esso.Document{ITunesStoreID: store, Declarations: declarations}, esso.Standard)
	a.replace["/developer"] = serve(esso.Document{AppIDs: []string{"ABCDE12345.com.example.app"}, Declarations: developing}, esso.Developer)
	a.replace["/typed"] = typed(200, "text/json", "{}")
	a.replace["/empty"] = typed(200, "application/json", "{}")
	a.replace["/missing"] = typed(404, "application/json", "{}")
	both := map[string]string{"X-Apple-MDM-ESSO": a.server.URL + "/esso", "X-Apple-MDM-ESSO-Developer": a.server.URL + "/developer"}
	only := func(path string) map[string]string { return map[string]string{"X-Apple-MDM-ESSO": a.server.URL + path} }

	for name, c := range map[string]struct {
		headers map[string]string
		os      string
		edit    func(*mdmtest.AccountConfig)
		path    string // that is fetched, "" for none
		want    error  // nil with path: a document
		fails   bool
	}{
		"standard":                  {headers: both, path: "/esso"},
		"developer":                 {headers: both, edit: func(c *mdmtest.AccountConfig) { c.DeveloperMode = true }, path: "/developer"},
		"no header of its mode":     {headers: only("/esso"), edit: func(c *mdmtest.AccountConfig) { c.DeveloperMode = true }},
		"before iOS 16":             {headers: both, os: "15.6"},
		"declarations alone":        {headers: only("/declared"), path: "/declared"},
		"declarations, before 18.4": {headers: only("/declared"), os: "18.3", path: "/declared", want: mdmtest.ErrRefused},
		"the app is there":          {headers: both, edit: func(c *mdmtest.AccountConfig) { c.Apps = []int64{1, store} }, path: "/esso", want: mdmtest.ErrAppInstalled},
		"another app is there":      {headers: both, edit: func(c *mdmtest.AccountConfig) { c.Apps = []int64{1} }, path: "/esso"},
		"of another type":           {headers: only("/typed"), path: "/typed", want: mdmtest.ErrRefused},
		"not found":                 {headers: only("/missing"), path: "/missing", want: mdmtest.ErrRefused},
		"not https":                 {headers: map[string]string{"X-Apple-MDM-ESSO": "http://mdm.example.com/esso"}, want: mdmtest.ErrRefused},
		"nothing in it":             {headers: only("/empty"), path: "/empty", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			a.esso, a.asked = c.headers, nil
			a.config.OSVersion = "18.4"
			if c.os != "" {
				a.config.OSVersion = c.os
			}
			judge.Target.OS = a.config.OSVersion
			if name == "declarations, before 18.4" {
				judge.Target.OS = "" // the schema says so as well
			}
			account := a.config.Account
			defer func() { a.config.Account = account }()
			if c.edit != nil {
				c.edit(&a.config.Account)
			}
			found, err := a.phone().Discover(t.Context(), identifier)
			require.NoError(t, err)
			_, err = found.RequestChallenge(t.Context())
			if c.fails {
				require.Error(t, err)
			} else {
				require.ErrorIs(t, err, c.want)
			}
			require.Equal(t, c.path != "" && err == nil, found.SSO != nil)
			if c.path != "" {
				get := a.find(c.path, 0)
				require.Equal(t, http.MethodGet, get.method)
				require.NotContains(t, get.header, "Authorization")
			} else {
				require.Len(t, a.asked, 2, "discovery and the POST")
			}
		})
	}
}
