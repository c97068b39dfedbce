package troubletest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage"
)

const (
	baseURL = "https://mdm.example.com"
	topic   = "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001"
	safari  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"
	owner   = "u1"
)

// The requests of a World. Each is of a phone of its own, so that they may come
// in any order, and each may be repeated.
const (
	Authenticate = "Authenticate" // of a phone with a fresh identity
	TokenUpdate  = "TokenUpdate"  // the first of a phone: it enrolls, and a command is queued
	Idle         = "Idle"         // finds a command
	Again        = "Again"        // is Idle, and finds a command that it answered NotNow before
	Report       = "Report"       // of a command that was sent; its result is of 400 KB
	CheckOut     = "CheckOut"     // ends an enrollment
	SignIn       = "SignIn"       // a person who begins to sign in
)

// Requests are all requests, in the order in which they are sent.
var Requests = []string{Authenticate, TokenUpdate, Idle, Again, Report, CheckOut, SignIn}

// World is a server on a store, and who asks it.
type World struct {
	t       testing.TB
	ca      *ca.CA
	roots   *x509.CertPool
	key     *rsa.PrivateKey // of all phones: making keys takes long
	phones  map[string]*x509.Certificate
	command string // that was sent to the phone of Report
	result  string // of it

	store   storage.Store
	handler http.Handler
	logged  *failures
	noted   storage.State // what was acknowledged
}

// New puts a server on a store that is empty, and has phones on every leg of
// their way.
func New(t testing.TB, store storage.Store) *World {
	t.Helper()
	w := &World{t: t, phones: map[string]*x509.Certificate{}}
	cert, signer, err := ca.NewRoot("devices", time.Hour, time.Now(), rand.Reader)
	w.ok(err)
	w.ca, err = ca.New(ca.Config{Certificate: cert, Key: signer})
	w.ok(err)
	w.roots = x509.NewCertPool()
	w.roots.AddCert(cert)
	w.key, err = rsa.GenerateKey(rand.Reader, 2048)
	w.ok(err)
	random := make([]byte, 300<<10) // which no database makes smaller
	_, err = rand.Read(random)
	w.ok(err)
	w.result = base64.StdEncoding.EncodeToString(random)
	w.On(store)

	phones := Requests[:len(Requests)-1] // SignIn has none
	for _, name := range phones {
		w.identify(name)
	}
	for _, name := range phones[1:] {
		w.must(w.send(name, w.checkIn(name, "Authenticate")))
	}
	for _, name := range phones[2:] {
		w.must(w.send(name, w.checkIn(name, "TokenUpdate")))
	}
	w.must(w.send(Again, w.connect(Again, "Idle", nil)))
	w.must(w.send(Again, w.connect(Again, "NotNow", map[string]any{"CommandUUID": planned(enrollmentID(Again))})))
	w.must(w.send(Report, w.connect(Report, "Idle", nil)))
	w.command = planned(enrollmentID(Report))
	w.note()
	return w
}

// On moves the server to another store with the same database.
func (w *World) On(store storage.Store) {
	w.t.Helper()
	w.store, w.logged = store, &failures{}
	logger := slog.New(w.logged)
	server, err := mdm.New(mdm.Config{Store: store, Identity: w.roots, Topic: topic, Planner: plan{}, Logger: logger})
	w.ok(err)
	mux := http.NewServeMux()
	mux.Handle("/mdm/", server.Handler("/mdm"))
	mux.Handle("/enroll/", w.portal(store, logger))
	w.handler = mux
}

// portal is where the person signs in.
func (w *World) portal(store storage.Store, logger *slog.Logger) http.Handler {
	idp, err := ssotest.Open(ssotest.Config{
		Issuer:  baseURL + "/idp",
		Users:   []ssotest.User{{Username: "alice@example.com", Password: "password"}},
		Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret"}},
	})
	w.ok(err)
	auth, err := oidc.New(oidc.Config{Issuer: idp.Issuer(), ClientID: "enrollkit", ClientSecret: "secret", HTTPClient: idp.HTTPClient()})
	w.ok(err)
	people, err := jit.New(jit.Config{Store: store})
	w.ok(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.ok(err)
	leaf, err := w.ca.IssueSigning(key.Public(), "Example Inc.", time.Hour)
	w.ok(err)
	signer, err := profile.NewSigner(key, []*x509.Certificate{leaf, w.ca.Chain()[0]})
	w.ok(err)
	portal, err := enroll.New(enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store, Provisioner: people, Authenticator: auth, Signer: signer,
		CookieKeys: [][]byte{make([]byte, enroll.CookieKeySize)}, BaseURL: baseURL, Organization: "Example Inc.",
		Identifier: "com.example.enroll", Topic: topic, Roots: []*x509.Certificate{w.ca.Chain()[0]}, Logger: logger,
	})
	w.ok(err)
	return portal
}

// plan queues one command for each phone that enrolls.
type plan struct{}

func planned(enrollmentID string) string { return "plan-" + enrollmentID }

// Plan implements mdm.Planner.
func (plan) Plan(_ context.Context, e mdm.Enrollment) ([]mdm.Command, error) {
	c, err := securityInfo(planned(e.ID))
	return []mdm.Command{c}, err
}

func securityInfo(uuid string) (mdm.Command, error) {
	payload, err := command.Encode(uuid, command.SecurityInfo{})
	return mdm.Command{UUID: uuid, Payload: payload}, err
}

func enrollmentID(name string) string { return "E-" + name }

// queue queues one more command for a phone, by the step of the store.
func (w *World) queue(name, uuid string) {
	w.t.Helper()
	c, err := securityInfo(uuid)
	w.ok(err)
	c.EnrollmentID, c.RequestType, c.Queued = enrollmentID(name), "SecurityInfo", time.Now()
	w.ok(w.store.Enqueue(w.t.Context(), c))
	w.note()
}

// identify gives a phone its identity, by the steps of the store.
func (w *World) identify(name string) {
	w.t.Helper()
	ctx, now, challenge := w.t.Context(), time.Now(), sha256.Sum256([]byte(name))
	cert, err := w.ca.Issue(ctx, w.key.Public())
	w.ok(err)
	w.phones[name] = cert
	w.ok(w.store.IssueTicket(ctx, enroll.Ticket{
		ID: "t-" + name, Ref: name, UserID: owner, Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		State: enroll.TicketIssued, Session: challenge, Issued: now,
	}, [32]byte{}))
	_, err = w.store.Download(ctx, enroll.DownloadStep{
		TicketID: "t-" + name, Challenge: challenge, At: now, MaxDownloads: 1, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour},
	})
	w.ok(err)
	_, err = w.store.Identify(ctx, enroll.IdentifyStep{
		Challenge: challenge, Key: challenge, Certificate: cert.Raw, Digest: sha256.Sum256(cert.Raw), NotAfter: cert.NotAfter, At: now,
	})
	w.ok(err)
}

// answer is what a request was answered.
type answer struct {
	*httptest.ResponseRecorder
	// failure is what the server logged about it.
	failure error
}

// ask sends one of Requests. It may run on any goroutine.
func (w *World) ask(name string) answer {
	switch name {
	case SignIn:
		r := httptest.NewRequest(http.MethodGet, "/enroll/login", nil) //nolint:noctx // the request never ends before its answer
		r.Host = strings.TrimPrefix(baseURL, "https://")
		r.Header.Set("User-Agent", safari)
		return w.serve(r)
	case Idle, Again:
		return w.send(name, w.connect(name, "Idle", nil))
	case Report:
		return w.send(name, w.connect(name, "Acknowledged", map[string]any{
			"CommandUUID": w.command, "SecurityInfo": map[string]any{"Detail": w.result},
		}))
	default:
		return w.send(name, w.checkIn(name, name))
	}
}

// checkIn is a message to the check-in URL.
func (w *World) checkIn(name, kind string) map[string]any {
	m := map[string]any{"MessageType": kind, "EnrollmentID": enrollmentID(name), "Topic": topic}
	switch kind {
	case "Authenticate":
		m["OSVersion"], m["BuildVersion"], m["ProductName"] = "17.6.1", "21G93", "iPhone15,2"
	case "TokenUpdate":
		m["Token"], m["PushMagic"], m["AwaitingConfiguration"] = bytes.Repeat([]byte{7}, 32), "magic of "+name, false
	}
	return m
}

// connect is a message to the server URL.
func (w *World) connect(name, status string, more map[string]any) map[string]any {
	m := map[string]any{"Status": status, "EnrollmentID": enrollmentID(name)}
	for key, value := range more {
		m[key] = value
	}
	return m
}

// send signs a message as phones do, and sends it.
func (w *World) send(name string, message map[string]any) answer {
	body, err := plist.Marshal(message)
	if err != nil {
		return answer{httptest.NewRecorder(), err}
	}
	signature, err := cms.Sign(body, w.key, []*x509.Certificate{w.phones[name]},
		cms.SignOptions{Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1})
	if err != nil {
		return answer{httptest.NewRecorder(), err}
	}
	path, kind := "/mdm/connect", "application/x-apple-aspen-mdm; charset=UTF-8"
	if message["MessageType"] != nil {
		path, kind = "/mdm/checkin", "application/x-apple-aspen-mdm-checkin"
	}
	r := httptest.NewRequest(http.MethodPut, path, bytes.NewReader(body)) //nolint:noctx // the request never ends before its answer
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Mdm-Signature", base64.StdEncoding.EncodeToString(signature))
	return w.serve(r)
}

func (w *World) serve(r *http.Request) answer {
	_ = w.logged.take() // of another request that nobody asked about
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return answer{rec, w.logged.take()}
}

// must fails unless a phone was answered 200.
func (w *World) must(a answer) {
	w.t.Helper()
	if a.Code != http.StatusOK {
		w.t.Fatalf("answered %d: %v", a.Code, a.failure)
	}
}

func (w *World) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// failures is a slog.Handler that keeps the last error that was logged.
type failures struct {
	mu   sync.Mutex
	last error
}

func (f *failures) take() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.last
	f.last = nil
	return err
}

// Enabled implements slog.Handler.
func (f *failures) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (f *failures) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.last = err
		} else if a.Key == "reason" {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.last = fmt.Errorf("refused: %s", a.Value)
		}
		return true
	})
	return nil
}

// WithAttrs implements slog.Handler.
func (f *failures) WithAttrs([]slog.Attr) slog.Handler { return f }

// WithGroup implements slog.Handler.
func (f *failures) WithGroup(string) slog.Handler { return f }
