package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForeignDeviceByAccount lets a device that shares no code with this
// repository enroll from Settings, by each method and kind of enrollment.
func TestForeignDeviceByAccount(t *testing.T) {
	need(t, "python3")
	const alice, bob = "alice@example.com", "bob@example.com"
	for _, c := range []struct {
		way, mode, method, ownership string
		devices                      [][2]string // who holds it, and how it signs
	}{
		{"account", "BYOD", "apple-as-web", "personal", [][2]string{{alice, "captured"}, {bob, "openssl"}, {alice, "openssl"}}},
		{"oauth2", "BYOD", "apple-oauth2", "personal", [][2]string{{alice, "captured"}, {bob, "openssl"}, {alice, "openssl"}}},
		{"adde", "ADDE", "apple-as-web", "company", [][2]string{{alice, "captured"}, {alice, "openssl"}}},
	} {
		t.Run(c.way, func(t *testing.T) {
			q := startQuickstart(t, "-way", c.way)
			for _, device := range c.devices {
				t.Run(device[0]+" "+device[1], func(t *testing.T) {
					before, work := q.state(t), t.TempDir()
					d := runDevice(t, "account.py", "--site", q.Base.Scheme+"://"+q.Base.Host, "--ca", q.CA, "--device-ca", q.DeviceCA,
						"--work", work, "--user", device[0], "--password", "password", "--signature", device[1])
					require.Equal(t, device[0], d.ManagedAppleAccount)
					require.Equal(t, c.mode, d.EnrollmentMode)
					require.Equal(t, c.method, d.Method)
					require.NotEmpty(t, d.SSO.ExtensionIdentifier)
					require.NotEmpty(t, append(d.SSO.URLs, d.SSO.Hosts...))
					t.Run("property lists by xmllint", func(t *testing.T) { wellFormed(t, filepath.Join(work, "*.plist")) })
					// It asked twice for its profile, and signed in again later.
					q.requireEnrolled(t, before, device[0], d, c.ownership, 2)
				})
			}
		})
	}
}
