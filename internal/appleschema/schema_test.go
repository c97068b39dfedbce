package appleschema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/enrollkit/enrollkit/internal/appleschema"
)

func TestTables(t *testing.T) {
	rule, ok := Command("InstallProfile")
	require.True(t, ok)
	require.Equal(t, Rule{Right: 2, Since: "4.0"}, rule)
	rule, _ = Command("EraseDevice")
	require.Equal(t, Rule{User: Forbidden, Right: 8, Since: "4.0"}, rule)
	rule, _ = Command("DeviceConfigured")
	require.True(t, rule.Supervised, "needs Automated Device Enrollment")
	_, ok = Command("RotateFileVaultKey")
	require.False(t, ok, "macOS only")

	for query, want := range map[string]struct {
		right    int
		standing Standing
	}{"OSVersion": {16, Optional}, "SerialNumber": {16, Forbidden}, "WiFiMAC": {32, Forbidden}, "OrganizationInfo": {0, Optional}} {
		rule, ok = Query("DeviceInformation", query)
		require.True(t, ok, query)
		require.Equal(t, want.right, rule.Right, query)
		require.Equal(t, want.standing, rule.User, query)
	}
	rule, ok = Query("Settings", "ApplicationAttributes")
	require.True(t, ok)
	require.Equal(t, 4096, rule.Right)
	rule, ok = Query("SecurityInfo", "PasscodePresent")
	require.True(t, ok)
	require.Equal(t, Forbidden, rule.User)
	_, ok = Query("InstallProfile", "Payload")
	require.True(t, ok)
	for _, none := range [][2]string{{"DeviceInformation", "Mood"}, {"Mood", "OSVersion"}, {"InstallProfile", "Mood"}} {
		_, ok = Query(none[0], none[1])
		require.False(t, ok)
	}

	rule, ok = Payload("com.apple.mdm")
	require.True(t, ok)
	require.True(t, rule.ByHand)
	for _, none := range []string{"TopLevel", "CommonPayloadKeys", "com.apple.dock", ""} {
		_, ok = Payload(none)
		require.False(t, ok, none)
	}
	rule, ok = Key("com.apple.security.scep", "PayloadContent.URL")
	require.True(t, ok)
	require.Equal(t, Required, rule.User)
	_, ok = Key("com.apple.security.scep", "PayloadContent.URL.Mood")
	require.False(t, ok)
	_, ok = Key("com.example", "A")
	require.False(t, ok)

	count := map[string]int{}
	for range Commands() {
		count["commands"]++
	}
	for name := range Payloads() {
		require.NotContains(t, []string{"TopLevel", "CommonPayloadKeys"}, name)
		count["payloads"]++
	}
	for range Keys("com.apple.mdm") {
		count["keys"]++
	}
	for range Queries("Settings") {
		count["settings"]++
	}
	for range Queries("Mood") {
		count["none"]++
	}
	require.Greater(t, count["commands"], 40)
	require.Greater(t, count["payloads"], 45)
	require.Greater(t, count["keys"], 10)
	require.Equal(t, 18, count["settings"])
	require.Zero(t, count["none"])
}
