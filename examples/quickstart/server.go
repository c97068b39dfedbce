package main

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/discovery"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
	"github.com/enrollkit/enrollkit/storage"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// stopLimit is for how long requests may go on when the server stops.
const stopLimit = 5 * time.Second

// server is everything, running.
type server struct {
	dir       string
	base      *url.URL
	log       *slog.Logger
	roots     *x509.CertPool // trust ca.pem
	store     *sqlite.Store
	apns      *pushtest.Server
	phones    *phones
	pushes    *pushResults
	transport *http.Transport     // reaches this server
	network   http.RoundTripper   // the same, for simulated phones
	deviceCA  *machineinfotest.CA // of simulated phones
	failed    chan error          // why the listener ended, if not by close
	closers   []func() error      // of the parts, in the order in which they were opened
}

// start opens the parts from the ground up and serves them on one listener. The
// authorities are there before the port is.
func start(ctx context.Context, o options, logger *slog.Logger) (_ *server, err error) {
	s := &server{log: logger, phones: &phones{}, pushes: newPushResults(), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = openData(o.data); err != nil {
		return nil, err
	}
	authorities, err := openAuthorities(s.dir)
	if err != nil {
		return nil, err
	}
	s.roots, s.deviceCA = authorities.roots(), authorities.phones
	// The directory has every private key of the stand-ins too.
	if s.store, err = sqlite.Open(ctx, filepath.Join(s.dir, "enrollkit.db"), sqlite.Options{AllowUnsealed: true}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.store.Close, background(s.retention(o.clocks).Run))
	apns, worker, err := openPushes(s.dir, s.store, s.phones.deliver, s.pushes, logger)
	if err != nil {
		return nil, err
	}
	s.apns = apns
	s.closers = append(s.closers, apns.Close, background(worker.Run))

	listener, err := listen(ctx, s.dir, o.addr)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error {
		_ = listener.Close() // the server may have done so
		return nil
	})
	if s.base = o.baseURL; s.base == nil {
		s.base = baseURL(listener)
	}
	s.transport = ownTransport(listener, s.roots)
	s.network = s.transport
	config, err := authorities.tls("localhost", "127.0.0.1", "::1", s.base.Hostname())
	if err != nil {
		return nil, err
	}
	web, err := s.web(o, authorities, worker)
	if err != nil {
		return nil, err
	}
	web.TLSConfig = config
	s.serve(listener, web)
	return s, nil
}

// retention forgets what is over: sign-ins that have expired, finished commands and
// tickets that led nowhere. A ticket is downloaded until DefaultMaxAge, and nothing
// lives longer than that download's clocks.
func (s *server) retention(clocks enroll.Clocks) storage.Retention {
	return storage.Retention{Store: s.store, Keep: storage.DefaultKeep + enroll.DefaultMaxAge + clocks.Window + clocks.Grace, Logger: s.log}
}

// web puts the handlers together, as an integrator would: see examples/minimal
// for the same without a provider of its own.
func (s *server) web(o options, authorities *authorities, worker *push.Worker) (*http.Server, error) {
	cookieKey, err := keep(s.dir, "cookie.key", randomKey(enroll.CookieKeySize))
	if err != nil {
		return nil, err
	}
	base := s.base.String()
	provider, authenticator, err := openProvider(s.dir, base+"/idp", base+enroll.DefaultPrefix+"/callback", &http.Client{Transport: s.transport}, s.log)
	if err != nil {
		return nil, err
	}
	people, err := jit.New(jit.Config{Store: s.store, Logger: s.log})
	if err != nil {
		return nil, err
	}
	topic := s.apns.Topic()
	portal, err := enroll.New(enroll.Config{
		Tickets: s.store, Sessions: s.store, States: s.store, Users: s.store,
		Provisioner: people, Authenticator: authenticator, Signer: authorities.signer,
		CookieKeys: [][]byte{cookieKey}, BaseURL: base, Organization: organization, Identifier: identifier + ".enroll",
		Topic: topic, Roots: []*x509.Certificate{authorities.root()}, Clocks: o.clocks, Logger: s.log,
		Account:          &enroll.AccountConfig{Store: s.store, Anchor: s.deviceCA.Anchor(), Method: o.way.method()},
		DeviceEnrollment: &enroll.DeviceEnrollment{Groups: []string{deviceGroup}, Families: o.way.families()},
	})
	if err != nil {
		return nil, err
	}
	identity, err := scep.New(scep.Config{
		Issuer: authorities.devices, Redeemer: portal, RA: authorities.ra, RAKey: authorities.raKey, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	planner, err := openPolicy(s.store, s.log)
	if err != nil {
		return nil, err
	}
	devices, err := mdm.New(mdm.Config{
		Store: s.store, Identity: authorities.identities(), Topic: topic, Planner: planner, Kick: worker.Kick, Challenger: portal, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	where, err := openDiscovery(o.way, portal, s.log)
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle(enroll.DefaultPrefix, portal)
	mux.Handle(enroll.DefaultPrefix+"/", portal)
	mux.Handle(discovery.Path, where)
	mux.Handle("/scep", identity)
	mux.Handle("/mdm/", devices.Handler("/mdm"))
	mux.Handle("/idp/", provider)
	mux.HandleFunc("GET /state", s.state)
	mux.Handle("GET /{$}", http.RedirectHandler(enroll.DefaultPrefix, http.StatusSeeOther))
	web := newHTTPServer(onlyOurHost(s.base, mux), s.log)
	web.RegisterOnShutdown(portal.Close)
	return web, nil
}

// serve answers requests until close.
func (s *server) serve(listener net.Listener, web *http.Server) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		s.transport.CloseIdleConnections()
		err := web.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, web.Close())
		}
		<-ended
		return err
	})
}

// portal is where a person starts.
func (s *server) portal() string { return s.base.String() + enroll.DefaultPrefix }

// close ends the parts, the last one first. Again, it does nothing.
func (s *server) close() {
	for _, end := range slices.Backward(s.closers) {
		if err := end(); err != nil {
			s.log.Error("stopping", "error", err)
		}
	}
	s.closers = nil
}

// background runs what runs until its context ends, and returns what ends it.
func background(run func(context.Context) error) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}
