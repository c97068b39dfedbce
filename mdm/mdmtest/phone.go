package mdmtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
	"github.com/enrollkit/enrollkit/internal/cms"
	"github.com/enrollkit/enrollkit/internal/plist"
)

// SignatureShape is the shape of the Mdm-Signature header.
type SignatureShape int

const (
	// SignatureBER is what real devices were captured sending: indefinite
	// lengths, SHA-1, no signed attributes.
	SignatureBER SignatureShape = iota
	// SignatureDER is DER with SHA-256 and signed attributes.
	SignatureDER
)

// installWindow is how long iOS keeps a downloaded profile.
const installWindow = 8 * time.Minute

// Config says which phone this is. Only Transport and Roots are needed.
type Config struct {
	// Transport reaches the servers and trusts their certificates.
	Transport http.RoundTripper
	// Roots are the anchors that profile signatures chain to.
	Roots *x509.CertPool
	// OSVersion defaults to 17.6.1, Product to iPhone15,2, Build to 21G93.
	OSVersion, Product, Build string
	// Agent is the browser's user agent; the default is Safari's of iOS 17.6.
	Agent     string
	Signature SignatureShape
	// ExtraCheckIn is added to every check-in message, such as a UDID that a
	// broken device would send beside its EnrollmentID.
	ExtraCheckIn map[string]any
	// NotNow names commands (RequestType) that are answered NotNow once.
	NotNow []string
	Now    func() time.Time
	Random io.Reader
}

// Phone is a simulated iPhone. Its methods are called by one goroutine, but for
// Wake, which the push service calls.
type Phone struct {
	Safari *Browser

	cfg  Config
	http *http.Client

	waiting  *waitingProfile
	identity *Identity
	notNow   map[string]bool

	wake      chan struct{}
	mu        sync.Mutex // guards token, magic and installed
	token     []byte
	magic     string
	installed []Installed
}

// Identity is the phone's place in management while a profile is installed.
type Identity struct {
	EnrollmentID string
	Key          *rsa.PrivateKey
	Certificate  *x509.Certificate
	Profile      *EnrollmentProfile
}

// Digest is the SHA-256 of the identity certificate.
func (i *Identity) Digest() [32]byte { return sha256.Sum256(i.Certificate.Raw) }

// Installed is a profile that the server installed by command.
type Installed struct {
	CommandUUID string
	Identifier  string
	// Payloads are the payload dictionaries as the phone read them.
	Payloads []map[string]any
}

type waitingProfile struct {
	raw      []byte
	profile  *EnrollmentProfile
	received time.Time
}

// The errors a phone shows its owner.
var (
	ErrNoProfile      = errors.New("mdmtest: no profile waits to be installed")
	ErrProfileExpired = errors.New("mdmtest: the waiting profile was deleted after 8 minutes")
	ErrRefused        = errors.New("mdmtest: the server refused the device")
	// ErrLeft: the server answered 401, so that the phone removed the profile.
	ErrLeft = errors.New("mdmtest: the phone left management")
)

// New makes a phone out of the box.
func New(cfg Config) (*Phone, error) {
	if cfg.Transport == nil {
		return nil, errors.New("mdmtest: Config.Transport is missing")
	}
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&cfg.OSVersion, "17.6.1")
	def(&cfg.Product, "iPhone15,2")
	def(&cfg.Build, "21G93")
	def(&cfg.Agent, "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	browser, err := newBrowser(cfg.Transport, cfg.Agent)
	if err != nil {
		return nil, err
	}
	p := &Phone{Safari: browser, cfg: cfg, http: &http.Client{Transport: cfg.Transport}, notNow: map[string]bool{}, wake: make(chan struct{}, 1)}
	for _, t := range cfg.NotNow {
		p.notNow[t] = true
	}
	return p, nil
}

// SignIn opens the portal and signs in by the provider's form, up to the page
// that offers the profile.
func (p *Phone) SignIn(ctx context.Context, portal, username, password string) error {
	if _, err := p.Safari.Open(ctx, portal); err != nil {
		return err
	}
	if _, err := p.Safari.Follow(ctx, "/login"); err != nil {
		return err
	}
	page, err := p.Safari.Submit(ctx, map[string]string{"username": username, "password": password})
	if err != nil {
		return err
	}
	if !strings.HasSuffix(page.URL.Path, "/ready") {
		return fmt.Errorf("mdmtest: sign-in ended at %s: %s", page.URL.Path, page.Text())
	}
	return nil
}

// Download taps the profile button. The profile replaces the one that waits.
func (p *Phone) Download(ctx context.Context) ([]byte, error) {
	page, err := p.Safari.Follow(ctx, "/profile")
	if err != nil {
		return nil, err
	}
	if page.ContentType != "application/x-apple-aspen-config" {
		return nil, fmt.Errorf("mdmtest: %s is %q and no profile", page.URL.Path, page.ContentType)
	}
	return page.Body, p.Receive(page.Body)
}

// Receive puts a downloaded profile in Settings, where it waits 8 minutes.
func (p *Phone) Receive(raw []byte) error {
	signed, err := cms.VerifyProfile(raw, p.cfg.Roots, p.cfg.Now())
	if err != nil {
		return fmt.Errorf("mdmtest: profile signature: %w", err)
	}
	profile, err := ParseEnrollmentProfile(signed.Content)
	if err != nil {
		return err
	}
	p.waiting = &waitingProfile{raw: raw, profile: profile, received: p.cfg.Now()}
	return nil
}

// Identity is the phone's identity, nil when it is not managed.
func (p *Phone) Identity() *Identity { return p.identity }

// ObtainIdentity starts the installation of the waiting profile: a new key, a
// new EnrollmentID, and a certificate by SCEP.
func (p *Phone) ObtainIdentity(ctx context.Context) (*Identity, error) {
	if p.waiting == nil {
		return nil, ErrNoProfile
	}
	if p.cfg.Now().Sub(p.waiting.received) > installWindow {
		p.waiting = nil
		return nil, ErrProfileExpired
	}
	profile := p.waiting.profile
	key, err := rsa.GenerateKey(p.cfg.Random, profile.SCEP.Keysize)
	if err != nil {
		return nil, err
	}
	id, err := p.uuid()
	if err != nil {
		return nil, err
	}
	client := &sceptest.Client{HTTP: p.http, URL: profile.SCEP.URL}
	cert, err := client.Enroll(ctx, key, profile.SCEP.Challenge)
	if err != nil {
		return nil, err
	}
	p.identity = &Identity{EnrollmentID: id, Key: key, Certificate: cert, Profile: profile}
	return p.identity, nil
}

// Install goes the whole way from the waiting profile to the first TokenUpdate.
// After a failed Authenticate nothing stays on the phone, as on iOS.
func (p *Phone) Install(ctx context.Context) error {
	if _, err := p.ObtainIdentity(ctx); err != nil {
		return err
	}
	if err := p.Authenticate(ctx); err != nil {
		return err
	}
	return p.TokenUpdate(ctx)
}

// Authenticate sends the first check-in message.
func (p *Phone) Authenticate(ctx context.Context) error {
	err := p.CheckIn(ctx, map[string]any{
		"MessageType": "Authenticate", "Topic": p.topic(),
		"OSVersion": p.cfg.OSVersion, "BuildVersion": p.cfg.Build, "ProductName": p.cfg.Product,
	})
	if err != nil {
		p.identity = nil
	}
	return err
}

// TokenUpdate sends the push token; the profile is installed then. Repeated
// calls send the same token and magic.
func (p *Phone) TokenUpdate(ctx context.Context) error {
	p.mu.Lock()
	if p.token == nil {
		p.token = make([]byte, 32)
		_, err := io.ReadFull(p.cfg.Random, p.token)
		magic, magicErr := p.uuid()
		if err := errors.Join(err, magicErr); err != nil {
			p.mu.Unlock()
			return err
		}
		p.magic = magic
	}
	message := map[string]any{
		"MessageType": "TokenUpdate", "Topic": p.topic(), "Token": p.token,
		"PushMagic": p.magic, "AwaitingConfiguration": false,
	}
	p.mu.Unlock()
	if err := p.CheckIn(ctx, message); err != nil {
		return err
	}
	p.waiting = nil
	return nil
}

// CheckOut removes the profile from the phone, by its owner.
func (p *Phone) CheckOut(ctx context.Context) error {
	err := p.CheckIn(ctx, map[string]any{"MessageType": "CheckOut", "Topic": p.topic()})
	p.identity = nil
	return err
}

// CheckIn sends one message to the check-in URL, with the EnrollmentID and
// ExtraCheckIn added.
func (p *Phone) CheckIn(ctx context.Context, message map[string]any) error {
	if p.identity == nil {
		return ErrNoProfile
	}
	message["EnrollmentID"] = p.identity.EnrollmentID
	for k, v := range p.cfg.ExtraCheckIn {
		message[k] = v
	}
	_, err := p.put(ctx, p.identity.Profile.CheckInURL, "application/x-apple-aspen-mdm-checkin", message)
	return err
}

// Wake is called by the push service with what it delivers. A push for another
// token or with another magic is dropped, as a phone does.
func (p *Phone) Wake(token []byte, magic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token == nil || !bytes.Equal(token, p.token) || magic != p.magic {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Owns reports whether the push token is this phone's.
func (p *Phone) Owns(token []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token != nil && bytes.Equal(token, p.token)
}

// AwaitPush returns when a push woke the phone.
func (p *Phone) AwaitPush(ctx context.Context) error {
	select {
	case <-p.wake:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("mdmtest: no push came: %w", context.Cause(ctx))
	}
}

// Installed lists the profiles that commands installed.
func (p *Phone) Installed() []Installed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Installed(nil), p.installed...)
}

// maxCommands bounds one session.
const maxCommands = 100

// Connect runs one session: Idle, then each command the server sends, until it
// answers with an empty body. It returns how many commands came.
func (p *Phone) Connect(ctx context.Context) (int, error) {
	if p.identity == nil {
		return 0, ErrNoProfile
	}
	report := map[string]any{"Status": "Idle"}
	for n := range maxCommands {
		report["EnrollmentID"] = p.identity.EnrollmentID
		body, err := p.put(ctx, p.identity.Profile.ServerURL, "application/x-apple-aspen-mdm; charset=UTF-8", report)
		if err != nil {
			return n, err
		}
		if len(body) == 0 {
			return n, nil
		}
		report = p.execute(body)
	}
	return maxCommands, errors.New("mdmtest: the session does not end")
}

// execute carries out a command and returns the report.
func (p *Phone) execute(body []byte) map[string]any {
	var command struct {
		CommandUUID string
		Command     struct {
			RequestType string
			Payload     []byte `plist:",omitempty"`
			Identifier  string `plist:",omitempty"`
		}
	}
	limits := plist.Limits{Bytes: 1 << 20, Depth: 16, Elements: 20000}
	if err := plist.Unmarshal(body, limits, &command); err != nil || command.CommandUUID == "" {
		return map[string]any{"Status": "CommandFormatError"}
	}
	report := map[string]any{"CommandUUID": command.CommandUUID, "Status": "Acknowledged"}
	if p.notNow[command.Command.RequestType] {
		delete(p.notNow, command.Command.RequestType)
		report["Status"] = "NotNow"
		return report
	}
	switch command.Command.RequestType {
	case "InstallProfile":
		installed, err := parseInstalled(command.Command.Payload)
		if err != nil {
			report["Status"] = "Error"
			report["ErrorChain"] = []any{map[string]any{
				"ErrorCode": 4001, "ErrorDomain": "MCInstallationErrorDomain", "LocalizedDescription": err.Error(),
			}}
			return report
		}
		installed.CommandUUID = command.CommandUUID
		p.mu.Lock()
		p.installed = append(p.installed, installed)
		p.mu.Unlock()
	case "DeviceInformation":
		report["QueryResponses"] = map[string]any{"OSVersion": p.cfg.OSVersion, "ProductName": p.cfg.Product}
	}
	return report
}

// put sends a signed property list and returns the answer of a 200.
func (p *Phone) put(ctx context.Context, address, contentType string, message map[string]any) ([]byte, error) {
	body, err := plist.Marshal(message)
	if err != nil {
		return nil, err
	}
	signature, err := p.Sign(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "MDM/1.0")
	req.Header.Set("Mdm-Signature", signature)
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return answer, nil
	case http.StatusUnauthorized:
		p.identity = nil
		return nil, fmt.Errorf("%w: %s", ErrLeft, resp.Status)
	default:
		return nil, fmt.Errorf("%w: %s answered %s", ErrRefused, req.URL.Path, resp.Status)
	}
}

// Sign makes the value of an Mdm-Signature header over body.
func (p *Phone) Sign(body []byte) (string, error) {
	opt := cms.SignOptions{Detached: true, Time: p.cfg.Now()}
	if p.cfg.Signature == SignatureBER {
		opt = cms.SignOptions{Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1}
	}
	der, err := cms.Sign(body, p.identity.Key, []*x509.Certificate{p.identity.Certificate}, opt)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

func (p *Phone) topic() string {
	if p.identity == nil {
		return ""
	}
	return p.identity.Profile.Topic
}

func (p *Phone) uuid() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(p.cfg.Random, b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
