package mdmtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ErrHandBack: a web session ended in another way than a device expects.
var ErrHandBack = errors.New("mdmtest: unusable hand-back")

// handBack is how a web session ended.
type handBack struct {
	address *url.URL
	status  int // of the redirect, 0 for a link
}

// OpenSession opens the web session of the challenge, up to the first page that
// is shown. Where the owner is signed in already it may end at once; SessionEnded
// tells.
func (a *Account) OpenSession(ctx context.Context) (*Page, error) {
	if a.Challenge == nil {
		return nil, errors.New("mdmtest: there is no challenge")
	}
	address, err := a.sessionURL()
	if err != nil {
		return nil, err
	}
	browser, err := newBrowser(a.phone.Safari.client.Transport, a.phone.cfg.Agent)
	if err != nil {
		return nil, err
	}
	if !a.phone.cfg.Account.PrivateSession {
		browser.jar = a.phone.Safari.jar
		browser.client.Jar = browser.jar
	}
	browser.callback = loginScheme
	a.Session, a.code = browser, ""
	page, err := browser.Open(ctx, address)
	return page, a.ended(err)
}

// SessionEnded reports whether the web session handed back.
func (a *Account) SessionEnded() bool { return a.Session != nil && a.Session.handed != nil }

// SignIn goes through the web session: it opens it, unless it is open, fills in
// the identity provider's form, and takes what is handed back.
func (a *Account) SignIn(ctx context.Context, username, password string) error {
	if a.Session == nil || a.SessionEnded() {
		if _, err := a.OpenSession(ctx); err != nil {
			return err
		}
	}
	if !a.SessionEnded() {
		_, err := a.Session.Submit(ctx, map[string]string{"username": username, "password": password})
		if err = a.ended(err); err != nil {
			return err
		}
	}
	return a.HandBack(ctx)
}

// HandBack takes what the web session handed back; where its page only links to
// it, the owner taps the link.
func (a *Account) HandBack(ctx context.Context) error {
	if a.Session == nil {
		return errors.New("mdmtest: no web session is open")
	}
	if !a.SessionEnded() {
		page := a.Session.Page()
		for _, href := range page.links() {
			if strings.HasPrefix(href, loginScheme+":") {
				if _, err := a.Session.get(ctx, href, page.URL); err != nil {
					return err
				}
				break
			}
		}
	}
	end := a.Session.handed
	if end == nil {
		return fmt.Errorf("%w: the session stays at %s: %s", ErrHandBack, a.Session.Page().URL.Path, a.Session.Page().Text())
	}
	if only := a.phone.cfg.Account.HandBack; only != nil && !slices.Contains(only, end.status) {
		return fmt.Errorf("%w: by status %d", ErrHandBack, end.status)
	}
	if a.Challenge.Method == MethodOAuth2 {
		return a.takeCode(end.address)
	}
	token := item(end.address.RawQuery, "access-token")
	if token == "" {
		return fmt.Errorf("%w: without access-token", ErrHandBack)
	}
	a.take(Tokens{Access: token})
	return nil
}

// ended drops the error of a navigation that ended the session.
func (a *Account) ended(err error) error {
	var status *StatusError
	if a.SessionEnded() && errors.As(err, &status) {
		return nil
	}
	return err
}

// sessionURL is where the web session begins.
func (a *Account) sessionURL() (string, error) {
	if a.Challenge.Method == MethodOAuth2 {
		return a.authorizationURL()
	}
	u, err := url.Parse(a.Challenge.URL)
	if err != nil {
		return "", fmt.Errorf("mdmtest: %w", err)
	}
	u.RawQuery, u.Fragment = "user-identifier="+escape(a.Identifier), "" // whatever was there
	return u.String(), nil
}

// item is the first value of a name in a query, in which a plus sign is itself.
func item(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key == name {
			text, err := url.PathUnescape(value)
			if err != nil {
				return ""
			}
			return text
		}
	}
	return ""
}

// handsBack reports whether a navigation leaves the web session, which it ends.
func (b *Browser) handsBack(to *url.URL, by *http.Response) bool {
	if b.callback == "" || to.Scheme != b.callback {
		return false
	}
	b.handed = &handBack{address: to}
	if by != nil {
		b.handed.status = by.StatusCode
	}
	return true
}
