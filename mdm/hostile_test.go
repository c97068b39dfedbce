package mdm_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// refused serves r and holds status, an empty body and an unchanged store.
func (w *world) refused(t *testing.T, status int, r *http.Request) {
	t.Helper()
	before := w.store.dump(t)
	rec := w.serve(r)
	require.Equal(t, status, rec.Code, w.log.String())
	require.Empty(t, rec.Body.String())
	require.Equal(t, "0", rec.Header().Get("Content-Length"))
	require.Empty(t, rec.Header().Get("WWW-Authenticate"))
	require.Equal(t, before, w.store.dump(t))
}

// Lines 49 and 50.
func TestBodies(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	checkInOf := func(more map[string]any) []byte { return encode(t, with(d.checkOut(), more)) }
	wrap := func(inner string) []byte { return []byte(`<plist version="1.0">` + inner + `</plist>`) }
	good := string(checkInOf(nil))
	for name, body := range map[string][]byte{
		"empty":         {},
		"binary P1":     hostile(t, "p1-negative-length.bplist"),
		"binary P1b":    hostile(t, "p1b-negative-length-key.bplist"),
		"binary P2":     hostile(t, "p2-laughs34.bplist"),
		"OpenStep":      []byte(`{UDID=abc;MessageType=Authenticate;}`),
		"OpenStep P5":   hostile(t, "p5-openstep.txt"),
		"too deep":      wrap(strings.Repeat("<array>", 17) + strings.Repeat("</array>", 17)),
		"very deep":     wrap(strings.Repeat("<array>", 9000)),
		"second root":   []byte(good + good),
		"duplicate key": wrap(`<dict><key>EnrollmentID</key><string>a</string><key>EnrollmentID</key><string>b</string></dict>`),
		"entities":      []byte(`<!DOCTYPE plist [<!ENTITY a "b">]>` + string(wrap("<dict/>"))),
		"UTF-16":        []byte("\xff\xfe<\x00p\x00"),
		"XML 1.1":       []byte(`<?xml version="1.1"?>` + string(wrap("<dict/>"))),
		"gzip":          {0x1f, 0x8b, 8, 0},
		"not a dict":    wrap("<array/>"),
		"no message":    checkInOf(map[string]any{"MessageType": nil}),
		"another case":  checkInOf(map[string]any{"MessageType": "authenticate"}),
		"unknown":       checkInOf(map[string]any{"MessageType": "Foo"}),
		"not a string":  checkInOf(map[string]any{"MessageType": 1}),
		"GetToken":      checkInOf(map[string]any{"MessageType": "GetToken", "TokenServiceType": "x"}),
		"declarations":  checkInOf(map[string]any{"MessageType": "DeclarativeManagement", "Endpoint": "tokens"}),
		"UDID only":     checkInOf(map[string]any{"EnrollmentID": nil, "UDID": "U"}),
		"odd UDID":      checkInOf(map[string]any{"EnrollmentID": nil, "UDID": "U'--"}),
		"UDID of data":  checkInOf(map[string]any{"EnrollmentID": nil, "UDID": []byte("U")}),
		"long UDID":     checkInOf(map[string]any{"EnrollmentID": nil, "UDID": strings.Repeat("U", 65)}),
		"no device":     checkInOf(map[string]any{"EnrollmentID": nil}),
		"odd device":    checkInOf(map[string]any{"EnrollmentID": "E'--"}),
		"long device":   checkInOf(map[string]any{"EnrollmentID": strings.Repeat("E", 65)}),
		"no topic":      checkInOf(map[string]any{"Topic": nil}),
		"another topic": checkInOf(map[string]any{"Topic": "com.apple.mgmt.External.other"}),
		"NaN in a date": wrap(`<dict><key>At</key><date>NaN</date></dict>`),
		"3,000 values":  wrap("<array>" + strings.Repeat("<true/>", 3000) + "</array>"),
	} {
		t.Run(name, func(t *testing.T) {
			w.refused(t, http.StatusBadRequest, w.request(d, checkIn, body))
			w.refused(t, http.StatusBadRequest, w.request(d, connect, body))
		})
	}
	t.Run("UserAuthenticate", func(t *testing.T) {
		w.refused(t, http.StatusGone, w.request(d, checkIn, encode(t, map[string]any{"MessageType": "UserAuthenticate", "UserID": "U"})))
	})
	t.Run("what is logged is short", func(t *testing.T) {
		w.log.Reset()
		w.refused(t, http.StatusBadRequest, w.request(d, checkIn, checkInOf(map[string]any{"MessageType": strings.Repeat("Q", 1000)})))
		require.Equal(t, 64, strings.Count(w.log.String(), "Q"))
	})
	t.Run("over 64 KiB", func(t *testing.T) {
		w.refused(t, http.StatusRequestEntityTooLarge, w.request(d, checkIn, make([]byte, 64<<10+1)))
		r := w.request(d, checkIn, nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, 1<<20))), -1
		w.refused(t, http.StatusRequestEntityTooLarge, r)
		r = w.request(nil, checkIn, make([]byte, 65<<10))
		r.TLS.PeerCertificates = []*x509.Certificate{d.cert}
		w.refused(t, http.StatusRequestEntityTooLarge, r)
	})
	t.Run("connect over 1 MiB", func(t *testing.T) {
		w.refused(t, http.StatusRequestEntityTooLarge, w.request(d, connect, make([]byte, 1<<20+1)))
	})
	t.Run("cut off", func(t *testing.T) {
		r := w.request(d, checkIn, checkInOf(nil))
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("<"), failing{}))
		w.refused(t, http.StatusBadRequest, r)
	})
	for name, edit := range map[string]func(*http.Request){
		"Content-Encoding": func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"no content type":  func(r *http.Request) { r.Header.Del("Content-Type") },
		"JSON":             func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"connect's":        func(r *http.Request) { r.Header.Set("Content-Type", "application/x-apple-aspen-mdm") },
	} {
		t.Run(name, func(t *testing.T) {
			r := w.request(d, checkIn, checkInOf(nil))
			edit(r)
			w.refused(t, http.StatusUnsupportedMediaType, r)
		})
	}
	t.Run("methods and paths", func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions, "put"} {
			r := w.request(d, checkIn, checkInOf(nil))
			r.Method = method
			before := w.store.dump(t)
			rec := w.serve(r)
			require.Equal(t, http.StatusMethodNotAllowed, rec.Code)
			require.Equal(t, http.MethodPut, rec.Header().Get("Allow"))
			require.Empty(t, rec.Header().Get("Access-Control-Allow-Origin"))
			require.Equal(t, before, w.store.dump(t))
		}
		for _, path := range []string{"/mdm", "/mdm/", "/mdm/checkin/", "/checkin", "/mdm/Connect"} {
			require.Equal(t, http.StatusNotFound, w.serve(w.request(d, path, nil)).Code)
		}
	})
}

// hostile is a committed input that ends the property list library unguarded.
func hostile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../internal/plist/testdata/hostile/" + name)
	require.NoError(t, err)
	return b
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Lines 51 and 52.
func TestAuthenticateBindsOneEnrollmentToOneCertificate(t *testing.T) {
	w := newWorld(t)
	d := w.enrolled("alice")
	before := w.store.dump(t)
	require.Equal(t, http.StatusOK, w.put(d, checkIn, with(d.authenticate(), map[string]any{"OSVersion": "18.0"})).Code)
	require.Equal(t, before, w.store.dump(t), "again: token, binding and state are kept")

	colleague := w.identified("bob")
	w.refused(t, http.StatusForbidden, w.request(d, checkIn, encode(t, with(d.authenticate(), map[string]any{"EnrollmentID": "E-other"}))))
	w.refused(t, http.StatusForbidden, w.request(colleague, checkIn, encode(t, d.authenticate())))

	newer := w.identified("alice")
	require.Equal(t, http.StatusOK, w.put(newer, checkIn, d.authenticate()).Code, "the same user's newer ticket")
	w.refused(t, http.StatusForbidden, w.request(d, connect, encode(t, d.idle())))

	fresh := w.identified("carol")
	for _, version := range []string{"12.5.7", "13.0", "13", "abc", "-1.0", "17.x", "", strings.Repeat("1", 65)} {
		m := with(fresh.authenticate(), map[string]any{"OSVersion": version})
		if version == "" {
			m = with(m, map[string]any{"OSVersion": nil, "ProductName": strings.Repeat("p", 65)})
		}
		w.refused(t, http.StatusBadRequest, w.request(fresh, checkIn, encode(t, m)))
	}
	require.Equal(t, http.StatusOK, w.put(fresh, checkIn, with(fresh.authenticate(), map[string]any{"OSVersion": "13.1"})).Code)
}

// Lines 53 and 54.
func TestTokenUpdateAndCheckOutRefuse(t *testing.T) {
	w := newWorld(t)
	d, other, half := w.enrolled("alice"), w.enrolled("bob"), w.identified("carol")
	for name, more := range map[string]map[string]any{
		"no token":       {"Token": nil},
		"empty token":    {"Token": []byte{}},
		"long token":     {"Token": make([]byte, 101)},
		"token of text":  {"Token": "AAAA"},
		"no magic":       {"PushMagic": nil},
		"long magic":     {"PushMagic": strings.Repeat("m", 257)},
		"magic of data":  {"PushMagic": []byte("m")},
		"another topic":  {"Topic": "com.apple.mgmt.other"},
		"topic is a map": {"Topic": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			w.refused(t, http.StatusBadRequest, w.request(d, checkIn, encode(t, with(d.tokenUpdate(), more))))
		})
	}
	t.Run("1 MB token", func(t *testing.T) {
		w.refused(t, http.StatusRequestEntityTooLarge, w.request(d, checkIn, encode(t, with(d.tokenUpdate(), map[string]any{"Token": make([]byte, 1<<20)}))))
	})
	t.Run("before Authenticate", func(t *testing.T) {
		w.refused(t, http.StatusForbidden, w.request(half, checkIn, encode(t, half.tokenUpdate())))
		w.refused(t, http.StatusForbidden, w.request(half, checkIn, encode(t, half.checkOut())))
	})
	t.Run("CheckOut by another", func(t *testing.T) {
		w.refused(t, http.StatusForbidden, w.request(other, checkIn, encode(t, d.checkOut())))
	})
	t.Run("after CheckOut", func(t *testing.T) {
		require.Equal(t, http.StatusOK, w.put(d, checkIn, d.checkOut()).Code)
		w.refused(t, http.StatusForbidden, w.request(d, checkIn, encode(t, d.tokenUpdate())))
		w.refused(t, http.StatusUnauthorized, w.request(d, connect, encode(t, d.idle())))
	})
}

// Lines 55 and 56.
func TestConnect(t *testing.T) {
	w := newWorld(t)
	d, other := w.enrolled("alice"), w.enrolled("bob")
	for name, m := range map[string]map[string]any{
		"no status":      {"EnrollmentID": d.id},
		"unknown status": d.report("Done", "U"),
		"no UUID":        {"EnrollmentID": d.id, "Status": "Acknowledged"},
		"NotNow to what": {"EnrollmentID": d.id, "Status": "NotNow"},
		"long UUID":      d.report("Acknowledged", strings.Repeat("U", 129)),
		"UDID only":      {"UDID": "U", "Status": "Idle"},
		"odd device":     with(d.idle(), map[string]any{"EnrollmentID": 7}),
	} {
		t.Run(name, func(t *testing.T) {
			w.refused(t, http.StatusBadRequest, w.request(d, connect, encode(t, m)))
		})
	}
	t.Run("Idle with a CommandUUID is Idle", func(t *testing.T) {
		require.Equal(t, "plan-"+d.id, commandIn(t, w.put(d, connect, d.report("Idle", "plan-"+d.id))))
		require.Equal(t, mdm.CommandSent, w.store.Queue[0].Status)
	})
	t.Run("a report for another's command changes nothing", func(t *testing.T) {
		before := w.store.dump(t)
		commandIn(t, w.put(d, connect, d.report("Acknowledged", "plan-"+other.id)))
		commandIn(t, w.put(d, connect, d.report("Acknowledged", "unknown")))
		require.Equal(t, before, w.store.dump(t))
	})
	t.Run("CommandFormatError without a CommandUUID", func(t *testing.T) {
		commandIn(t, w.put(d, connect, map[string]any{"EnrollmentID": d.id, "Status": "CommandFormatError"}))
		require.Equal(t, mdm.CommandFormatError, w.store.Queue[0].Status)
	})
	t.Run("NotNow without end", func(t *testing.T) {
		require.Equal(t, "plan-"+other.id, commandIn(t, w.put(other, connect, other.idle())))
		for range 50 {
			require.Empty(t, commandIn(t, w.put(other, connect, other.report("NotNow", "plan-"+other.id))))
		}
	})
	t.Run("an endless chain of errors is accepted and cut", func(t *testing.T) {
		chain := make([]any, 10_000)
		for i := range chain {
			chain[i] = map[string]any{"ErrorCode": i}
		}
		uuid, err := w.server.Enqueue(t.Context(), d.id, command.SecurityInfo{})
		require.NoError(t, err)
		commandIn(t, w.put(d, connect, with(d.report("Error", uuid), map[string]any{"ErrorChain": chain})))
		last := w.store.Queue[len(w.store.Queue)-1]
		require.Equal(t, mdm.CommandError, last.Status)
		require.Equal(t, 16, strings.Count(string(last.Result), "ErrorCode"))
	})
	t.Run("a device's clock does not count", func(t *testing.T) {
		uuid, err := w.server.Enqueue(t.Context(), d.id, command.SecurityInfo{})
		require.NoError(t, err)
		commandIn(t, w.put(d, connect, with(d.report("Acknowledged", uuid), map[string]any{"At": time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)})))
		require.Equal(t, w.now, w.store.Queue[len(w.store.Queue)-1].Updated)
	})
	t.Run("Idle in parallel gets one command each", func(t *testing.T) {
		uuid, err := w.server.Enqueue(t.Context(), other.id, command.SecurityInfo{})
		require.NoError(t, err)
		answers := make([]*httptest.ResponseRecorder, 2)
		var wg sync.WaitGroup
		for i := range answers {
			r := w.request(other, connect, encode(t, other.idle()))
			wg.Go(func() { answers[i] = w.serve(r) })
		}
		wg.Wait()
		for _, rec := range answers {
			require.Equal(t, "plan-"+other.id, commandIn(t, rec), "the first that is not answered, once each")
		}
		require.Equal(t, uuid, commandIn(t, w.put(other, connect, other.report("Acknowledged", "plan-"+other.id))))
		require.Empty(t, commandIn(t, w.put(other, connect, other.report("Acknowledged", uuid))))
		require.Empty(t, commandIn(t, w.put(other, connect, other.idle())), "nothing is delivered after its report")
	})
	t.Run("parallel", func(t *testing.T) {
		var wg sync.WaitGroup
		uuid, err := w.server.Enqueue(t.Context(), d.id, command.SecurityInfo{})
		require.NoError(t, err)
		bodies := make([][]byte, 16)
		for i := range bodies {
			bodies[i] = encode(t, d.report("Acknowledged", uuid))
		}
		w.log = &strings.Builder{}
		events := len(w.events.list)
		for _, body := range bodies {
			r := w.request(d, connect, body)
			wg.Go(func() {
				if rec := w.serve(r); rec.Code != http.StatusOK || rec.Body.Len() > 0 {
					panic(fmt.Sprint(rec.Code, rec.Body))
				}
			})
		}
		wg.Wait()
		require.Len(t, w.events.list, events+1, "one report counts")
	})
}

func TestRandomnessThatFailsQueuesNothing(t *testing.T) {
	w := newWorld(t, func(c *mdm.Config) { c.Random = io.LimitReader(rand.Reader, 3) })
	d := w.enrolled("alice")
	before := w.store.dump(t)
	_, err := w.server.Enqueue(t.Context(), d.id, command.SecurityInfo{})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, before, w.store.dump(t))
}
