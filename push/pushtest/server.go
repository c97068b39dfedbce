package pushtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// maxPushes bounds how many pushes are remembered.
const maxPushes = 10000

// DefaultTopic is the topic of a Server that was given none.
const DefaultTopic = "com.apple.mgmt.External.7e57ab1e-0000-4000-8000-000000000001"

// Push is one push as it arrived.
type Push struct {
	// Token is the push token of the device.
	Token []byte
	// Magic is the PushMagic in the body.
	Magic string
	// APNsID is the apns-id.
	APNsID string
	// Topic is the apns-topic.
	Topic string
	// Expiration is until when APNs would try, the zero time when the request
	// left it open, and the UNIX epoch when it asked for one try.
	Expiration time.Time
	// Certificate is the SHA-256 of the push certificate that it came with.
	Certificate [32]byte
	// Time is when it came.
	Time time.Time
}

// Config configures a Server. Its zero value is ready to use.
type Config struct {
	// Topic is the topic that the devices enrolled with, and that of
	// PushCertificate. The default is DefaultTopic.
	Topic string
	// Deliver is called for each push that is accepted, before the answer, and
	// possibly several times at once. It must not keep the server waiting. May
	// be nil.
	Deliver func(Push)
	// Listener replaces the default, a free port of 127.0.0.1. The Server closes
	// it.
	Listener net.Listener
	// MaxConcurrentStreams is how many pushes may be in flight on a connection,
	// by default 1000 as at APNs.
	MaxConcurrentStreams int
	// Now defaults to time.Now.
	Now func() time.Time
}

// Option changes the configuration that New starts from.
type Option func(*Config)

// Server is an APNs stand-in that listens. It is safe for concurrent use.
type Server struct {
	cfg       Config
	url       string
	ca        *authority
	cert, key []byte // of PushCertificate, PEM
	http      *http.Server
	listener  *listener
	served    chan struct{} // closed when nothing is accepted any more

	mu       sync.Mutex // guards the fields below
	script   func(Push) Reply
	pushes   []Push
	requests int
	conns    map[net.Conn]bool
	accepted int
}

// New starts a stand-in for a test. It ends with the test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	var cfg Config
	for _, o := range opts {
		o(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Open starts a stand-in that listens until Close.
func Open(cfg Config) (*Server, error) {
	if cfg.Topic == "" {
		cfg.Topic = DefaultTopic
	}
	if cfg.MaxConcurrentStreams == 0 {
		cfg.MaxConcurrentStreams = 1000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxConcurrentStreams < 0 {
		return nil, errors.New("pushtest: Config.MaxConcurrentStreams is negative")
	}
	ca, err := newAuthority(cfg.Now())
	if err != nil {
		return nil, fmt.Errorf("pushtest: %w", err)
	}
	s := &Server{cfg: cfg, ca: ca, served: make(chan struct{}), conns: map[net.Conn]bool{}}
	now := cfg.Now()
	if s.cert, s.key, err = s.Issue(cfg.Topic, now.Add(-time.Hour), now.AddDate(1, 0, 0)); err != nil {
		return nil, err
	}
	if cfg.Listener == nil {
		if cfg.Listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("pushtest: %w", err)
		}
	}
	identity, err := ca.server(cfg.Listener.Addr(), now)
	if err != nil {
		_ = cfg.Listener.Close()
		return nil, fmt.Errorf("pushtest: %w", err)
	}
	s.url = "https://" + cfg.Listener.Addr().String()
	s.listener = newListener(cfg.Listener, &tls.Config{
		Certificates:           []tls.Certificate{identity},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              ca.pool(),
		MinVersion:             tls.VersionTLS12,
		NextProtos:             []string{"h2"},
		Time:                   cfg.Now,
		SessionTicketsDisabled: true, // a resumed session would hide a renewed certificate
	})
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: time.Minute, // of TLS; a busy machine is slow
		ErrorLog:          log.New(io.Discard, "", 0),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: cfg.MaxConcurrentStreams},
		ConnState:         s.connState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	go func() {
		defer close(s.served)
		s.http.Serve(s.listener) //nolint:errcheck // it ends by Close, there is nobody to tell
	}()
	return s, nil
}

// connKey finds the connection of a request in its context.
type connKey struct{}

func (s *Server) connState(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = true
		s.accepted++
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

// Close stops listening and closes all connections.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.served
	return err
}

// URL is the address to push to, such as "https://127.0.0.1:12345".
func (s *Server) URL() string { return s.url }

// Topic is the topic that the devices enrolled with.
func (s *Server) Topic() string { return s.cfg.Topic }

// RootCAs are the roots that the server is trusted by.
func (s *Server) RootCAs() *x509.CertPool { return s.ca.pool() }

// PushCertificate is a push certificate for Topic, valid for a year, and its
// private key, both PEM.
func (s *Server) PushCertificate() (certPEM, keyPEM []byte) {
	return slices.Clone(s.cert), slices.Clone(s.key)
}

// Issue makes another push certificate, also one for a topic that devices did not
// enroll with, or one that has expired.
func (s *Server) Issue(topic string, notBefore, notAfter time.Time) (certPEM, keyPEM []byte, err error) {
	certPEM, keyPEM, err = s.ca.push(topic, notBefore, notAfter)
	if err != nil {
		return nil, nil, fmt.Errorf("pushtest: %w", err)
	}
	return certPEM, keyPEM, nil
}

// Pushes returns what was accepted, the oldest first; of more than 10000 the last.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pushes)
}

// Requests returns how many requests came, refused ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Connections returns how many connections were made so far, without those that
// fell into a black hole.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// OpenConnections returns how many connections there are now.
func (s *Server) OpenConnections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Drop cuts all connections.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		// The TCP connection below, because TLS would say good-bye first.
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		_ = c.Close()
	}
}

// BlackHole decides whether connections that are made from now on are accepted
// and then left alone, without a word of TLS. When it ends, those are cut.
func (s *Server) BlackHole(on bool) { s.listener.blackHole(on) }
