package enroll

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/mdm"
)

// webSession is a web sign-in that a challenge lets a device begin. It travels
// sealed in the path of the challenge's address, since the device replaces the
// query, and needs no row: a challenge costs nothing, however many there are.
type webSession struct {
	Way mdm.Way `json:"way"`
	// Enrollment is the enrolled device that has to sign in again; empty for one
	// that wants to enroll.
	Enrollment string `json:"enrollment,omitempty"`
	// Expires is until when it may be opened, in Unix seconds.
	Expires int64 `json:"expires"`
	// Nonce makes two sessions differ.
	Nonce []byte `json:"nonce"`
}

// newWebSession seals a session for a way, or for an enrollment.
func (p *Portal) newWebSession(way mdm.Way, enrollmentID string) (string, error) {
	nonce := make([]byte, 16)
	if err := p.fill(nonce); err != nil {
		return "", err
	}
	return p.webSessions.seal(webSession{
		Way: way, Enrollment: enrollmentID, Nonce: nonce,
		Expires: p.now().Add(p.cfg.Account.SessionTime).Unix(),
	})
}

// openWebSession opens a session from a path. It fails with CodeWebSession.
func (p *Portal) openWebSession(sealed string) (webSession, error) {
	var s webSession
	if err := p.webSessions.open(sealed, &s); err != nil {
		return s, &failure{CodeWebSession, err}
	}
	if p.now().Unix() >= s.Expires {
		return s, &failure{CodeWebSession, errors.New("enroll: web session was opened too late")}
	}
	return s, nil
}

// digestOf is what the store knows a sealed session by.
func digestOf(sealed string) [32]byte { return sha256.Sum256([]byte(sealed)) }

// challenge is the answer that makes a device open a web session.
func (p *Portal) challenge(way mdm.Way, enrollmentID string) (http.Header, error) {
	a := p.cfg.Account
	h := http.Header{}
	switch {
	case a.External != nil:
		x := a.External
		h.Set("WWW-Authenticate", oauthChallenge(x.AuthorizationURL, x.TokenURL, x.ClientID, x.Scope))
	default:
		sealed, err := p.newWebSession(way, enrollmentID)
		if err != nil {
			return nil, err
		}
		if a.Method == MethodOAuth2 {
			h.Set("WWW-Authenticate", oauthChallenge(p.URL()+"/account/authorize/"+sealed, p.URL()+"/account/token", a.ClientID, Scope))
		} else {
			h.Set("WWW-Authenticate", fmt.Sprintf(`Bearer method="%s", url="%s"`, MethodWeb, p.URL()+"/account/login/"+sealed))
		}
	}
	if a.ESSO != "" {
		h.Set("X-Apple-MDM-ESSO", a.ESSO)
	}
	if a.ESSODeveloper != "" {
		h.Set("X-Apple-MDM-ESSO-Developer", a.ESSODeveloper)
	}
	return h, nil
}

func oauthChallenge(authorization, token, client, scope string) string {
	return fmt.Sprintf(`Bearer method="%s", authorization-url="%s", token-url="%s", redirect-url="%s", client-id="%s", scope="%s"`,
		MethodOAuth2, authorization, token, RedirectURI, client, scope)
}

// Challenge implements mdm.Challenger: the web session that it begins belongs to
// the enrollment, and only its person may end it.
func (p *Portal) Challenge(_ context.Context, e mdm.Enrollment) (http.Header, error) {
	if p.cfg.Account == nil {
		return nil, errNoAccount
	}
	return p.challenge(e.Way, e.ID)
}

var (
	_ mdm.Challenger    = (*Portal)(nil)
	_ mdm.TokenAdmitter = (*Portal)(nil)
)

// bearerOf is the request's bearer token (RFC 6750 §2.1); there is none when it
// is not there, malformed, or there twice. There: something was sent as one.
func bearerOf(r *http.Request) (token string, there bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", len(values) > 0
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	body := strings.TrimRight(token, "=")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	if !strings.EqualFold(scheme, "Bearer") || body == "" || len(token) > maxBearer || strings.Trim(body, alphabet) != "" {
		return "", true
	}
	return token, true
}

// maxBearer bounds a bearer token in bytes: those of another server may be JWTs.
const maxBearer = 8 << 10

// tokens makes the tokens of one answer, and how the store keeps them.
func (p *Portal) tokens(access, refresh time.Duration, withRefresh bool) (accessToken, refreshToken string, kept Tokens, err error) {
	expires := func(after time.Duration) time.Time {
		if after == 0 {
			return time.Time{}
		}
		return p.now().Add(after)
	}
	if accessToken, err = p.secret(); err != nil {
		return "", "", Tokens{}, err
	}
	kept.Access, kept.AccessExpires = sha256.Sum256([]byte(accessToken)), expires(access)
	if !withRefresh {
		return accessToken, "", kept, nil
	}
	if refreshToken, err = p.secret(); err != nil {
		return "", "", Tokens{}, err
	}
	kept.Refresh, kept.RefreshExpires = sha256.Sum256([]byte(refreshToken)), expires(refresh)
	return accessToken, refreshToken, kept, nil
}
