package mdm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

func TestWayAllowsWhatTheGateAllows(t *testing.T) {
	refused := mdm.WayProfile.RefusedQueries()
	require.Contains(t, refused, "SerialNumber")
	require.IsIncreasing(t, refused)
	for _, q := range refused {
		require.False(t, mdm.WayProfile.Allows("query "+q), q)
		err := mdm.Allowed(mdm.WayProfile, command.Raw{Type: "DeviceInformation", Values: map[string]any{"Queries": []any{q}}})
		require.ErrorIs(t, err, mdm.ErrForbidden, q)
	}
	for what, want := range map[string]bool{
		"query OSVersion": true, "query PasscodePresent": false,
		"command EraseDevice": false, "command DeviceLock": true,
		"payload com.apple.vpn.managed": false, "payload com.apple.extensiblesso": true,
		"query": false, "command": false, "": false, "setting Wallpaper": false,
	} {
		require.Equal(t, want, mdm.WayProfile.Allows(what), what)
	}
	require.False(t, mdm.WayDevice.Allows("wish EraseDevice"))
	require.Empty(t, mdm.WayDevice.RefusedQueries())
}

func TestWayAllowsWithRights(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayDevice, mdm.WayAccountDevice} {
		for what, right := range map[string]profile.AccessRights{
			"command EraseDevice": profile.RightErase, "command InstalledApplicationList": profile.RightListApps,
			"query PhoneNumber": profile.RightQueryNetwork, "query SerialNumber": profile.RightQueryDevice,
		} {
			require.True(t, way.AllowsWith(right, what), what)
			require.False(t, way.AllowsWith(profile.RightInspectProfiles, what), what)
			require.Equal(t, profile.DefaultAccessRights.Has(right), way.Allows(what), what)
		}
		require.False(t, way.AllowsWith(1<<13-1, "command DeviceLocation"), "for supervised devices")
	}
	require.False(t, mdm.WayAccount.AllowsWith(1<<13-1, "command EraseDevice"), "rights do not matter under User Enrollment")
}
