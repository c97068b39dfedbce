package main

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/internal/pgtest"
	"github.com/enrollkit/enrollkit/internal/porttest"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

const trialBase = "https://mdm.example.com"

func (w *trial) trust() *tls.Config {
	return &tls.Config{RootCAs: w.roots(), MinVersion: tls.VersionTLS12}
}

// The straight ways through one node, which ends TLS itself.
func TestEnroll(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	r := w.serve()
	network := w.towards(r.public.Addr().String())
	t.Cleanup(network.CloseIdleConnections)

	ways := map[string]func(p *mdmtest.Phone) error{
		"17.6": func(p *mdmtest.Phone) error {
			if err := p.SignIn(t.Context(), r.portal.URL(), "alice@example.com", password); err != nil {
				return err
			}
			if _, err := p.Download(t.Context()); err != nil {
				return err
			}
			return p.Install(t.Context())
		},
		"26.1": func(p *mdmtest.Phone) error {
			_, err := p.EnrollAccount(t.Context(), "alice@example.com", "alice@example.com", password)
			return err
		},
	}
	for os, way := range ways {
		p := w.phone(mdmtest.Config{Transport: network, OSVersion: os})
		require.NoError(t, way(p), os)
		require.NoError(t, p.AwaitPush(t.Context()), "a push through the stand-in")
		n, err := p.Connect(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Len(t, p.Installed(), 1, "the policy of her group")
	}
	state, err := r.database.State(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Enrollments, len(ways))
	for _, e := range state.Enrollments {
		require.Equal(t, mdm.StateEnrolled, e.State)
	}
	require.NoError(t, r.end())
	_, err = r.database.State(t.Context())
	require.Error(t, err, "the database is closed")
}

// A proxy ends TLS: everybody else is turned away.
func TestBehindProxy(t *testing.T) {
	for network, want := range map[string]int{"127.0.0.0/8": http.StatusOK, "10.0.0.0/8": http.StatusForbidden} {
		w := newTrial(t, emptyDatabase(t), trialBase, func(c *config) {
			c.TLS, c.Proxy = pairConfig{}, proxyConfig{Trusted: []string{network}, ClientCertificateHeader: "Client-Cert"}
		})
		r := w.serve()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.public.Addr().String()+"/enroll", nil)
		require.NoError(t, err)
		req.Host = "mdm.example.com"
		req.Header.Set("X-Forwarded-For", "127.0.0.1")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, network)
	}
}

// Liveness depends on nothing; readiness says which part is away, and heals.
func TestReadiness(t *testing.T) {
	pg := pgtest.StartTest(t, pgtest.Options{})
	w := newTrial(t, schemaIn(t, pg.DSN()), trialBase, nil)
	r := w.serve()
	admin := r.admin.Addr().String()
	all := map[string]string{"stopping": "ok", "database": "ok", "portal": "ok", "push-certificate": "ok"}
	ready := func(want int, failed ...string) {
		t.Helper()
		expected := map[string]string{}
		for name := range all {
			expected[name] = "ok"
		}
		for _, name := range failed {
			expected[name] = "failed"
		}
		status, checks := asked(t, admin, "/readyz")
		require.Equal(t, expected, checks)
		require.Equal(t, want, status)
		status, _ = asked(t, admin, "/healthz")
		require.Equal(t, http.StatusOK, status)
	}
	ready(http.StatusOK)
	require.NoError(t, pg.Crash())
	ready(http.StatusServiceUnavailable, "database")
	status, checks := asked(t, admin, "/readyz/portal")
	require.Equal(t, http.StatusOK, status, "the others hold")
	require.Equal(t, map[string]string{"portal": "ok"}, checks)
	require.NoError(t, pg.Restart(t.Context()))
	ready(http.StatusOK)
	status, _ = asked(t, admin, "/readyz/nothing")
	require.Equal(t, http.StatusNotFound, status)

	for _, path := range []string{"/enroll", "/mdm/connect", "/scep", "/debug/pprof/"} {
		status, _ = asked(t, admin, path)
		require.Equal(t, http.StatusNotFound, status, "%s is not the admin's", path)
	}
	r.stopping.Store(true)
	ready(http.StatusServiceUnavailable, "stopping")
}

// A node that cannot listen says where, and leaves the other address alone.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	free := porttest.Address(t)
	w := newTrial(t, "postgres:///nothing", trialBase, func(c *config) { c.Listen, c.Admin = taken.Addr().String(), free })
	n, err := newNode(w.settings, &faults{}, w.quiet())
	require.NoError(t, err)
	require.ErrorContains(t, n.serve(t.Context(), nil), "listen: ")
	again, err := net.Listen("tcp", free)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	n.config.Admin = taken.Addr().String()
	require.ErrorContains(t, n.serve(t.Context(), nil), "admin: ")
}

// A push certificate that expired takes no device the server away, and is told.
func TestExpiredPushCertificate(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	now := time.Now()
	certificate, key, err := w.apns.Issue(w.apns.Topic(), now.AddDate(-1, 0, -1), now.AddDate(0, 0, -1))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "push.pem"), certificate, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "push.key"), key, 0o600))
	r := w.serve()
	status, checks := asked(t, r.admin.Addr().String(), "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, map[string]string{"stopping": "ok", "database": "ok", "portal": "ok", "push-certificate": "failed"}, checks)
}

// The portal is not ready while the identity provider is away, and devices are
// served all the same.
func TestIdentityProviderAway(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	require.NoError(t, w.idp.Close())
	r := w.serve()
	status, checks := asked(t, r.admin.Addr().String(), "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, map[string]string{"stopping": "ok", "database": "ok", "portal": "failed", "push-certificate": "ok"}, checks)
	status, _ = asked(t, r.admin.Addr().String(), "/readyz/database")
	require.Equal(t, http.StatusOK, status)
}

// live is a network that tells when a live page has begun.
type live struct {
	http.RoundTripper
	begun chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (l *live) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && resp.Header.Get("Content-Type") == "text/event-stream" {
		close(l.begun)
	}
	return resp, err
}

// A stop ends live pages, and does not wait until they would end by themselves.
func TestStop(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, nil)
	r := w.serve()
	network := &live{w.towards(r.public.Addr().String()), make(chan struct{})}
	p := w.phone(mdmtest.Config{Transport: network, OSVersion: "17.6"})
	require.NoError(t, p.SignIn(t.Context(), r.portal.URL(), "bob@example.com", password))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Safari.Open(t.Context(), r.portal.URL()+"/events") // it is no page
	}()
	<-network.begun
	require.NoError(t, r.end(), "nothing had to be cut off")
	<-ended
}

func TestDiscovery(t *testing.T) {
	w := newTrial(t, emptyDatabase(t), trialBase, func(c *config) { c.DeviceEnrollment.Families = []string{"iPad"} })
	r := w.serve()
	network := w.towards(r.public.Addr().String())
	t.Cleanup(network.CloseIdleConnections)
	for family, want := range map[string]string{"iPhone": "mdm-byod", "iPad": "mdm-adde"} {
		resp, err := (&http.Client{Transport: network}).Get(trialBase + discovery.Path + "?user-identifier=alice%40example.com&model-family=" + family)
		require.NoError(t, err)
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Contains(t, b.String(), want)
	}
}
