package enroll

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/enrollkit/enrollkit/mdm"
)

// agent is what a browser says about itself. It decides what a page says and
// nothing else: a browser may say anything.
type agent struct {
	// Device is "iPhone", "iPad" or "iPod touch", or empty. An iPad that asks
	// for desktop websites, as it does out of the box, calls itself a Mac.
	Device string
	// App is the browser or app when it is not Safari, by a name that people
	// know, or "another app".
	App string
	// Major and Minor are the version of iOS, 0 when it is not told; with an
	// empty Device, that of Safari on what calls itself a Mac.
	Major, Minor int
}

// System is the version in words, or empty when it is not known.
func (a agent) System() string {
	name := "iOS"
	if a.Device == "iPad" {
		name = "iPadOS"
	}
	if a.Device == "" || a.Major == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d.%d", name, a.Major, a.Minor)
}

// Enroll is the button with which the installation begins.
func (a agent) Enroll() string {
	switch a.Device {
	case "":
		return "Enroll My iPhone or Enroll My iPad"
	case "iPod touch":
		return "Enroll My iPod"
	}
	return "Enroll My " + a.Device
}

// Management is the name in Settings > General of the place for profiles.
func (a agent) Management() string {
	switch {
	case a.Major >= 15:
		return "VPN & Device Management"
	case a.Major > 0:
		return "Profiles & Device Management"
	}
	return "VPN & Device Management (“Profiles” before iOS 15)"
}

const (
	maxAgent = 1024 // bytes of a user agent that are read
	unknown  = "another app"
)

// apps are the products by which browsers and apps on iOS give themselves away,
// in the order in which they are looked for.
var apps = []struct{ product, name string }{
	{"MessengerForiOS", "Messenger"}, {"FBAN", "Facebook"}, {"FBAV", "Facebook"}, {"FB_IAB", "Facebook"}, {"Instagram", "Instagram"},
	{"Barcelona", "Threads"}, {"CriOS", "Chrome"}, {"FxiOS", "Firefox"}, {"Focus", "Firefox Focus"}, {"EdgiOS", "Edge"},
	{"OPiOS", "Opera"}, {"OPT", "Opera"}, {"OPX", "Opera"}, {"Ddg", "DuckDuckGo"}, {"DuckDuckGo", "DuckDuckGo"},
	{"Brave", "Brave"}, {"Vivaldi", "Vivaldi"}, {"YaBrowser", "Yandex"}, {"Ecosia", "Ecosia"}, {"GSA", "the Google app"},
	{"Line", "LINE"}, {"Twitter", "X"}, {"LinkedInApp", "LinkedIn"}, {"Snapchat", "Snapchat"}, {"Pinterest", "Pinterest"},
	{"MicroMessenger", "WeChat"}, {"WhatsApp", "WhatsApp"}, {"Slack", "Slack"}, {"Teams", "Teams"}, {"Outlook", "Outlook"},
	{"BytedanceWebview", "TikTok"}, {"musical_ly", "TikTok"}, {"TikTok", "TikTok"}, {"KAKAOTALK", "KakaoTalk"}, {"NAVER", "NAVER"},
}

// parseAgent reads a user agent. What it does not understand is not an iPhone.
func parseAgent(s string) agent {
	if len(s) > maxAgent {
		s = s[:maxAgent]
	}
	platform, products := splitAgent(s)
	var a agent
	var foreign []string
	safari, version := false, ""
	for _, p := range products {
		switch name, v, _ := strings.Cut(p, "/"); name {
		case "Mozilla", "AppleWebKit", "Mobile":
		case "Safari":
			safari = true
		case "Version":
			version = v
		default:
			foreign = append(foreign, p)
		}
	}
	kind, _, _ := strings.Cut(platform, ";")
	switch kind = strings.TrimSpace(kind); kind {
	case "iPhone", "iPad", "iPod touch":
		a.Device = kind
	case "iPod":
		a.Device = "iPod touch"
	case "Macintosh":
		if onlyOnIOS(foreign) {
			a.Device = "iPad"
		}
	default:
		return agent{}
	}
	if a.Device != "" {
		// Later than 18 the system's version is frozen and only Safari's goes
		// on; before, the two are the same or the system's is the greater one.
		a.Major, a.Minor = versionOf(after(platform, "OS "), '_')
		if !safari || version == "" || len(foreign) > 0 {
			a.App = nameOf(foreign)
		}
	}
	if safari && len(foreign) == 0 {
		if major, minor := versionOf(version, '.'); major > a.Major || major == a.Major && minor > a.Minor {
			a.Major, a.Minor = major, minor
		}
	}
	return a
}

// splitAgent returns the first comment of a user agent, and its products.
func splitAgent(s string) (comment string, products []string) {
	depth, start, first := 0, 0, true
	for i := range len(s) {
		switch {
		case s[i] == '(':
			if depth == 0 {
				products = append(products, strings.Fields(s[start:i])...)
				start = i + 1
			}
			depth++
		case s[i] == ')' && depth > 0:
			if depth--; depth == 0 {
				if first {
					comment, first = s[start:i], false
				}
				start = i + 1
			}
		}
	}
	if depth == 0 {
		products = append(products, strings.Fields(s[start:])...)
	}
	return comment, products
}

func after(s, sep string) string {
	_, rest, _ := strings.Cut(s, sep)
	return rest
}

// versionOf reads "17_6_1 like …" or "17.6.1"; each number has two digits at most.
func versionOf(s string, sep byte) (major, minor int) {
	major, rest := number(s)
	if rest != "" && rest[0] == sep {
		minor, _ = number(rest[1:])
	}
	return major, minor
}

func number(s string) (n int, rest string) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return n, s[i:]
		}
		if i == 2 {
			return 0, ""
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, ""
}

// onlyOnIOS reports whether a browser is there that exists on iOS only, with a
// request for the desktop website.
func onlyOnIOS(products []string) bool {
	for _, p := range products {
		switch name, _, _ := strings.Cut(p, "/"); name {
		case "CriOS", "FxiOS", "EdgiOS", "OPiOS", "GSA":
			return true
		}
	}
	return false
}

func nameOf(products []string) string {
	for _, known := range apps {
		for _, p := range products {
			if strings.Contains(p, known.product) {
				return known.name
			}
		}
	}
	return unknown
}

// page is which of the pages fits a device.
type page int

const (
	// pageElsewhere: this is no iPhone or iPad, or does not say so.
	pageElsewhere page = iota
	// pageProfile: User Enrollment by a downloaded profile.
	pageProfile
	// pageAccount: the person starts in Settings, as from iOS 18 on.
	pageAccount
	// pageSafari: profiles are downloaded with Safari only.
	pageSafari
	// pageOld: this iOS does not know the way, and before 13.1 there is none.
	pageOld
	// pageNew: Apple has taken the one way of this company away with iOS 18.
	pageNew
)

// before reports whether the version is known, and is before another one.
func (a agent) before(major, minor int) bool {
	return a.Device != "" && a.Major > 0 && (a.Major < major || a.Major == major && a.Minor < minor)
}

// least is the first version of iOS with which a way is served. That of
// account-driven Device Enrollment is 16 or 17 by Apple's pages.
func (c Config) least(way mdm.Way) (major, minor int) {
	switch {
	case way == mdm.WayAccountDevice, way == mdm.WayAccount && c.Account != nil && c.Account.Method == MethodOAuth2:
		return 16, 0
	case way == mdm.WayAccount:
		return 15, 0
	}
	return 13, 1
}

// choosePage is the one place in which a user agent decides. button is true when
// the person said that this is an iPhone or iPad; way is empty where the device
// decides: the downloaded profile of User Enrollment up to iOS 17, Settings later.
func (c Config) choosePage(a agent, button bool, way mdm.Way) page {
	switch major, minor := c.least(way); {
	case a.Device == "" && !button:
		return pageElsewhere
	case a.before(major, minor):
		return pageOld
	case way == mdm.WayProfile && a.Major >= 18:
		return pageNew
	case way.Account(), way == "" && a.Major >= 18:
		return pageAccount
	case a.App != "" && !button:
		return pageSafari
	}
	return pageProfile
}

// mayDownload reports whether the profile of a way is served to a browser that
// asks for it. The button overrules every agent but those which say that they
// are an iPhone or iPad on which the profile cannot work.
func (c Config) mayDownload(a agent, button bool, way mdm.Way) bool {
	if way.Account() {
		return false
	}
	return c.choosePage(a, button, way) == pageProfile || button && a.Device == ""
}

// button is the form value and cookie of "This is an iPhone or iPad".
const button = "1"

// device handles the button. It proves nothing and needs no session: it changes
// which pages this browser gets.
func (p *Portal) device(w http.ResponseWriter, r *http.Request) error {
	form, err := p.form(w, r)
	if err != nil {
		return err
	}
	p.setCookie(w, p.cookies.device, button, 0)
	to := "" // not the sign-in: it leads to another host, where no form may lead
	if form.Get("from") == "ready" {
		to = "/ready"
	}
	return p.redirect(w, r, to)
}
