package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

// asProgram makes the test binary be the program.
const asProgram = "ENROLLKIT_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	code := m.Run()
	if shared.server != nil {
		_ = shared.server.Stop() // what it had is not needed
	}
	os.Exit(code)
}

// shared is the PostgreSQL of the tests that do not kill it, from the first of them
// on.
var shared struct {
	once   sync.Once
	server *pgtest.Server
	err    error
}

// schemas counts the databases of this run.
var schemas struct {
	sync.Mutex
	n int
}

// schemaIn is the address of a database that nothing is in.
func schemaIn(t testing.TB, dsn string) string {
	t.Helper()
	schemas.Lock()
	schemas.n++
	name := fmt.Sprintf("trial_%d", schemas.n)
	schemas.Unlock()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE SCHEMA "+name)
	require.NoError(t, errors.Join(err, conn.Close(t.Context())))
	return dsn + "&search_path=" + name
}

// trial is a company: its files, its stand-ins and the phones that pushes reach.
type trial struct {
	t testing.TB
	*standIns

	settings config
	mu       sync.Mutex
	phones   []*mdmtest.Phone
	moves    map[string]string // of addresses
}

// newTrial makes one with its settings in a file.
func newTrial(t testing.TB, dsn, base string, edit func(*config)) *trial {
	t.Helper()
	w := &trial{t: t, settings: defaults()}
	c := &w.settings
	c.Database.DSN, c.BaseURL, c.Listen, c.Admin = dsn, base, "127.0.0.1:0", "127.0.0.1:0"
	c.SignIn.Issuer = "https://127.0.0.1:0/idp"
	c.dir = t.TempDir()
	var err error
	w.standIns, err = openStandIns(t.Context(), c.dir, c, w.deliver)
	require.NoError(t, err)
	t.Cleanup(w.close)
	if edit != nil {
		edit(c)
	}
	w.config, err = w.save()
	require.NoError(t, err)
	return w
}

// deliver wakes the phone that a push is for.
func (w *trial) deliver(p pushtest.Push) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, phone := range w.phones {
		phone.Wake(p.Token, p.Magic)
	}
}

func (w *trial) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(w.web.Chain()[0])
	return pool
}

// phone is one of the company's people's.
func (w *trial) phone(c mdmtest.Config) *mdmtest.Phone {
	w.t.Helper()
	device, err := w.devFiles.phones.Device()
	require.NoError(w.t, err)
	c.Roots, c.Account.Device = w.roots(), device
	c.Account.DomainURL = func(string) string { return w.settings.BaseURL }
	p, err := mdmtest.New(c)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phones = append(w.phones, p)
	return p
}

// running is a node in this process.
type running struct {
	*node

	t     testing.TB
	stop  context.CancelFunc
	ended chan error
}

// serve starts a node of the trial and returns when it listens, on the admin
// address at least.
func (w *trial) serve() *running {
	w.t.Helper()
	n, err := newNode(w.settings, &faults{}, slog.New(slog.NewTextHandler(testWriter{w.t}, nil)))
	require.NoError(w.t, err)
	n.checkLimit = time.Minute // a slow machine is no part that is away
	ctx, stop := context.WithCancel(context.Background())
	r := &running{node: n, t: w.t, stop: stop, ended: make(chan error, 1)}
	up := make(chan struct{})
	go func() { r.ended <- n.serve(ctx, func() { close(up) }) }()
	w.t.Cleanup(func() { require.NoError(w.t, r.end()) })
	select {
	case <-up:
	case err := <-r.ended:
		r.ended <- err
		require.NoError(w.t, err)
	}
	return r
}

// end stops the node; again, it does nothing.
func (r *running) end() error {
	r.stop()
	err := <-r.ended
	r.ended <- nil
	return err
}

// quiet logs nowhere.
func (w *trial) quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testWriter writes what is logged to the test.
type testWriter struct{ t testing.TB }

// Write implements io.Writer.
func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// asked is what an admin address answered.
func asked(t testing.TB, address, path string) (status int, checks map[string]string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	_ = json.Unmarshal(b, &checks) // health is a word
	return resp.StatusCode, checks
}

// moved makes whoever is on the way to one address get to another.
func (w *trial) moved(from, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moves == nil {
		w.moves = map[string]string{}
	}
	w.moves[from] = to
}

// towards reaches one address whatever name it is called by, but for the
// identity provider.
func (w *trial) towards(address string) *http.Transport {
	base := strings.TrimPrefix(w.settings.BaseURL, "https://")
	return &http.Transport{
		TLSClientConfig: w.trust(),
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == base || addr == base+":443" {
				addr = address
			}
			w.mu.Lock()
			if to, ok := w.moves[addr]; ok {
				addr = to
			}
			w.mu.Unlock()
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
}

// emptyDatabase is the address of one in the shared server.
func emptyDatabase(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = pgtest.Start(context.Background(), pgtest.Options{}) })
	if errors.Is(shared.err, pgtest.ErrMissing) {
		pgtest.Missing(t)
	}
	require.NoError(t, shared.err)
	return schemaIn(t, shared.server.DSN())
}
