package mdm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
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
