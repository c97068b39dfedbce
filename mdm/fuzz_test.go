package mdm_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
)

// fuzzBodies sends bodies by a certificate of TLS, which, unlike a signature,
// is good for any body: under User Enrollment and under Device Enrollment.
func fuzzBodies(f *testing.F, path, contentType string, seeds func(d *device) []map[string]any, allowed ...int) {
	w := newWorld(f)
	d := map[bool]*device{false: w.enrolled("alice"), true: w.enrolled("bob", by(mdm.WayDevice))}
	for udid, phone := range d {
		list := seeds(phone)
		if len(list) == 0 {
			f.Fatal("no seeds")
		}
		for _, m := range list {
			f.Add(string(encode(f, m)), udid)
			f.Add(string(encode(f, m)), !udid)
		}
	}
	for _, s := range []string{"", "bplist00", "{MessageType=Authenticate;}", `<plist version="1.0"><array/></plist>`, strings.Repeat("<array>", 100)} {
		f.Add(s, false)
	}
	fresh := map[bool]mdm.Enrollment{false: w.store.Enrollments[d[false].id].Enrollment, true: w.store.Enrollments[d[true].id].Enrollment}
	f.Fuzz(func(t *testing.T, body string, udid bool) {
		w.log.Reset()
		w.events.list = nil
		before := w.store.dump(t)
		send := func() *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodPut, path, strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{d[udid].cert}}
			return w.serve(r)
		}
		first := send()
		require.Contains(t, append(allowed, http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusGone, http.StatusRequestEntityTooLarge), first.Code)
		if first.Code != http.StatusOK {
			require.Equal(t, before, w.store.dump(t), "a refused request changes nothing")
		}
		require.Len(t, w.store.Enrollments, 2, "no message makes another enrollment")
		for id, e := range fresh {
			require.Equal(t, e.Way, w.store.Enrollments[e.ID].Way, "nor changes the way: %v", id)
		}
		for _, c := range w.store.Queue {
			if len(c.Result) > 0 {
				require.NoError(t, plist.Check(c.Result, plist.Limits{Bytes: 2 << 20, Elements: 200_000}), "what is stored is a property list")
			}
		}
		// As it was, for the next body.
		for _, e := range fresh {
			*w.store.Enrollments[e.ID] = record{Enrollment: e}
		}
		for _, c := range w.store.Queue {
			c.Status, c.Result = mdm.CommandQueued, nil
		}
		if path == checkIn {
			second := send()
			require.Equal(t, first.Code, second.Code, "the answer does not depend on having asked before")
			for _, e := range fresh {
				*w.store.Enrollments[e.ID] = record{Enrollment: e}
			}
		}
	})
}

func FuzzCheckIn(f *testing.F) {
	fuzzBodies(f, checkIn, "application/x-apple-aspen-mdm-checkin", func(d *device) []map[string]any {
		return []map[string]any{
			d.authenticate(), d.tokenUpdate(), d.checkOut(), with(d.authenticate(), map[string]any{"OSVersion": "12.0"}),
			with(d.authenticate(), map[string]any{"UDID": "U", "EnrollmentID": "E"}), with(d.tokenUpdate(), map[string]any{"UserID": "U"}),
			{"MessageType": "UserAuthenticate"},
		}
	})
}

func FuzzConnect(f *testing.F) {
	fuzzBodies(f, connect, "application/x-apple-aspen-mdm", func(d *device) []map[string]any {
		uuid := "plan-" + d.id
		return []map[string]any{
			d.idle(), d.report("Acknowledged", uuid), d.report("NotNow", uuid), with(d.report("Error", uuid), map[string]any{"SerialNumber": "S", "ErrorChain": []any{map[string]any{"ErrorCode": 1}}}),
			d.named(map[string]any{"Status": "CommandFormatError"}), d.report("Done", uuid), with(d.idle(), map[string]any{"UserID": "U"}),
		}
	})
}

// heard is a store that notes the bearer token of a step.
type heard struct {
	*store
	bearer [32]byte
}

func (h *heard) Exchange(ctx context.Context, x mdm.ExchangeStep) (mdm.Exchanged, error) {
	h.bearer = x.Bearer
	return h.store.Exchange(ctx, x)
}

// An Authorization header is a token and nothing else, or none.
func FuzzAuthorization(f *testing.F) {
	var listening *heard
	w := newWorld(f, func(c *mdm.Config) {
		listening = &heard{store: c.Store.(*store)}
		c.Store = listening
	})
	d := w.enrolled("alice")
	body := string(encode(f, d.idle()))
	for _, s := range []string{"Bearer abc", "bearer YWJj==", "Bearer  abc", "Bearer a b", "Bearer a,b", "Basic YWJj", "Bearer =", "Bearer\tabc", "", strings.Repeat("A", 9000)} {
		f.Add(s, s == "Bearer a,b")
	}
	f.Fuzz(func(t *testing.T, header string, twice bool) {
		w.log.Reset()
		r := httptest.NewRequest(http.MethodPut, connect, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-apple-aspen-mdm")
		r.Header["Authorization"] = []string{header}
		if twice {
			r.Header.Add("Authorization", header)
		}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{d.cert}}
		listening.bearer = [32]byte{1}
		require.Equal(t, http.StatusOK, w.serve(r).Code, "a way without an account has no use for it")
		if listening.bearer == [32]byte{} {
			return
		}
		require.False(t, twice)
		scheme, token := header[:7], header[7:]
		require.Equal(t, "bearer ", strings.ToLower(scheme))
		require.Equal(t, sha256.Sum256([]byte(token)), listening.bearer, "the header is written again from what was read")
		require.LessOrEqual(t, len(token), 8<<10)
		require.NotContains(t, w.log.String(), token)
	})
}

// A proxy's header is the device's certificate, or the request is nobody's.
func FuzzProxyCertificate(f *testing.F) {
	const header = "Client-Cert"
	w := newWorld(f, func(c *mdm.Config) {
		c.ProxyCertificate = &mdm.ProxyCertificate{Header: header, Trusted: func(netip.Addr) bool { return true }}
	})
	d := w.enrolled("alice")
	body := string(encode(f, d.idle()))
	b64 := base64.StdEncoding.EncodeToString(d.cert.Raw)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.cert.Raw}))
	for _, s := range []string{b64, ":" + b64 + ":", url.PathEscape(text), "", "::", "AAAA", "-----BEGIN", "%2D%2D%2D%2D%2DBEGIN", b64[1:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		w.log.Reset()
		r := httptest.NewRequest(http.MethodPut, connect, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-apple-aspen-mdm")
		r.Header[header] = []string{value}
		rec := w.serve(r)
		if rec.Code == http.StatusForbidden {
			return
		}
		require.Equal(t, http.StatusOK, rec.Code)
		unescaped, err := url.PathUnescape(value)
		require.NoError(t, err)
		if block, _ := pem.Decode([]byte(unescaped)); block != nil {
			require.Equal(t, d.cert.Raw, block.Bytes)
			return
		}
		der, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		require.NoError(t, err)
		require.Equal(t, d.cert.Raw, der)
	})
}
