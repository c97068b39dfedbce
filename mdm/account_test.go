package mdm_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// challenged serves r and holds a 401 that says how to sign in, and an
// unchanged store.
func (w *world) challenged(t *testing.T, r *http.Request) {
	t.Helper()
	before := w.store.dump(t)
	rec := w.serve(r)
	require.Equal(t, http.StatusUnauthorized, rec.Code, w.log.String())
	require.Empty(t, rec.Body.String())
	require.Equal(t, "0", rec.Header().Get("Content-Length"))
	require.Equal(t, []string{challenge}, rec.Header().Values("WWW-Authenticate"))
	require.Equal(t, "https://mdm.example.com/esso", rec.Header().Get("X-Apple-MDM-ESSO"))
	require.Equal(t, before, w.store.dump(t))
}

// messages are all that a device sends.
func (d *device) messages() map[string]map[string]any {
	return map[string]map[string]any{
		"Authenticate": d.authenticate(), "TokenUpdate": d.tokenUpdate(), "CheckOut": d.checkOut(),
		"Idle": d.idle(), "Acknowledged": d.report("Acknowledged", "plan-"+d.id),
	}
}

func pathOf(message map[string]any) string {
	if message["MessageType"] == nil {
		return connect
	}
	return checkIn
}

func TestBearerTokens(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayAccount, mdm.WayAccountDevice} {
		w := newWorld(t)
		d := w.enrolled("alice", by(way))
		second, colleague := w.enrolled("alice", by(way)), w.enrolled("bob", by(way))
		w.store.grant("expired", token{Enrollment: d.id, Expires: w.now})
		w.store.grant("revoked", token{Enrollment: d.id, Revoked: true})
		w.store.grant("a ticket's", token{Ticket: "T-other"})
		w.store.grant("unused", token{Ticket: "T-" + d.id})
		bearer := "Bearer " + d.token
		for name, header := range map[string][]string{
			"missing":                   nil,
			"empty":                     {""},
			"without a token":           {"Bearer "},
			"of another scheme":         {"Basic " + d.token},
			"without a scheme":          {d.token},
			"behind two spaces":         {"Bearer  " + d.token},
			"with a second word":        {bearer + " x"},
			"in a list":                 {bearer + ", " + bearer},
			"twice":                     {bearer, bearer},
			"too long":                  {"Bearer " + strings.Repeat("A", 8<<10+1)},
			"of padding alone":          {"Bearer =="},
			"unknown":                   {"Bearer unknown"},
			"expired":                   {"Bearer expired"},
			"revoked":                   {"Bearer revoked"},
			"of another ticket":         {"Bearer a ticket's"},
			"of another user":           {"Bearer " + colleague.token},
			"of the person's other one": {"Bearer " + second.token},
			"of an unbound grant":       {"Bearer unused"},
		} {
			t.Run(string(way)+"/"+name, func(t *testing.T) {
				for kind, m := range d.messages() {
					w.asked = nil
					r := w.request(d, pathOf(m), encode(t, m))
					r.Header.Del("Authorization")
					if header != nil {
						r.Header["Authorization"] = header
					}
					w.challenged(t, r)
					require.Len(t, w.asked, 1, kind)
					require.Equal(t, w.store.Enrollments[d.id].Enrollment, w.asked[0], "the web session belongs to this enrollment")
				}
			})
		}
		t.Run(string(way)+"/in the query", func(t *testing.T) {
			r := w.request(d, connect, encode(t, d.idle()))
			r.Header.Del("Authorization")
			r.URL.RawQuery = "access_token=" + d.token + "&access-token=" + d.token
			w.challenged(t, r)
		})
		t.Run(string(way)+"/in force", func(t *testing.T) {
			for _, scheme := range []string{"Bearer ", "bearer "} {
				r := w.request(d, connect, encode(t, d.idle()))
				r.Header.Set("Authorization", scheme+d.token)
				require.Equal(t, http.StatusOK, w.serve(r).Code)
			}
		})
		require.NotContains(t, w.log.String(), "token-", "tokens are not logged")
		require.NotContains(t, w.log.String(), "Bearer")
	}
}

func TestANewerTokenEndsTheFormerAtItsFirstUse(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice", by(mdm.WayAccount))
	former := d.token
	w.store.grant("newer", token{Enrollment: d.id, Expires: w.now.Add(time.Hour)})
	require.Equal(t, http.StatusOK, w.put(d, connect, d.idle()).Code, "until then the former one is in force")
	d.token = "newer"
	require.Equal(t, http.StatusOK, w.put(d, connect, d.idle()).Code)
	d.token = former
	w.challenged(t, w.request(d, connect, encode(t, d.idle())))
	d.token = "newer"
	w.now = w.now.Add(time.Hour)
	w.challenged(t, w.request(d, checkIn, encode(t, d.tokenUpdate())))
}

// Identity is looked at first: who is not the device is told nothing.
func TestABearerTokenProvesNoDevice(t *testing.T) {
	w := newWorld(t)
	d, other := w.enrolled("alice", by(mdm.WayAccount)), w.enrolled("bob", by(mdm.WayAccount))
	half := w.identified("alice", by(mdm.WayAccount))
	foreign := newAuthority(t, w.now).device(t, d.id)
	for name, signer := range map[string]*device{"nobody": nil, "a foreign CA": foreign, "another device": other, "a phone on its way": half} {
		for _, bearer := range []string{d.token, "unknown", ""} {
			t.Run(name+" "+bearer, func(t *testing.T) {
				for kind, m := range d.messages() {
					if kind == "Authenticate" && signer == half {
						continue // see below
					}
					r := w.request(signer, pathOf(m), encode(t, m))
					if r.Header.Del("Authorization"); bearer != "" {
						r.Header.Set("Authorization", "Bearer "+bearer)
					}
					w.refused(t, http.StatusForbidden, r)
				}
			})
		}
	}
	require.Empty(t, w.asked)
	d.token = ""
	w.refused(t, http.StatusBadRequest, w.request(d, connect, []byte("<plist/>")))
}

func TestTheFirstAuthenticateNeedsItsTicketsToken(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayAccount, mdm.WayAccountDevice} {
		w := newWorld(t)
		victim := w.enrolled("bob", by(way))
		d := w.identified("alice", by(way))
		own := d.token
		w.store.grant("revoked", token{Ticket: "T-" + d.id, Revoked: true})
		w.store.grant("expired", token{Ticket: "T-" + d.id, Expires: w.now.Add(-time.Second)})
		w.store.grant("another ticket's", token{Ticket: "T-else"})
		for _, bearer := range []string{"", "unknown", "revoked", "expired", "another ticket's", victim.token} {
			for _, id := range []string{d.id, victim.id} {
				w.asked = nil
				m := d.authenticate()
				d.token, d.id = bearer, id
				w.challenged(t, w.request(d, checkIn, encode(t, d.named(m))))
				require.Equal(t, []mdm.Enrollment{{Way: way}}, w.asked, "there is no enrollment yet, and another's is not told")
				d.id = strings.TrimPrefix(w.store.Identities[string(d.digest[:])].Ticket, "T-")
			}
		}
		d.token = own
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code, "a retry")
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.tokenUpdate()).Code)
		require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.idle())))
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.checkOut()).Code)
		d.token = ""
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.checkOut()).Code, "a repeat, which changes nothing")
	}
}

// An answer was lost, nothing stayed on the phone, and it repeated its second
// POST: a new key, a new EnrollmentID, the same token.
func TestStartingOverWithTheSameToken(t *testing.T) {
	w := newWorld(t)
	first := w.identified("alice", by(mdm.WayAccount))
	require.Equal(t, http.StatusOK, w.put(first, checkIn, first.authenticate()).Code)
	again := w.identified("alice", by(mdm.WayAccount), func(i *identity) { i.Ticket = "T-" + first.id })
	again.token = first.token
	require.Equal(t, http.StatusOK, w.put(again, checkIn, again.authenticate()).Code)
	require.Equal(t, http.StatusOK, w.put(again, checkIn, again.tokenUpdate()).Code)
	w.refused(t, http.StatusForbidden, w.request(first, checkIn, encode(t, first.tokenUpdate())))
	require.Equal(t, "plan-"+again.id, commandIn(t, w.put(again, connect, again.idle())))
}

// A refusal that comes after the token was looked at leaves the former in force.
func TestARefusedAuthenticateEndsNoToken(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.DeviceLimit = 1 })
	victim := w.enrolled("bob", by(mdm.WayAccount))
	d := w.enrolled("alice", by(mdm.WayAccount))
	second := w.identified("alice", by(mdm.WayAccount))
	w.refused(t, http.StatusForbidden, w.request(second, checkIn, encode(t, second.authenticate())))
	stranger := w.identified("carol", by(mdm.WayAccount))
	m := stranger.authenticate()
	m["EnrollmentID"] = victim.id
	w.refused(t, http.StatusForbidden, w.request(stranger, checkIn, encode(t, m)))
	for _, phone := range []*device{victim, d} {
		require.Equal(t, http.StatusOK, w.put(phone, connect, phone.idle()).Code)
	}
}

func TestOtherWaysNeedNoToken(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayProfile, mdm.WayDevice} {
		w := newWorld(t)
		d := w.enrolled("alice", by(way))
		for _, bearer := range []string{"", "unknown"} {
			d.token = bearer
			require.Equal(t, http.StatusOK, w.put(d, connect, d.idle()).Code)
		}
		require.Empty(t, w.asked)
	}
}

func TestASuspendedAccountSignsInAgain(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice", by(mdm.WayAccount))
	require.NoError(t, w.store.SuspendUser(t.Context(), "alice", true))
	for _, bearer := range []string{d.token, ""} {
		d.token = bearer
		for _, m := range d.messages() {
			w.refused(t, http.StatusForbidden, w.request(d, pathOf(m), encode(t, m)))
		}
	}
	require.NoError(t, w.store.SuspendUser(t.Context(), "alice", false))
	d.token = "token-" + d.id
	w.challenged(t, w.request(d, connect, encode(t, d.idle())))
	d.token = "again"
	w.store.grant(d.token, token{Enrollment: d.id})
	require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.idle())))
}

func TestADeviceNamesItselfAsItsWayDoes(t *testing.T) {
	for _, way := range []mdm.Way{mdm.WayProfile, mdm.WayAccount, mdm.WayDevice, mdm.WayAccountDevice} {
		t.Run(string(way), func(t *testing.T) {
			w := newWorld(t)
			half, d := w.identified("alice", by(way)), w.enrolled("alice", by(way))
			for _, phone := range []*device{half, d} {
				fitting := phone.udid
				phone.udid = !fitting
				for _, m := range phone.messages() {
					w.refused(t, http.StatusBadRequest, w.request(phone, pathOf(m), encode(t, m)))
				}
				phone.udid = fitting
			}
			require.Empty(t, w.asked)
			require.Equal(t, http.StatusOK, w.put(half, checkIn, half.authenticate()).Code)
			require.Equal(t, way, w.store.Enrollments[d.id].Way, "nothing changes the way")
			require.Equal(t, way, w.store.Enrollments[half.id].Way)
		})
	}
	t.Run("a UDID beside an EnrollmentID is dropped", func(t *testing.T) {
		for _, udid := range []any{"U", strings.Repeat("U", 999), 7, []any{}} {
			w := newWorld(t)
			for kind := range (&device{}).messages() {
				d := w.enrolled("alice")
				m := with(d.messages()[kind], map[string]any{"UDID": udid})
				require.Equal(t, http.StatusOK, w.put(d, pathOf(m), m).Code)
				require.NotContains(t, w.store.Enrollments, "U")
			}
		}
	})
	t.Run("an EnrollmentID beside a UDID is Device Enrollment's no more", func(t *testing.T) {
		w := newWorld(t)
		d := w.enrolled("alice", by(mdm.WayDevice))
		w.refused(t, http.StatusBadRequest, w.request(d, connect, encode(t, with(d.idle(), map[string]any{"EnrollmentID": "E"}))))
	})
}

func TestUsersOfASharedDeviceAreGone(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice", by(mdm.WayDevice))
	for _, m := range d.messages() {
		w.refused(t, http.StatusGone, w.request(d, pathOf(m), encode(t, with(m, map[string]any{"UserID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "UserShortName": "bob"}))))
	}
}

func TestDeviceEnrollmentStoresNoFurtherHardware(t *testing.T) {
	const secret = "C39VVSECRET"
	w := newWorld(t)
	d := w.identified("alice", by(mdm.WayAccountDevice))
	hardware := map[string]any{"SerialNumber": secret, "IMEI": secret, "MEID": secret, "DeviceName": secret}
	for _, m := range []map[string]any{d.authenticate(), d.tokenUpdate()} {
		require.Equal(t, http.StatusOK, w.put(d, checkIn, with(m, hardware)).Code)
	}
	require.NotContains(t, w.store.dump(t), secret)
	require.NotContains(t, w.log.String(), secret)

	uuid, err := w.server.Enqueue(t.Context(), d.id, command.DeviceInformation{Queries: []string{"SerialNumber"}})
	require.NoError(t, err)
	body := encode(t, with(d.report("Acknowledged", uuid), map[string]any{"QueryResponses": map[string]any{"SerialNumber": "C39"}}))
	require.Equal(t, http.StatusOK, w.serve(w.request(d, connect, body)).Code)
	require.Equal(t, body, w.store.Queue[1].Result, "what the server may ask for, and did")
}

func TestWhatTheChallengerOwes(t *testing.T) {
	for name, test := range map[string]struct {
		challenger mdm.Challenger
		status     int
	}{
		"no challenger": {nil, http.StatusForbidden},
		"it fails":      {&challenger{world: &world{}, fail: errors.New("no key")}, http.StatusServiceUnavailable},
		"no challenge":  {&challenger{world: &world{}, header: http.Header{"X-Other": {"1"}}}, http.StatusServiceUnavailable},
		"another way":   {&challenger{world: &world{}, header: http.Header{"Www-Authenticate": {`Basic realm="a"`}}}, http.StatusServiceUnavailable},
		"two ways":      {&challenger{world: &world{}, header: http.Header{"Www-Authenticate": {challenge, challenge}}}, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *mdm.Config) { c.Challenger = test.challenger })
			d := w.enrolled("alice", by(mdm.WayAccount))
			d.token = ""
			w.refused(t, test.status, w.request(d, connect, encode(t, d.idle())))
			w.refused(t, test.status, w.request(d, checkIn, encode(t, d.tokenUpdate())))
		})
	}
	t.Run("the store breaks in between", func(t *testing.T) {
		w := newWorld(t)
		d := w.enrolled("alice", by(mdm.WayAccount))
		w.store.lookup = errors.New("disk full")
		d.token = ""
		w.refused(t, http.StatusServiceUnavailable, w.request(d, connect, encode(t, d.idle())))
	})
}
