package machineinfo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
)

// With the two files that the quickstart keeps, openssl alone is a device.
func TestOpenSSLIsADeviceOfTheKeptCA(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: openssl is missing, nothing proves that other clients can use the simulated CA")
	}
	dir := t.TempDir()
	ca, err := machineinfotest.LoadOrCreate(dir, machineinfotest.Config{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "info.plist"), fixture(t, "info.plist"), 0o600))
	for _, args := range [][]string{
		{"req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=device", "-keyout", "device.key", "-out", "device.csr"},
		{"x509", "-req", "-in", "device.csr", "-CA", "device-ca.pem", "-CAkey", "device-ca.key", "-set_serial", "1", "-days", "30", "-out", "device.pem"},
		{"cms", "-sign", "-binary", "-nodetach", "-in", "info.plist", "-signer", "device.pem", "-inkey", "device.key", "-certfile", "device-ca.pem", "-outform", "DER", "-out", "body.der"},
	} {
		cmd := exec.CommandContext(t.Context(), openssl, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "openssl %q: %s", args, out)
	}
	body, err := os.ReadFile(filepath.Join(dir, "body.der"))
	require.NoError(t, err)
	info, err := machineinfo.Verify(body, ca.Anchor())
	require.NoError(t, err)
	require.Equal(t, sample, info)
}
