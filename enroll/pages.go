package enroll

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/enrollkit/enrollkit/mdm"
)

//go:embed assets
var assets embed.FS

// pages are the portal's pages, parsed once.
type pages struct {
	byName map[string]*template.Template
	// policy is the Content-Security-Policy of every answer. Style and script
	// are in the page, so that a page that tells of a failure needs no second
	// request, and are allowed by their digests.
	policy string
	base   view
	qr     template.HTML
}

// view is what a page is made of. Everything in it that came from outside is
// escaped by the template.
type view struct {
	Title  string
	Prefix string
	Org    string
	// Support is whom to ask, SupportURL a link to them if there is one.
	Support    string
	SupportURL template.URL
	Style      template.CSS
	Script     template.JS

	Agent agent
	// Device is what the page calls the device: "iPhone", "iPad", "device".
	Device string
	// From is where the button leads back to.
	From string
	// QR and Address lead a phone to this portal.
	QR      template.HTML
	Address string

	Never, Can, Queries []string
	Notice              *Problem

	User, Account string
	Ticket        standing
	Problem       *Problem
	Incident      string
	// Home is where a problem's page leads to, and Again where the person signs in
	// again; empty is nowhere.
	Home, Again string
	Topics      []helpTopic
}

type helpTopic struct {
	Name     Topic
	Problems []Problem
}

func newPages(cfg Config) (*pages, error) {
	style, err := assets.ReadFile("assets/style.css")
	if err != nil {
		return nil, fmt.Errorf("enroll: assets: %w", err)
	}
	script, err := assets.ReadFile("assets/page.js")
	if err != nil {
		return nil, fmt.Errorf("enroll: assets: %w", err)
	}
	p := &pages{byName: map[string]*template.Template{}}
	for _, name := range []string{"landing", "elsewhere", "safari", "account", "old", "ready", "done", "problem", "help"} {
		t, err := template.New("base.html").ParseFS(assets, "assets/base.html", "assets/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("enroll: page %s: %w", name, err)
		}
		p.byName[name] = t
	}
	if p.qr, err = qrCode(cfg.BaseURL + cfg.Prefix); err != nil {
		return nil, err
	}
	p.base = view{
		Prefix: cfg.Prefix, Org: cfg.Organization, Support: cfg.Support, Address: cfg.BaseURL + cfg.Prefix,
		Style: template.CSS(style), Script: template.JS(script), //nolint:gosec // our own assets
	}
	p.base.Support, p.base.SupportURL = support(cfg.Support)
	p.policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		hash(style), hash(script))
	return p, nil
}

// hash is a source expression (https://www.w3.org/TR/CSP3/#grammardef-hash-source).
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// support makes a link of what is an address or a number.
func support(s string) (text string, link template.URL) {
	switch {
	case strings.HasPrefix(s, "https://"):
		return strings.TrimPrefix(s, "https://"), template.URL(s) //nolint:gosec // from the configuration
	case strings.HasPrefix(s, "tel:"):
		return strings.TrimPrefix(s, "tel:"), template.URL(s) //nolint:gosec // from the configuration
	case strings.Contains(s, "@") && !strings.ContainsAny(s, " ?&<>\""):
		return s, template.URL("mailto:" + s) //nolint:gosec // from the configuration
	}
	return s, ""
}

func (p *pages) view(title string) view {
	v := p.base
	v.Title = title
	return v
}

// render writes a page, or nothing at all.
func (p *pages) render(w http.ResponseWriter, status int, name string, v view) error {
	var b bytes.Buffer
	if err := p.byName[name].Execute(&b, v); err != nil {
		return fmt.Errorf("enroll: page %s: %w", name, err)
	}
	send(w, status, "text/html; charset=utf-8", &b)
	return nil
}

// page starts the view of a visitor.
func (p *Portal) page(v visitor, title string) view {
	out := p.pages.view(title)
	out.Agent, out.Device = v.agent, v.agent.Device
	if out.Device == "" {
		out.Device = "device"
	}
	if v.session != nil {
		out.User, out.Account = shown(v.user.DisplayName), v.user.ManagedAppleAccount
	}
	if v.suspended {
		problem, _ := ProblemOf(CodeSuspended)
		out.Notice = &problem
	}
	return out
}

// shown is a name as a page has room for it.
func shown(name string) string {
	const room = 64
	if runes := []rune(name); len(runes) > room {
		return string(runes[:room]) + "…"
	}
	return name
}

// landing is the first page.
func (p *Portal) landing(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	if v.page != pageProfile {
		return p.advise(w, v, "")
	}
	page := p.page(v, "Set up work on this "+orDevice(v.agent))
	page.Never, page.Can = claims(never, mdm.WayProfile, false), claims(can, mdm.WayProfile, true)
	page.Queries = mdm.WayProfile.RefusedQueries()
	return p.pages.render(w, http.StatusOK, "landing", page)
}

func orDevice(a agent) string {
	if a.Device == "" {
		return "device"
	}
	return a.Device
}

// advise is the page of a device on which the profile is not the way: it says
// what to do instead. from is the page that was asked for.
func (p *Portal) advise(w http.ResponseWriter, v visitor, from string) error {
	show := func(name, title string) error {
		page := p.page(v, title)
		page.From, page.QR = from, p.pages.qr
		page.Never, page.Can = claims(never, mdm.WayAccount, false), claims(can, mdm.WayAccount, true)
		page.Queries = mdm.WayAccount.RefusedQueries()
		return p.pages.render(w, http.StatusOK, name, page)
	}
	switch v.page {
	case pageAccount:
		return show("account", "Set up work in Settings")
	case pageSafari:
		return show("safari", "Open this page in Safari")
	case pageOld:
		return show("old", "This iOS is too old")
	}
	return show("elsewhere", "Continue on your iPhone or iPad")
}

// ready is the runbook: what to do next, in the words of this version of iOS.
func (p *Portal) ready(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	switch v.page {
	case pageElsewhere, pageSafari, pageOld:
		return p.advise(w, v, "ready")
	}
	if v.session == nil {
		return p.redirect(w, r, "")
	}
	t, err := p.cfg.Tickets.Ticket(r.Context(), v.session.Ticket)
	if err != nil {
		return stored("ticket", err)
	}
	s := p.standing(t)
	if s.Problem != nil {
		return refuse(s.Problem.Code)
	}
	page, name := p.page(v, "Install the profile"), "ready"
	switch {
	case t.State == TicketEnrolled:
		page.Title, name = "This device is set up", "done"
	case v.page == pageAccount:
		page.Title, name = "Set up work in Settings", "account"
		page.From = "ready"
		page.Never, page.Can = claims(never, mdm.WayAccount, false), claims(can, mdm.WayAccount, true)
		page.Queries = mdm.WayAccount.RefusedQueries()
	}
	page.Ticket = s
	return p.pages.render(w, http.StatusOK, name, page)
}

// help lists causes and remedies.
func (p *Portal) help(w http.ResponseWriter, r *http.Request) error {
	page := p.pages.view("Help")
	for _, topic := range []Topic{TopicBefore, TopicSignIn, TopicSettings, TopicProfile, TopicInstall} {
		t := helpTopic{Name: topic}
		for problem := range Problems() {
			if problem.Topic == topic {
				t.Problems = append(t.Problems, problem)
			}
		}
		page.Topics = append(page.Topics, t)
	}
	return p.pages.render(w, http.StatusOK, "help", page)
}
