package mdmtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// What the phone sends is what Apple's schema says that a device sends.
func TestThePhoneSpeaksAsApplesSchemaSays(t *testing.T) {
	w := newWorld(t)
	judge := &schematest.Transport{T: t, Target: appleschema.Target{OS: "17.6"}, Base: w.server.Client().Transport}
	p := w.enrolled(func(c *mdmtest.Config) {
		c.Transport, c.NotNow, c.Error = judge, []string{"SecurityInfo"}, []string{"InstallApplication"}
	})
	common := func(kind, name string) map[string]any {
		return map[string]any{"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": "com.example." + name, "PayloadUUID": name}
	}
	top, root := common("Configuration", "sso"), common("com.apple.security.root", "root")
	root["PayloadContent"] = []byte{1}
	top["PayloadContent"] = []any{root}
	installed, err := plist.Marshal(top)
	require.NoError(t, err)
	w.commands(
		map[string]any{"RequestType": "InstallProfile", "Payload": installed},
		map[string]any{"RequestType": "DeviceInformation", "Queries": []string{"OSVersion", "ProductName"}},
		map[string]any{"RequestType": "SecurityInfo"},
		map[string]any{"RequestType": "CertificateList"},
		map[string]any{"RequestType": "SecurityInfo"},
		map[string]any{"RequestType": "ProfileList"},
		map[string]any{"RequestType": "InstalledApplicationList"},
		map[string]any{"RequestType": "ManagedApplicationList"},
		map[string]any{"RequestType": "Settings", "Settings": []any{}},
		map[string]any{"RequestType": "InstallApplication", "Identifier": "com.example.app"},
		map[string]any{"RequestType": "RemoveProfile", "Identifier": "com.example.sso"},
		map[string]any{"RequestType": "RemoveProfile", "Identifier": "com.example.none"},
	)
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 12, n)
	require.NoError(t, p.CheckOut(t.Context()))
	require.Equal(t, map[string]int{
		"Authenticate": 1, "TokenUpdate": 1, "CheckOut": 1, "report": 13, "InstallProfile": 1, "RemoveProfile": 2,
		"DeviceInformation": 1, "SecurityInfo": 2, "CertificateList": 1, "ProfileList": 1,
		"InstalledApplicationList": 1, "ManagedApplicationList": 1, "Settings": 1, "InstallApplication": 1,
	}, judge.Seen())
}
