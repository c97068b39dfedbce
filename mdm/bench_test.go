package mdm_test

import (
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

// Each benchmark is one request with its signature as devices send it; the
// floors below are what it cannot do without.

func benchmark(b *testing.B, path string, message func(d *device) map[string]any, before func(w *world, d *device)) {
	w := newWorld(b)
	d := w.enrolled("alice")
	body := encode(b, message(d))
	signature := d.sign(b, body)
	contentType := w.request(nil, path, nil).Header.Get("Content-Type")
	b.ReportAllocs()
	for b.Loop() {
		before(w, d)
		r := w.request(nil, path, body)
		r.Header.Set("Mdm-Signature", signature)
		r.Header.Set("Content-Type", contentType)
		if rec := w.serve(r); rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	benchmark(b, checkIn, (*device).authenticate, func(w *world, d *device) {
		w.store.Identities[string(d.digest[:])].Enrollment = ""
		delete(w.store.Enrollments, d.id)
	})
}

func BenchmarkTokenUpdate(b *testing.B) {
	benchmark(b, checkIn, (*device).tokenUpdate, func(w *world, d *device) {
		w.store.Enrollments[d.id].State = mdm.StateAuthenticated
		w.store.Queue = nil
	})
}

func BenchmarkConnectEmpty(b *testing.B) {
	benchmark(b, connect, (*device).idle, func(w *world, _ *device) { w.store.Queue = nil })
}

// BenchmarkConnectAccount is BenchmarkConnectEmpty with a bearer token.
func BenchmarkConnectAccount(b *testing.B) {
	w := newWorld(b)
	d := w.enrolled("alice", by(mdm.WayAccount))
	w.store.Queue = nil
	body := encode(b, d.idle())
	signature := d.sign(b, body)
	b.ReportAllocs()
	for b.Loop() {
		r := w.request(nil, connect, body)
		r.Header.Set("Mdm-Signature", signature)
		r.Header.Set("Authorization", "Bearer "+d.token)
		if rec := w.serve(r); rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}

// BenchmarkRefused is what the worst bodies within the bound cost: the check of
// the identity over all of them, and an end at the first mistake.
func BenchmarkRefused(b *testing.B) {
	w := newWorld(b)
	d := w.enrolled("alice")
	for name, body := range map[string][]byte{
		"empty": {}, "P1": hostile(b, "p1-negative-length.bplist"), "P2": hostile(b, "p2-laughs34.bplist"),
		"depth":      []byte(`<plist version="1.0">` + strings.Repeat("<array>", 9000)),
		"elements":   []byte(`<plist version="1.0"><array>` + strings.Repeat("<true/>", 9000)),
		"whitespace": []byte(`<plist version="1.0">` + strings.Repeat(" ", 64<<10-100)),
	} {
		b.Run(name, func(b *testing.B) {
			signature := d.sign(b, body)
			b.ReportAllocs()
			for b.Loop() {
				r := w.request(nil, checkIn, body)
				r.Header.Set("Mdm-Signature", signature)
				if rec := w.serve(r); rec.Code != http.StatusBadRequest {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}

func BenchmarkConnectReportAndNext(b *testing.B) {
	payload, err := command.Encode("next", command.DeviceInformation{Queries: []string{"OSVersion"}})
	require.NoError(b, err)
	benchmark(b, connect, information, func(w *world, d *device) {
		w.store.Queue = []*mdm.Command{{UUID: "U", EnrollmentID: d.id, Status: mdm.CommandSent}, {UUID: "next", EnrollmentID: d.id, Status: mdm.CommandQueued, Payload: payload}}
	})
}

func information(d *device) map[string]any {
	return with(d.report("Acknowledged", "U"), map[string]any{"QueryResponses": map[string]any{"OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2", "DeviceCapacity": 128.5}})
}

func BenchmarkFloorSignature(b *testing.B) {
	w := newWorld(b)
	d := w.enrolled("alice")
	body := encode(b, d.idle())
	signature, err := cms.Sign(body, d.key, []*x509.Certificate{d.cert}, d.shape)
	require.NoError(b, err)
	roots := x509.NewCertPool()
	roots.AddCert(w.ca.cert)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cms.VerifyCheckIn(signature, body, roots, w.now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorParse(b *testing.B) {
	d := &device{id: "E-A"}
	for name, message := range map[string]map[string]any{"Authenticate": d.authenticate(), "TokenUpdate": d.tokenUpdate(), "Idle": d.idle(), "Report": information(d)} {
		b.Run(name, func(b *testing.B) {
			body := encode(b, message)
			b.ReportAllocs()
			for b.Loop() {
				var m map[string]any
				if err := plist.Unmarshal(body, plist.Limits{}, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
