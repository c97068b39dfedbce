package e2e

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// curl is the command with a cookie jar.
type curl struct {
	path, dir string
	args      []string
}

// document is a page and where it was found, after redirects.
type document struct {
	url    *url.URL
	status string
	kind   string
	body   []byte
	doc    *html.Node
}

func newCurl(t *testing.T, q *quickstart, args ...string) *curl {
	t.Helper()
	dir := t.TempDir()
	jar := filepath.Join(dir, "cookies")
	return &curl{need(t, "curl"), dir, append([]string{
		"--silent", "--show-error", "--location", "--noproxy", "*", "--cacert", q.CA, "--cookie", jar, "--cookie-jar", jar,
	}, args...)}
}

func (c *curl) get(t *testing.T, args ...string) document {
	t.Helper()
	body := filepath.Join(c.dir, "body")
	args = append(append(append([]string(nil), c.args...), args...), "--output", body, "--write-out", "%{http_code} %{url_effective} %{content_type}")
	out, err := exec.CommandContext(t.Context(), c.path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	said := strings.SplitN(string(out), " ", 3)
	require.Len(t, said, 3, "%s", out)
	p := document{status: said[0], kind: said[2]}
	p.url, err = url.Parse(said[1])
	require.NoError(t, err)
	p.body, err = os.ReadFile(body)
	require.NoError(t, err)
	if strings.HasPrefix(p.kind, "text/html") {
		p.doc, err = html.Parse(bytes.NewReader(p.body))
		require.NoError(t, err)
	}
	return p
}

// submit sends a form with these values in it.
func (c *curl) submit(t *testing.T, p document, form *html.Node, values map[string]string) document {
	t.Helper()
	return c.get(t, p.filled(t, form, values)...)
}

// filled are the arguments that send a form with these values in it.
func (p document) filled(t *testing.T, form *html.Node, values map[string]string) []string {
	t.Helper()
	require.Equal(t, "post", strings.ToLower(attribute(form, "method")))
	action, err := p.url.Parse(attribute(form, "action"))
	require.NoError(t, err)
	args := []string{"--data", ""}
	for n := range form.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" || attribute(n, "name") == "" {
			continue
		}
		value, ok := values[attribute(n, "name")]
		if !ok {
			value = attribute(n, "value")
		}
		args = append(args, "--data-urlencode", attribute(n, "name")+"="+value)
	}
	return append(args, action.String())
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var s strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			s.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(s.String()), " ")
}

// link is the address of the link to a path that ends so.
func (p document) link(t *testing.T, end string) string {
	t.Helper()
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "a" {
			continue
		}
		if u, err := p.url.Parse(attribute(n, "href")); err == nil && strings.HasSuffix(u.Path, end) {
			return u.String()
		}
	}
	require.Fail(t, "no link", "to %s on %s: %s", end, p.url, text(p.doc))
	return ""
}

// form is the form that has an input of this name, or says this.
func (p document) form(t *testing.T, what string) *html.Node {
	t.Helper()
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		if strings.Contains(text(n), what) {
			return n
		}
		for i := range n.Descendants() {
			if i.Data == "input" && attribute(i, "name") == what {
				return n
			}
		}
	}
	require.Fail(t, "no form", "with %s on %s: %s", what, p.url, text(p.doc))
	return nil
}

const isPhone = "This is an iPhone or iPad"

// TestPortalByCurl goes through the portal by hand, as a person at a terminal
// would, and verifies what was downloaded.
func TestPortalByCurl(t *testing.T) {
	q := startQuickstart(t)
	signIn := func(t *testing.T, c *curl, p document) document {
		t.Helper()
		p = c.get(t, p.link(t, "/login"))
		return c.submit(t, p, p.form(t, "password"), map[string]string{"username": "alice@example.com", "password": "password"})
	}
	download := func(t *testing.T, c *curl, ready document) {
		t.Helper()
		require.True(t, strings.HasSuffix(ready.url.Path, "/ready"), "%s: %s", ready.url, text(ready.doc))
		p := c.get(t, ready.link(t, "/profile"))
		require.Equal(t, "200", p.status)
		require.Equal(t, "application/x-apple-aspen-config", p.kind)
		file := filepath.Join(c.dir, "enroll.mobileconfig")
		require.NoError(t, os.WriteFile(file, p.body, 0o600))
		plain := filepath.Join(c.dir, "plain.plist")
		out, err := exec.CommandContext(t.Context(), need(t, "openssl"), "cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", q.CA, "-out", plain).CombinedOutput()
		require.NoError(t, err, "%s", out)
		wellFormed(t, plain)
		d := foreign(t, "--check", file, "--ca", q.CA, "--work", c.dir)
		require.Equal(t, "alice@example.com", d.ManagedAppleAccount)
	}
	// The button may be on the page that a desktop gets first, or only on the
	// ones after it; wherever it is pressed, the session remembers.
	t.Run("Safari on iOS 17.6", func(t *testing.T) {
		c := newCurl(t, q, "--user-agent", safari)
		p := c.get(t, q.Portal.String())
		require.NotContains(t, text(p.doc), isPhone)
		download(t, c, signIn(t, c, p))
	})
	t.Run("curl that says it is a phone", func(t *testing.T) {
		c := newCurl(t, q)
		p := c.get(t, q.Portal.String())
		require.Contains(t, string(p.body), "<svg", "a desktop gets a code to scan")
		p = c.submit(t, p, p.form(t, isPhone), nil)
		download(t, c, signIn(t, c, p))
	})
	t.Run("curl that says so at the sign-in", func(t *testing.T) {
		c := newCurl(t, q)
		p := c.get(t, q.Portal.JoinPath("login").String())
		p = c.submit(t, p, p.form(t, isPhone), nil)
		download(t, c, signIn(t, c, p))
	})
	t.Run("curl as it is gets no profile", func(t *testing.T) {
		c := newCurl(t, q)
		before := q.state(t)
		for _, path := range []string{"", "login", "ready"} {
			p := c.get(t, q.Portal.JoinPath(path).String())
			p.form(t, isPhone)
		}
		p := c.get(t, q.Portal.JoinPath("profile").String())
		require.True(t, strings.HasPrefix(p.kind, "text/html"), p.kind)
		require.Equal(t, before, q.state(t))
	})
}
