package push

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"
	"golang.org/x/net/http2"
)

const (
	// A connection that is silent for readIdle is asked for a sign of life, and
	// given up pingTimeout later.
	readIdle    = 30 * time.Second
	pingTimeout = 10 * time.Second
	// lastWords is how long a connection that cannot be written to is still read.
	lastWords = time.Second
	// maxHeaders bounds the headers of an answer in bytes.
	maxHeaders = 32 << 10
)

// link is one connection to APNs and all that goes with it: the certificate that it
// was made with and the apns2 client over it. A connection that breaks takes its
// link along, so that pushes which were to wait for it find a new one.
//
// Only this file knows that client and its transport.
type link struct {
	certificate *Certificate
	born        time.Time
	apns        *apns2.Client
	users       int // guarded by Client.mu

	// The connection is opened by one push, while the others wait. Otherwise each
	// would wait as long as the first one's context says.
	opening chan struct{} // holds a token while a push connects
	opened  chan struct{} // closed when connected, or when connecting failed
	once    sync.Once     // closes opened
	err     error         // why connecting failed, set before opened is closed

	refused atomic.Pointer[error] // why APNs refuses the certificate, nil while it does not
}

func newLink(cfg ClientConfig, certificate *Certificate) *link {
	l := &link{
		certificate: certificate,
		born:        cfg.Now(),
		opening:     make(chan struct{}, 1),
		opened:      make(chan struct{}),
	}
	tlsConfig := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    cfg.RootCAs,
		Time:       cfg.Now,
		// Not Certificates, which would be held back when the issuer is not among
		// those that the server names.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate.pair, nil
		},
	}
	//nolint:staticcheck // net/http's own transport opens a connection for each push of a cold burst, which Apple takes for an attack
	transport := &http2.Transport{
		TLSClientConfig:    tlsConfig,
		DisableCompression: true,
		MaxHeaderListSize:  maxHeaders,
		ReadIdleTimeout:    readIdle,
		PingTimeout:        pingTimeout,
		DialTLSContext: func(ctx context.Context, network, addr string, cfgTLS *tls.Config) (net.Conn, error) {
			return l.dial(ctx, cfg, network, addr, cfgTLS)
		},
	}
	l.apns = &apns2.Client{
		Host: cfg.Host,
		HTTPClient: &http.Client{
			Transport: &recorder{next: transport, once: cfg.Lifetime < 0, now: cfg.Now},
			// APNs redirects nowhere; the body must not go elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	return l
}

// dial connects, and again when the transport wants to repeat what APNs has not
// seen, but not with a certificate that was refused.
func (l *link) dial(ctx context.Context, cfg ClientConfig, network, addr string, tlsConfig *tls.Config) (net.Conn, error) {
	if err := l.refused.Load(); err != nil {
		return nil, *err
	}
	raw, err := cfg.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn := &watched{Conn: tls.Client(raw, tlsConfig), link: l}
	if err = conn.HandshakeContext(ctx); err == nil {
		if p := conn.ConnectionState().NegotiatedProtocol; p != http2.NextProtoTLS {
			err = fmt.Errorf("the server speaks %q and not HTTP/2", p)
		}
	}
	if err != nil {
		l.watch(err)
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// watched is a connection that tells its link when the certificate is refused. In
// TLS 1.3 that is after the handshake, and the pushes in flight may fail of
// something that came of it.
type watched struct {
	*tls.Conn
	link *link
}

func (c *watched) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.link.watch(err)
	return n, err
}

// Write leaves it to Read to find out that the connection is broken. The transport
// gives a connection up when a write fails, and with it what there still is to read:
// the alert, or the GOAWAY frame.
func (c *watched) Write(p []byte) (int, error) {
	if _, err := c.Conn.Write(p); err != nil {
		_ = c.SetReadDeadline(time.Now().Add(lastWords)) // if it is closed, Read fails anyway
	}
	return len(p), nil
}

// watch keeps err if it is the other side ending TLS because of our certificate.
// crypto/tls gives an alert no type that could be asked for.
func (l *link) watch(err error) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return
	}
	if text := op.Err.Error(); strings.Contains(text, "certificate") || strings.Contains(text, "access denied") {
		l.refuse(err)
	}
}

func (l *link) close() { l.apns.CloseIdleConnections() }

// refuse keeps the first reason why APNs refuses the certificate.
func (l *link) refuse(why error) { l.refused.CompareAndSwap(nil, &why) }

// connected ends the waiting of other pushes.
func (l *link) connected(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.opened)
	})
}

// push sends n. An error means that no answer came; Answer.Reason may then still
// say why APNs closed the connection.
func (l *link) push(ctx context.Context, n *apns2.Notification) (Answer, error) {
	select {
	case <-l.opened: // looked at first, since select picks among what is ready
	default:
		select {
		case <-l.opened:
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("waiting for a connection: %w", context.Cause(ctx))
		case l.opening <- struct{}{}:
			defer func() { <-l.opening }()
			return l.open(ctx, n)
		}
	}
	if l.err != nil {
		return Answer{}, l.err
	}
	return l.send(ctx, n)
}

// open is push for the one that connects. When its own time is over, another of
// those who wait may try.
func (l *link) open(ctx context.Context, n *apns2.Notification) (Answer, error) {
	answer, err := l.send(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { l.connected(nil) },
	}), n)
	if err != nil && ctx.Err() == nil {
		l.connected(err) // without effect when it failed after connecting
	}
	return answer, err
}

// send sends n by apns2, which gets no body to see: it would lose the status with a
// body that is not JSON, read one of any length, and let one overwrite the status.
func (l *link) send(ctx context.Context, n *apns2.Notification) (Answer, error) {
	var answer Answer
	_, err := l.apns.PushWithContext(context.WithValue(ctx, answerKey{}, &answer), n)
	if away, ok := errors.AsType[http2.GoAwayError](err); ok { //nolint:staticcheck // see newLink
		answer.Reason, _ = readReason([]byte(away.DebugData))
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which has the token in it
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if refused := l.refused.Load(); err != nil && refused != nil {
		err = *refused
	}
	return answer, err
}

// answerKey is the place in a request's context for the *Answer to it.
type answerKey struct{}

// recorder keeps what apns2 does not: status, Retry-After and a bounded part of the
// body.
type recorder struct {
	next *http2.Transport //nolint:staticcheck // see newLink
	once bool             // APNs is to try once
	now  func() time.Time
}

func (t *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.once {
		r = r.Clone(r.Context())
		r.Header.Set("Apns-Expiration", "0") // apns2 leaves out what is zero
	}
	res, err := t.next.RoundTrip(r) //nolint:staticcheck // see newLink
	if err != nil {
		return nil, err
	}
	// What cannot be read gives no reason; the status is there all the same.
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	res.Body.Close()
	res.Body = http.NoBody
	if answer, ok := r.Context().Value(answerKey{}).(*Answer); ok {
		answer.Status = res.StatusCode
		answer.RetryAfter = readRetryAfter(res.Header.Get("Retry-After"), t.now())
		if err == nil {
			answer.Reason, answer.Timestamp = readReason(body)
		}
	}
	return res, nil
}

// CloseIdleConnections is what apns2 asks of a transport, by a type assertion that
// panics.
func (t *recorder) CloseIdleConnections() {
	t.next.CloseIdleConnections() //nolint:staticcheck // see newLink
}
