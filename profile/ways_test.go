package profile_test

import (
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
)

type builder func(profile.EnrollmentConfig) (*profile.Profile, error)

// ways are the four builders, with what the profile of each is for and the keys
// of com.apple.mdm that are its own.
var ways = map[string]struct {
	build  builder
	fit    func(*profile.EnrollmentConfig) // of config()
	target appleschema.Target
	own    map[string]any
}{
	"profile-driven User Enrollment": {
		profile.UserEnrollment, func(*profile.EnrollmentConfig) {},
		appleschema.Target{OS: "17.6"}, map[string]any{"ManagedAppleID": "alice@example.com"},
	},
	"account-driven User Enrollment": {
		profile.AccountUserEnrollment, func(*profile.EnrollmentConfig) {},
		appleschema.Target{OS: "18.6"}, map[string]any{"AssignedManagedAppleID": "alice@example.com", "EnrollmentMode": "BYOD"},
	},
	"account-driven Device Enrollment": {
		profile.AccountDeviceEnrollment, func(*profile.EnrollmentConfig) {},
		appleschema.Target{Enrollment: appleschema.DeviceEnrollment, OS: "18.6"},
		map[string]any{"AssignedManagedAppleID": "alice@example.com", "EnrollmentMode": "ADDE", "AccessRights": uint64(profile.DefaultAccessRights)},
	},
	"Device Enrollment by download": {
		profile.DeviceEnrollment, func(c *profile.EnrollmentConfig) { c.ManagedAppleID = "" },
		appleschema.Target{Enrollment: appleschema.DeviceEnrollment, OS: "18.6"}, map[string]any{"AccessRights": uint64(profile.DefaultAccessRights)},
	},
}

func TestEachWayHasExactlyItsKeys(t *testing.T) {
	_, root := selfSigned(t, time.Now(), time.Now().Add(time.Hour), x509.KeyUsageCertSign)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			way.fit(&cfg)
			cfg.Roots = [][]byte{root.Raw}
			built, err := way.build(cfg)
			require.NoError(t, err)
			b, err := built.Marshal()
			require.NoError(t, err)
			top := schematest.Profile(t, b, way.target)
			require.Equal(t, sorted("PayloadContent", "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"), keys(top))
			payloads := top["PayloadContent"].([]any)
			require.Len(t, payloads, 3)
			mdm := payloads[2].(map[string]any)
			all := []string{"PayloadDisplayName", "CheckInURL", "CheckOutWhenRemoved", "IdentityCertificateUUID", "ServerURL", "SignMessage", "Topic"}
			for key, value := range way.own {
				all = append(all, key)
				require.Equal(t, value, mdm[key], key)
			}
			require.Equal(t, sorted(all...), keys(mdm))

			cfg.SCEP, cfg.PKCS12 = nil, &profile.PKCS12Identity{Data: []byte{1}, Password: "p"}
			built, err = way.build(cfg)
			require.NoError(t, err)
			b, err = built.Marshal()
			require.NoError(t, err)
			schematest.Profile(t, b, way.target)
		})
	}
}

func TestOptionalKeysOfAccountDrivenWays(t *testing.T) {
	for _, name := range []string{"account-driven User Enrollment", "account-driven Device Enrollment"} {
		cfg := config()
		cfg.ServerCapabilities, cfg.RequiredAppID = []string{profile.CapabilityToken}, 361309726
		built, err := ways[name].build(cfg)
		require.NoError(t, err)
		b, err := built.Marshal()
		require.NoError(t, err)
		top := schematest.Profile(t, b, ways[name].target)
		mdm := top["PayloadContent"].([]any)[1].(map[string]any)
		require.Equal(t, []any{"com.apple.mdm.token"}, mdm["ServerCapabilities"])
		require.Equal(t, uint64(361309726), mdm["RequiredAppIDForMDM"])
	}
}

func TestAccessRightsAreThoseOfTheConfiguration(t *testing.T) {
	cfg := config()
	cfg.AccessRights = profile.RightQueryDevice
	built, err := profile.AccountDeviceEnrollment(cfg)
	require.NoError(t, err)
	b, err := built.Marshal()
	require.NoError(t, err)
	var top map[string]any
	require.NoError(t, plist.Unmarshal(b, plist.Limits{}, &top))
	require.Equal(t, uint64(16), top["PayloadContent"].([]any)[1].(map[string]any)["AccessRights"])
}

func TestEachWayRefusesWhatIsNotItsOwn(t *testing.T) {
	noAccount := func(c *profile.EnrollmentConfig) { c.ManagedAppleID = "" }
	account := func(c *profile.EnrollmentConfig) { c.ManagedAppleID = "alice@example.com" }
	rights := func(c *profile.EnrollmentConfig) { c.AccessRights = 1 }
	badRights := func(c *profile.EnrollmentConfig) { c.AccessRights = 2 }
	app := func(c *profile.EnrollmentConfig) { c.RequiredAppID = 1 }
	negative := func(c *profile.EnrollmentConfig) { c.RequiredAppID = -1 }
	token := func(c *profile.EnrollmentConfig) { c.ServerCapabilities = []string{profile.CapabilityToken} }
	twice := func(c *profile.EnrollmentConfig) {
		c.ServerCapabilities = []string{profile.CapabilityToken, profile.CapabilityToken}
	}
	users := func(c *profile.EnrollmentConfig) {
		c.ServerCapabilities = []string{"com.apple.mdm.per-user-connections"}
	}
	old := func(c *profile.EnrollmentConfig) { c.TargetOS = 14 }
	bad := func(c *profile.EnrollmentConfig) { c.Topic, c.ManagedAppleID = "com.example", "a\x01" }

	for _, test := range []struct {
		way    string
		change func(*profile.EnrollmentConfig)
		paths  []string
	}{
		{"profile-driven User Enrollment", noAccount, []string{"com.apple.mdm.ManagedAppleID"}},
		{"profile-driven User Enrollment", rights, []string{"com.apple.mdm.AccessRights"}},
		{"profile-driven User Enrollment", app, []string{"com.apple.mdm.RequiredAppIDForMDM"}},
		{"profile-driven User Enrollment", token, []string{"com.apple.mdm.ServerCapabilities"}},
		{"account-driven User Enrollment", noAccount, []string{"com.apple.mdm.AssignedManagedAppleID"}},
		{"account-driven User Enrollment", rights, []string{"com.apple.mdm.AccessRights"}},
		{"account-driven User Enrollment", negative, []string{"com.apple.mdm.RequiredAppIDForMDM"}},
		{"account-driven User Enrollment", twice, []string{"com.apple.mdm.ServerCapabilities"}},
		{"account-driven User Enrollment", users, []string{"com.apple.mdm.ServerCapabilities"}},
		{"account-driven User Enrollment", old, []string{"com.apple.mdm.EnrollmentMode"}},
		{"account-driven User Enrollment", bad, []string{"com.apple.mdm.AssignedManagedAppleID", "com.apple.mdm.Topic"}},
		{"account-driven Device Enrollment", noAccount, []string{"com.apple.mdm.AssignedManagedAppleID"}},
		{"account-driven Device Enrollment", badRights, []string{"com.apple.mdm.AccessRights"}},
		{"account-driven Device Enrollment", old, []string{"com.apple.mdm.EnrollmentMode"}},
		{"Device Enrollment by download", account, []string{"com.apple.mdm.ManagedAppleID"}},
		{"Device Enrollment by download", badRights, []string{"com.apple.mdm.AccessRights"}},
		{"Device Enrollment by download", app, []string{"com.apple.mdm.RequiredAppIDForMDM"}},
		{"Device Enrollment by download", token, []string{"com.apple.mdm.ServerCapabilities"}},
	} {
		t.Run(fmt.Sprint(test.way, test.paths), func(t *testing.T) {
			cfg := config()
			ways[test.way].fit(&cfg)
			test.change(&cfg)
			p, err := ways[test.way].build(cfg)
			require.Nil(t, p)
			var paths []string
			for v := range profile.Violations(err) {
				paths = append(paths, v.Path)
			}
			require.Equal(t, test.paths, paths)
		})
	}
}

func TestWaysShareWhatAProfileIsKnownBy(t *testing.T) {
	identifiers := map[string]bool{}
	for _, way := range ways {
		cfg := config()
		way.fit(&cfg)
		p, err := way.build(cfg)
		require.NoError(t, err)
		identifiers[p.Identifier+" "+p.UUID] = true
	}
	require.Len(t, identifiers, 1, "one enrollment profile of an organization on a device")
}
