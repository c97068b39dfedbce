package mdmtest

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// SignatureShape is the shape of the Mdm-Signature header.
type SignatureShape int

const (
	// SignatureBER is what real devices were captured sending: indefinite
	// lengths, SHA-1, no signed attributes.
	SignatureBER SignatureShape = iota
	// SignatureDER is DER with SHA-256 and signed attributes.
	SignatureDER
	// SignatureNone leaves the header out, as a device does whose profile does
	// not ask for it.
	SignatureNone
)

// Config says which phone this is. Only Transport and Roots are needed.
type Config struct {
	// Transport reaches the servers and trusts their certificates.
	Transport http.RoundTripper
	// Roots are the anchors that profile signatures chain to.
	Roots *x509.CertPool
	// OSVersion defaults to 17.6.1, Product to iPhone15,2, Build to one of that
	// iOS.
	OSVersion, Product, Build string
	// UDID and SerialNumber are told under Device Enrollment only. They default to
	// random ones.
	UDID, SerialNumber string
	// Agent is the browser's user agent; the default is that of Safari.
	Agent     string
	Signature SignatureShape
	// Account is for the account-driven ways.
	Account AccountConfig
	// TLSIdentity presents the identity to servers that ask for a client
	// certificate, as iOS does, beside what Signature says. Transport must be an
	// *http.Transport then; it is cloned.
	TLSIdentity bool
	// ExtraCheckIn is added to every check-in message, such as a UDID that a
	// broken device would send beside its EnrollmentID. A nil value removes a key.
	ExtraCheckIn map[string]any
	// NotNow names commands (RequestType) that are answered NotNow once.
	NotNow []string
	// Error names commands (RequestType) that are answered Error.
	Error []string
	// Lose is asked for every request of phone and browser what gets lost of
	// it. Nil loses nothing.
	Lose func(*http.Request) Loss
	// Now is the phone's clock, by default time.Now.
	Now func() time.Time
	// Random makes keys and identifiers, by default crypto/rand.Reader.
	Random io.Reader
}

// Phone is a simulated iPhone. Its methods are called by one goroutine, but for
// Wake and Owns, which the push service calls.
type Phone struct {
	// Safari is the phone's browser.
	Safari *Browser

	cfg   Config
	http  *http.Client // presents the identity, when it does
	plain *http.Client

	waiting  *waitingProfile
	identity *Identity
	pending  *Account
	report   map[string]any // of a command, not yet taken by the server
	notNow   map[string]bool
	fails    map[string]bool

	wake      chan struct{}
	mu        sync.Mutex // guards the fields below
	token     []byte
	magic     string
	installed []Installed
}

// The errors a phone shows its owner.
var (
	// ErrNoProfile: no profile waits in Settings, or none is installed.
	ErrNoProfile = errors.New("mdmtest: there is no profile")
	// ErrProfileExpired: the profile waited too long in Settings.
	ErrProfileExpired = errors.New("mdmtest: the waiting profile was deleted after 8 minutes")
	// ErrRefused: the server answered with another status than 200.
	ErrRefused = errors.New("mdmtest: the server refused the device")
	// ErrLeft: the server's answer made the phone remove the profile.
	ErrLeft = errors.New("mdmtest: the phone left management")
)

// New makes a phone out of the box.
func New(cfg Config) (*Phone, error) {
	if cfg.Transport == nil {
		return nil, errors.New("mdmtest: Config.Transport is missing")
	}
	if _, ok := cfg.Transport.(*http.Transport); cfg.TLSIdentity && !ok {
		return nil, fmt.Errorf("mdmtest: Config.TLSIdentity needs an *http.Transport, not %T", cfg.Transport)
	}
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&cfg.OSVersion, "17.6.1")
	def(&cfg.Product, "iPhone15,2")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	browser, err := newBrowser(cfg.lossy(cfg.Transport), cfg.Agent)
	if err != nil {
		return nil, err
	}
	plain := &http.Client{Transport: cfg.lossy(cfg.Transport)}
	p := &Phone{
		Safari: browser, cfg: cfg, http: plain, plain: plain,
		notNow: map[string]bool{}, fails: map[string]bool{}, wake: make(chan struct{}, 1),
	}
	for _, t := range cfg.NotNow {
		p.notNow[t] = true
	}
	for _, t := range cfg.Error {
		p.fails[t] = true
	}
	return p, nil
}

// forget removes everything that management left on the phone.
func (p *Phone) forget() {
	p.identity, p.report, p.pending = nil, nil, nil
	p.http = p.plain
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token, p.magic, p.installed = nil, "", nil
}

func (p *Phone) uuid() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(p.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("mdmtest: randomness: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
