package mdmtest_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
)

func TestParseEnrollmentProfileRefuses(t *testing.T) {
	w := newWorld(t)
	cfg := profile.EnrollmentConfig{
		Organization: "Example", Identifier: "com.example.enroll", DisplayName: "Example", Description: "Management",
		ServerURL: w.server.URL + "/c", CheckInURL: w.server.URL + "/i", Topic: topic, ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: w.server.URL + "/scep", Challenge: "good"},
	}
	p, err := profile.UserEnrollment(cfg)
	require.NoError(t, err)
	good, err := p.Marshal()
	require.NoError(t, err)
	_, err = mdmtest.ParseEnrollmentProfile(good)
	require.NoError(t, err)
	for name, edit := range map[string][2]string{
		"another type":     {"<string>Configuration</string>", "<string>Profile Service</string>"},
		"AccessRights":     {"<key>SignMessage</key>", "<key>AccessRights</key><integer>8191</integer><key>SignMessage</key>"},
		"no topic":         {"<key>Topic</key>", "<key>Tropic</key>"},
		"no ServerURL":     {"<key>ServerURL</key>", "<key>ServeURL</key>"},
		"identity missing": {"<key>IdentityCertificateUUID</key>", "<key>IdentityCertificateUUIE</key>"},
		"not a plist":      {"</plist>", ""},
		"a short key":      {"<integer>2048</integer>", "<integer>512</integer>"},
		"a negative key":   {"<integer>2048</integer>", "<integer>-2048</integer>"},
		"an endless key":   {"<integer>2048</integer>", "<integer>18446744073709551615</integer>"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(string(good), edit[0], edit[1], 1)
			require.NotEqual(t, string(good), bad)
			_, err := mdmtest.ParseEnrollmentProfile([]byte(bad))
			require.Error(t, err)
		})
	}
}

// What is read of a profile is read again of the same values written anew.
func FuzzParseEnrollmentProfile(f *testing.F) {
	cfg := profile.EnrollmentConfig{
		Organization: "Example", Identifier: "com.example.enroll", DisplayName: "Example", Description: "Management",
		ServerURL: "https://mdm.example.com/c", CheckInURL: "https://mdm.example.com/i", Topic: topic, ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: "https://mdm.example.com/scep", Challenge: "good"},
	}
	for _, way := range []func(profile.EnrollmentConfig) (*profile.Profile, error){profile.UserEnrollment, profile.AccountUserEnrollment, profile.AccountDeviceEnrollment} {
		p, err := way(cfg)
		require.NoError(f, err)
		good, err := p.Marshal()
		require.NoError(f, err)
		_, err = mdmtest.ParseEnrollmentProfile(good)
		require.NoError(f, err)
		f.Add(good)
		for _, edit := range [][2]string{{"2048", "9223372036854775807"}, {"com.apple.mdm<", "com.apple.wifi.managed<"}, {"Configuration", "Profile Service"}, {"<dict>", "<array>"}} {
			f.Add(bytes.Replace(good, []byte(edit[0]), []byte(edit[1]), 1))
		}
	}
	f.Add([]byte("bplist00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := mdmtest.ParseEnrollmentProfile(b)
		if err != nil {
			require.Nil(t, first)
			return
		}
		require.Contains(t, []int{1024, 2048, 4096}, first.SCEP.Keysize)
		require.GreaterOrEqual(t, first.AccessRights, 0)
		require.NotEmpty(t, first.ServerURL)
		var values map[string]any
		limits := plist.Limits{Bytes: 4 << 20, Elements: 5000}
		require.NoError(t, plist.Unmarshal(b, limits, &values))
		again, err := plist.Marshal(values)
		if err != nil {
			return // a character that XML cannot carry
		}
		second, err := mdmtest.ParseEnrollmentProfile(again)
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

// Whatever a server sends as a command, the phone reports what became of it, in a
// message that is well formed, and is what it was.
func FuzzCommand(f *testing.F) {
	w := newWorld(f)
	p := w.enrolled()
	encoded := func(c command.Command) []byte {
		b, err := command.Encode("U", c)
		require.NoError(f, err)
		return b
	}
	for _, c := range []command.Command{
		command.InstallProfile{Payload: []byte(`<plist version="1.0"><dict><key>PayloadIdentifier</key><string>a</string><key>PayloadContent</key><array><dict/></array></dict></plist>`)},
		command.InstallProfile{Payload: []byte("bplist00")}, command.RemoveProfile{Identifier: "a"}, command.DeviceInformation{Queries: []string{"OSVersion"}},
		command.Raw{Type: "EraseDevice"},
	} {
		f.Add(encoded(c))
	}
	for _, s := range []string{"<", "bplist00", "<html></html>", `<plist version="1.0"><dict/></plist>`, strings.Repeat("<array>", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return // the end of a session
		}
		w.t, w.requests = t, nil
		w.answer = func(r received) (int, string) {
			if r.message["Status"] == "Idle" {
				return http.StatusOK, string(body)
			}
			return http.StatusOK, ""
		}
		n, err := p.Connect(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Len(t, w.requests, 2)
		report := w.requests[1].message
		require.Equal(t, p.Identity().EnrollmentID, report["EnrollmentID"])
		if report["Status"] == "CommandFormatError" {
			require.NotContains(t, report, "CommandUUID")
			return
		}
		require.Contains(t, []any{"Acknowledged", "Error"}, report["Status"])
		var sent struct{ CommandUUID string }
		require.NoError(t, plist.Unmarshal(body, plist.Limits{Bytes: 4 << 20, Elements: 20_000}, &sent))
		require.Equal(t, sent.CommandUUID, report["CommandUUID"])
	})
}
