package mdm_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

func profileWith(t testing.TB, payloads ...map[string]any) []byte {
	list := []any{}
	for _, p := range payloads {
		list = append(list, p)
	}
	b, err := plist.Marshal(map[string]any{"PayloadType": "Configuration", "PayloadContent": list})
	require.NoError(t, err)
	return b
}

func TestGate(t *testing.T) {
	install := func(p ...map[string]any) command.Command {
		return command.InstallProfile{Payload: profileWith(t, p...)}
	}
	sso := map[string]any{"PayloadType": "com.apple.extensiblesso"}
	for _, test := range []struct {
		name    string
		command command.Command
		what    string // refused under User Enrollment, "" when allowed
		device  string // refused under Device Enrollment with the default rights
	}{
		{"query", command.DeviceInformation{Queries: []string{"OSVersion", "DevicePropertiesAttestation"}}, "", ""},
		{"remove profile", command.RemoveProfile{Identifier: "a"}, "", ""},
		{"lock", command.DeviceLock{}, "", "command DeviceLock"},
		{"organization", command.Settings{Settings: []command.Setting{command.OrganizationInfo{Name: "A"}}}, "", ""},
		{"app", command.InstallApplication{Identifier: "a.b"}, "", ""},
		{"SSO", install(sso), "", ""},
		{"restriction", install(map[string]any{"PayloadType": "com.apple.applicationaccess", "PayloadUUID": "U", "allowScreenShot": false}), "", ""},
		{"erase", command.Raw{Type: "EraseDevice"}, "command EraseDevice", "command EraseDevice"},
		{"passcode", command.Raw{Type: "ClearPasscode"}, "command ClearPasscode", "command ClearPasscode"},
		{"unlisted", command.Raw{Type: "Frobnicate"}, "command Frobnicate", "command Frobnicate"},
		{"serial number", command.DeviceInformation{Queries: []string{"OSVersion", "SerialNumber"}}, "query SerialNumber", ""},
		{"odd query", command.Raw{Type: "DeviceInformation", Values: map[string]any{"Queries": []any{1}}}, "query 1", `query ""`},
		{"no list of queries", command.Raw{Type: "DeviceInformation", Values: map[string]any{"Queries": "UDID"}}, "queries of DeviceInformation", "Queries of DeviceInformation"},
		{"device name", command.Settings{Settings: []command.Setting{command.RawSetting{Name: "DeviceName"}}}, `setting "DeviceName"`, `setting "DeviceName"`},
		{"roaming", command.Settings{Settings: []command.Setting{command.RawSetting{Name: "DataRoaming"}}}, `setting "DataRoaming"`, ""},
		{"no list of settings", command.Raw{Type: "Settings", Values: map[string]any{"Settings": "all"}}, "items of Settings", "Settings of Settings"},
		{"unlisted query", command.DeviceInformation{Queries: []string{"Mood"}}, "query Mood", `query "Mood"`},
		{"phone number", command.DeviceInformation{Queries: []string{"PhoneNumber"}}, "query PhoneNumber", `query "PhoneNumber"`},
		{"all apps", command.InstalledApplicationList{}, "", "command InstalledApplicationList"},
		{"restart", command.Raw{Type: "RestartDevice"}, "command RestartDevice", "command RestartDevice"},
		{"take over an app", command.Raw{Type: "InstallApplication", Values: map[string]any{"ChangeManagementState": "Managed"}}, "key ChangeManagementState of InstallApplication", ""},
		{"VPN beside SSO", install(sso, map[string]any{"PayloadType": "com.apple.vpn.managed"}), "payload com.apple.vpn.managed", ""},
		{"cellular, by the erratum", install(map[string]any{"PayloadType": "com.apple.cellularprivatenetwork.managed"}), "payload com.apple.cellularprivatenetwork.managed", ""},
		{"proxy", install(map[string]any{"PayloadType": "com.apple.wifi.managed", "ProxyType": "Manual"}), "key ProxyType of payload com.apple.wifi.managed", ""},
		{"camera", install(map[string]any{"PayloadType": "com.apple.applicationaccess", "allowCamera": false}), "key allowCamera of payload com.apple.applicationaccess", ""},
		{"nameless payload", install(map[string]any{}), "payload without a type", ""},
		{"garbage profile", command.InstallProfile{Payload: []byte("\x30\x80garbage")}, "profile in a bad signature", ""},
		{"binary profile", command.InstallProfile{Payload: []byte("bplist00")}, "profile in a bad signature", ""},
		{"profile of text", command.Raw{Type: "InstallProfile", Values: map[string]any{"Payload": "<plist>"}}, "profile that is not data", ""},
		{"encrypted profile", command.InstallProfile{Payload: encode(t, map[string]any{"EncryptedPayloadContent": []byte{1}})}, "profile without a list of payloads", ""},
		{"locked profile", command.InstallProfile{Payload: encode(t, map[string]any{"PayloadRemovalDisallowed": true, "PayloadContent": []any{}})}, "key PayloadRemovalDisallowed of the profile", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, way := range []mdm.Way{mdm.WayDevice, mdm.WayAccountDevice} {
				refusedAs(t, mdm.ModeDevice, test.device, mdm.Allowed(way, test.command))
			}
			for _, way := range []mdm.Way{mdm.WayProfile, mdm.WayAccount, ""} {
				refusedAs(t, mdm.ModeUser, test.what, mdm.Allowed(way, test.command))
			}
		})
	}
}

// refusedAs holds an error of the gate; what is "" for none.
func refusedAs(t *testing.T, mode mdm.EnrollmentMode, what string, err error) {
	t.Helper()
	if what == "" {
		require.NoError(t, err)
		return
	}
	var refused *mdm.ForbiddenError
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, err, mdm.ErrForbidden)
	require.Equal(t, what, refused.What)
	require.Equal(t, mode, refused.Mode)
	require.NotEmpty(t, refused.Rule)
}

func TestAPlannersCommandsPassTheGateToo(t *testing.T) {
	for name, c := range map[string]mdm.Command{
		"forbidden":    {UUID: "U", Payload: mustEncode(t, "U", command.Raw{Type: "EraseDevice"})},
		"other UUID":   {UUID: "V", Payload: mustEncode(t, "U", command.SecurityInfo{})},
		"no command":   {UUID: "U", Payload: encode(t, map[string]any{"CommandUUID": "U"})},
		"not a plist":  {UUID: "U", Payload: []byte("U")},
		"no payload":   {UUID: "U"},
		"wrong typing": {UUID: "U", Payload: encode(t, map[string]any{"CommandUUID": "U", "Command": "x"})},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *mdm.Config) { cfg.Planner = fixed{c} })
			d := w.identified("alice")
			require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
			before := w.store.dump(t)
			require.Equal(t, http.StatusServiceUnavailable, w.put(d, checkIn, d.tokenUpdate()).Code)
			require.Equal(t, before, w.store.dump(t))
		})
	}
}

func mustEncode(t testing.TB, uuid string, c command.Command) []byte {
	t.Helper()
	b, err := command.Encode(uuid, c)
	require.NoError(t, err)
	return b
}
