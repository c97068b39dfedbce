package enroll_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/internal/appleschema"
	"github.com/enrollkit/enrollkit/internal/appleschema/schematest"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
	"github.com/enrollkit/enrollkit/sso/oidc"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// tools are the keys that all account worlds share, since they take time to make.
type tools struct {
	devices *ca.CA // device identities
	ra      *x509.Certificate
	raKey   *rsa.PrivateKey
	apple   *machineinfotest.CA     // what Apple's device CA is to real phones
	builtIn *machineinfotest.Device // into the phones
}

var madeTools = sync.OnceValues(func() (t tools, err error) {
	root, key, err := ca.NewRoot("Devices", 48*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		return t, err
	}
	if t.devices, err = ca.New(ca.Config{Certificate: root, Key: key}); err != nil {
		return t, err
	}
	if t.raKey, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return t, err
	}
	if t.ra, err = t.devices.IssueRA(t.raKey.Public(), "RA", 24*time.Hour); err != nil {
		return t, err
	}
	if t.apple, err = machineinfotest.NewSimulatedCA(machineinfotest.Config{Bits: 1024, Expired: true}); err != nil {
		return t, err
	}
	t.builtIn, err = t.apple.Device()
	return t, err
})

// accountWorld is a whole server that devices enroll with by an account: portal,
// discovery for example.com, SCEP, MDM and an OpenID provider.
type accountWorld struct {
	*world
	tools
	kept   storage.Store
	mdm    *mdm.Server
	mux    *http.ServeMux
	log    *notes
	config enroll.Config
	// plan are the commands that the first TokenUpdate queues.
	plan []command.Command
	// domain is the web site of example.com.
	domain http.Handler
	// also is another server that the phones reach, if there is one.
	also *httptest.Server
	mu   sync.Mutex
	told []*told // in the order in which they were asked for
}

// told is what a device was answered.
type told struct {
	path   string
	status int
	header http.Header
	body   string
}

// teller notes an answer before it is given: who has it may ask at once.
type teller struct {
	http.ResponseWriter
	a    *accountWorld
	told *told
}

func (w *teller) WriteHeader(status int) {
	w.a.mu.Lock()
	w.told.status, w.told.header = status, w.Header().Clone()
	w.a.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

func (w *teller) Write(b []byte) (int, error) {
	w.a.mu.Lock()
	bare := w.told.status == 0
	w.told.body += string(b)
	w.a.mu.Unlock()
	if bare {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// ServeHTTP notes what is answered.
func (a *accountWorld) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := &teller{w, a, &told{path: r.URL.Path}}
	a.mu.Lock()
	a.told = append(a.told, t.told)
	a.mu.Unlock()
	a.mux.ServeHTTP(t, r)
}

// last is the last answer to a path that begins so.
func (a *accountWorld) last(prefix string) told {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.told) - 1; i >= 0; i-- {
		if strings.HasPrefix(a.told[i].path, prefix) {
			return *a.told[i]
		}
	}
	require.Fail(a.t, "nobody asked for", prefix)
	return told{}
}

// account changes the account configuration of a world.
func account(edit func(*enroll.AccountConfig)) func(*enroll.Config) {
	return func(c *enroll.Config) { edit(c.Account) }
}

func oauth2(c *enroll.AccountConfig) { c.Method = enroll.MethodOAuth2 }

// newAccountWorld starts a server on a memory store.
func newAccountWorld(t testing.TB, edit ...func(*enroll.Config)) *accountWorld {
	t.Helper()
	return newAccountWorldOn(t, memory.New(), edit...)
}

func newAccountWorldOn(t testing.TB, kept storage.Store, edit ...func(*enroll.Config)) *accountWorld {
	t.Helper()
	made, err := madeTools()
	require.NoError(t, err)
	a := &accountWorld{
		world: &world{t: t, clock: &clock{}, seen: &watcher{moved: make(chan enroll.Ticket, 1000)}},
		tools: made, kept: kept, mux: http.NewServeMux(), log: &notes{},
	}
	if m, ok := kept.(*memory.Store); ok {
		a.store = m
	}
	a.clock.Store(time.Now().UnixNano())
	logger := slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.idp = ssotest.New(t, func(c *ssotest.Config) { c.Now = a.clock.Now })
	auth, err := oidc.New(oidc.Config{Issuer: a.idp.Issuer(), ClientID: "enrollkit", ClientSecret: "secret", RootCAs: a.idp.RootCAs(), Now: a.clock.Now})
	require.NoError(t, err)
	people, err := jit.New(jit.Config{Store: kept, Now: a.clock.Now, Logger: logger})
	require.NoError(t, err)
	signer, root := newSigner(t, a.clock.Now)
	a.roots = x509.NewCertPool()
	a.roots.AddCert(root)
	a.server = httptest.NewTLSServer(a)
	t.Cleanup(a.server.Close)

	a.config = enroll.Config{
		Tickets: kept, Sessions: kept, States: kept, Users: kept, Provisioner: people, Authenticator: auth, Signer: signer,
		CookieKeys: [][]byte{[]byte(strings.Repeat("k", enroll.CookieKeySize))},
		BaseURL:    a.server.URL, Organization: "Example Inc.", Identifier: "com.example.enroll", Topic: topic,
		Observer: a.seen, Now: a.clock.Now, Logger: logger,
		Account:          &enroll.AccountConfig{Store: kept, Anchor: a.apple.Anchor()},
		DeviceEnrollment: &enroll.DeviceEnrollment{},
	}
	for _, e := range edit {
		e(&a.config)
	}
	a.portal, err = enroll.New(a.config)
	require.NoError(t, err)
	t.Cleanup(a.portal.Close)
	a.url = a.portal.URL()

	identity, err := scep.New(scep.Config{Issuer: a.devices, Redeemer: a.portal, RA: a.ra, RAKey: a.raKey, Logger: logger, Now: a.clock.Now})
	require.NoError(t, err)
	anchors := x509.NewCertPool()
	anchors.AddCert(a.devices.Chain()[0])
	var rights profile.AccessRights
	if d := a.config.DeviceEnrollment; d != nil {
		rights = d.AccessRights
	}
	a.mdm, err = mdm.New(mdm.Config{
		Store: kept, Identity: anchors, Topic: topic, Planner: a, Challenger: a.portal, DeviceLimit: a.config.DeviceLimit,
		AccessRights: rights, Logger: logger, Now: a.clock.Now,
	})
	require.NoError(t, err)
	a.mux.Handle("/enroll", a.portal)
	a.mux.Handle("/enroll/", a.portal)
	a.mux.Handle("/scep", identity)
	a.mux.Handle("/mdm/", a.mdm.Handler("/mdm"))
	a.serve(map[discovery.Family]discovery.Version{discovery.IPhone: discovery.BYOD, discovery.IPad: discovery.BYOD})
	a.mux.HandleFunc(discovery.Path, func(w http.ResponseWriter, r *http.Request) { a.domain.ServeHTTP(w, r) })
	return a
}

// serve says which device the domain sends where.
func (a *accountWorld) serve(families map[discovery.Family]discovery.Version) {
	a.t.Helper()
	org := discovery.Organization{Domains: []string{"example.com"}, Families: families}
	for v := range maps.Values(families) {
		switch v {
		case discovery.BYOD:
			org.BYOD = a.portal.AccountURL(false)
		case discovery.ADDE:
			org.ADDE = a.portal.AccountURL(true)
		}
	}
	var err error
	a.domain, err = discovery.New(discovery.Config{Organizations: []discovery.Organization{org}, Logger: slog.New(slog.NewTextHandler(a.log, nil))})
	require.NoError(a.t, err)
}

// adde lets the domain send everybody to account-driven Device Enrollment.
func (a *accountWorld) adde() {
	a.serve(map[discovery.Family]discovery.Version{discovery.IPhone: discovery.ADDE, discovery.IPad: discovery.ADDE})
}

// Plan implements mdm.Planner.
func (a *accountWorld) Plan(_ context.Context, e mdm.Enrollment) ([]mdm.Command, error) {
	var list []mdm.Command
	for i, c := range a.plan {
		uuid := e.ID + "-" + string(rune('a'+i))
		payload, err := command.Encode(uuid, c)
		if err != nil {
			return nil, err
		}
		list = append(list, mdm.Command{UUID: uuid, Payload: payload})
	}
	return list, nil
}

// phone is a simulated iPhone out of the box. Every document that it sends and
// gets is judged by Apple's schema.
func (a *accountWorld) phone(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	a.t.Helper()
	return a.judged(appleschema.UserEnrollment, edit)
}

// devicePhone is one for Device Enrollment.
func (a *accountWorld) devicePhone(edit ...func(*mdmtest.Config)) *mdmtest.Phone {
	a.t.Helper()
	return a.judged(appleschema.DeviceEnrollment, edit)
}

func (a *accountWorld) judged(kind appleschema.Enrollment, edit []func(*mdmtest.Config)) *mdmtest.Phone {
	a.t.Helper()
	here := a.transport()
	judge := &schematest.Transport{T: a.t, Base: roundTripper(func(r *http.Request) (*http.Response, error) {
		if a.also != nil && strings.HasPrefix(r.URL.String(), a.also.URL+"/") {
			return a.also.Client().Transport.RoundTrip(r)
		}
		return here.RoundTrip(r)
	})}
	cfg := mdmtest.Config{
		Transport: judge, Roots: a.roots, Now: a.clock.Now, OSVersion: "26.1", Product: "iPhone17,2",
		Account: mdmtest.AccountConfig{Device: a.builtIn, DomainURL: func(string) string { return a.server.URL }},
	}
	for _, e := range edit {
		e(&cfg)
	}
	judge.Target = appleschema.Target{OS: cfg.OSVersion, Enrollment: kind}
	p, err := mdmtest.New(cfg)
	require.NoError(a.t, err)
	return p
}

// enrolled is a phone that went all the way.
func (a *accountWorld) enrolled(user string, edit ...func(*mdmtest.Config)) (*mdmtest.Phone, *mdmtest.Account) {
	a.t.Helper()
	p := a.phone(edit...)
	account, err := p.EnrollAccount(a.t.Context(), user, user, "password")
	require.NoError(a.t, err, a.log)
	return p, account
}

// all is everything that is stored.
func (a *accountWorld) all() storage.State {
	a.t.Helper()
	s, err := a.kept.State(a.t.Context())
	require.NoError(a.t, err)
	return s
}

// still runs f and demands that every table is as it was.
func (a *accountWorld) still(f func()) {
	a.t.Helper()
	before := a.all()
	f()
	require.Equal(a.t, before, a.all(), "a refused request changed something")
}

// person is the record of who signs in by this name.
func (a *accountWorld) person(user string) jit.User {
	a.t.Helper()
	for _, u := range a.all().Users {
		if u.ManagedAppleAccount == user {
			return u
		}
	}
	require.Fail(a.t, "nobody is called so", user)
	return jit.User{}
}

// suspend suspends a person, or lifts that, as a help desk does.
func (a *accountWorld) suspend(user string, suspended bool) {
	a.t.Helper()
	id := a.person(user).ID
	require.NoError(a.t, a.kept.Suspend(a.t.Context(), id, suspended))
	require.NoError(a.t, a.kept.SuspendUser(a.t.Context(), id, suspended))
}

// send makes one request without following redirects.
func (a *accountWorld) send(method, address, body string, header ...string) answer {
	a.t.Helper()
	if !strings.Contains(address, "://") {
		address = a.url + address
	}
	r, err := http.NewRequestWithContext(a.t.Context(), method, address, strings.NewReader(body))
	require.NoError(a.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	client := &http.Client{Transport: a.server.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	require.NoError(a.t, err)
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	require.NoError(a.t, err)
	return answer{resp, string(read)}
}
