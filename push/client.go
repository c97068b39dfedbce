package push

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/sideshow/apns2"
)

// The hosts of APNs. Both also listen on port 2197, for networks that let 443 to
// proxies only.
const (
	// Production is the host for MDM.
	Production = "https://api.push.apple.com"
	// Sandbox is the host for devices whose MDM payload says UseDevelopmentAPNS.
	Sandbox = "https://api.sandbox.push.apple.com"
)

const (
	maxToken       = 100 // bytes of a push token
	maxMagic       = 256 // bytes of a PushMagic
	maxConcurrency = 1000
	maxTimeout     = time.Minute
	// defaultLifetime is just below the 30 days for which APNs keeps a push.
	defaultLifetime = 28 * 24 * time.Hour
	// replaceAfter is how old a connection is that makes room for another when
	// APNs has trouble behind it. Apple takes quick reconnecting for an attack.
	replaceAfter = time.Minute
)

// ErrConfig is every configuration that NewClient and NewWorker refuse, for
// errors.Is.
var ErrConfig = errors.New("push: configuration")

// ErrTarget is a Target that no push can be sent to, for errors.Is: its token or
// its magic is missing or too long.
var ErrTarget = errors.New("push: target")

// A RefusedError is APNs refusing this server: its certificate is expired, revoked
// or of the wrong kind, or its requests are wrong. No push gets through until that
// is put right.
type RefusedError struct {
	// Answer is what APNs said. It is without Status and Reason when the
	// certificate was refused before any request.
	Answer Answer
	// Err is what was wrong with the connection, nil when APNs answered.
	Err error
}

func (e *RefusedError) Error() string {
	what := e.Answer.String()
	if e.Err != nil {
		what = e.Err.Error()
	}
	return "push: APNs refuses this server; look at the push certificate: " + what
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Pusher makes one attempt to wake one device. It is safe for concurrent use and
// returns when ctx ends.
type Pusher interface {
	// Push returns what APNs answered about the device. A *RefusedError concerns
	// every device; with a *TopicError or ErrTarget nothing was sent; with any
	// other error no answer came. Answer.ID is set in any case but those two.
	Push(ctx context.Context, target Target) (Answer, error)
}

// ClientConfig is what a Client is made of. Certificate is needed.
type ClientConfig struct {
	// Certificate is the push certificate, see Client.Replace for its renewal.
	Certificate *Certificate
	// Host is the address of APNs: https, a host, perhaps a port. The default is
	// Production.
	Host string
	// RootCAs replaces the system's roots, such as for a stand-in.
	RootCAs *x509.CertPool
	// DialContext opens TCP connections, such as through a proxy. The default is
	// that of a net.Dialer. It must return when its context ends.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Concurrency is how many pushes may be in flight; more wait. The default is
	// 100. As long as it is below what APNs allows on a connection, which is about
	// 1000, one connection serves all.
	Concurrency int
	// Timeout bounds one push, connecting included and waiting for the others
	// excluded. The default is 10 seconds, the most a minute.
	Timeout time.Duration
	// Lifetime is for how long APNs keeps a push for a device that is not
	// reachable. The default is 28 days; APNs keeps none for more than 30.
	// Negative makes it try once.
	Lifetime time.Duration
	// Now defaults to time.Now, Random to crypto/rand.Reader, which must be safe
	// for concurrent use.
	Now    func() time.Time
	Random io.Reader
}

// Client sends pushes to APNs over one long-lived connection. It connects when
// there is something to send. It is a Pusher, and safe for concurrent use.
type Client struct {
	cfg   ClientConfig
	slots chan struct{} // one for each push in flight

	mu          sync.Mutex // guards the fields below
	certificate *Certificate
	current     *link // nil before the first push and after a failure
}

var _ Pusher = (*Client)(nil)

// NewClient judges cfg whole; the error wraps ErrConfig and names every mistake.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Host == "" {
		cfg.Host = Production
	}
	if cfg.DialContext == nil {
		cfg.DialContext = new(net.Dialer).DialContext
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 100
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	var errs mistakes
	errs.add(cfg.Certificate == nil, "no Certificate")
	errs.add(!isHost(cfg.Host), "Host %q is not https:// and a host", cfg.Host)
	errs.add(cfg.Concurrency < 0 || cfg.Concurrency > maxConcurrency, "Concurrency is not between 1 and %d", maxConcurrency)
	errs.add(cfg.Timeout < 0 || cfg.Timeout > maxTimeout, "Timeout is negative or more than %s", maxTimeout)
	if err := errs.join(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, certificate: cfg.Certificate, slots: make(chan struct{}, cfg.Concurrency)}, nil
}

func isHost(host string) bool {
	u, err := url.Parse(host)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && host == "https://"+u.Host
}

// mistakes gathers what is wrong with a configuration.
type mistakes []error

func (m *mistakes) add(when bool, format string, args ...any) {
	if when {
		*m = append(*m, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...)))
	}
}

func (m mistakes) join() error { return errors.Join(m...) }

// Certificate returns the certificate that is in use.
func (c *Client) Certificate() *Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.certificate
}

// Replace puts a renewed certificate into use: pushes from now on go over a new
// connection, those in flight finish on the old one. A certificate with another
// topic is refused with a *TopicError, since no enrolled device hears from it.
func (c *Client) Replace(next *Certificate) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.certificate.CheckRenewal(next); err != nil {
		return err
	}
	c.certificate = next
	c.retireLocked(c.current)
	return nil
}

// Close closes the connection as soon as no push is in flight on it. The Client can
// still be used, and connects again.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retireLocked(c.current)
}

// Push makes one attempt to wake a device and waits for the answer. How it fails
// is said at Pusher. Nothing is repeated here but what APNs is known not to have
// seen.
func (c *Client) Push(ctx context.Context, target Target) (Answer, error) {
	if err := checkTarget(target); err != nil {
		return Answer{}, err
	}
	body, err := payload(target.Magic)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: magic: %w", ErrTarget, err)
	}
	id, err := newUUID(c.cfg.Random)
	if err != nil {
		return Answer{}, fmt.Errorf("push: apns-id: %w", err)
	}
	failed := Answer{ID: id}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return failed, fmt.Errorf("push: waiting for others: %w", context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()

	l := c.acquire()
	defer c.release(l)
	if topic := l.certificate.topic; topic != target.Topic {
		return Answer{}, &TopicError{Certificate: topic, Enrolled: target.Topic}
	}
	n := &apns2.Notification{
		ApnsID:      id,
		DeviceToken: hex.EncodeToString(target.Token),
		Topic:       l.certificate.topic,
		Priority:    apns2.PriorityHigh,
		PushType:    apns2.PushTypeMDM,
		Payload:     body,
	}
	if c.cfg.Lifetime > 0 {
		n.Expiration = c.cfg.Now().Add(c.cfg.Lifetime)
	}
	answer, err := l.push(ctx, n)
	answer.ID = id
	switch {
	case answer.Verdict() == VerdictRefused:
		refused := &RefusedError{Answer: answer, Err: err}
		l.refuse(refused)
		c.retire(l)
		return answer, refused
	case err != nil && l.refused.Load() != nil:
		c.retire(l)
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			return failed, refused
		}
		return failed, &RefusedError{Answer: failed, Err: err}
	case err != nil:
		if ctx.Err() == nil {
			c.retire(l)
		}
		return answer, fmt.Errorf("push: no answer: %w", err)
	case answer.Status >= 500 && c.cfg.Now().Sub(l.born) >= replaceAfter:
		c.retire(l)
	}
	return answer, nil
}

func checkTarget(t Target) error {
	if len(t.Token) == 0 || len(t.Token) > maxToken {
		return fmt.Errorf("%w: its token is not of 1 to %d bytes", ErrTarget, maxToken)
	}
	if t.Magic == "" || len(t.Magic) > maxMagic {
		return fmt.Errorf("%w: its magic is not of 1 to %d bytes", ErrTarget, maxMagic)
	}
	return nil
}

// payload is the body: the magic and nothing else.
func payload(magic string) ([]byte, error) {
	return json.Marshal(struct {
		MDM string `json:"mdm"`
	}{magic})
}

// newUUID makes a random UUID in lower case (RFC 9562 §5.4).
func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// acquire returns the link to push over.
func (c *Client) acquire() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		c.current = newLink(c.cfg, c.certificate)
	}
	c.current.users++
	return c.current
}

// release lets go of a link. The last one to leave a retired link closes it.
func (c *Client) release(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.users--
	if l.users == 0 && l != c.current {
		l.close()
	}
}

// retire makes the next push use another link, unless that has happened since.
func (c *Client) retire(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l == c.current {
		c.retireLocked(l)
	}
}

func (c *Client) retireLocked(l *link) {
	c.current = nil
	if l != nil && l.users == 0 {
		l.close()
	}
}
