package mdmtest

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Page is a document the phone's browser shows.
type Page struct {
	URL         *url.URL
	Status      int
	Header      http.Header
	ContentType string
	Body        []byte
}

// StatusError is a page that answered with another status than 200.
type StatusError struct{ Page *Page }

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("mdmtest: %s answered %d: %s", e.Page.URL.Path, e.Page.Status, e.Page.Text())
}

// Text is what a person reads on the page, at most 400 characters.
func (p *Page) Text() string {
	runes := []rune(readable(p.Body))
	if len(runes) > 400 {
		runes = runes[:400]
	}
	return string(runes)
}

// form is a form of a page.
type form struct {
	action, method string
	values         url.Values
	buttons        []string // what they read
}

func (f form) has(fill map[string]string) bool {
	for name := range fill {
		if !f.values.Has(name) {
			return false
		}
	}
	return true
}

func (f form) button(label string) bool {
	for _, b := range f.buttons {
		if b == label {
			return true
		}
	}
	return false
}

var (
	linkPattern   = regexp.MustCompile(`(?is)<a\s([^>]*)>`)
	formPattern   = regexp.MustCompile(`(?is)<form\b([^>]*)>(.*?)</form>`)
	metaPattern   = regexp.MustCompile(`(?is)<meta\s([^>]*)>`)
	inputPattern  = regexp.MustCompile(`(?is)<input\b([^>]*)>`)
	buttonPattern = regexp.MustCompile(`(?is)<button\b[^>]*>(.*?)</button>`)
	attrPattern   = regexp.MustCompile(`(?is)([a-z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')`)
	unreadPattern = regexp.MustCompile(`(?is)<!--.*?-->|<(style|script|svg|title)\b.*?</(style|script|svg|title)>`)
	tagPattern    = regexp.MustCompile(`(?s)<[^>]*>`)
)

func (p *Page) links() []string {
	var hrefs []string
	for _, m := range linkPattern.FindAllSubmatch(p.Body, -1) {
		if href, ok := attributes(m[1])["href"]; ok {
			hrefs = append(hrefs, href)
		}
	}
	return hrefs
}

func (p *Page) forms() []form {
	var list []form
	for _, m := range formPattern.FindAllSubmatch(p.Body, -1) {
		a := attributes(m[1])
		f := form{action: a["action"], method: a["method"], values: url.Values{}}
		for _, in := range inputPattern.FindAllSubmatch(m[2], -1) {
			a := attributes(in[1])
			if a["name"] != "" {
				f.values.Set(a["name"], a["value"])
			}
		}
		for _, b := range buttonPattern.FindAllSubmatch(m[2], -1) {
			f.buttons = append(f.buttons, readable(b[1]))
		}
		list = append(list, f)
	}
	return list
}

// origin is the header Origin of a form that is sent to target: Safari hides it
// when the page's Referrer-Policy hides the page
// (https://fetch.spec.whatwg.org/#append-a-request-origin-header).
func (p *Page) origin(target *url.URL) string {
	policies := strings.Split(p.Header.Get("Referrer-Policy"), ",")
	policy := strings.TrimSpace(policies[len(policies)-1])
	for _, m := range metaPattern.FindAllSubmatch(p.Body, -1) {
		if a := attributes(m[1]); a["name"] == "referrer" {
			policy = a["content"] // the nearer one
		}
	}
	switch {
	case policy == "no-referrer",
		policy == "same-origin" && fetchSite(p.URL, target) != sameOrigin,
		policy != "origin" && policy != "unsafe-url" && policy != "origin-when-cross-origin" && p.URL.Scheme == "https" && target.Scheme != "https":
		return "null"
	}
	return p.URL.Scheme + "://" + p.URL.Host
}

func attributes(tag []byte) map[string]string {
	attrs := map[string]string{}
	for _, m := range attrPattern.FindAllSubmatch(tag, -1) {
		attrs[strings.ToLower(string(m[1]))] = html.UnescapeString(string(m[2]) + string(m[3]))
	}
	return attrs
}

// readable is the text of a piece of HTML, in one line.
func readable(b []byte) string {
	text := tagPattern.ReplaceAll(unreadPattern.ReplaceAll(b, nil), []byte(" "))
	return strings.Join(strings.Fields(html.UnescapeString(string(text))), " ")
}
