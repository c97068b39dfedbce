package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

func TestWayOfAVersion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want way
	}{
		{nil, wayProfile},
		{[]string{"-ios", "13.1"}, wayProfile},
		{[]string{"-ios", "17.7.2"}, wayProfile},
		{[]string{"-ios", "18"}, wayAccount},
		{[]string{"-ios", "18.6"}, wayAccount},
		{[]string{"-ios", "26.1"}, wayAccount},
		{[]string{"-way", "adde"}, wayADDE},
		{[]string{"-ios", "18.6", "-way", "profile"}, wayProfile},
	} {
		o, err := parse(c.args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, c.want, o.way, c.args)
	}
}

// withJudge lets phones speak through a network that holds every document
// against Apple's schema.
func (w *world) withJudge(o options) *schematest.Transport {
	target := appleschema.Target{OS: o.ios, Enrollment: appleschema.UserEnrollment}
	if o.way == wayADDE || o.way == wayDevice {
		target.Enrollment = appleschema.DeviceEnrollment
	}
	judge := &schematest.Transport{T: w.t, Target: target, Base: w.server.transport}
	w.server.network = judge
	return judge
}

// told reads the lines of -json.
func (w *world) told(o options) ([]told, error) {
	w.t.Helper()
	var out bytes.Buffer
	err := w.server.story(w.t.Context(), newTeller(&out, true), o)
	lines := []told{{Step: "listen", OK: true, Detail: map[string]any{"apns": "", "data": "", "url": ""}}}
	for line := range strings.Lines(out.String()) {
		var l told
		require.NoError(w.t, json.Unmarshal([]byte(line), &l))
		lines = append(lines, l)
	}
	return lines, err
}

// TestEveryWay lets two phones of alice enroll by each way and iOS that has it,
// and one of bob by each way.
func TestEveryWay(t *testing.T) {
	for _, c := range []struct {
		way  way
		ios  []string
		seen map[string]int // documents of one phone, beside those of every way
	}{
		{wayProfile, []string{"13.1", "15.8", "17.6"}, nil},
		{wayAccount, []string{"15.8", "17.6", "18.6", "26.1"}, map[string]int{"discovery": 1, "MachineInfo": 2}},
		{wayOAuth2, []string{"16.7", "17.6", "18.6", "26.1"}, map[string]int{"discovery": 1, "MachineInfo": 2}},
		{wayADDE, []string{"17.6", "18.6", "26.1"}, map[string]int{"discovery": 1, "MachineInfo": 2}},
		{wayDevice, []string{"15.8", "17.6", "18.6", "26.1"}, nil},
	} {
		for i, ios := range c.ios {
			t.Run(fmt.Sprintf("%s on %s", c.way, ios), func(t *testing.T) {
				w := open(t, "-way", string(c.way))
				o, err := parse([]string{"-way", string(c.way), "-ios", ios}, io.Discard)
				require.NoError(t, err)
				var first map[string]map[string]any
				for n := range 2 {
					judge := w.withJudge(o)
					lines, err := w.told(o)
					require.NoError(t, err)
					details := requireContract(t, c.way, lines)
					require.Equal(t, n == 0, details["jit"]["created"])
					want := map[string]int{"profile": 1, "Authenticate": 1, "TokenUpdate": 1, "InstallProfile": 1, "report": 2}
					for name, n := range c.seen {
						want[name] = n
					}
					require.Equal(t, want, judge.Seen())
					if first == nil {
						first = details
						continue
					}
					require.Equal(t, first["jit"]["user"], details["jit"]["user"])
					require.NotEqual(t, first["ticket"]["ref"], details["ticket"]["ref"])
					require.NotEqual(t, first["authenticate"]["enrollment_id"], details["authenticate"]["enrollment_id"])
				}
				state := w.state()
				require.Len(t, state["users"], 1)
				require.Len(t, state["enrollments"], 2)
				require.NotContains(t, fmt.Sprint(state), "Bearer")
				ownership := "personal"
				if c.way == wayADDE || c.way == wayDevice {
					ownership = "company"
				}
				for _, e := range state["enrollments"] {
					require.Equal(t, "enrolled", e["state"])
					at := slices.IndexFunc(state["tickets"], func(k map[string]any) bool { return k["ref"] == e["ticket"] })
					ticket := state["tickets"][at]
					require.Equal(t, []any{"enrolled", ownership, 1.0}, []any{ticket["state"], ticket["ownership"], ticket["downloads"]})
				}

				if i > 0 {
					return
				}
				o.user = "bob@example.com"
				w.withJudge(o)
				lines, err := w.told(o)
				if c.way == wayADDE || c.way == wayDevice {
					require.ErrorContains(t, err, "Device Enrollment", "he is in no group that may")
					require.Equal(t, state["enrollments"], w.state()["enrollments"])
					return
				}
				require.NoError(t, err)
				require.Equal(t, "com.example.authenticator.sso", requireContract(t, c.way, lines)["sso"]["extension"])
			})
		}
	}
}

// The program itself: exit codes, and what is found again in -data by a process
// that knows nothing else.
func TestOnceByEveryWay(t *testing.T) {
	for _, c := range [][]string{
		{"-ios", "18.6"}, {"-ios", "26.1"}, {"-ios", "17.6", "-way", "account"}, {"-ios", "26.1", "-way", "oauth2"},
		{"-ios", "18.6", "-way", "adde"}, {"-ios", "26.1", "-way", "device"},
	} {
		t.Run(strings.Join(c, " "), func(t *testing.T) {
			dir := dataDir(t)
			o, err := parse(c, io.Discard)
			require.NoError(t, err)
			for n := range 2 {
				code, lines := runJSON(t, append([]string{"-once", "-data", dir}, c...)...)
				require.Zero(t, code, "%+v", lines[len(lines)-1])
				details := requireContract(t, o.way, lines)
				require.Equal(t, n == 0, details["jit"]["created"])
				raw, err := os.ReadFile(details["profile"]["file"].(string))
				require.NoError(t, err)
				require.Equal(t, o.way.account(), bytes.Contains(raw, []byte("AssignedManagedAppleID")))
			}
		})
	}
}

func TestDiscoveryAndChallengeAreTold(t *testing.T) {
	for w, want := range map[way][3]string{
		wayAccount: {"mdm-byod", "/enroll/account/byod", "apple-as-web"},
		wayOAuth2:  {"mdm-byod", "/enroll/account/byod", "apple-oauth2"},
		wayADDE:    {"mdm-adde", "/enroll/account/adde", "apple-as-web"},
	} {
		code, lines := runJSON(t, "-once", "-data", dataDir(t), "-way", string(w))
		require.Zero(t, code)
		told := requireContract(t, w, lines)
		base := told["listen"]["url"].(string)
		require.Equal(t, map[string]any{"domain": "example.com", "version": want[0], "base_url": base + want[1]}, told["discovery"])
		require.Equal(t, want[2], told["challenge"]["method"])
		require.Equal(t, map[string]any{"type": "Bearer", "refreshable": w == wayOAuth2}, told["token"])
		if w == wayOAuth2 {
			require.Equal(t, base+"/enroll/account/token", told["challenge"]["token_url"])
		}
	}
}

// TestAWayThatAVersionLacks ends where that iOS, or the server, says so.
func TestAWayThatAVersionLacks(t *testing.T) {
	for _, c := range []struct {
		ios, way string
		user     string
		step     string
		says     string
	}{
		{"18.6", "profile", "alice", "profile", "Since version 18"},
		{"26.1", "profile", "alice", "profile", "Since version 18"},
		{"12.5", "profile", "alice", "signin", "13.1"},
		{"14.8", "account", "alice", "discovery", "14.8"},
		{"15.8", "oauth2", "alice", "challenge", "403"},
		{"16.7", "adde", "alice", "discovery", "mdm-adde"},
		{"18.6", "adde", "bob", "signin", "403"},
		{"18.6", "device", "bob", "ticket", "Device Enrollment"},
	} {
		t.Run(c.ios+" "+c.way+" "+c.user, func(t *testing.T) {
			code, lines := runJSON(t, "-once", "-data", dataDir(t), "-ios", c.ios, "-way", c.way, "-user", c.user+"@example.com")
			require.Equal(t, 1, code)
			steps := contract(way(c.way))
			for i, l := range lines {
				require.Equal(t, steps[i], l.Step)
				require.Equal(t, i < len(lines)-1, l.OK)
			}
			last := lines[len(lines)-1]
			require.Equal(t, c.step, last.Step)
			require.Contains(t, *last.Error, c.says)
		})
	}
}

// Discovery answers for its domain, whoever the user is, and for no other; the
// host of the server is the only one that it is asked at.
func TestDiscoveryServesItsDomain(t *testing.T) {
	w := open(t)
	for identifier, want := range map[string]string{
		"alice@example.com": "", "nobody+x@EXAMPLE.com": "", "alice@example.org": "com.apple.well-known.failed", "alice@sub.example.com": "com.apple.well-known.failed",
	} {
		device, err := w.server.deviceCA.Device()
		require.NoError(t, err)
		p := w.phone(func(c *mdmtest.Config) {
			c.OSVersion, c.Account = "18.6", mdmtest.AccountConfig{Device: device, DomainURL: w.server.domainURL}
		})
		account, err := p.Discover(t.Context(), identifier)
		if want == "" {
			require.NoError(t, err, identifier)
			require.Equal(t, mdmtest.Server{Version: "mdm-byod", BaseURL: w.server.portal() + "/account/byod"}, account.Server)
			continue
		}
		var refused *mdmtest.RefusedError
		require.ErrorAs(t, err, &refused, identifier)
		require.Equal(t, []any{http.StatusForbidden, want}, []any{refused.Status, refused.Code})
	}
	address := w.server.base.String() + discovery.Path + "?user-identifier=a%40example.com&model-family=iPhone"
	strange := w.do(http.MethodGet, address, nil, func(r *http.Request) { r.Host = "evil.example" })
	require.Equal(t, http.StatusMisdirectedRequest, strange.StatusCode)
}
