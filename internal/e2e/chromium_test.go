package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// screenshots names the environment variable of a directory in which a picture
// of each page is kept, light and dark.
const screenshots = "E2E_SCREENSHOTS"

// patience bounds what a browser is waited for.
const patience = 2 * time.Minute

//go:embed testdata/inspect.js
var inspection string

// chromium is a browser process that trusts one quickstart.
type chromium struct {
	ctx context.Context
	q   *quickstart
}

func startChromium(t *testing.T, q *quickstart) *chromium {
	t.Helper()
	path := need(t, "chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
	// Chromium takes no file of authorities. It is told the one key that the
	// client, which does check the authority, was shown.
	conn, err := tls.Dial("tcp", q.Base.Host, q.tls)
	require.NoError(t, err)
	key := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	require.NoError(t, conn.Close())

	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(key[:])),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("no-proxy-server", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // starts it
	return &chromium{ctx, q}
}

// look is what kind of device a tab pretends to be on.
type look struct {
	agent         string
	width, height int64
	touch         bool
}

var (
	phone   = look{safari, 390, 844, true}
	desktop = look{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", 1280, 800, false}
)

// tab is a tab with cookies of its own.
type tab struct {
	t         *testing.T
	q         *quickstart
	ctx       context.Context
	look      look
	downloads string

	mu       sync.Mutex // guards what the events say
	errors   []string   // of the console
	foreign  []string   // requests to others
	loaded   []string   // files
	handed   []string   // addresses to which web sessions were handed back
	refusals bool       // the console may tell of a 4xx
}

func (c *chromium) open(t *testing.T, l look) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, q: c.q, ctx: ctx, look: l, downloads: t.TempDir()}
	require.NoError(t, chromedp.Listen(ctx, b.event))
	require.NoError(t, chromedp.ListenBrowser(ctx, b.event))
	yes := true
	call(b, log.Enable, cdp.Empty{})
	call(b, network.Enable, network.EnableParams{})
	call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: l.agent, AcceptLanguage: "en"})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 2, Mobile: l.touch})
	call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.touch, MaxTouchPoints: 5})
	_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID,
		DownloadPath: b.downloads, EventsEnabled: &yes,
	})
	require.NoError(t, err)
	return b
}

// call runs a command of the protocol in the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, params)
	require.NoError(b.t, err, command.Method)
	return r
}

// event keeps what the browser says without being asked.
func (b *tab) event(e any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := e.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			said, _ := json.Marshal(e.Args)
			b.errors = append(b.errors, string(said))
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		refused := b.refusals && strings.Contains(e.Entry.Text, "the server responded with a status of 4")
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !refused {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		switch {
		case err == nil && u.Scheme == handBack:
			b.handed = append(b.handed, e.Request.URL)
		case err != nil || u.Host != b.q.Base.Host && u.Scheme != "data":
			b.foreign = append(b.foreign, e.Request.URL)
		}
	case *browser.EventDownloadProgress:
		if e.State == browser.DownloadProgressStateCompleted {
			b.loaded = append(b.loaded, filepath.Join(b.downloads, e.GUID))
		}
	}
}

// await waits until the browser has done something.
func (b *tab) await(what string, done func() bool) {
	b.t.Helper()
	require.Eventually(b.t, done, patience, 50*time.Millisecond, what)
}

// awaitPage waits until an expression is true of a page that is loaded. What
// cannot be evaluated, since the tab is on its way, is not true yet.
func (b *tab) awaitPage(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	b.await(what, func() bool {
		done, err := evaluate[bool](ctx, "document.readyState === 'complete' && ("+expression+")")
		return err == nil && done
	})
}

// awaitText waits until the page says so.
func (b *tab) awaitText(text string) {
	b.t.Helper()
	b.awaitPage("the page to say "+text, fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// load does what makes the tab load a page, and returns the status of the last
// answer.
func (b *tab) load(do func(ctx context.Context) error) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		return chromedp.Void{}, do(ctx)
	})
	require.NoError(b.t, err)
	return int(response.Status)
}

// visit types an address.
func (b *tab) visit(u *url.URL) int {
	b.t.Helper()
	return b.load(func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: u.String()})
		return err
	})
}

// follow presses what loads another page.
func (b *tab) follow(css string) int {
	b.t.Helper()
	return b.load(func(ctx context.Context) error { return b.press(ctx, css) })
}

// press presses the middle of the one element that a selector finds, by finger
// or mouse.
func (b *tab) press(ctx context.Context, css string) error {
	at, err := evaluate[[]float64](ctx, fmt.Sprintf(`(() => {
		const found = [...document.querySelectorAll(%q)].filter((e) => e.checkVisibility());
		if (found.length !== 1) return [found.length];
		found[0].scrollIntoView({ block: 'center', behavior: 'instant' });
		const box = found[0].getClientRects()[0]; // of a link that is broken into lines, the first
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`, css))
	if err != nil {
		return err
	}
	if len(at) != 2 {
		return fmt.Errorf("%v elements are %s", at, css)
	}
	if b.look.touch {
		if _, err := chromedp.Call(ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{
			Type: input.DispatchTouchEventTypeTouchStart, TouchPoints: []*input.TouchPoint{{X: at[0], Y: at[1]}},
		}); err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{
			Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{},
		})
		return err
	}
	for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
		if _, err := chromedp.Call(ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: kind, X: at[0], Y: at[1], Button: input.MouseButtonLeft, ClickCount: 1,
		}); err != nil {
			return err
		}
	}
	return nil
}

// fill presses an input and types into it, in place of what it holds.
func (b *tab) fill(css, value string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(b.t, b.press(ctx, css))
	b.await("focus of "+css, func() bool {
		focused, err := evaluate[bool](ctx, fmt.Sprintf(`document.activeElement?.matches(%q) && (document.activeElement.select(), true)`, css))
		return err == nil && focused
	})
	call(b, input.InsertText, input.InsertTextParams{Text: value})
}

func evaluate[T any](ctx context.Context, expression string) (T, error) {
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression))
}

// eval is an expression of the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := evaluate[T](ctx, expression)
	require.NoError(b.t, err, expression)
	return v
}

// path is where the tab is.
func (b *tab) path() string { return eval[string](b, "location.pathname") }

// text is what the page says.
func (b *tab) text() string { return eval[string](b, "document.body.innerText") }

// said are what the console said, and the addresses of others that were asked.
func (b *tab) said() (errors, foreign []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.errors), slices.Clone(b.foreign)
}

// files are what was downloaded.
func (b *tab) files() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.loaded)
}

// file is the one file that was downloaded.
func (b *tab) file() string {
	b.t.Helper()
	b.await("a download", func() bool { return len(b.files()) > 0 })
	require.Len(b.t, b.files(), 1)
	return b.files()[0]
}

// refused says that pages are now refused, which the console may tell of.
func (b *tab) refused() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = true
}

// inspect looks at the page, light and dark: what is wrong with it, what the
// console says, what a screen reader finds; and takes a picture of it.
func (b *tab) inspect(name string) {
	b.t.Helper()
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		require.Empty(b.t, b.faults(), "%s, %s", name, scheme)
		backgrounds[eval[string](b, "getComputedStyle(document.body).backgroundColor")] = true
		b.picture(name + "-" + scheme)
	}
	require.Len(b.t, backgrounds, 2, "%s is the same in light and dark", name)
	require.Empty(b.t, b.nameless(), "%s: a screen reader has no name for", name)
	b.quiet(name)
}

// quiet holds that the console has said nothing and nobody else was asked.
func (b *tab) quiet(name string) {
	b.t.Helper()
	errors, foreign := b.said()
	require.Empty(b.t, errors, "%s: the console", name)
	require.Empty(b.t, foreign, "%s: requests to others", name)
}

// picture is the whole page, in PNG. It is kept where the environment says.
func (b *tab) picture(name string) []byte {
	b.t.Helper()
	yes := true
	size := call(b, page.GetLayoutMetrics, cdp.Empty{}).CSSContentSize
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &yes, Clip: &page.Viewport{Width: size.Width, Height: size.Height, Scale: 1},
	}).Data
	if dir := os.Getenv(screenshots); dir != "" {
		require.NoError(b.t, os.MkdirAll(dir, 0o755))
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644))
	}
	return shot
}

// scheme lets the page be light or dark.
func (b *tab) scheme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// faults are what the inspection finds on the page as it is.
func (b *tab) faults() []string {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf("(%s)(%t)", inspection, b.look.touch))
}

// nameless are the roles of what a screen reader has no name for.
func (b *tab) nameless() []string {
	b.t.Helper()
	var out []string
	for _, n := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		var role, label string
		_ = json.Unmarshal(n.Role.Value, &role)
		if n.Name != nil {
			_ = json.Unmarshal(n.Name.Value, &label)
		}
		switch role {
		case "button", "link", "textbox", "checkbox", "image", "img", "heading":
			if strings.TrimSpace(label) == "" {
				out = append(out, role)
			}
		}
	}
	return out
}
