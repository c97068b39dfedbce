package mdm_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
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

// Who signed is the device itself, or nobody. The keys are of this process, so a
// seed says which signature is spoilt, and how.
func FuzzSignature(f *testing.F) {
	w := newWorld(f)
	d, other := w.enrolled("alice"), w.enrolled("bob")
	body := encode(f, d.idle())
	signatures := []string{"", other.sign(f, body), d.sign(f, []byte("other")), d.sign(f, body)}
	d.shape = modern
	signatures = append(signatures, d.sign(f, body))
	for which := range signatures {
		f.Add(which, 0, "")
		f.Add(which, 40, "AAAA")
		f.Add(which, 1<<20, "=")
	}
	for _, s := range []string{"AAAA", "MIAG", "=", strings.Repeat("MIAA", 100)} {
		f.Add(0, 0, s)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.ca.cert)
	f.Fuzz(func(t *testing.T, which, at int, put string) {
		header := signatures[max(0, which)%len(signatures)]
		at = min(max(0, at), len(header))
		header = header[:at] + put + header[min(at+len(put), len(header)):]
		w.log.Reset()
		before := w.store.dump(t)
		r := httptest.NewRequest(http.MethodPut, connect, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/x-apple-aspen-mdm")
		r.Header["Mdm-Signature"] = []string{header}
		rec := w.serve(r)
		if rec.Code == http.StatusForbidden {
			require.NotContains(t, signatures[3:], header, "the device's own")
			require.Equal(t, before, w.store.dump(t), "a refused request changes nothing")
			return
		}
		require.Equal(t, http.StatusOK, rec.Code)
		der, err := base64.StdEncoding.DecodeString(header)
		require.NoError(t, err)
		signer, err := cms.VerifyCheckIn(der, body, roots, w.now)
		require.NoError(t, err)
		require.True(t, signer.Equal(d.cert))
	})
}

// FuzzGate: a profile that passes has only payloads that pass by their names, and
// passes when it is written anew.
func FuzzGate(f *testing.F) {
	wrap := func(payloads, more string) string {
		return `<plist version="1.0"><dict><key>PayloadContent</key><array>` + payloads + `</array>` + more + `</dict></plist>`
	}
	payload := func(kind, more string) string {
		return `<dict><key>PayloadType</key><string>` + kind + `</string>` + more + `</dict>`
	}
	accepted := wrap(payload("com.apple.extensiblesso", "<key>Type</key><string>Redirect</string>"), "")
	require.NoError(f, mdm.Allowed(mdm.WayAccount, command.InstallProfile{Payload: []byte(accepted)}))
	for _, s := range []string{
		accepted, wrap("", ""), wrap(payload("com.apple.vpn.managed", ""), ""), wrap(payload("com.apple.mdm", "<key>AccessRights</key><integer>1</integer>"), ""),
		wrap(payload("com.apple.applicationaccess", "<key>allowCamera</key><false/>"), ""), wrap("<string/>", ""), wrap(accepted, ""),
		wrap(payload("com.apple.wifi.managed", ""), "<key>PayloadRemovalDisallowed</key><true/>"), "bplist00", "\x30\x80", "", "<", wrap("<dict/>", ""),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		install := command.InstallProfile{Payload: []byte(content)}
		err := mdm.Allowed(mdm.WayAccount, install)
		require.Equal(t, err == nil, mdm.Allowed(mdm.WayProfile, install) == nil)
		if err != nil {
			require.True(t, errors.Is(err, mdm.ErrForbidden) || errors.Is(err, command.ErrInvalid), "%v", err)
			return
		}
		var top map[string]any
		if plist.Unmarshal([]byte(content), plist.Limits{Bytes: 2 << 20, Depth: 32, Elements: 50_000}, &top) != nil {
			return // signed
		}
		require.NotContains(t, top, "PayloadRemovalDisallowed")
		for _, p := range top["PayloadContent"].([]any) {
			kind := p.(map[string]any)["PayloadType"].(string)
			require.True(t, mdm.WayAccount.Allows("payload "+kind), kind)
		}
		if again, err := plist.Marshal(top); err == nil {
			require.NoError(t, mdm.Allowed(mdm.WayAccount, command.InstallProfile{Payload: again}))
		}
	})
}
