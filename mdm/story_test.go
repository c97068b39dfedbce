package mdm_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

func TestStory(t *testing.T) {
	for name, shape := range map[string]cms.SignOptions{"as captured": captured, "modern": modern} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := w.identified("alice")
			d.shape = shape
			ok := func(rec interface{ Result() *http.Response }) {
				t.Helper()
				require.Equal(t, http.StatusOK, rec.Result().StatusCode)
				require.Equal(t, "0", rec.Result().Header.Get("Content-Length"))
			}
			ok(w.put(d, checkIn, d.authenticate()))
			ok(w.put(d, checkIn, d.tokenUpdate()))
			require.Equal(t, 1, w.kicks)

			uuid, err := w.server.Enqueue(t.Context(), d.id, command.DeviceInformation{Queries: []string{"OSVersion"}})
			require.NoError(t, err)
			require.Equal(t, 2, w.kicks)

			require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.idle())), "the very next Idle gets the plan")
			require.Equal(t, uuid, commandIn(t, w.put(d, connect, d.report("NotNow", "plan-"+d.id))), "another command goes on")
			require.Empty(t, commandIn(t, w.put(d, connect, d.report("Acknowledged", uuid))), "NotNow is not offered again in the session")
			require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.idle())), "it is at the next Idle")
			require.Empty(t, commandIn(t, w.put(d, connect, with(d.report("Error", "plan-"+d.id), map[string]any{"ErrorChain": []any{map[string]any{"ErrorCode": 12021}}}))))
			before := w.store.dump(t)
			require.Empty(t, commandIn(t, w.put(d, connect, d.report("Acknowledged", "plan-"+d.id))), "a repeat after the end")
			require.Equal(t, before, w.store.dump(t))

			ok(w.put(d, checkIn, d.checkOut()))
			before = w.store.dump(t)
			ok(w.put(d, checkIn, d.checkOut()))
			require.Equal(t, before, w.store.dump(t), "a second CheckOut changes nothing")
			require.Equal(t, []string{
				"authenticated " + d.id, "enrolled " + d.id, "SecurityInfo NotNow", "DeviceInformation Acknowledged", "SecurityInfo Error",
				"unenrolled " + d.id, "unenrolled " + d.id,
			}, w.events.list)
		})
	}
}

func TestARepeatedTokenUpdateKeepsTheQueueAndRenewsTheToken(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	before := w.store.dump(t)
	require.Equal(t, http.StatusOK, w.put(d, checkIn, d.tokenUpdate()).Code)
	require.Equal(t, before, w.store.dump(t))
	require.Equal(t, http.StatusOK, w.put(d, checkIn, with(d.tokenUpdate(), map[string]any{"Token": []byte{1}, "PushMagic": "new"})).Code)
	require.Equal(t, []byte{1}, w.store.Enrollments[d.id].Token)
	require.Equal(t, "new", w.store.Enrollments[d.id].Magic)
	require.Len(t, w.store.Queue, 1)
	require.Equal(t, 1, w.kicks)
}

func TestWithoutAPlannerNothingIsQueued(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.Planner = nil })
	d := w.enrolled("alice")
	require.Empty(t, commandIn(t, w.put(d, connect, d.idle())))
}

func TestWhatTheEndIsAnswered(t *testing.T) {
	for _, test := range []struct {
		way    mdm.Way
		status int
		body   string
	}{
		{mdm.WayProfile, http.StatusUnauthorized, ""},
		{mdm.WayDevice, http.StatusUnauthorized, ""},
		{mdm.WayAccount, http.StatusForbidden, `{"code":"com.apple.unrecognized.device"}`},
		{mdm.WayAccountDevice, http.StatusForbidden, `{"code":"com.apple.unrecognized.device"}`},
	} {
		t.Run(string(test.way), func(t *testing.T) {
			w := newWorld(t)
			d := w.enrolled("alice", by(test.way))
			require.NoError(t, w.server.Unenroll(t.Context(), d.id))
			require.NoError(t, w.server.Unenroll(t.Context(), d.id), "again")
			before := w.store.dump(t)
			rec := w.put(d, connect, d.idle())
			require.Equal(t, test.status, rec.Code)
			require.Equal(t, test.body, rec.Body.String())
			require.Empty(t, rec.Header().Get("WWW-Authenticate"), "no challenge")
			for _, bearer := range []string{"", "unknown"} {
				d.token = bearer
				require.Equal(t, test.status, w.put(d, connect, d.idle()).Code, "whatever the bearer")
			}
			require.Empty(t, w.asked)
			for _, m := range []map[string]any{d.tokenUpdate(), d.authenticate()} {
				rec = w.put(d, checkIn, m)
				require.Equal(t, http.StatusForbidden, rec.Code)
				require.Empty(t, rec.Body.String())
			}
			require.Equal(t, before, w.store.dump(t))
		})
	}
	w := newWorld(t)
	require.ErrorIs(t, w.server.Unenroll(t.Context(), "nobody"), mdm.ErrUnknownEnrollment)
}

func TestASuspendedUserHealsWhenItIsLifted(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	require.NoError(t, w.store.SuspendUser(t.Context(), "alice", true))
	before := w.store.dump(t)
	for path, m := range map[string]map[string]any{checkIn: d.tokenUpdate(), connect: d.idle()} {
		require.Equal(t, http.StatusForbidden, w.put(d, path, m).Code)
	}
	require.Equal(t, before, w.store.dump(t), "nothing leaves the queue")
	require.NoError(t, w.store.SuspendUser(t.Context(), "alice", false))
	require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.idle())))
}

func TestWhatIsOursIs503AndNever401(t *testing.T) {
	broken := errors.New("disk full")
	w := newWorld(t, func(c *mdm.Config) { c.Planner = plan{fail: broken} })
	d := w.identified("alice")
	require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
	before := w.store.dump(t)
	rec := w.put(d, checkIn, d.tokenUpdate())
	require.Equal(t, http.StatusServiceUnavailable, rec.Code, "the planner broke")
	require.Equal(t, before, w.store.dump(t))

	w.store.fail = broken
	for _, m := range []map[string]any{d.authenticate(), d.tokenUpdate(), d.checkOut(), {"MessageType": "Foo"}} {
		rec = w.put(d, checkIn, m)
		require.Equal(t, http.StatusServiceUnavailable, rec.Code)
		require.NotEmpty(t, rec.Header().Get("Retry-After"))
		require.Empty(t, rec.Body.String())
	}
	require.Equal(t, http.StatusServiceUnavailable, w.put(d, connect, d.idle()).Code)
}

// panicking is a planner that is broken.
type panicking struct{}

func (panicking) Plan(context.Context, mdm.Enrollment) ([]mdm.Command, error) { panic("no plan") }

// Line 8.
func TestAPanicIsOurs(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.Planner = panicking{} })
	d := w.identified("alice")
	require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
	before := w.store.dump(t)
	rec := w.put(d, checkIn, d.tokenUpdate())
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	require.Empty(t, rec.Body.String())
	require.Equal(t, before, w.store.dump(t))
	require.Contains(t, w.log.String(), "no plan")
	require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code, "others are served")
}

func TestDeviceLimit(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.DeviceLimit = 1 })
	w.enrolled("alice")
	second := w.identified("alice")
	before := w.store.dump(t)
	require.Equal(t, http.StatusForbidden, w.put(second, checkIn, second.authenticate()).Code)
	require.Equal(t, before, w.store.dump(t))
	w.enrolled("bob")
}

func TestNothingThatNamesTheHardwareIsStoredOrLogged(t *testing.T) {
	const secret = "C39VVSECRET"
	hardware := map[string]any{"UDID": secret, "SerialNumber": secret, "IMEI": secret, "MEID": secret}
	w := newWorld(t)
	d := w.identified("alice")
	require.Equal(t, http.StatusOK, w.put(d, checkIn, with(d.authenticate(), hardware)).Code)
	require.Equal(t, http.StatusOK, w.put(d, checkIn, with(d.tokenUpdate(), hardware)).Code)
	require.Equal(t, http.StatusBadRequest, w.put(d, checkIn, with(d.tokenUpdate(), map[string]any{"UDID": secret, "Topic": "x"})).Code)
	commandIn(t, w.put(d, connect, with(d.idle(), hardware)))
	report := with(d.report("Acknowledged", "plan-"+d.id), hardware)
	report["QueryResponses"] = map[string]any{
		"OSVersion": "17.6.1", "WiFiMAC": secret, "IsRoaming": secret,
		"ServiceSubscriptions": []any{map[string]any{"IMEI": secret}}, "Deep": []any{map[string]any{"phoneNumber": secret, "Kept": "yes"}},
	}
	commandIn(t, w.put(d, connect, report))
	require.NotContains(t, w.store.dump(t), secret)
	require.NotContains(t, w.log.String(), secret)
	var result map[string]any
	require.NoError(t, plist.Unmarshal(w.store.Queue[0].Result, plist.Limits{}, &result))
	require.Equal(t, map[string]any{
		"Status": "Acknowledged", "EnrollmentID": d.id, "CommandUUID": "plan-" + d.id,
		"QueryResponses": map[string]any{"OSVersion": "17.6.1", "Deep": []any{map[string]any{"Kept": "yes"}}},
	}, result)
}

func TestAHarmlessResultIsStoredAsReceived(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	body := encode(t, d.report("Acknowledged", "plan-"+d.id))
	require.Equal(t, http.StatusOK, w.serve(w.request(d, connect, body)).Code)
	require.Equal(t, body, w.store.Queue[0].Result)
}

func TestEnqueueRefuses(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	half := w.identified("bob")
	require.Equal(t, http.StatusOK, w.put(half, checkIn, half.authenticate()).Code)
	before, kicks := w.store.dump(t), w.kicks
	for name, test := range map[string]struct {
		id      string
		command command.Command
		want    error
	}{
		"forbidden":          {d.id, command.Raw{Type: "EraseDevice"}, mdm.ErrForbidden},
		"unknown enrollment": {"E-none", command.SecurityInfo{}, mdm.ErrUnknownEnrollment},
		"not yet enrolled":   {half.id, command.SecurityInfo{}, mdm.ErrUnknownEnrollment},
		"incomplete":         {d.id, command.RemoveProfile{}, command.ErrInvalid},
		"nothing":            {d.id, nil, command.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.server.Enqueue(t.Context(), test.id, test.command)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, before, w.store.dump(t))
			require.Equal(t, kicks, w.kicks)
		})
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	s, err := mdm.New(mdm.Config{DeviceLimit: -1, AccessRights: 2, ProxyCertificate: &mdm.ProxyCertificate{}})
	require.Nil(t, s)
	require.ErrorIs(t, err, mdm.ErrConfig)
	for _, want := range []string{"Store", "Identity", "Topic", "DeviceLimit", "AccessRights", "Header", "Trusted"} {
		require.ErrorContains(t, err, want)
	}
}
