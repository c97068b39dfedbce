package command_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// Every command, with every key that it has a field for, is one that Apple's
// schema knows: under User Enrollment, and under Device Enrollment.
func TestAppleKnowsEveryKey(t *testing.T) {
	p := profile.Profile{
		Common:  profile.Common{Type: "Configuration", Version: 1, Identifier: "com.example.a", UUID: profile.UUID("a")},
		Content: []profile.Payload{profile.Root{Common: profile.Common{Type: "com.apple.security.root", Version: 1, Identifier: "com.example.a.b", UUID: profile.UUID("b")}, Content: []byte{1}}},
	}
	encoded, err := p.Marshal()
	require.NoError(t, err)
	for _, c := range []command.Command{
		command.DeviceInformation{Queries: []string{"OSVersion", "DevicePropertiesAttestation"}},
		command.SecurityInfo{},
		command.ProfileList{},
		command.ProfileList{ManagedOnly: true},
		command.CertificateList{ManagedOnly: true},
		command.InstalledApplicationList{Identifiers: []string{"a.b"}, Items: []string{"Name"}, ManagedAppsOnly: true},
		command.ManagedApplicationList{Identifiers: []string{"a.b"}},
		command.InstallProfile{Payload: encoded},
		command.RemoveProfile{Identifier: "a.b"},
		command.InstallApplication{
			ITunesStoreID: 361309726, PurchaseMethod: 1, ManagementFlags: command.RemoveWithProfile | command.NoBackup,
			Configuration: map[string]any{"k": map[string]any{"l": 1}}, Attributes: map[string]any{"Removable": true},
		},
		command.InstallApplication{Identifier: "a.b", ManagementFlags: command.RemoveWithProfile},
		command.InstallApplication{ManifestURL: "https://example.com/manifest.plist", ManagementFlags: command.NoBackup},
		command.RemoveApplication{Identifier: "a.b"},
		command.DeviceLock{Message: "m", PhoneNumber: "1"},
		command.Settings{Settings: []command.Setting{
			command.OrganizationInfo{Name: "Example", ShortName: "Ex", Address: "a", Phone: "p", Email: "e", Magic: "m"},
			command.RawSetting{Name: "MDMOptions", Keys: map[string]any{"MDMOptions": map[string]any{}}},
		}},
	} {
		t.Run(c.RequestType(), func(t *testing.T) {
			b, err := command.Encode("U-1", c)
			require.NoError(t, err)
			for _, target := range []appleschema.Target{{}, {Enrollment: appleschema.DeviceEnrollment}} {
				uuid, name := schematest.Command(t, b, target)
				require.Equal(t, "U-1", uuid)
				require.Equal(t, c.RequestType(), name)
			}
		})
	}
}
