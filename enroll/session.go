package enroll

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/enrollkit/enrollkit/jit"
)

// sessionBytes is the size of a session cookie's value: random, and kept in the
// store by its SHA-256 only.
const sessionBytes = 32

// visitor is who asks.
type visitor struct {
	agent agent
	// button: the person said that this is an iPhone or iPad.
	button bool
	page   page
	// session is nil for everybody whose session is unknown, has expired, or
	// belongs to a person who is suspended or gone.
	session *Session
	user    jit.User
	// suspended: there would be a session, if its person were not suspended.
	suspended bool
}

// visitor looks at the browser and its session. An error is the store's.
func (p *Portal) visitor(r *http.Request) (visitor, error) {
	v := visitor{agent: parseAgent(r.UserAgent()), button: cookie(r, p.cookies.device) == button}
	v.page = p.cfg.choosePage(v.agent, v.button, p.cfg.Way)
	id, ok := sessionID(cookie(r, p.cookies.session))
	if !ok {
		return v, nil
	}
	s, u, err := p.session(r.Context(), id)
	switch {
	case err == nil:
		v.session, v.user = &s, u
	case errors.Is(err, jit.ErrSuspended):
		v.suspended = true
	case !errors.Is(err, ErrNoSession):
		return v, err
	}
	return v, nil
}

// session returns the session in force and its user. It fails with ErrNoSession,
// jit.ErrSuspended, or the store's error.
func (p *Portal) session(ctx context.Context, id [32]byte) (Session, jit.User, error) {
	s, err := p.cfg.Sessions.Session(ctx, id, p.now())
	if err != nil {
		return s, jit.User{}, stored("session", err)
	}
	u, err := p.cfg.Users.User(ctx, s.UserID)
	switch {
	case errors.Is(err, jit.ErrUnknownUser):
		return s, u, ErrNoSession
	case err != nil:
		return s, u, stored("user", err)
	case u.Suspended:
		return s, u, jit.ErrSuspended
	}
	return s, u, nil
}

// sessionID is the ID of the session with this cookie.
func sessionID(value string) (id [32]byte, ok bool) {
	raw, ok := decode(value)
	if !ok || len(raw) != sessionBytes {
		return id, false
	}
	return sha256.Sum256(raw), true
}

// secret makes a random text of 32 bytes in base64.
func (p *Portal) secret() (text string, err error) {
	b := make([]byte, sessionBytes)
	if err := p.fill(b); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// fill fills b with random bytes.
func (p *Portal) fill(b []byte) error {
	if _, err := io.ReadFull(p.cfg.Random, b); err != nil {
		return fmt.Errorf("enroll: no randomness: %w", err)
	}
	return nil
}

// logout ends the session, in all tabs. It is put out of force under its own ID,
// so that the store may forget it.
func (p *Portal) logout(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.form(w, r); err != nil {
		return err
	}
	if id, ok := sessionID(cookie(r, p.cookies.session)); ok {
		s, err := p.cfg.Sessions.Session(r.Context(), id, p.now())
		if err == nil {
			s.Expires = p.now()
			err = p.cfg.Sessions.PutSession(r.Context(), s, [32]byte{})
		}
		if err != nil && !errors.Is(err, ErrNoSession) {
			return stored("end of session", err)
		}
	}
	for _, name := range []string{p.cookies.session, p.cookies.signIn, p.cookies.device} {
		p.setCookie(w, name, "", -1)
	}
	return p.redirect(w, r, "")
}
