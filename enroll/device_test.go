package enroll_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll"
)

// The pages by what they are known by.
const (
	profilePage   = "Set up work on this"
	accountPage   = "Set up work in Settings"
	safariPage    = "Open this page in Safari"
	elsewherePage = "Continue on your iPhone or iPad"
	oldPage       = "This iOS is too old"
)

const (
	webKit = " AppleWebKit/605.1.15 (KHTML, like Gecko) "
	iOS17  = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X)" + webKit
	mac    = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)" + webKit
)

// agents are user agents as they were seen, and the page that each gets, before
// and after the button.
var agents = []struct{ name, agent, page, pressed, says string }{
	{"iPhone 13.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 13_0 like Mac OS X)" + webKit + "Version/13.0 Mobile/15E148 Safari/604.1", oldPage, oldPage, "iOS 13.0"},
	{"iPhone 12.5", "Mozilla/5.0 (iPhone; CPU iPhone OS 12_5_7 like Mac OS X)" + webKit + "Version/12.1.2 Mobile/15E148 Safari/604.1", oldPage, oldPage, "iOS 12.5"},
	{"iPod 12", "Mozilla/5.0 (iPod touch; CPU iPhone OS 12_5_5 like Mac OS X)" + webKit + "Version/12.1.2 Mobile/15E148 Safari/604.1", oldPage, oldPage, "iPod touch"},
	{"iPhone 9 Chrome", "Mozilla/5.0 (iPhone; CPU iPhone OS 9_3 like Mac OS X) AppleWebKit/601.1 (KHTML, like Gecko) CriOS/71.0.3578.89 Mobile/13E230 Safari/601.1.46", oldPage, oldPage, "iOS 9.3"},
	{"iPhone 13.1, whose Safari is 13.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 13_1 like Mac OS X)" + webKit + "Version/13.0.1 Mobile/15E148 Safari/604.1", profilePage, profilePage, "iOS 13.1"},
	{"iPhone 14.8", "Mozilla/5.0 (iPhone; CPU iPhone OS 14_8_1 like Mac OS X)" + webKit + "Version/14.1.2 Mobile/15E148 Safari/604.1", profilePage, profilePage, "iOS 14.8"},
	{"iPad 15.6, mobile website", "Mozilla/5.0 (iPad; CPU OS 15_6 like Mac OS X)" + webKit + "Version/15.6 Mobile/15E148 Safari/604.1", profilePage, profilePage, "iPadOS 15.6"},
	{"iPhone 17.6", iPhone17, profilePage, profilePage, "iOS 17.6"},
	{"iPhone of the future without a version", "Mozilla/5.0 (iPhone; like Mac OS X)" + webKit + "Version/x Mobile/15E148 Safari/604.1", profilePage, profilePage, ""},

	{"iPhone 18.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)" + webKit + "Version/18.0 Mobile/15E148 Safari/604.1", accountPage, accountPage, "iOS 18.0"},
	{"iPhone 18.6", iPhone18, accountPage, accountPage, "iOS 18.6"},
	{"iPhone 26, frozen at 18_6", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X)" + webKit + "Version/26.0 Mobile/15E148 Safari/604.1", accountPage, accountPage, "iOS 26.0"},
	{"iPhone 26.1, frozen at 18_7", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X)" + webKit + "Version/26.1 Mobile/15E148 Safari/604.1", accountPage, accountPage, "iOS 26.1"},
	{"iPad 18, mobile website", "Mozilla/5.0 (iPad; CPU OS 18_3 like Mac OS X)" + webKit + "Version/18.3 Mobile/15E148 Safari/604.1", accountPage, accountPage, "iPadOS 18.3"},
	{"iPhone 18 Chrome: Settings it is all the same", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)" + webKit + "CriOS/138.0.7204.156 Mobile/15E148 Safari/604.1", accountPage, accountPage, "iOS 18.5"},

	{"Chrome", iOS17 + "CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", safariPage, profilePage, "Chrome"},
	{"Chrome, desktop website", mac + "CriOS/126 Version/11.1.1 Safari/605.1.15", safariPage, profilePage, "Chrome"},
	{"Firefox", iOS17 + "FxiOS/127.0 Mobile/15E148 Safari/605.1.15", safariPage, profilePage, "Firefox"},
	{"Edge", iOS17 + "Version/17.0 EdgiOS/125.0.2535.96 Mobile/15E148 Safari/604.1", safariPage, profilePage, "Edge"},
	{"DuckDuckGo", iOS17 + "Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15", safariPage, profilePage, "DuckDuckGo"},
	{"Opera", iOS17 + "Version/17.5 Mobile/15E148 Safari/604.1 OPT/4.7.0", safariPage, profilePage, "Opera"},
	{"Google app", iOS17 + "GSA/319.0.640413418 Mobile/15E148 Safari/604.1", safariPage, profilePage, "the Google app"},
	{"Facebook", iOS17 + "Mobile/21F90 [FBAN/FBIOS;FBAV/467.1.0.44.109;FBBV/606217116;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5.1;FBSS/3;FBID/phone;FBLC/en_US;FBOP/5;FBRV/0]", safariPage, profilePage, "Facebook"},
	{"Messenger", iOS17 + "Mobile/21F90 [FBAN/MessengerForiOS;FBAV/457.0.0.40.109;FBDV/iPhone14,5]", safariPage, profilePage, "Messenger"},
	{"Instagram", iOS17 + "Mobile/21F90 Instagram 334.0.4.32.98 (iPhone14,5; iOS 17_5_1; en_US; en; scale=3.00; 1170x2532; 605596538)", safariPage, profilePage, "Instagram"},
	{"LINE", iOS17 + "Mobile/15E148 Safari Line/14.9.0", safariPage, profilePage, "LINE"},
	{"LinkedIn", iOS17 + "Mobile/21F90 [LinkedInApp]/9.29.6480", safariPage, profilePage, "LinkedIn"},
	{"WeChat", iOS17 + "Mobile/21F90 MicroMessenger/8.0.49(0x1800312b) NetType/WIFI Language/en", safariPage, profilePage, "WeChat"},
	{"a web view", iOS17 + "Mobile/15E148", safariPage, profilePage, "another app"},
	{"an app that nobody knows", iOS17 + "Version/17.5 Mobile/15E148 Safari/604.1 Frobnicator/1.0", safariPage, profilePage, "another app"},

	{"iPad 17, which calls itself a Mac", iPad17, elsewherePage, profilePage, "call themselves Macs"},
	{"iPad 18, which calls itself a Mac", mac + "Version/18.3 Safari/605.1.15", elsewherePage, accountPage, ""},
	{"iPad 26, which calls itself a Mac", mac + "Version/26.0 Safari/605.1.15", elsewherePage, accountPage, ""},
	{"Chrome on a Mac", mac + "Chrome/126.0.0.0 Safari/537.36", elsewherePage, profilePage, ""},
	{"Firefox on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", elsewherePage, profilePage, ""},
	{"Android", "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36", elsewherePage, profilePage, ""},
	{"Windows Phone, which claims to be like an iPhone", "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; Touch; rv:11.0; IEMobile/11.0; NOKIA; Lumia 520) like iPhone OS 7_0_3 Mac OS X AppleWebKit/537 (KHTML, like Gecko) Mobile Safari/537", elsewherePage, profilePage, ""},
	{"curl", curl, elsewherePage, profilePage, ""},
	{"nothing", "", elsewherePage, profilePage, ""},
	{"half a comment", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5", elsewherePage, profilePage, ""},
	{"64 KiB of parentheses are cut off", "Mozilla/5.0 " + strings.Repeat("(", 60<<10), elsewherePage, profilePage, ""},
}

func TestTheAgentChoosesThePage(t *testing.T) {
	w := newWorld(t)
	for _, c := range agents {
		t.Run(c.name, func(t *testing.T) {
			b := w.browser(c.agent)
			w.unchanged(func() {
				a := b.get("")
				require.Equal(t, http.StatusOK, a.StatusCode)
				require.Contains(t, a.body, c.page)
				require.Contains(t, a.body, c.says)
				if c.page != profilePage && c.page != accountPage {
					for _, path := range []string{"/login", "/ready"} {
						a := b.get(path)
						require.Equal(t, http.StatusOK, a.StatusCode, path)
						require.Contains(t, a.body, c.page, path)
					}
					require.Empty(t, b.cookies())
				}
				require.Equal(t, http.StatusSeeOther, b.press().StatusCode)
				require.Contains(t, b.get("").body, c.pressed)
			})
		})
	}
}

func TestTheAgentNeverTakesTheRight(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone17)
	b.signIn("alice@example.com")
	for _, c := range agents {
		if c.page == profilePage {
			continue
		}
		b.agent = c.agent
		w.unchanged(func() {
			a := b.get("/profile")
			require.Equal(t, http.StatusSeeOther, a.StatusCode, c.name)
			require.Equal(t, "/enroll/ready", a.to(), c.name)
			require.Equal(t, http.StatusOK, b.get("/ready").StatusCode, c.name)
		})
	}
	b.agent = iPhone17
	b.download()
}

func TestAccountDrivenDevices(t *testing.T) {
	w := newWorld(t)
	b := w.browser(iPhone18)
	require.Contains(t, b.get("").body, `href="/enroll/login"`)
	ready := b.signIn("alice@example.com")
	require.Contains(t, ready.body, accountPage)
	require.Contains(t, ready.body, ">alice@example.com</code>", "the account to type is shown")
	require.Contains(t, ready.body, "Sign In to Work or School Account")
	require.NotContains(t, ready.body, "/enroll/profile", "iOS would refuse it")
	w.unchanged(func() {
		require.Equal(t, "/enroll/ready", b.get("/profile").to())
		b.press()
		require.Equal(t, "/enroll/ready", b.get("/profile").to(), "an iPhone says itself that it cannot")
	})
	t.Run("the button of what calls itself a Mac goes on all the same", func(t *testing.T) {
		b := w.browser(mac + "Version/18.3 Safari/605.1.15")
		b.press()
		require.Contains(t, b.signIn("alice@example.com").body, `href="/enroll/profile"`)
		b.download()
	})
}

func FuzzUserAgent(f *testing.F) {
	if len(agents) == 0 {
		f.Fatal("no seeds")
	}
	for _, c := range agents {
		f.Add(c.agent)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := enroll.ParseAgent(s)
		if a != enroll.ParseAgent(s) {
			t.Fatal("not a function")
		}
		if a.Major < 0 || a.Major > 99 || a.Minor < 0 || a.Minor > 99 {
			t.Fatalf("version %d.%d", a.Major, a.Minor)
		}
		if a.Device == "" && (a.App != "" || a.System() != "") {
			t.Fatalf("no device, but %+v", a)
		}
		if a.Device != "" && !strings.Contains(s, "iP") && !strings.Contains(s, "Macintosh") {
			t.Fatalf("%q is no %s", s, a.Device)
		}
		// Whatever a browser says, the button leads somewhere else than to the
		// page that shows it, and no page hands a profile to iOS 18.
		if enroll.PageOf(a, true) == enroll.PageElsewhere {
			t.Fatal("the button leads nowhere")
		}
		if a.Device != "" && a.Major >= 18 && (enroll.MayDownload(a, true) || enroll.MayDownload(a, false)) {
			t.Fatalf("a profile for iOS %d", a.Major)
		}
		// One more product makes another browser of Safari, and nothing else:
		// device and system stay.
		if a.App == "" && a.Device != "" && len(s) < 900 {
			b := enroll.ParseAgent("Frobnicator/1.0 " + s)
			if b.Device != a.Device || b.App == "" {
				t.Fatalf("%+v became %+v", a, b)
			}
		}
	})
}
