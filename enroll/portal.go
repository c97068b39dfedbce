package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/mdm"
)

const (
	maxQuery = 8 << 10 // bytes
	maxForm  = 4 << 10 // bytes
	// retryAfter is in seconds.
	retryAfter = "30"
)

// Portal is where a person starts an enrollment: an http.Handler for Config.Prefix
// and everything below it, and the scep.Redeemer of the profiles that it hands
// out. It is safe for concurrent use, and keeps nothing that another node would
// need.
type Portal struct {
	cfg     Config
	host    string // of BaseURL, without the default port
	cookies cookieNames
	attempt *sealer
	// webSessions are those of devices, nil without Config.Account.
	webSessions *sealer
	routes      map[string]route
	origin      *http.CrossOriginProtection
	pages       *pages
	streams     *streams
	// endings are what follows a sign-in, by the flow that started it.
	endings map[string]ending
}

// New makes a portal, or returns every mistake of the configuration as a
// *ConfigError. It does no I/O.
func New(cfg Config) (*Portal, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("enroll: base URL: %w", err)
	}
	p := &Portal{cfg: cfg, host: hostOf(base.Host), cookies: newCookieNames(cfg.Prefix), streams: newStreams(), origin: http.NewCrossOriginProtection()}
	if err := p.origin.AddTrustedOrigin(base.Scheme + "://" + p.host); err != nil {
		return nil, fmt.Errorf("enroll: base URL: %w", err)
	}
	if p.attempt, err = newSealer("sign-in attempt", cfg.CookieKeys, cfg.Random); err != nil {
		return nil, err
	}
	if p.pages, err = newPages(p.cfg); err != nil {
		return nil, err
	}
	p.endings = map[string]ending{flowPortal: p.issue}
	if cfg.Account != nil {
		if p.webSessions, err = newSealer("web session", cfg.CookieKeys, cfg.Random); err != nil {
			return nil, err
		}
		p.endings[flowAccountWeb], p.endings[flowAccountOAuth] = p.handBackToken, p.handBackCode
	}
	p.routes = p.table()
	return p, nil
}

// URL is the address that people are given.
func (p *Portal) URL() string { return p.cfg.BaseURL + p.cfg.Prefix }

// CallbackURL is the redirect URI to register with the identity provider.
func (p *Portal) CallbackURL() string { return p.URL() + "/callback" }

// Ready reports whether a person could enroll now, as far as that does not
// depend on them: profiles can be signed and, if the Authenticator can tell, the
// identity provider answers.
func (p *Portal) Ready(ctx context.Context) error {
	err := p.cfg.Signer.Ready()
	if a, ok := p.cfg.Authenticator.(interface{ Ready(context.Context) error }); ok {
		err = errors.Join(err, a.Ready(ctx))
	}
	return err
}

// Close ends the live streams, and those that come later, so that a server can
// shut down: hand it to http.Server.RegisterOnShutdown. Everything else goes on.
func (p *Portal) Close() { p.streams.close() }

func (p *Portal) now() time.Time { return p.cfg.Now().UTC().Truncate(time.Microsecond) }

// handler answers a request or says why it does not. After an error it has
// written nothing but headers.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is what one path serves.
type route struct {
	get, post handler
	// head: the GET may be asked for as HEAD, because it changes nothing then.
	head bool
	// below serves the GET of the paths below this one, each with what is left
	// of the path.
	below func(w http.ResponseWriter, r *http.Request, rest string) error
	// Failures are told as a page, or, for json, as JSON, for oauth as RFC 6749
	// §5.2 has it, and for device by an empty body.
	json, oauth, device bool
	// limit of the body in bytes, 0 for maxForm.
	limit int64
}

func (p *Portal) table() map[string]route {
	routes := map[string]route{
		"":          {get: p.landing, head: true},
		"/login":    {get: p.login},
		"/callback": {get: p.callback},
		"/ready":    {get: p.ready, head: true},
		"/profile":  {get: p.profile, head: true},
		"/events":   {get: p.events, json: true},
		"/status":   {get: p.status, head: true, json: true},
		"/help":     {get: p.help, head: true},
		"/device":   {post: p.device},
		"/way":      {post: p.way},
		"/logout":   {post: p.logout},
	}
	if p.cfg.Account == nil {
		return routes
	}
	for name, way := range accountWays {
		if way.Mode() == mdm.ModeUser || p.cfg.DeviceEnrollment != nil {
			routes["/account/"+name] = route{post: p.accountPost(way), device: true, limit: machineinfo.MaxBytes}
		}
	}
	switch {
	case p.cfg.Account.Method == MethodWeb:
		routes["/account/login/"] = route{below: p.accountLogin}
	case p.cfg.Account.External == nil:
		routes["/account/authorize/"] = route{below: p.authorize}
		routes["/account/token"] = route{post: p.token, oauth: true}
	}
	return routes
}

// find returns the route of a path below the prefix.
func (p *Portal) find(path string) (route, bool) {
	if t, there := p.routes[strings.TrimSuffix(path, "/")]; there {
		return t, true
	}
	parent, rest := path[:strings.LastIndexByte(path, '/')+1], path[strings.LastIndexByte(path, '/')+1:]
	t, there := p.routes[parent]
	if !there || t.below == nil || rest == "" {
		return route{}, false
	}
	t.get = func(w http.ResponseWriter, r *http.Request) error { return t.below(w, r, rest) }
	return t, true
}

// serve returns the handler of a method, or nil and the methods there are.
func (t route) serve(method string) (h handler, allow string) {
	var list []string
	if t.get != nil {
		list = append(list, http.MethodGet)
	}
	if t.head {
		list = append(list, http.MethodHead)
	}
	if t.post != nil {
		list = append(list, http.MethodPost)
	}
	switch {
	case method == http.MethodGet, method == http.MethodHead && t.head:
		h = t.get
	case method == http.MethodPost:
		h = t.post
	}
	return h, strings.Join(list, ", ")
}

// ServeHTTP implements http.Handler.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.pages.policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	path, below := strings.CutPrefix(r.URL.Path, p.cfg.Prefix)
	t, there := p.find(path)
	if t.oauth {
		h.Set("Pragma", "no-cache") // RFC 6749 §5.1, beside Cache-Control
	}
	if err := p.answer(w, r, t, below && there); err != nil {
		p.fail(w, r, t, err)
	}
}

// answer judges the request as such and lets its route handle it. A panic is an
// error like others, so that the person sees a page.
func (p *Portal) answer(w http.ResponseWriter, r *http.Request, t route, there bool) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // a panic's value is compared, as net/http does
				panic(cause)
			}
			err = &failure{CodeInternal, fmt.Errorf("enroll: panic: %v\n%s", cause, debug.Stack())}
		}
	}()
	switch {
	case hostOf(r.Host) != p.host:
		return refuse(CodeWrongHost)
	case !there:
		return refuse(CodeNotFound)
	}
	serve, allow := t.serve(r.Method)
	if serve == nil {
		w.Header().Set("Allow", allow)
		return refuse(CodeMethod)
	}
	if err := p.bounded(w, r, max(t.limit, maxForm)); err != nil {
		return err
	}
	return serve(w, r)
}

// bounded refuses what is too large, encoded, malformed, or another site's.
func (p *Portal) bounded(w http.ResponseWriter, r *http.Request, limit int64) error {
	if len(r.URL.RawQuery) > maxQuery {
		return refuse(CodeQueryTooLong)
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return refuse(CodeBadRequest)
	}
	if len(r.Header.Values("Content-Encoding")) > 0 {
		return refuse(CodeEncoding)
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return refuse(CodeBodyTooLarge)
	}
	if r.ContentLength < 0 && r.Method != http.MethodPost {
		if n, err := io.CopyN(io.Discard, r.Body, maxForm+1); n > maxForm || err != io.EOF { //nolint:errorlint // CopyN returns it as it is
			w.Header().Set("Connection", "close")
			return refuse(CodeBodyTooLarge)
		}
	}
	if err := p.origin.Check(r); err != nil {
		return &failure{CodeCrossSite, err}
	}
	return nil
}

// form reads the form of a POST.
func (p *Portal) form(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, refuse(CodeBodyTooLarge)
	case err != nil:
		return nil, refuse(CodeBadRequest)
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.ContentLength != 0 && !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil, refuse(CodeEncoding)
	}
	return r.PostForm, nil
}

// redirect leads to a page of the portal.
func (p *Portal) redirect(w http.ResponseWriter, r *http.Request, path string) error {
	return seeOther(w, p.cfg.Prefix+path)
}

// seeOther redirects. The address is ours or the provider's, never a request's.
func seeOther(w http.ResponseWriter, address string) error {
	w.Header().Set("Location", address)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// fail is the one place that answers with a failure.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, t route, err error) {
	var refused *machineError
	var oauth *oauthError
	if errors.As(err, &refused) {
		p.failDevice(w, r, refused)
		return
	}
	if errors.As(err, &oauth) {
		p.failOAuth(w, r, oauth)
		return
	}
	var session *sessionError
	errors.As(err, &session)
	problem := Remedy(err)
	status := problem.status()
	incident, level := "", slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
		incident, _ = newRef(p.cfg.Random) // without randomness there is none
	}
	p.cfg.Logger.Log(r.Context(), level, "enroll: refused", "code", string(problem.Code), "status", status,
		"method", r.Method, "path", logged(r.URL.Path), "incident", incident, "error", err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	switch {
	case t.device:
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		return
	case t.oauth:
		p.json(w, status, oauthProblem(problem))
		return
	case t.json:
		p.json(w, status, told(problem))
		return
	}
	v := p.pages.view(problem.Title)
	v.Problem, v.Incident = &problem, incident
	v.Home, v.Again = p.cfg.Prefix, p.cfg.Prefix+"/login"
	if session != nil {
		v.Home, v.Again = "", session.again
		v.Back = template.URL(session.back) //nolint:gosec // made of our own redirect URI
	}
	if err := p.pages.render(w, status, "problem", v); err != nil {
		p.cfg.Logger.ErrorContext(r.Context(), "enroll: problem page", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// failDevice answers a device that is refused.
func (p *Portal) failDevice(w http.ResponseWriter, r *http.Request, e *machineError) {
	p.cfg.Logger.InfoContext(r.Context(), "enroll: device refused", "status", e.status, "path", logged(r.URL.Path), "error", e.err)
	maps.Copy(w.Header(), e.header)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(e.status)
}

// failOAuth answers a token request that is refused.
func (p *Portal) failOAuth(w http.ResponseWriter, r *http.Request, e *oauthError) {
	p.cfg.Logger.InfoContext(r.Context(), "enroll: token request refused", "status", e.status, "error", e)
	maps.Copy(w.Header(), e.header)
	p.json(w, e.status, e)
}

// send writes a whole answer. What does not reach the browser is nobody's fault
// here.
func send(w http.ResponseWriter, status int, contentType string, body *bytes.Buffer) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

// hostOf is a host without the port that https has anyway, in lower case.
func hostOf(host string) string {
	return strings.ToLower(strings.TrimSuffix(host, ":443"))
}

// maxSegment is longer than any part of a path that is no secret: a web session
// is one, and so is what somebody pasted behind a slash.
const maxSegment = 32

// logged is a path as the log may have it: at most 64 bytes, and no part of it
// that could be a secret.
func logged(path string) string {
	if len(path) > maxQuery {
		path = path[:maxQuery]
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if len(part) > maxSegment {
			parts[i] = "…"
		}
	}
	path = strings.Join(parts, "/")
	return path[:min(len(path), 64)]
}
