package mdmtest_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

func TestNewNeedsATransport(t *testing.T) {
	_, err := mdmtest.New(mdmtest.Config{})
	require.ErrorContains(t, err, "Transport")
	_, err = mdmtest.New(mdmtest.Config{Transport: http.NewFileTransport(http.Dir(".")), TLSIdentity: true})
	require.ErrorContains(t, err, "TLSIdentity")
}

// The messages of the captured device have these keys and no others.
func TestMessagesHaveTheKeysOfRealDevices(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	require.Equal(t, []string{"Authenticate", "TokenUpdate"}, w.types())
	keys := func(r received) []string { return slices.Sorted(maps.Keys(r.message)) }
	require.Equal(t, []string{"BuildVersion", "EnrollmentID", "MessageType", "OSVersion", "ProductName", "Topic"}, keys(w.requests[0]))
	require.Equal(t, []string{"AwaitingConfiguration", "EnrollmentID", "MessageType", "PushMagic", "Token", "Topic"}, keys(w.requests[1]))
	for _, r := range w.requests {
		require.Equal(t, "/mdm/checkin", r.path)
		require.Equal(t, "application/x-apple-aspen-mdm-checkin", r.contentType)
		require.Equal(t, p.Identity().EnrollmentID, r.message["EnrollmentID"])
		require.Equal(t, topic, r.message["Topic"])
	}
	require.Regexp(t, `^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`, p.Identity().EnrollmentID)
	require.Nil(t, p.Waiting())
}

func TestSignatureShapes(t *testing.T) {
	for name, c := range map[string]struct {
		shape mdmtest.SignatureShape
		begin []byte // of the CMS message
	}{
		"BER of indefinite length": {mdmtest.SignatureBER, []byte{0x30, 0x80}},
		"DER":                      {mdmtest.SignatureDER, []byte{0x30, 0x82}},
		"none":                     {mdmtest.SignatureNone, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t) // it verifies what is there
			w.enrolled(func(c2 *mdmtest.Config) { c2.Signature = c.shape })
			require.True(t, bytes.HasPrefix(w.last().signature, c.begin))
			require.Equal(t, c.begin == nil, w.last().signature == nil)
		})
	}
}

func TestIdentityInTLS(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled(func(c *mdmtest.Config) { c.TLSIdentity, c.Signature = true, mdmtest.SignatureNone })
	require.Equal(t, p.Identity().Certificate.Raw, w.last().tls.Raw)

	without := w.phone()
	require.NoError(t, without.Receive(w.profile("good-2")))
	require.NoError(t, without.Install(t.Context()))
	require.Nil(t, w.last().tls)
}

func TestWaitingProfileIsDeletedAfter8Minutes(t *testing.T) {
	w := newWorld(t)
	now := w.now
	p := w.phone(func(c *mdmtest.Config) { c.Now = func() time.Time { return now } })
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrNoProfile)

	require.NoError(t, p.Receive(w.profile("good-1")))
	now = now.Add(8*time.Minute + time.Second)
	require.Nil(t, p.Waiting())
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrProfileExpired)
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrNoProfile)
	require.Empty(t, w.redeemed)

	require.NoError(t, p.Receive(w.profile("good-2")))
	now = now.Add(8 * time.Minute)
	require.NoError(t, p.Install(t.Context()))
}

// Once the installation runs, the 8 minutes no longer count.
func TestInstallationOutlivesThe8Minutes(t *testing.T) {
	w := newWorld(t)
	now := w.now
	lost := mdmtest.LoseAnswer
	p := w.phone(func(c *mdmtest.Config) {
		c.Now = func() time.Time { return now }
		c.Lose = func(r *http.Request) mdmtest.Loss {
			if r.Method == http.MethodPost {
				return lost
			}
			return mdmtest.LoseNothing
		}
	})
	require.NoError(t, p.Receive(w.profile("good")))
	_, err := p.ObtainIdentity(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrLost)
	now, lost = now.Add(9*time.Minute), mdmtest.LoseNothing
	_, err = p.ObtainIdentity(t.Context())
	require.NoError(t, err)
}

func TestNextDownloadReplacesTheWaitingProfile(t *testing.T) {
	w := newWorld(t)
	p := w.phone()
	require.NoError(t, p.Receive(w.profile("good-1")))
	require.NoError(t, p.Receive(w.profile("good-2")))
	require.Equal(t, "good-2", p.Waiting().SCEP.Challenge)
	require.NoError(t, p.Install(t.Context()))
	require.Contains(t, w.redeemed, "good-2")
	require.NotContains(t, w.redeemed, "good-1")
}

func TestReceiveRefusesAndKeepsWhatWaits(t *testing.T) {
	w := newWorld(t)
	stranger := newWorld(t)
	stranger.stranger()
	good := w.profile("good")
	edited := bytes.Replace(good, []byte("alice@example.com"), []byte("mallo@example.com"), 1)
	require.NotEqual(t, good, edited)
	for name, raw := range map[string][]byte{
		"signed by a stranger": stranger.profile("good"),
		"edited":               edited,
		"unsigned":             []byte(`<?xml version="1.0"?><plist version="1.0"><dict/></plist>`),
		"empty":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := w.phone()
			require.NoError(t, p.Receive(w.profile("good-waiting")))
			require.Error(t, p.Receive(raw))
			require.Equal(t, "good-waiting", p.Waiting().SCEP.Challenge)
		})
	}
}

// A lost answer is asked for again with the same key; a refusal is the end.
func TestIdentityIsRetriedWithTheSameKey(t *testing.T) {
	for _, loss := range []mdmtest.Loss{mdmtest.LoseRequest, mdmtest.LoseAnswer} {
		for _, operation := range []string{"GetCACert", "GetCACaps", "PKIOperation"} {
			w := newWorld(t)
			broken := true
			p := w.phone(func(c *mdmtest.Config) {
				c.Lose = func(r *http.Request) mdmtest.Loss {
					if broken && r.URL.Query().Get("operation") == operation {
						return loss
					}
					return mdmtest.LoseNothing
				}
			})
			require.NoError(t, p.Receive(w.profile("good")))
			_, err := p.ObtainIdentity(t.Context())
			require.ErrorIs(t, err, mdmtest.ErrLost)
			require.Nil(t, p.Identity())
			require.Equal(t, loss == mdmtest.LoseAnswer && operation == "PKIOperation", len(w.redeemed) == 1)

			broken = false
			id, err := p.ObtainIdentity(t.Context())
			require.NoError(t, err)
			require.Equal(t, w.redeemed["good"].cert.Raw, id.Certificate.Raw)
		}
	}
}

func TestRefusedChallengeEndsTheInstallation(t *testing.T) {
	w := newWorld(t)
	p := w.phone()
	require.NoError(t, p.Receive(w.profile("bad")))
	_, err := p.ObtainIdentity(t.Context())
	var refused *sceptest.FailureError
	require.ErrorAs(t, err, &refused)
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrNoProfile)
}

func TestNothingStaysAfterAFailedAuthenticate(t *testing.T) {
	w := newWorld(t)
	p := w.phone()
	raw := w.profile("good")
	require.NoError(t, p.Receive(raw))
	w.answer = func(received) (int, string) { return http.StatusServiceUnavailable, "" }
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrRefused)
	require.Nil(t, p.Identity())
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrNoProfile)
	first := w.last().message["EnrollmentID"]

	// The next attempt has a new key, which the challenge is not good for.
	w.answer = nil
	require.NoError(t, p.Receive(raw))
	var refused *sceptest.FailureError
	require.ErrorAs(t, p.Install(t.Context()), &refused)
	require.NoError(t, p.Receive(w.profile("good-again")))
	require.NoError(t, p.Install(t.Context()))
	require.NotEqual(t, first, p.Identity().EnrollmentID)
}

func TestTokenUpdateIsRepeatedAsItWas(t *testing.T) {
	w := newWorld(t)
	p := w.phone()
	require.NoError(t, p.Receive(w.profile("good")))
	w.answer = func(r received) (int, string) {
		if r.message["MessageType"] == "TokenUpdate" {
			return http.StatusServiceUnavailable, ""
		}
		return http.StatusOK, ""
	}
	require.ErrorIs(t, p.Install(t.Context()), mdmtest.ErrRefused)
	failed := w.last().message
	w.answer = nil
	require.NoError(t, p.TokenUpdate(t.Context()))
	require.Equal(t, failed, w.last().message)
}

func TestAnswersThatMakeAPhoneLeave(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		left   bool
	}{
		"401":                    {401, "", true},
		"403 unrecognized":       {403, `{"code":"com.apple.unrecognized.device"}`, true},
		"403 empty":              {403, "", false},
		"403 of another kind":    {403, `{"code":"com.apple.other"}`, false},
		"400":                    {400, "", false},
		"503":                    {503, "", false},
		"204, which is no error": {204, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.enrolled()
			w.answer = func(received) (int, string) { return c.status, c.body }
			_, err := p.Connect(t.Context())
			require.Error(t, err)
			require.Equal(t, c.left, errors.Is(err, mdmtest.ErrLeft))
			require.Equal(t, c.left, p.Identity() == nil)
		})
	}
}

func TestExtraCheckIn(t *testing.T) {
	w := newWorld(t)
	w.enrolled(func(c *mdmtest.Config) { c.ExtraCheckIn = map[string]any{"UDID": "00008110", "Topic": nil} })
	for _, r := range w.requests {
		require.Equal(t, "00008110", r.message["UDID"])
		require.NotContains(t, r.message, "Topic")
	}
}

func TestCheckOutIsTriedOnce(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	w.answer = func(received) (int, string) { return http.StatusServiceUnavailable, "" }
	require.ErrorIs(t, p.CheckOut(t.Context()), mdmtest.ErrRefused)
	require.Nil(t, p.Identity())
	require.ErrorIs(t, p.CheckOut(t.Context()), mdmtest.ErrNoProfile)
}

func TestWake(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	token, _ := w.last().message["Token"].([]byte)
	magic, _ := w.last().message["PushMagic"].(string)
	require.Len(t, token, 32)
	require.True(t, p.Owns(token))
	require.False(t, p.Owns(token[1:]))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, push := range map[string]struct {
		token []byte
		magic string
	}{"another magic": {token, "M"}, "another token": {bytes.Repeat([]byte{1}, 32), magic}} {
		p.Wake(push.token, push.magic)
		require.ErrorIs(t, p.AwaitPush(ctx), context.Canceled, name)
	}
	p.Wake(token, magic)
	p.Wake(token, magic)
	require.NoError(t, p.AwaitPush(t.Context()))
	require.ErrorIs(t, p.AwaitPush(ctx), context.Canceled)
}

func installProfile(t testing.TB, identifier string) map[string]any {
	t.Helper()
	payload, err := plist.Marshal(map[string]any{
		"PayloadType": "Configuration", "PayloadIdentifier": identifier, "PayloadUUID": "U", "PayloadVersion": 1,
		"PayloadContent": []any{map[string]any{"PayloadType": "com.apple.extensiblesso", "ExtensionIdentifier": "com.example.sso"}},
	})
	require.NoError(t, err)
	return map[string]any{"RequestType": "InstallProfile", "Payload": payload}
}

func TestConnectRunsASession(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled(func(c *mdmtest.Config) { c.NotNow, c.Error = []string{"ProfileList"}, []string{"SecurityInfo"} })
	w.requests = nil
	w.commands(
		installProfile(t, "com.example.a"),
		map[string]any{"RequestType": "ProfileList"},
		map[string]any{"RequestType": "SecurityInfo"},
		map[string]any{"RequestType": "DeviceInformation", "Queries": []any{"OSVersion"}},
		map[string]any{"NoRequestType": "x"},
		installProfile(t, ""),
		map[string]any{"RequestType": "ProfileList"},
	)
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.Equal(t, []string{"Idle", "Acknowledged", "NotNow", "Error", "Acknowledged", "CommandFormatError", "Error", "Acknowledged"}, w.types())
	for _, r := range w.requests {
		require.Equal(t, "/mdm/connect", r.path)
		require.Equal(t, "application/x-apple-aspen-mdm; charset=UTF-8", r.contentType)
		require.Equal(t, p.Identity().EnrollmentID, r.message["EnrollmentID"])
	}
	require.Equal(t, "C-1", w.requests[1].message["CommandUUID"])
	require.NotContains(t, w.requests[5].message, "CommandUUID")
	require.NotEmpty(t, w.requests[3].message["ErrorChain"])

	require.Len(t, p.Installed(), 1)
	require.Equal(t, "com.example.sso", p.Installed()[0].Payloads[0]["ExtensionIdentifier"])
}

func TestInstalledProfilesAreReplacedAndRemoved(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	w.commands(installProfile(t, "com.example.a"), installProfile(t, "com.example.b"), installProfile(t, "com.example.a"),
		map[string]any{"RequestType": "RemoveProfile", "Identifier": "com.example.b"},
		map[string]any{"RequestType": "RemoveProfile", "Identifier": "com.example.b"})
	_, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Len(t, p.Installed(), 1)
	require.Equal(t, "C-3", p.Installed()[0].CommandUUID)
	require.Equal(t, "Error", w.last().message["Status"])
	require.NoError(t, p.CheckOut(t.Context()))
	require.Empty(t, p.Installed())
}

// A report that the server did not take is what the next session begins with.
func TestConnectKeepsAReportThatWasNotTaken(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	w.requests = nil
	w.commands(installProfile(t, "com.example.a"))
	works := w.answer
	w.answer = func(r received) (int, string) {
		if r.message["Status"] == "Acknowledged" {
			return http.StatusServiceUnavailable, ""
		}
		return works(r)
	}
	_, err := p.Connect(t.Context())
	require.ErrorIs(t, err, mdmtest.ErrRefused)

	w.answer = works
	n, err := p.Connect(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, []string{"Idle", "Acknowledged", "Acknowledged"}, w.types())
	require.Equal(t, w.requests[1].message, w.requests[2].message)
	_, err = p.Connect(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Idle", w.last().message["Status"])
}

func TestConnectEndsAnEndlessSession(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled()
	endless := make([]map[string]any, 200)
	for i := range endless {
		endless[i] = map[string]any{"RequestType": "ProfileList"}
	}
	w.commands(endless...)
	_, err := p.Connect(t.Context())
	require.ErrorContains(t, err, "does not end")
}
