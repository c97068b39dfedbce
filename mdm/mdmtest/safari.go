package mdmtest

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// maxPage bounds a page that the browser reads, in bytes.
const maxPage = 1 << 20

// Page is a document the phone's browser shows.
type Page struct {
	URL         *url.URL
	Status      int
	ContentType string
	Body        []byte
}

// StatusError is a page that answered with another status than 200.
type StatusError struct{ Page *Page }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("mdmtest: %s answered %d: %s", e.Page.URL.Path, e.Page.Status, e.Page.Text())
}

// Browser is the phone's Safari: it keeps cookies, follows redirects and sends
// the agent of its iOS version.
type Browser struct {
	client *http.Client
	agent  string
	page   *Page
}

func newBrowser(transport http.RoundTripper, agent string) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &Browser{client: &http.Client{Transport: transport, Jar: jar}, agent: agent}, nil
}

// Page is the page shown last, nil before the first.
func (b *Browser) Page() *Page { return b.page }

// Open goes to an address, following redirects. A status other than 200 is a
// *StatusError, with the page it came with.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

// Follow taps the first link whose path ends in suffix.
func (b *Browser) Follow(ctx context.Context, suffix string) (*Page, error) {
	if b.page == nil {
		return nil, errors.New("mdmtest: no page is open")
	}
	for _, m := range linkPattern.FindAllSubmatch(b.page.Body, -1) {
		target, err := b.page.URL.Parse(html.UnescapeString(string(m[1])))
		if err == nil && strings.HasSuffix(target.Path, suffix) {
			return b.Open(ctx, target.String())
		}
	}
	return nil, fmt.Errorf("mdmtest: %s shows no link to %s: %s", b.page.URL.Path, suffix, b.page.Text())
}

// Submit fills in the page's first form that has all the named inputs, and
// sends it with its hidden fields.
func (b *Browser) Submit(ctx context.Context, fill map[string]string) (*Page, error) {
	if b.page == nil {
		return nil, errors.New("mdmtest: no page is open")
	}
	for _, m := range formPattern.FindAllSubmatch(b.page.Body, -1) {
		attrs := attributes(m[1])
		values := url.Values{}
		for _, in := range inputPattern.FindAllSubmatch(m[2], -1) {
			a := attributes(in[1])
			if a["name"] != "" {
				values.Set(a["name"], a["value"])
			}
		}
		if !hasAll(values, fill) {
			continue
		}
		for k, v := range fill {
			values.Set(k, v)
		}
		target, err := b.page.URL.Parse(attrs["action"])
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(values.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.page.URL.Scheme+"://"+b.page.URL.Host)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		return b.do(req)
	}
	return nil, fmt.Errorf("mdmtest: %s shows no such form: %s", b.page.URL.Path, b.page.Text())
}

func (b *Browser) do(req *http.Request) (*Page, error) {
	req.Header.Set("User-Agent", b.agent)
	req.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, err
	}
	b.page = &Page{URL: resp.Request.URL, Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body}
	if resp.StatusCode != http.StatusOK {
		return b.page, &StatusError{Page: b.page}
	}
	return b.page, nil
}

var (
	linkPattern  = regexp.MustCompile(`(?is)<a\s[^>]*?href="([^"]*)"`)
	formPattern  = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	inputPattern = regexp.MustCompile(`(?is)<input\b([^>]*)>`)
	attrPattern  = regexp.MustCompile(`(?is)([a-z-]+)\s*=\s*"([^"]*)"`)
	stylePattern = regexp.MustCompile(`(?is)<(style|script|svg)\b.*?</(style|script|svg)>`)
	tagPattern   = regexp.MustCompile(`(?s)<[^>]*>`)
)

func attributes(tag []byte) map[string]string {
	attrs := map[string]string{}
	for _, m := range attrPattern.FindAllSubmatch(tag, -1) {
		attrs[strings.ToLower(string(m[1]))] = html.UnescapeString(string(m[2]))
	}
	return attrs
}

func hasAll(values url.Values, fill map[string]string) bool {
	for name := range fill {
		if !values.Has(name) {
			return false
		}
	}
	return true
}

// Text is what a person reads on the page, at most 400 characters.
func (p *Page) Text() string {
	text := tagPattern.ReplaceAll(stylePattern.ReplaceAll(p.Body, nil), []byte(" "))
	runes := []rune(strings.Join(strings.Fields(html.UnescapeString(string(text))), " "))
	if len(runes) > 400 {
		runes = runes[:400]
	}
	return string(runes)
}
