package extension_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/plist"
)

// Every key is one that iOS has, of its type, required ones are there, and none
// is forbidden under User Enrollment.
func TestAppleAcceptsIt(t *testing.T) {
	for name, e := range golden {
		t.Run(name, func(t *testing.T) {
			var top map[string]any
			require.NoError(t, plist.Unmarshal(encode(t, e), plist.Limits{}, &top))
			require.Empty(t, appleschema.Validate(appleschema.KindProfile, "", top, appleschema.Target{OS: "17.6"}))
		})
	}
	rule, ok := appleschema.Payload("com.apple.extensiblesso")
	require.True(t, ok)
	require.False(t, rule.ByHand, "a person cannot install it")
}

// Every key of Kerberos that iOS has is a field, but the two that are no matter
// of a group's configuration or out of date.
func TestKerberosHasEveryKey(t *testing.T) {
	data := payload(t, fullKerberos())["ExtensionData"].(map[string]any)
	for _, key := range []string{
		"allowAutomaticLogin", "certificateUUID", "credentialBundleIdACL", "credentialUseMode", "customUsernameLabel",
		"domainRealmMapping", "helpText", "includeManagedAppsInBundleIdACL", "isDefaultRealm", "performKerberosOnly",
		"preferredKDCs", "requireTLSForLDAP", "requireUserPresence", "siteCode", "useSiteAutoDiscovery",
	} {
		require.Contains(t, data, key)
		_, ok := appleschema.Key("com.apple.extensiblesso(kerberos)", "ExtensionData."+key)
		require.True(t, ok, key)
	}
}
