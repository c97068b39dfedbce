package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// device is what the foreign device says it did.
type device struct {
	ManagedAppleAccount string `json:"managed_apple_account"`
	// EnrollmentMode and Method are those of an account.
	EnrollmentMode string `json:"enrollment_mode"`
	Method         string
	EnrollmentID   string `json:"enrollment_id"`
	Certificate    string `json:"certificate_sha256"`
	Commands       []struct {
		UUID        string `json:"command_uuid"`
		RequestType string `json:"request_type"`
	}
	SSO struct {
		CommandUUID         string `json:"command_uuid"`
		ExtensionIdentifier string
		Type                string
		URLs, Hosts         []string
	}
}

// foreign runs the device that shares no code with this repository.
func foreign(t *testing.T, args ...string) device {
	t.Helper()
	return runDevice(t, "device.py", args...)
}

func runDevice(t *testing.T, script string, args ...string) device {
	t.Helper()
	need(t, "openssl")
	cmd := exec.CommandContext(t.Context(), need(t, "python3"), append([]string{"-B", filepath.Join("testdata", script)}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "%s", &stderr)
	var d device
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &d), "%s", &stdout)
	return d
}

// wellFormed holds property lists against the DTD, by a parser of others.
func wellFormed(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files, pattern)
	args := []string{"--nonet", "--noout", "--dtdvalid", filepath.Join("testdata", "plist.dtd")}
	out, err := exec.CommandContext(t.Context(), need(t, "xmllint"), append(args, files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestForeignDevice(t *testing.T) {
	need(t, "python3")
	q := startQuickstart(t)
	for _, c := range []struct{ user, signature, kind, extension string }{
		{"alice@example.com", "captured", "Redirect", "com.microsoft.azureauthenticator.ssoextension"},
		{"bob@example.com", "openssl", "", ""},
		{"alice@example.com", "openssl", "Redirect", "com.microsoft.azureauthenticator.ssoextension"}, // her second phone
	} {
		t.Run(c.user+" "+c.signature, func(t *testing.T) {
			before, work := q.state(t), t.TempDir()
			d := foreign(t, "--portal", q.Portal.String(), "--ca", q.CA, "--work", work,
				"--user", c.user, "--password", "password", "--signature", c.signature)
			require.Equal(t, c.user, d.ManagedAppleAccount)
			if c.kind != "" {
				require.Equal(t, c.kind, d.SSO.Type)
				require.Equal(t, c.extension, d.SSO.ExtensionIdentifier)
				require.NotEmpty(t, d.SSO.URLs)
			}
			require.NotEmpty(t, d.SSO.ExtensionIdentifier)
			require.NotEmpty(t, append(d.SSO.URLs, d.SSO.Hosts...))
			t.Run("property lists by xmllint", func(t *testing.T) { wellFormed(t, filepath.Join(work, "*.plist")) })

			q.requireEnrolled(t, before, c.user, d, "personal", 1)
		})
	}
}

// requireEnrolled holds what is stored against what a device says it did: one
// ticket of its person, one enrollment, its commands, and a push.
func (q *quickstart) requireEnrolled(t *testing.T, before state, account string, d device, ownership string, downloads int) {
	t.Helper()
	after := q.state(t)
	var user string
	for _, u := range after.Users {
		if u.ManagedAppleAccount == account {
			require.Empty(t, user, "two users for one person")
			user = u.ID
		}
	}
	require.NotEmpty(t, user)
	require.Len(t, after.Tickets, len(before.Tickets)+1)
	require.Len(t, after.Enrollments, len(before.Enrollments)+1)
	ticket, commands := "", map[string]string{}
	for _, e := range after.Enrollments {
		if e.EnrollmentID == d.EnrollmentID {
			require.Equal(t, d.Certificate, e.Certificate)
			require.Equal(t, user, e.User)
			require.Equal(t, "enrolled", e.State)
			ticket = e.Ticket
		}
	}
	for _, k := range after.Tickets {
		if k.Ref == ticket {
			require.Equal(t, user, k.User)
			require.Equal(t, "enrolled", k.State)
			require.Equal(t, ownership, k.Ownership)
			require.Equal(t, downloads, k.Downloads)
		}
	}
	require.NotEmpty(t, ticket)
	for _, k := range after.Commands {
		if k.EnrollmentID == d.EnrollmentID {
			require.Equal(t, "Acknowledged", k.Status)
			commands[k.UUID] = k.RequestType
		}
	}
	require.Len(t, commands, len(d.Commands))
	for _, k := range d.Commands {
		require.Equal(t, k.RequestType, commands[k.UUID])
	}
	// The APNs stand-in accepts a push for a phone that lives elsewhere.
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		n := 0
		for _, p := range q.state(t).Pushes {
			if p.EnrollmentID == d.EnrollmentID {
				n++
			}
		}
		assert.Positive(collect, n)
	}, time.Minute, 50*time.Millisecond)
}
