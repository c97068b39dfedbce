package mdm

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/mdm/command"
	"github.com/enrollkit/enrollkit/profile"
)

// Planner says what an enrollment must be told first.
type Planner interface {
	// Plan returns the commands that the first TokenUpdate of e queues in the
	// same step. A repeat for the same enrollment must return the same
	// CommandUUIDs. Only UUID and Payload need be set. Each passes the gate. An
	// error is answered 503, and the device tries again.
	Plan(ctx context.Context, e Enrollment) ([]Command, error)
}

// Config is what a Server is made of. Store, Identity and Topic are needed.
type Config struct {
	Store Store
	// Identity holds the anchors of device identities and nothing else: not
	// the CA of TLS, and not that of profile signing.
	Identity *x509.CertPool
	// Topic is the push certificate's topic, which devices must name.
	Topic string
	// Planner plans the first TokenUpdate; nil queues nothing.
	Planner Planner
	// Kick is called when a push was asked for, so that a push worker need not
	// wait for its next turn. It must not block. May be nil.
	Kick func()
	// DeviceLimit is how many enrolled devices a user may have, enforced at
	// Authenticate; 0 is no limit.
	DeviceLimit int
	// ProxyCertificate takes TLS client certificates from a header that a
	// trusted proxy sets; nil, the default, takes them from the TLS
	// connection only.
	ProxyCertificate *ProxyCertificate
	// Challenger tells account-driven devices how to sign in again; without one
	// a device whose bearer token is not in force is answered 403, and stays
	// enrolled and locked out.
	Challenger Challenger
	// AccessRights are those that the profiles of Device Enrollment name: what
	// needs another is refused. 0 is profile.DefaultAccessRights. User Enrollment
	// has none.
	AccessRights profile.AccessRights
	// Observer is told what happened, after it is durable; nil tells nobody.
	Observer Observer
	// Logger gets refusals and failures, never a body; nil discards.
	Logger *slog.Logger
	// Now defaults to time.Now, Random to crypto/rand.Reader.
	Now    func() time.Time
	Random io.Reader
}

// ErrConfig is every Config that New refuses, for errors.Is.
var ErrConfig = errors.New("mdm: configuration")

// Server answers devices and queues commands for them. It has no state of its
// own; all its methods are safe for concurrent use.
type Server struct {
	cfg Config
}

// New judges cfg whole; the error wraps ErrConfig and names every mistake.
func New(cfg Config) (*Server, error) {
	var errs []error
	bad := func(when bool, what string) {
		if when {
			errs = append(errs, fmt.Errorf("%w: %s", ErrConfig, what))
		}
	}
	bad(cfg.Store == nil, "no Store")
	bad(cfg.Identity == nil, "no Identity: every device would be refused")
	bad(cfg.Topic == "", "no Topic")
	bad(cfg.DeviceLimit < 0, "DeviceLimit is negative")
	if cfg.AccessRights == 0 {
		cfg.AccessRights = profile.DefaultAccessRights
	}
	if err := cfg.AccessRights.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("%w: %w", ErrConfig, err))
	}
	if p := cfg.ProxyCertificate; p != nil {
		bad(p.Header == "", "ProxyCertificate without a Header")
		bad(p.Trusted == nil, "ProxyCertificate without Trusted: anyone could claim to be any device")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Kick == nil {
		cfg.Kick = func() {}
	}
	if cfg.Observer == nil {
		cfg.Observer = NopObserver{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	return &Server{cfg: cfg}, nil
}

// Handler serves CheckIn at prefix + "/checkin" and Connect at prefix +
// "/connect", such as with the prefix "/mdm"; everything else is 404.
func (s *Server) Handler(prefix string) http.Handler {
	prefix = strings.TrimSuffix(prefix, "/")
	checkIn, connect := s.CheckIn(), s.Connect()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case prefix + "/checkin":
			checkIn.ServeHTTP(w, r)
		case prefix + "/connect":
			connect.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

// Enqueue queues c for an enrollment and asks for a push. What the
// enrollment's way forbids is refused with a *ForbiddenError and not queued;
// so is a command that cannot be written (command.ErrInvalid) and one for an
// enrollment that is not enrolled (ErrUnknownEnrollment). Each call queues a
// command of its own, whose CommandUUID is returned.
func (s *Server) Enqueue(ctx context.Context, enrollmentID string, c command.Command) (uuid string, err error) {
	e, err := s.cfg.Store.Enrollment(ctx, enrollmentID)
	if err != nil {
		return "", fmt.Errorf("mdm: enqueue: %w", err)
	}
	if err := s.Allowed(e.Way, c); err != nil {
		return "", err
	}
	uuid, err = newUUID(s.cfg.Random)
	if err != nil {
		return "", fmt.Errorf("mdm: enqueue: %w", err)
	}
	payload, err := command.Encode(uuid, c)
	if err != nil {
		return "", fmt.Errorf("mdm: enqueue: %w", err)
	}
	now := s.now()
	queued := Command{UUID: uuid, EnrollmentID: e.ID, RequestType: c.RequestType(), Payload: payload, Status: CommandQueued, Queued: now, Updated: now}
	if err := s.cfg.Store.Enqueue(ctx, queued); err != nil {
		return "", fmt.Errorf("mdm: enqueue: %w", err)
	}
	s.cfg.Kick()
	return uuid, nil
}

// Unenroll ends an enrollment from the server's side: its commands are
// cancelled, its push token is forgotten, and the device is told to leave when
// it connects next. Repeating it changes nothing.
func (s *Server) Unenroll(ctx context.Context, enrollmentID string) error {
	if err := s.cfg.Store.Unenroll(ctx, enrollmentID, s.now()); err != nil {
		return fmt.Errorf("mdm: unenroll: %w", err)
	}
	e, err := s.cfg.Store.Enrollment(ctx, enrollmentID)
	if err != nil {
		return fmt.Errorf("mdm: unenroll: %w", err)
	}
	s.cfg.Observer.Unenrolled(ctx, e)
	return nil
}

func (s *Server) now() time.Time { return s.cfg.Now().UTC() }

// newUUID makes a random UUID (RFC 9562, version 4) in Apple's upper case.
func newUUID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("random: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
