package mdmtest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// jar keeps the browser's cookies by the rules that net/http/cookiejar leaves
// out (https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/): what
// may be set under which name, and what a navigation from another site brings.
type jar struct {
	*cookiejar.Jar
	modes map[string]http.SameSite // by host and name

	from   *url.URL // the page that the navigation began on, nil for none
	to     *url.URL // where the hop goes
	cross  bool     // the hop is a request from another site
	unsafe bool     // the hop is not a GET or HEAD
}

func newJar() (*jar, error) {
	inner, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: cookies: %w", err)
	}
	return &jar{Jar: inner, modes: map[string]http.SameSite{}}, nil
}

// begin starts a navigation from a page.
func (j *jar) begin(from *url.URL) { j.from = from }

// hop tells the jar which request is made next.
func (j *jar) hop(r *http.Request) {
	j.to = r.URL
	j.cross = j.from != nil && fetchSite(j.from, r.URL) == crossSite
	j.unsafe = r.Method != http.MethodGet && r.Method != http.MethodHead
}

// SetCookies implements http.CookieJar.
func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	var kept []*http.Cookie
	for _, c := range cookies {
		if settable(u, c) {
			kept = append(kept, c)
			j.modes[u.Hostname()+" "+c.Name] = c.SameSite
		}
	}
	j.Jar.SetCookies(u, kept)
}

// Cookies implements http.CookieJar.
func (j *jar) Cookies(u *url.URL) []*http.Cookie {
	var sent []*http.Cookie
	for _, c := range j.Jar.Cookies(u) {
		switch j.modes[u.Hostname()+" "+c.Name] {
		case http.SameSiteStrictMode:
			if j.cross {
				continue
			}
		case http.SameSiteLaxMode:
			if j.cross && j.unsafe {
				continue
			}
		}
		sent = append(sent, c)
	}
	return sent
}

func settable(u *url.URL, c *http.Cookie) bool {
	secure := c.Secure && u.Scheme == "https"
	switch {
	case strings.HasPrefix(c.Name, "__Host-"):
		return secure && c.Path == "/" && c.Domain == ""
	case strings.HasPrefix(c.Name, "__Secure-"), c.Secure:
		return secure
	}
	return true
}

// site is the site that a host belongs to.
func site(u *url.URL) string {
	host := u.Hostname()
	if net.ParseIP(host) != nil {
		return host
	}
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
