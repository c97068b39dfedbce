package mdm_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
)

// fuzzBodies sends bodies by a certificate of TLS, which, unlike a signature,
// is good for any body.
func fuzzBodies(f *testing.F, path, contentType string, seeds func(d *device) []map[string]any, allowed ...int) {
	w := newWorld(f)
	d := w.enrolled("alice")
	list := seeds(d)
	if len(list) == 0 {
		f.Fatal("no seeds")
	}
	for _, m := range list {
		f.Add(string(encode(f, m)))
	}
	for _, s := range []string{"", "bplist00", "{MessageType=Authenticate;}", `<plist version="1.0"><array/></plist>`, strings.Repeat("<array>", 100)} {
		f.Add(s)
	}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{d.cert}}
	f.Fuzz(func(t *testing.T, body string) {
		w.log.Reset()
		w.events.list = nil
		before := w.store.dump(t)
		send := func() *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPut, path, strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			r.TLS = state
			return w.serve(r)
		}
		first := send()
		require.Contains(t, append(allowed, http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge), first.Code)
		if first.Code != http.StatusOK {
			require.Equal(t, before, w.store.dump(t), "a refused request changes nothing")
		}
		for _, c := range w.store.Queue {
			if len(c.Result) > 0 {
				require.NoError(t, plist.Check(c.Result, plist.Limits{Bytes: 2 << 20, Elements: 200_000}), "what is stored is a property list")
			}
		}
		// As it was, for the next body.
		*w.store.Enrollments[d.id] = record{Enrollment: mdm.Enrollment{ID: d.id, UserID: "alice", State: mdm.StateEnrolled, Way: mdm.WayProfile, Certificate: d.digest}}
		for _, c := range w.store.Queue {
			c.Status, c.Result = mdm.CommandQueued, nil
		}
		if path == checkIn {
			second := send()
			require.Equal(t, first.Code, second.Code, "the answer does not depend on having asked before")
		}
	})
}

func FuzzCheckIn(f *testing.F) {
	fuzzBodies(f, checkIn, "application/x-apple-aspen-mdm-checkin", func(d *device) []map[string]any {
		return []map[string]any{d.authenticate(), d.tokenUpdate(), d.checkOut(), with(d.authenticate(), map[string]any{"OSVersion": "12.0"}), {"MessageType": "UserAuthenticate"}}
	}, http.StatusGone)
}

func FuzzConnect(f *testing.F) {
	fuzzBodies(f, connect, "application/x-apple-aspen-mdm", func(d *device) []map[string]any {
		uuid := "plan-" + d.id
		return []map[string]any{
			d.idle(), d.report("Acknowledged", uuid), d.report("NotNow", uuid), with(d.report("Error", uuid), map[string]any{"UDID": "U", "ErrorChain": []any{map[string]any{"ErrorCode": 1}}}),
			{"EnrollmentID": d.id, "Status": "CommandFormatError"}, d.report("Done", uuid),
		}
	})
}
