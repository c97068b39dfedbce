package bench_test

import (
	"bytes"
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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/policy"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/extension"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

const (
	baseURL = "https://mdm.example.com"
	topic   = "com.apple.mgmt.External.9F1C2C1E-0000-4000-8000-000000000001"
	safari  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"
)

// stores are the adapters by name.
var stores = []struct {
	name string
	open func(b *testing.B) storage.Store
}{
	{"memory", func(*testing.B) storage.Store { return memory.New() }},
	{"sqlite", func(b *testing.B) storage.Store {
		s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "enroll.db"), sqlite.Options{AllowUnsealed: true})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, s.Close()) })
		return s
	}},
}

// world is a server without sockets, and the key of all its phones: making keys
// is not what is measured.
type world struct {
	b       testing.TB
	store   storage.Store
	idp     *ssotest.Provider
	portal  *enroll.Portal
	devices *ca.CA
	roots   *x509.CertPool // of identities
	signer  crypto.Signer  // of profiles
	mdm     http.Handler
	key     *rsa.PrivateKey
	count   int
}

func newWorld(b testing.TB, store storage.Store) *world {
	b.Helper()
	w := &world{b: b, store: store}
	var err error
	w.idp, err = ssotest.Open(ssotest.Config{
		Issuer:  baseURL + "/idp",
		Users:   []ssotest.User{{Username: "alice@example.com", Password: "password", Groups: []string{"byod"}}},
		Clients: []ssotest.Client{{ID: "enrollkit", Secret: "secret"}},
	})
	require.NoError(b, err)
	auth, err := oidc.New(oidc.Config{Issuer: w.idp.Issuer(), ClientID: "enrollkit", ClientSecret: "secret", HTTPClient: w.idp.HTTPClient()})
	require.NoError(b, err)
	people, err := jit.New(jit.Config{Store: store})
	require.NoError(b, err)
	w.devices = authority(b, "devices")
	web := authority(b, "profiles")
	w.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(b, err)
	leaf, err := web.IssueSigning(w.signer.Public(), "Example Inc.", time.Hour)
	require.NoError(b, err)
	signer, err := profile.NewSigner(w.signer, []*x509.Certificate{leaf, web.Chain()[0]})
	require.NoError(b, err)
	w.portal, err = enroll.New(enroll.Config{
		Tickets: store, Sessions: store, States: store, Users: store, Provisioner: people, Authenticator: auth, Signer: signer,
		CookieKeys: [][]byte{make([]byte, enroll.CookieKeySize)}, BaseURL: baseURL, Organization: "Example Inc.", Identifier: "com.example.enroll",
		Topic: topic, Roots: []*x509.Certificate{web.Chain()[0]}, MaxDownloads: 1 << 30,
	})
	require.NoError(b, err)
	login, err := extension.Profile(extension.Config{Organization: "Example Inc.", Identifier: "com.example.sso", DisplayName: "Sign-in"}, extension.Microsoft{})
	require.NoError(b, err)
	assigned, err := policy.Assign("byod", login)
	require.NoError(b, err)
	planner, err := policy.New(policy.Config{Users: store, Assignments: []policy.Assignment{assigned}})
	require.NoError(b, err)
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.devices.Chain()[0])
	server, err := mdm.New(mdm.Config{Store: store, Identity: w.roots, Topic: topic, Planner: planner, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	w.mdm = server.Handler("/mdm")
	w.key, err = rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(b, err)
	return w
}

func authority(b testing.TB, name string) *ca.CA {
	b.Helper()
	cert, key, err := ca.NewRoot(name, time.Hour, time.Now(), rand.Reader)
	require.NoError(b, err)
	c, err := ca.New(ca.Config{Certificate: cert, Key: key})
	require.NoError(b, err)
	return c
}

// browse asks the portal as a phone's browser does.
func (w *world) browse(target, cookies string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = strings.TrimPrefix(baseURL, "https://")
	r.Header.Set("User-Agent", safari)
	r.Header.Set("Cookie", cookies)
	rec := httptest.NewRecorder()
	w.portal.ServeHTTP(rec, r)
	return rec
}

func cookies(rec *httptest.ResponseRecorder) string {
	var list []string
	for _, c := range rec.Result().Cookies() {
		if c.Value != "" {
			list = append(list, c.Name+"="+c.Value)
		}
	}
	return strings.Join(list, "; ")
}

// begun is a sign-in up to the provider's redirect.
func (w *world) begun() (back, jar string) {
	w.b.Helper()
	rec := w.browse("/enroll/login", "")
	require.Equal(w.b, http.StatusSeeOther, rec.Code, rec.Body)
	u, err := w.idp.SignIn(rec.Header().Get("Location"), "alice@example.com", "password")
	require.NoError(w.b, err)
	return u.RequestURI(), cookies(rec)
}

// signedIn is the session of a person who has just signed in.
func (w *world) signedIn() (jar string) {
	w.b.Helper()
	back, jar := w.begun()
	rec := w.browse(back, jar)
	require.Equal(w.b, http.StatusSeeOther, rec.Code, rec.Body)
	return cookies(rec)
}

// phone is a device that has an identity.
type phone struct {
	w      *world
	id     string
	cert   *x509.Certificate
	digest [32]byte
}

// phone gives the user's next device an identity, by the steps of the store.
func (w *world) phone() phone {
	w.b.Helper()
	w.count++
	n := w.count
	cert, err := w.devices.Issue(w.b.Context(), w.key.Public())
	require.NoError(w.b, err)
	p := phone{w, fmt.Sprintf("00000000-0000-4000-8000-%012X", n), cert, sha256.Sum256(cert.Raw)}
	now := time.Now()
	challenge := sha256.Sum256(fmt.Append(nil, "challenge ", n))
	ticket := enroll.Ticket{
		ID: fmt.Sprintf("t%d", n), Ref: "7KQ2M9XC", UserID: w.user().ID, Way: mdm.WayProfile, Ownership: enroll.OwnershipPersonal,
		State: enroll.TicketIssued, Session: sha256.Sum256(fmt.Append(nil, "session ", n)), Issued: now,
	}
	require.NoError(w.b, w.store.IssueTicket(w.b.Context(), ticket, [32]byte{}))
	_, err = w.store.Download(w.b.Context(), enroll.DownloadStep{
		TicketID: ticket.ID, Challenge: challenge, At: now, MaxDownloads: 10, MaxAge: time.Hour,
		Clocks: enroll.Clocks{Wait: time.Hour, Window: time.Hour, Grace: time.Hour},
	})
	require.NoError(w.b, err)
	_, err = w.store.Identify(w.b.Context(), enroll.IdentifyStep{
		Challenge: challenge, Key: [32]byte{1}, Certificate: cert.Raw, Digest: p.digest, NotAfter: cert.NotAfter, At: now,
	})
	require.NoError(w.b, err)
	return p
}

// user is whose the devices are.
func (w *world) user() jit.User {
	w.b.Helper()
	u, _, err := w.store.Provision(w.b.Context(), jit.Profile{ID: "u1", Issuer: "i", Subject: "s", Groups: []string{"byod"}, ManagedAppleAccount: "alice@example.com"})
	require.NoError(w.b, err)
	return u
}

// request is a message of the device, ready to be sent, with the signature that
// real devices make.
type request struct {
	path, contentType, signature string
	body                         []byte
}

func (p phone) request(message map[string]any) request {
	p.w.b.Helper()
	message["EnrollmentID"] = p.id
	body, err := plist.Marshal(message)
	require.NoError(p.w.b, err)
	signature, err := cms.Sign(body, p.w.key, []*x509.Certificate{p.cert}, cms.SignOptions{Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1})
	require.NoError(p.w.b, err)
	r := request{"/mdm/connect", "application/x-apple-aspen-mdm; charset=UTF-8", base64.StdEncoding.EncodeToString(signature), body}
	if _, ok := message["MessageType"]; ok {
		r.path, r.contentType = "/mdm/checkin", "application/x-apple-aspen-mdm-checkin"
	}
	return r
}

func (p phone) authenticate() request {
	return p.request(map[string]any{"MessageType": "Authenticate", "Topic": topic, "OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2"})
}

func (p phone) tokenUpdate() request {
	return p.request(map[string]any{"MessageType": "TokenUpdate", "Topic": topic, "Token": bytes.Repeat([]byte{7}, 32), "PushMagic": "9D2C0E0B-7A5A-4A1B-9C55-6A0E6F9A1C11", "AwaitingConfiguration": false})
}

func (p phone) idle() request { return p.request(map[string]any{"Status": "Idle"}) }

func (p phone) report(uuid string) request {
	return p.request(map[string]any{
		"Status": "Acknowledged", "CommandUUID": uuid,
		"QueryResponses": map[string]any{"OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2", "DeviceCapacity": 128.5},
	})
}

// send demands a 200 and returns its body.
func (w *world) send(r request) []byte {
	req := httptest.NewRequest(http.MethodPut, r.path, bytes.NewReader(r.body))
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("Mdm-Signature", r.signature)
	rec := httptest.NewRecorder()
	w.mdm.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		w.b.Fatal(rec.Code)
	}
	return rec.Body.Bytes()
}
