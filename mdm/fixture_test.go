package mdm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
)

const (
	topic   = "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001"
	checkIn = "/mdm/checkin"
	connect = "/mdm/connect"
)

// authority is a certificate authority of a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var serial int64
var serialMu sync.Mutex

func nextSerial() *big.Int {
	serialMu.Lock()
	defer serialMu.Unlock()
	serial++
	return big.NewInt(serial)
}

func newAuthority(t testing.TB, now time.Time) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: nextSerial(), Subject: pkix.Name{CommonName: "devices"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{key, cert}
}

// device is a phone with its identity.
type device struct {
	key    crypto.Signer
	cert   *x509.Certificate
	digest [32]byte
	id     string // EnrollmentID
	udid   bool   // id is a UDID, as under Device Enrollment
	token  string // bearer token of account-driven ways
	shape  cms.SignOptions
}

// named adds to a message how the device names itself.
func (d *device) named(m map[string]any) map[string]any {
	key := "EnrollmentID"
	if d.udid {
		key = "UDID"
	}
	m[key] = d.id
	return m
}

var (
	// captured is the shape that real devices were seen sending.
	captured = cms.SignOptions{Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1}
	modern   = cms.SignOptions{Detached: true}
)

func (a authority) device(t testing.TB, id string, edit ...func(*x509.Certificate)) *device {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: nextSerial(), NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, e := range edit {
		e(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &device{key: key, cert: cert, digest: sha256.Sum256(der), id: id, shape: captured}
}

func (d *device) sign(t testing.TB, body []byte) string {
	t.Helper()
	b, err := cms.Sign(body, d.key, []*x509.Certificate{d.cert}, d.shape)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := plist.Marshal(v)
	require.NoError(t, err)
	return b
}

// with adds keys to a message; a nil value removes one.
func with(m map[string]any, more map[string]any) map[string]any {
	m = maps.Clone(m)
	for k, v := range more {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	return m
}

func (d *device) authenticate() map[string]any {
	return d.named(map[string]any{"MessageType": "Authenticate", "Topic": topic, "OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2"})
}

func (d *device) tokenUpdate() map[string]any {
	return d.named(map[string]any{"MessageType": "TokenUpdate", "Topic": topic, "Token": bytes.Repeat([]byte{7}, 32), "PushMagic": "M", "AwaitingConfiguration": false})
}

func (d *device) checkOut() map[string]any {
	return d.named(map[string]any{"MessageType": "CheckOut", "Topic": topic})
}

func (d *device) idle() map[string]any {
	return d.named(map[string]any{"Status": "Idle"})
}

func (d *device) report(status, uuid string) map[string]any {
	return d.named(map[string]any{"Status": status, "CommandUUID": uuid})
}

// plan is a planner that asks for one query.
type plan struct{ fail error }

func (p plan) Plan(_ context.Context, e mdm.Enrollment) ([]mdm.Command, error) {
	b, err := command.Encode("plan-"+e.ID, command.SecurityInfo{})
	if err != nil || p.fail != nil {
		return nil, p.fail
	}
	return []mdm.Command{{UUID: "plan-" + e.ID, Payload: b}}, nil
}

// events records what an observer is told.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(s string) { e.mu.Lock(); defer e.mu.Unlock(); e.list = append(e.list, s) }

func (e *events) Authenticated(_ context.Context, x mdm.Enrollment) { e.add("authenticated " + x.ID) }
func (e *events) Enrolled(_ context.Context, x mdm.Enrollment)      { e.add("enrolled " + x.ID) }
func (e *events) CommandResult(_ context.Context, c mdm.Command) {
	e.add(c.RequestType + " " + string(c.Status))
}
func (e *events) Unenrolled(_ context.Context, x mdm.Enrollment) { e.add("unenrolled " + x.ID) }

// challenger hands out one challenge, and notes for whom.
type challenger struct {
	world  *world
	fail   error
	header http.Header
}

const challenge = `Bearer method="apple-as-web", url="https://mdm.example.com/enroll/account/login/s"`

func (c *challenger) Challenge(_ context.Context, e mdm.Enrollment) (http.Header, error) {
	c.world.asked = append(c.world.asked, e)
	if c.header == nil {
		c.header = http.Header{"Www-Authenticate": {challenge}, "X-Apple-Mdm-Esso": {"https://mdm.example.com/esso"}}
	}
	return c.header, c.fail
}

// world is a server, its store and its authority.
type world struct {
	t       testing.TB
	now     time.Time
	ca      authority
	store   *store
	server  *mdm.Server
	handler http.Handler
	events  *events
	log     *strings.Builder
	asked   []mdm.Enrollment // what the challenger was asked for
	kicks   int
	phones  int
}

func newWorld(t testing.TB, edit ...func(*mdm.Config)) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), store: newStore(), events: &events{}, log: &strings.Builder{}}
	w.ca = newAuthority(t, w.now)
	roots := x509.NewCertPool()
	roots.AddCert(w.ca.cert)
	cfg := mdm.Config{
		Store: w.store, Identity: roots, Topic: topic, Planner: plan{}, Observer: w.events, Challenger: &challenger{world: w},
		Kick: func() { w.kicks++ }, Now: func() time.Time { return w.now }, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	for _, e := range edit {
		e(&cfg)
	}
	var err error
	w.server, err = mdm.New(cfg)
	require.NoError(t, err)
	w.handler = w.server.Handler("/mdm")
	return w
}

// identified is a phone whose identity was issued for a ticket of the user.
func (w *world) identified(user string, edit ...func(*identity)) *device {
	w.t.Helper()
	w.phones++
	d := w.ca.device(w.t, "E-"+string(rune('A'+w.phones)))
	i := identity{User: user, Ticket: "T-" + d.id, TicketOrder: w.phones, Way: mdm.WayProfile}
	for _, e := range edit {
		e(&i)
	}
	w.store.issue(d.digest, i)
	d.udid = i.Way.Mode() == mdm.ModeDevice
	if i.Way.Account() {
		d.token = "token-" + d.id
		w.store.grant(d.token, token{Ticket: i.Ticket})
	}
	return d
}

// by is an edit of the way in.
func by(way mdm.Way) func(*identity) { return func(i *identity) { i.Way = way } }

// enrolled is a phone that went all the way.
func (w *world) enrolled(user string, edit ...func(*identity)) *device {
	w.t.Helper()
	d := w.identified(user, edit...)
	require.Equal(w.t, http.StatusOK, w.put(d, checkIn, d.authenticate()).Code)
	require.Equal(w.t, http.StatusOK, w.put(d, checkIn, d.tokenUpdate()).Code)
	return d
}

// request is a request as the device makes it, to be spoilt by a test.
func (w *world) request(d *device, path string, body []byte) *http.Request {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPut, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-apple-aspen-mdm; charset=UTF-8")
	if path == checkIn {
		r.Header.Set("Content-Type", "application/x-apple-aspen-mdm-checkin")
	}
	if d != nil {
		r.Header.Set("Mdm-Signature", d.sign(w.t, body))
		if d.token != "" {
			r.Header.Set("Authorization", "Bearer "+d.token)
		}
	}
	r.TLS = &tls.ConnectionState{}
	return r
}

func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

func (w *world) put(d *device, path string, message map[string]any) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := w.serve(w.request(d, path, encode(w.t, message)))
	w.judge(d, path, rec)
	return rec
}

// judge holds what a device is answered against Apple's schema.
func (w *world) judge(d *device, path string, rec *httptest.ResponseRecorder) {
	w.t.Helper()
	target := appleschema.Target{}
	if d.udid {
		target.Enrollment = appleschema.DeviceEnrollment
	}
	switch {
	case rec.Body.Len() == 0:
	case path == connect && rec.Code == http.StatusOK:
		schematest.Command(w.t, rec.Body.Bytes(), target)
	default:
		require.Equal(w.t, "application/json", rec.Header().Get("Content-Type"))
		schematest.JSON(w.t, appleschema.KindError, "", rec.Body.Bytes(), target)
	}
}

// commandIn is the CommandUUID of an answer, "" for an empty one.
func commandIn(t testing.TB, rec *httptest.ResponseRecorder) string {
	t.Helper()
	require.Equal(t, http.StatusOK, rec.Code)
	if rec.Body.Len() == 0 {
		require.Equal(t, "0", rec.Header().Get("Content-Length"))
		return ""
	}
	require.Equal(t, "application/xml", rec.Header().Get("Content-Type"))
	var c struct{ CommandUUID string }
	require.NoError(t, plist.Unmarshal(rec.Body.Bytes(), plist.Limits{Bytes: 1 << 20}, &c))
	return c.CommandUUID
}

// fixed is a planner of one command.
type fixed struct{ command mdm.Command }

func (f fixed) Plan(context.Context, mdm.Enrollment) ([]mdm.Command, error) {
	return []mdm.Command{f.command}, nil
}
