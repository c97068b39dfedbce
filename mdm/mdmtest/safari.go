package mdmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	// maxPage bounds a page that the browser reads, in bytes.
	maxPage = 1 << 20
	// maxRedirects is where Safari gives up.
	maxRedirects = 20
	profileType  = "application/x-apple-aspen-config"
)

// Browser is the phone's Safari. It follows redirects, keeps cookies and sends
// them by their rules (Secure, the prefixes __Host- and __Secure-, SameSite),
// and tells servers by Origin and Sec-Fetch-Site where a request comes from.
// Scripts, styles and pictures are not for it. A site is taken to be the last
// two labels of a host name.
type Browser struct {
	client *http.Client
	jar    *jar
	agent  string
	page   *Page
	failed *url.URL // what could not be reached, until the next page

	callback string    // scheme that ends a web session, "" in Safari
	handed   *handBack // how it ended
}

func newBrowser(transport http.RoundTripper, agent string) (*Browser, error) {
	jar, err := newJar()
	if err != nil {
		return nil, err
	}
	b := &Browser{jar: jar, agent: agent}
	b.client = &http.Client{Transport: transport, Jar: jar, CheckRedirect: b.redirected}
	return b, nil
}

// Page is the page shown last, nil before the first. A download leaves it.
func (b *Browser) Page() *Page { return b.page }

// Open goes to an address that is typed or scanned, following redirects. A
// status other than 200 is a *StatusError, with the page it came with.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	return b.get(ctx, address, nil)
}

// Reload asks again for the address that the browser is at: that of the page
// shown last, or the one of a redirect or link that could not be reached since.
// A form is not sent again: for that, press its button again.
func (b *Browser) Reload(ctx context.Context) (*Page, error) {
	switch {
	case b.failed != nil:
		return b.get(ctx, b.failed.String(), nil)
	case b.page != nil:
		return b.get(ctx, b.page.URL.String(), nil)
	}
	return nil, errNoPage
}

// Failed is the address that could not be reached, nil when there is none.
func (b *Browser) Failed() *url.URL { return b.failed }

// Follow taps the first link whose path ends in suffix.
func (b *Browser) Follow(ctx context.Context, suffix string) (*Page, error) {
	if b.page == nil {
		return nil, errNoPage
	}
	for _, href := range b.page.links() {
		target, err := b.page.URL.Parse(href)
		if err == nil && strings.HasSuffix(target.Path, suffix) {
			return b.get(ctx, target.String(), b.page.URL)
		}
	}
	return nil, fmt.Errorf("mdmtest: %s shows no link to %s: %s", b.page.URL.Path, suffix, b.page.Text())
}

// Submit fills in the page's first form that has all the named inputs, and
// sends it with its hidden fields.
func (b *Browser) Submit(ctx context.Context, fill map[string]string) (*Page, error) {
	return b.submit(ctx, fill, "such", func(f form) bool { return f.has(fill) })
}

// Press presses the first button that reads label, and sends its form with its
// hidden fields.
func (b *Browser) Press(ctx context.Context, label string) (*Page, error) {
	return b.submit(ctx, nil, fmt.Sprintf("%q in a", label), func(f form) bool { return f.button(label) })
}

var errNoPage = errors.New("mdmtest: no page is open")

func (b *Browser) submit(ctx context.Context, fill map[string]string, what string, fits func(form) bool) (*Page, error) {
	if b.page == nil {
		return nil, errNoPage
	}
	for _, f := range b.page.forms() {
		if !fits(f) {
			continue
		}
		for k, v := range fill {
			f.values.Set(k, v)
		}
		target, err := b.page.URL.Parse(f.action)
		if err != nil {
			return nil, fmt.Errorf("mdmtest: form of %s: %w", b.page.URL.Path, err)
		}
		if !strings.EqualFold(f.method, http.MethodPost) {
			target.RawQuery = f.values.Encode()
			return b.get(ctx, target.String(), b.page.URL)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(f.values.Encode()))
		if err != nil {
			return nil, fmt.Errorf("mdmtest: %w", err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.page.origin(target))
		return b.do(req, b.page.URL)
	}
	return nil, fmt.Errorf("mdmtest: %s shows no %s form: %s", b.page.URL.Path, what, b.page.Text())
}

func (b *Browser) get(ctx context.Context, address string, from *url.URL) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("mdmtest: %w", err)
	}
	if b.handsBack(req.URL, nil) {
		return b.page, nil
	}
	return b.do(req, from)
}

// do makes a navigation that begins on the page from, nil for none.
func (b *Browser) do(req *http.Request, from *url.URL) (*Page, error) {
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	req.Header.Set("Accept-Language", "en-GB,en;q=0.9")
	req.Header.Set("Sec-Fetch-Mode", "navigate")
	req.Header.Set("Sec-Fetch-Dest", "document")
	req.Header.Set("Sec-Fetch-Site", fetchSite(from, req.URL))
	b.jar.begin(from)
	b.jar.hop(req)
	b.failed = nil
	resp, err := b.client.Do(req)
	var body []byte
	if err == nil {
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		if len(body) > maxPage {
			err = errors.New("the page is too large")
		}
	}
	if err != nil {
		if !b.jar.unsafe {
			b.failed = b.jar.to
		}
		return nil, fmt.Errorf("mdmtest: %w", err)
	}
	page := &Page{URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, ContentType: resp.Header.Get("Content-Type"), Body: body}
	if resp.StatusCode != http.StatusOK {
		b.page = page
		return page, &StatusError{Page: page}
	}
	if page.ContentType != profileType {
		b.page = page
	}
	return page, nil
}

// redirected prepares the request that a redirect leads to.
func (b *Browser) redirected(req *http.Request, via []*http.Request) error {
	if b.handsBack(req.URL, req.Response) {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return errors.New("too many redirects")
	}
	if site := via[len(via)-1].Header.Get("Sec-Fetch-Site"); site != "none" {
		req.Header.Set("Sec-Fetch-Site", farther(site, fetchSite(b.jar.from, req.URL)))
	}
	if req.Method == http.MethodGet {
		req.Header.Del("Origin")
		req.Header.Del("Content-Type")
	}
	b.jar.hop(req)
	return nil
}

// The values of Sec-Fetch-Site, the nearest first
// (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
const (
	sameOrigin = "same-origin"
	sameSite   = "same-site"
	crossSite  = "cross-site"
)

func fetchSite(from, to *url.URL) string {
	switch {
	case from == nil:
		return "none"
	case from.Scheme == to.Scheme && from.Host == to.Host:
		return sameOrigin
	case from.Scheme == to.Scheme && site(from) == site(to):
		return sameSite
	}
	return crossSite
}

func farther(a, b string) string {
	for _, s := range []string{crossSite, sameSite} {
		if a == s || b == s {
			return s
		}
	}
	return sameOrigin
}
