package enroll

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
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

	Privacy *privacy
	// Choice is another way that the person may choose, and what it means; nil
	// when there is none.
	Choice *choice
	// Whole: the ticket is for Device Enrollment.
	Whole  bool
	Notice *Problem
	// Configured: account-driven enrollment is served. SSO: an app signs people in
	// during it. Least is the first version of iOS of the way that is offered.
	Configured, SSO bool
	// Download: iOS 17 and earlier may have the profile of User Enrollment.
	Download bool
	Least    string

	User, Account string
	Ticket        standing
	Problem       *Problem
	Incident      string
	// Home is where a problem's page leads to, and Again where the person signs in
	// again; empty is nowhere.
	Home, Again string
	// Back tells the device that the sign-in failed.
	Back   template.URL
	Topics []helpTopic
}

// choice is the form by which a person chooses a way.
type choice struct {
	Prefix, Org, Device string
	// Way is that of the form.
	Way mdm.Way
	// Privacy is what the company sees and does then.
	Privacy *privacy
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
	for _, name := range []string{"landing", "elsewhere", "safari", "account", "old", "new", "ready", "choose", "done", "problem", "help"} {
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
	p.base.Configured = cfg.Account != nil
	p.base.SSO = p.base.Configured && (cfg.Account.ESSO != "" || cfg.Account.ESSODeveloper != "")
	p.base.Download = cfg.Way == "" || cfg.Way == mdm.WayProfile
	major, minor := cfg.least(cfg.Way)
	p.base.Least = fmt.Sprintf("%d.%d", major, minor)
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
		return p.advise(w, v, v.page, "")
	}
	page := p.page(v, "Set up work on this "+orDevice(v.agent))
	way := mdm.WayProfile
	if p.cfg.Way == mdm.WayDevice {
		way, page.Whole = mdm.WayDevice, true
	}
	page.Privacy = p.privacy(way, page.Device)
	return p.pages.render(w, http.StatusOK, "landing", page)
}

func orDevice(a agent) string {
	if a.Device == "" {
		return "device"
	}
	return a.Device
}

// settingsWay is the way of those who start in Settings with a device. When it is
// not told which one it is, the page tells of the way that shows the company more.
func (p *Portal) settingsWay(device string) mdm.Way {
	d := p.cfg.DeviceEnrollment
	switch {
	case p.cfg.Way == mdm.WayAccountDevice:
		return mdm.WayAccountDevice
	case d == nil || p.cfg.Account == nil || !p.offered(mdm.WayAccountDevice):
		return mdm.WayAccount
	case device == "" && len(d.Families) > 0:
		return mdm.WayAccountDevice
	case device == "iPod touch":
		device = "iPhone" // as Apple counts families
	}
	if slices.Contains(d.Families, device) {
		return mdm.WayAccountDevice
	}
	return mdm.WayAccount
}

// advise is the page of a device on which the profile is not the way: it says
// what to do instead. from is the page that was asked for.
func (p *Portal) advise(w http.ResponseWriter, v visitor, which page, from string) error {
	show := func(name, title string) error {
		page := p.page(v, title)
		page.From, page.QR = from, p.pages.qr
		page.Privacy = p.privacy(p.settingsWay(v.agent.Device), page.Device)
		return p.pages.render(w, http.StatusOK, name, page)
	}
	switch which {
	case pageAccount:
		return show("account", "Set up work in Settings")
	case pageSafari:
		return show("safari", "Open this page in Safari")
	case pageOld:
		return show("old", "This iOS is too old")
	case pageNew:
		return show("new", "This iOS is too new")
	}
	return show("elsewhere", "Continue on your iPhone or iPad")
}

// ready is the runbook: what to do next, in the words of this version of iOS.
func (p *Portal) ready(w http.ResponseWriter, r *http.Request) error {
	v, err := p.visitor(r)
	if err != nil {
		return err
	}
	if v.session == nil {
		if v.page != pageProfile && v.page != pageAccount {
			return p.advise(w, v, v.page, "ready")
		}
		return p.redirect(w, r, "")
	}
	t, err := p.cfg.Tickets.Ticket(r.Context(), v.session.Ticket)
	if err != nil {
		return stored("ticket", err)
	}
	which := v.page
	if t.Way == mdm.WayDevice {
		which = p.cfg.choosePage(v.agent, v.button, t.Way)
	}
	if which != pageProfile && which != pageAccount {
		return p.advise(w, v, which, "ready")
	}
	s := p.standing(t)
	if s.Problem != nil {
		return refuse(s.Problem.Code)
	}
	if t.State != TicketEnrolled && t.Way == mdm.WayDevice && !p.offers(t.Way, v.user) {
		return errNotOffered
	}
	page, name := p.page(v, "Install the profile"), "ready"
	page.Ticket, page.Whole = s, t.Way == mdm.WayDevice
	if way := p.choice(t, v.user); way != "" && t.State != TicketEnrolled {
		page.Choice = &choice{p.cfg.Prefix, p.cfg.Organization, page.Device, way, p.privacy(way, page.Device)}
	}
	switch {
	case t.State == TicketEnrolled:
		page.Title, name = "This device is set up", "done"
	case p.cfg.Way == mdm.WayDevice && page.Choice == nil && t.Way != mdm.WayDevice:
		return errNotOffered
	case p.cfg.Way == mdm.WayDevice && t.Way != mdm.WayDevice:
		page.Title, name = "Before you go on", "choose"
	case which == pageAccount:
		page.Title, name = "Set up work in Settings", "account"
		page.From = "ready"
		page.Privacy = p.privacy(p.settingsWay(v.agent.Device), page.Device)
	}
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
