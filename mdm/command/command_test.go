package command_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/command"
)

func TestEncodeSpellsEveryCommandAsAppleDoes(t *testing.T) {
	for _, test := range []struct {
		command command.Command
		want    map[string]any // beside RequestType
	}{
		{command.DeviceInformation{Queries: []string{"OSVersion"}}, map[string]any{"RequestType": "DeviceInformation", "Queries": []any{"OSVersion"}}},
		{command.SecurityInfo{}, map[string]any{"RequestType": "SecurityInfo"}},
		{command.ProfileList{}, map[string]any{"RequestType": "ProfileList"}},
		{command.ProfileList{ManagedOnly: true}, map[string]any{"RequestType": "ProfileList", "ManagedOnly": true}},
		{command.CertificateList{ManagedOnly: true}, map[string]any{"RequestType": "CertificateList", "ManagedOnly": true}},
		{
			command.InstalledApplicationList{Identifiers: []string{"a.b"}, Items: []string{"Name"}, ManagedAppsOnly: true},
			map[string]any{"RequestType": "InstalledApplicationList", "Identifiers": []any{"a.b"}, "Items": []any{"Name"}, "ManagedAppsOnly": true},
		},
		{command.ManagedApplicationList{Identifiers: []string{"a.b"}}, map[string]any{"RequestType": "ManagedApplicationList", "Identifiers": []any{"a.b"}}},
		{command.InstallProfile{Payload: []byte{1, 2, 3}}, map[string]any{"RequestType": "InstallProfile", "Payload": []byte{1, 2, 3}}},
		{command.RemoveProfile{Identifier: "a.b"}, map[string]any{"RequestType": "RemoveProfile", "Identifier": "a.b"}},
		{
			command.InstallApplication{ITunesStoreID: 361309726, PurchaseMethod: 1, ManagementFlags: command.RemoveWithProfile | command.NoBackup, Configuration: map[string]any{"k": "v"}, Attributes: map[string]any{"Removable": true}},
			map[string]any{"RequestType": "InstallApplication", "iTunesStoreID": uint64(361309726), "ManagementFlags": uint64(5), "Options": map[string]any{"PurchaseMethod": uint64(1)}, "Configuration": map[string]any{"k": "v"}, "Attributes": map[string]any{"Removable": true}},
		},
		{command.RemoveApplication{Identifier: "a.b"}, map[string]any{"RequestType": "RemoveApplication", "Identifier": "a.b"}},
		{command.DeviceLock{Message: "m", PhoneNumber: "1"}, map[string]any{"RequestType": "DeviceLock", "Message": "m", "PhoneNumber": "1"}},
		{
			command.Settings{Settings: []command.Setting{command.OrganizationInfo{Name: "Example", ShortName: "Ex", Address: "a", Phone: "p", Email: "e", Magic: "m"}, command.RawSetting{Name: "MDMOptions"}}},
			map[string]any{"RequestType": "Settings", "Settings": []any{
				map[string]any{"Item": "OrganizationInfo", "OrganizationInfo": map[string]any{
					"OrganizationName": "Example", "OrganizationShortName": "Ex", "OrganizationAddress": "a", "OrganizationPhone": "p", "OrganizationEmail": "e", "OrganizationMagic": "m",
				}},
				map[string]any{"Item": "MDMOptions"},
			}},
		},
		{command.Raw{Type: "Custom", Values: map[string]any{"A": int64(-1)}}, map[string]any{"RequestType": "Custom", "A": int64(-1)}},
	} {
		t.Run(test.command.RequestType(), func(t *testing.T) {
			b, err := command.Encode("U-1", test.command)
			require.NoError(t, err)
			var got map[string]any
			require.NoError(t, plist.Unmarshal(b, plist.Limits{}, &got))
			require.Equal(t, map[string]any{"CommandUUID": "U-1", "Command": test.want}, got)
			again, err := command.Encode("U-1", test.command)
			require.NoError(t, err)
			require.Equal(t, b, again, "encoding is deterministic")
		})
	}
}

func TestEncodeRefusesWhatADeviceCouldNotRead(t *testing.T) {
	long := make([]byte, command.MaxUUID+1)
	for _, test := range []struct {
		name, uuid string
		command    command.Command
		field      string
	}{
		{"no command", "U", nil, ""},
		{"no request type", "U", command.Raw{}, "RequestType"},
		{"no UUID", "", command.SecurityInfo{}, "CommandUUID"},
		{"long UUID", string(long), command.SecurityInfo{}, "CommandUUID"},
		{"request type twice", "U", command.Raw{Type: "A", Values: map[string]any{"RequestType": "B"}}, "RequestType"},
		{"no queries", "U", command.DeviceInformation{}, "Queries"},
		{"no payload", "U", command.InstallProfile{}, "Payload"},
		{"no identifier", "U", command.RemoveProfile{}, "Identifier"},
		{"no app", "U", command.RemoveApplication{}, "Identifier"},
		{"an app with no name", "U", command.InstallApplication{}, ""},
		{"an app with two names", "U", command.InstallApplication{ITunesStoreID: 1, Identifier: "a"}, ""},
		{"no settings", "U", command.Settings{}, "Settings"},
		{"nameless organization", "U", command.Settings{Settings: []command.Setting{command.OrganizationInfo{}}}, "OrganizationName"},
		{"a control character", "U", command.DeviceLock{Message: "\x00"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := command.Encode(test.uuid, test.command)
			require.Nil(t, b)
			require.ErrorIs(t, err, command.ErrInvalid)
			var invalid *command.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, test.field, invalid.Field)
		})
	}
}

func TestEncodeLeavesTheCallersMapAlone(t *testing.T) {
	values := map[string]any{"A": "b"}
	_, err := command.Encode("U", command.Raw{Type: "T", Values: values})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"A": "b"}, values)
}
