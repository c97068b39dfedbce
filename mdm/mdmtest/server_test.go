package mdmtest_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
)

const topic = "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001"

// received is one request that a device made.
type received struct {
	path, contentType string
	message           map[string]any
	signature         []byte
	tls               *x509.Certificate
}

// world is a server that a phone enrolls with. Its device side is a script:
// what is asked of it is recorded and answered by answer.
type world struct {
	t        testing.TB
	now      time.Time
	server   *httptest.Server
	signer   *profile.Signer
	trusted  *x509.CertPool // of profiles
	identity *x509.CertPool
	redeemed map[string]redeemed
	requests []received
	// answer is what the device is told; nil is 200, empty.
	answer func(received) (status int, body string)
}

type redeemed struct {
	key  [32]byte
	cert *x509.Certificate
}

// parts are what all worlds have in common, since keys take time to make.
type parts struct {
	now              time.Time
	signing, devices *ca.CA
	signer           *profile.Signer
	key              *rsa.PrivateKey // of ra
	ra               *x509.Certificate
}

var madeParts = sync.OnceValues(makeParts)

func makeParts() (p parts, err error) {
	p.now = time.Now()
	authority := func(name string) (*ca.CA, error) {
		cert, key, err := ca.NewRoot(name, time.Hour, p.now, rand.Reader)
		if err != nil {
			return nil, err
		}
		return ca.New(ca.Config{Certificate: cert, Key: key, Now: func() time.Time { return p.now }})
	}
	if p.signing, err = authority("profiles"); err != nil {
		return p, err
	}
	if p.devices, err = authority("devices"); err != nil {
		return p, err
	}
	if p.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return p, err
	}
	leaf, err := p.signing.IssueSigning(p.key.Public(), "Example", time.Hour)
	if err != nil {
		return p, err
	}
	if p.signer, err = profile.NewSigner(p.key, []*x509.Certificate{leaf, p.signing.Chain()[0]}); err != nil {
		return p, err
	}
	p.ra, err = p.devices.IssueRA(p.key.Public(), "Example RA", time.Hour)
	return p, err
}

// stranger makes the world sign profiles by an authority that no other trusts.
func (w *world) stranger() {
	w.t.Helper()
	p, err := makeParts()
	require.NoError(w.t, err)
	w.signer = p.signer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	p, err := madeParts()
	require.NoError(t, err)
	w := &world{t: t, now: p.now, signer: p.signer, redeemed: map[string]redeemed{}, trusted: x509.NewCertPool(), identity: x509.NewCertPool()}
	w.trusted.AddCert(p.signing.Chain()[0])
	w.identity.AddCert(p.devices.Chain()[0])
	service, err := scep.New(scep.Config{Issuer: p.devices, Redeemer: w, RA: p.ra, RAKey: p.key, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)

	mux := http.NewServeMux()
	mux.Handle("/scep", service)
	mux.HandleFunc("/mdm/", w.device)
	w.server = httptest.NewUnstartedServer(mux)
	w.server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	w.server.StartTLS()
	t.Cleanup(w.server.Close)
	return w
}

// Redeem implements scep.Redeemer: "good…" is a challenge for its first key.
func (w *world) Redeem(ctx context.Context, challenge string, key [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	r, known := w.redeemed[challenge]
	if len(challenge) < 4 || challenge[:4] != "good" || known && r.key != key {
		return nil, scep.ErrRefused
	}
	if known {
		return r.cert, nil
	}
	cert, err := issue(ctx)
	if err != nil {
		return nil, err
	}
	w.redeemed[challenge] = redeemed{key, cert}
	return cert, nil
}

func (w *world) device(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	require.NoError(w.t, err)
	got := received{path: r.URL.Path, contentType: r.Header.Get("Content-Type")}
	require.NoError(w.t, plist.Unmarshal(body, plist.Limits{Bytes: 1 << 20}, &got.message))
	if h := r.Header.Get("Mdm-Signature"); h != "" {
		got.signature, err = base64.StdEncoding.DecodeString(h)
		require.NoError(w.t, err)
		_, err = cms.VerifyCheckIn(got.signature, body, w.identity, w.now)
		require.NoError(w.t, err)
	}
	if len(r.TLS.PeerCertificates) > 0 {
		got.tls = r.TLS.PeerCertificates[0]
	}
	w.requests = append(w.requests, got)
	if w.answer == nil {
		return
	}
	status, answer := w.answer(got)
	rw.WriteHeader(status)
	io.WriteString(rw, answer)
}

func (w *world) profile(challenge string, edit ...func(*profile.EnrollmentConfig)) []byte {
	w.t.Helper()
	cfg := profile.EnrollmentConfig{
		Organization: "Example", Identifier: "com.example.enroll", DisplayName: "Example", Description: "Management",
		ServerURL: w.server.URL + "/mdm/connect", CheckInURL: w.server.URL + "/mdm/checkin", Topic: topic, ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: w.server.URL + "/scep", Challenge: challenge},
	}
	for _, e := range edit {
		e(&cfg)
	}
	p, err := profile.UserEnrollment(cfg)
	require.NoError(w.t, err)
	encoded, err := p.Marshal()
	require.NoError(w.t, err)
	signed, err := w.signer.Sign(encoded)
	require.NoError(w.t, err)
	return signed
}

func (w *world) phone(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	w.t.Helper()
	cfg := mdmtest.Config{Transport: w.server.Client().Transport, Roots: w.trusted}
	for _, e := range edit {
		e(&cfg)
	}
	p, err := mdmtest.New(cfg)
	require.NoError(w.t, err)
	return p
}

// enrolled is a phone that went all the way.
func (w *world) enrolled(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	w.t.Helper()
	p := w.phone(edit...)
	require.NoError(w.t, p.Receive(w.profile("good")))
	require.NoError(w.t, p.Install(w.t.Context()))
	return p
}

func (w *world) last() received { return w.requests[len(w.requests)-1] }

func (w *world) types() []string {
	var list []string
	for _, r := range w.requests {
		kind, ok := r.message["MessageType"]
		if !ok {
			kind = r.message["Status"]
		}
		list = append(list, fmt.Sprint(kind))
	}
	return list
}

// commands answers each connect with the next command, then with nothing.
func (w *world) commands(list ...map[string]any) {
	n := 0
	w.answer = func(r received) (int, string) {
		if r.path != "/mdm/connect" || n == len(list) {
			return http.StatusOK, ""
		}
		n++
		body, err := plist.Marshal(map[string]any{"CommandUUID": fmt.Sprintf("C-%d", n), "Command": list[n-1]})
		require.NoError(w.t, err)
		return http.StatusOK, string(body)
	}
}
