package profile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/profile"
)

func TestAccessRights(t *testing.T) {
	require.Equal(t, profile.AccessRights(1|2|16|1024|2048|4096), profile.DefaultAccessRights)
	require.EqualValues(t, 4096, profile.RightManageApps, "Apple's bits")
	require.EqualValues(t, 8, profile.RightErase)
	for _, never := range []profile.AccessRights{profile.RightErase, profile.RightLockAndClearPasscode, profile.RightQueryNetwork, profile.RightListApps} {
		require.False(t, profile.DefaultAccessRights.Has(never), never.String())
	}
	for rights, reason := range map[profile.AccessRights]string{
		profile.DefaultAccessRights: "", 8191: "", 1: "", 64: "", 16: "", 3: "", 192: "",
		0: "must not be 0", 2: "inspect", 128: "inspect", 8192: "0x2000", -1: "no right",
	} {
		err := rights.Validate()
		if reason == "" {
			require.NoError(t, err, rights.String())
			continue
		}
		var violation *profile.Violation
		require.ErrorAs(t, err, &violation)
		require.Equal(t, "com.apple.mdm.AccessRights", violation.Path)
		require.Contains(t, violation.Reason, reason)
	}
	require.Equal(t, "inspect profiles, erase", (profile.RightInspectProfiles | profile.RightErase).String())
	require.Equal(t, "0x0", profile.AccessRights(0).String())
	require.Equal(t, "erase, 0x2000", (profile.RightErase | 8192).String())
}
