package mdm_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// Each right opens what Apple's schema says that it opens, and nothing else.
func TestEachRightOpensItsCommands(t *testing.T) {
	empty := map[string]map[string]any{"DeviceInformation": {"Queries": []any{}}, "Settings": {"Settings": []any{}}}
	for bit := range 13 {
		rights := profile.AccessRights(1 << bit)
		switch rights { // which do not stand alone
		case profile.RightInstallProfiles, profile.RightInstallProvisioning:
			rights |= rights >> 1
		}
		w := newWorld(t, func(c *mdm.Config) { c.AccessRights = rights })
		for name, rule := range appleschema.Commands() {
			request := command.Raw{Type: name, Values: empty[name]}
			err := w.server.Allowed(mdm.WayAccountDevice, request)
			if rights.Has(profile.AccessRights(rule.Right)) && !rule.Supervised {
				require.NoError(t, err, name)
				continue
			}
			refusedAs(t, mdm.ModeDevice, "command "+name, err)
		}
	}
}

func TestTheRightsOfAServer(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.Planner, c.AccessRights = nil, profile.RightErase|profile.RightQueryNetwork })
	d := w.enrolled("alice", by(mdm.WayDevice))
	_, err := w.server.Enqueue(t.Context(), d.id, command.Raw{Type: "EraseDevice"})
	require.NoError(t, err)
	_, err = w.server.Enqueue(t.Context(), d.id, command.DeviceInformation{Queries: []string{"PhoneNumber"}})
	require.NoError(t, err)
	before := w.store.dump(t)
	for _, c := range []command.Command{command.InstallProfile{Payload: []byte("<plist/>")}, command.DeviceInformation{Queries: []string{"PhoneNumber", "OSVersion"}}} {
		_, err = w.server.Enqueue(t.Context(), d.id, c)
		require.ErrorIs(t, err, mdm.ErrForbidden)
	}
	require.Equal(t, before, w.store.dump(t))

	user := w.enrolled("carol")
	_, err = w.server.Enqueue(t.Context(), user.id, command.Raw{Type: "EraseDevice"})
	require.ErrorContains(t, err, "User Enrollment", "rights say nothing there")
}

func TestAPlanIsHeldAgainstTheRights(t *testing.T) {
	erase := mdm.Command{UUID: "U", Payload: mustEncode(t, "U", command.Raw{Type: "EraseDevice"})}
	for rights, status := range map[profile.AccessRights]int{0: http.StatusServiceUnavailable, profile.RightErase: http.StatusOK} {
		w := newWorld(t, func(c *mdm.Config) { c.Planner, c.AccessRights = fixed{erase}, rights })
		d := w.identified("alice", by(mdm.WayDevice))
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
		require.Equal(t, status, w.put(d, checkIn, d.tokenUpdate()).Code)
	}
}

func TestAnEnrollmentDoesNotGrow(t *testing.T) {
	install := func(more map[string]any) command.Command {
		return command.InstallProfile{Payload: profileWith(t, with(map[string]any{"PayloadType": "com.apple.mdm"}, more))}
	}
	for name, test := range map[string]struct {
		more map[string]any
		what string
	}{
		"the same rights":     {map[string]any{"AccessRights": int(profile.DefaultAccessRights)}, ""},
		"fewer rights":        {map[string]any{"AccessRights": 1}, ""},
		"none":                {nil, ""},
		"more rights":         {map[string]any{"AccessRights": int(profile.DefaultAccessRights | profile.RightErase)}, "payload com.apple.mdm with more access rights"},
		"all bits":            {map[string]any{"AccessRights": -1}, "payload com.apple.mdm with more access rights"},
		"profile-driven":      {map[string]any{"ManagedAppleID": "a@example.com"}, "payload com.apple.mdm of User Enrollment"},
		"account-driven":      {map[string]any{"EnrollmentMode": "BYOD"}, "payload com.apple.mdm of User Enrollment"},
		"a device's, account": {map[string]any{"EnrollmentMode": "ADDE"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			refusedAs(t, mdm.ModeDevice, test.what, mdm.Allowed(mdm.WayAccountDevice, install(test.more)))
		})
	}
}

// The gate's own tables of User Enrollment are Apple's, but for what is named.
func TestTheGateAgreesWithApplesSchema(t *testing.T) {
	for name, rule := range appleschema.Commands() {
		request := command.Raw{Type: name}
		if name == "DeviceInformation" || name == "Settings" || name == "InstallProfile" {
			continue // judged by what they carry
		}
		err := mdm.Allowed(mdm.WayAccount, request)
		require.Equal(t, rule.User == appleschema.Forbidden, err != nil, "command %s: %v", name, err)
	}
	stricter := []string{"EASDeviceIdentifier"}
	for name, rule := range appleschema.Queries("DeviceInformation") {
		err := mdm.Allowed(mdm.WayAccount, command.DeviceInformation{Queries: []string{name}})
		want := rule.User == appleschema.Forbidden || slices.Contains(stricter, name)
		require.Equal(t, want, err != nil, "query %s: %v", name, err)
	}
	for name, rule := range appleschema.Queries("Settings") {
		err := mdm.Allowed(mdm.WayAccount, command.Settings{Settings: []command.Setting{command.RawSetting{Name: name}}})
		require.Equal(t, rule.User == appleschema.Forbidden, err != nil, "setting %s: %v", name, err)
	}
	for name, rule := range appleschema.Payloads() {
		name = strings.TrimSuffix(name, "(kerberos)") // a file of its own, not a type
		err := mdm.Allowed(mdm.WayAccount, command.InstallProfile{Payload: profileWith(t, map[string]any{"PayloadType": name})})
		require.Equal(t, rule.User == appleschema.Forbidden, err != nil, "payload %s: %v", name, err)
	}
}
