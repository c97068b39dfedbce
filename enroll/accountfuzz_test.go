package enroll_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/enrollkit/enrollkit/enroll"
	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/mdm"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/storage/memory"
)

// signsIn is a provider without a network, to which everybody may be sent.
type signsIn struct{ sso.Authenticator }

// Begin implements sso.Authenticator.
func (signsIn) Begin(context.Context, sso.Request) (sso.Attempt, error) {
	return sso.Attempt{URL: "https://idp.example.com/authorize", Key: sha256.Sum256([]byte("state")), Secret: make([]byte, 1024)}, nil
}

// swapped is an account store that tests replace.
type swapped struct{ enroll.AccountStore }

// fuzzPortal is a portal at a fixed time, and its log.
func fuzzPortal(f *testing.F, store enroll.AccountStore, method enroll.AccountMethod) (*enroll.Portal, *bytes.Buffer) {
	f.Helper()
	cfg := minimal(f)
	var log bytes.Buffer
	cfg.Authenticator, cfg.Now = signsIn{}, func() time.Time { return time.Unix(1_800_000_000, 0) }
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Account = &enroll.AccountConfig{Store: store, Anchor: machineinfo.Anchor{InsecureAnySigner: true}, Method: method}
	p, err := enroll.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return p, &log
}

var oauthText = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)

// FuzzTokenRequest: tokens are answered to what RFC 6749 says alone, as an
// independent reading of the request has it; everything else is an error of §5.2
// that changes nothing and repeats nothing of the request.
func FuzzTokenRequest(f *testing.F) {
	const code, former = "the-code", "the-refresh-token"
	redirect := url.QueryEscape(enroll.RedirectURI)
	const form = "application/x-www-form-urlencoded"
	good := "grant_type=authorization_code&code=" + code + "&redirect_uri=" + redirect + "&client_id=enrollkit"
	refresh := "grant_type=refresh_token&refresh_token=" + former + "&client_id=enrollkit"
	for _, s := range [][4]string{
		{form, "", "", good}, {form + "; charset=utf-8", "", "", good + "&code_verifier=&x=y"}, {form, "", "", refresh}, {form, "", "", refresh + "&scope=MDM"},
		{form, "", "", ""}, {"", "", "", good}, {"application/json", "", "", `{"grant_type":"authorization_code"}`}, {form, "", "a=b", good},
		{form, "Basic eDp5", "", good}, {form, "", "", good + "&code=" + code}, {form, "", "", refresh + "&client_secret=x"}, {form, "", "", "grant_type=password&client_id=enrollkit"},
		{form, "", "", good + "&code_verifier=" + strings.Repeat("v", 43)}, {form, "", "", "%zz"}, {form, "", "", strings.ReplaceAll(good, "=", "%3d")}, {form, "", "", "a;b"},
		{form, "", "", strings.Repeat("a=b&", 2000)}, {form, "", "", strings.Replace(good, "client_id", "CLIENT_ID", 1)},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	store := &swapped{}
	p, log := fuzzPortal(f, store, enroll.MethodOAuth2)
	send := func(kind, authorization, query, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, p.URL()+"/account/token", strings.NewReader(body))
		r.URL.RawQuery = query
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w
	}
	f.Fuzz(func(t *testing.T, kind, authorization, query, body string) {
		log.Reset()
		kept := memory.New()
		store.AccountStore = kept
		at := time.Unix(1_800_000_000, 0)
		grant := func(name string, c [32]byte) {
			ticket := enroll.Ticket{ID: name, UserID: "u", Way: mdm.WayAccount, Session: sha256.Sum256([]byte(name)), Issued: at}
			err := kept.Grant(t.Context(), enroll.GrantStep{
				Session: ticket.Session, SessionExpires: at.Add(time.Hour), UserID: "u", Ticket: &ticket, At: at,
				Code: &enroll.AuthorizationCode{Code: c, ClientID: "enrollkit", RedirectURI: enroll.RedirectURI, Expires: at.Add(time.Minute)},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		grant("one", sha256.Sum256([]byte(code+".")))
		grant("two", [32]byte{1})
		err := kept.RedeemCode(t.Context(), enroll.CodeStep{
			Code: [32]byte{1}, ClientID: "enrollkit", RedirectURI: enroll.RedirectURI, At: at,
			Tokens: enroll.Tokens{Access: [32]byte{2}, Refresh: sha256.Sum256([]byte(former))},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := send(kind, authorization, query, body)
		if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Pragma") != "no-cache" {
			t.Fatalf("headers: %v", w.Header())
		}
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%q: %v", w.Body, err)
		}
		for _, secret := range []string{code, former} {
			if strings.Contains(log.String(), secret) {
				t.Fatalf("the log holds %s", secret)
			}
		}
		if w.Code == http.StatusOK {
			if !redeemable(kind, authorization, query, body, code, former) {
				t.Fatalf("tokens for %q %q %q %q", kind, authorization, query, body)
			}
			if access, _ := answer["access_token"].(string); len(access) != 43 || len(answer) != 5 {
				t.Fatalf("answer: %s", w.Body)
			}
			return
		}
		if w.Code < 400 || w.Code >= 500 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		for name, v := range answer {
			text, _ := v.(string)
			if name != "error" && name != "error_description" || text == "" || !oauthText.MatchString(text) {
				t.Fatalf("answer: %s", w.Body)
			}
		}
		if redeemable(kind, authorization, query, body, code, former) {
			t.Fatalf("refused: %s", w.Body)
		}
		for _, form := range []string{good, refresh} {
			if again := send("application/x-www-form-urlencoded", "", "", form); again.Code != http.StatusOK {
				t.Fatalf("after a refusal %q is refused: %s", form, again.Body)
			}
		}
	})
}

// redeemable reads a token request by itself: whether RFC 6749 §4.1.3 or §6 gives
// tokens for it.
func redeemable(kind, authorization, query, body, code, refresh string) bool {
	media, _, _ := strings.Cut(kind, ";")
	form, err := url.ParseQuery(body)
	if err != nil || authorization != "" || query != "" || len(body) > 4<<10 || !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return false
	}
	// The standard library has a say in what a form is.
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	if r.ParseForm() != nil {
		return false
	}
	for name, values := range form {
		if len(values) != 1 || len(r.PostForm[name]) != 1 {
			return false
		}
	}
	if form.Get("client_id") != "enrollkit" || form.Get("client_secret") != "" {
		return false
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		return form.Get("code") == code && form.Get("redirect_uri") == enroll.RedirectURI && form.Get("code_verifier") == ""
	case "refresh_token":
		return form.Get("refresh_token") == refresh && (form.Get("scope") == "" || form.Get("scope") == "MDM")
	}
	return false
}

// FuzzWebSession: what opens is what was sealed here for this purpose, to who
// typed something, as an independent reading has it; everything else is a page of
// 4xx that begins no sign-in, and no part of a session is logged.
func FuzzWebSession(f *testing.F) {
	p, log := fuzzPortal(f, memory.New(), enroll.MethodWeb)
	key := [][]byte{make([]byte, enroll.CookieKeySize)}
	sealer := func(purpose string) enroll.Sealer {
		s, err := enroll.NewSealer(purpose, key, zeros{})
		if err != nil {
			f.Fatal(err)
		}
		return s
	}
	sessions, attempts := sealer("web session"), sealer("sign-in attempt")
	seal := func(s enroll.Sealer, expires int64, enrollment string) string {
		text, err := s.Seal(map[string]any{"way": "account", "enrollment": enrollment, "expires": expires, "nonce": make([]byte, 16)})
		if err != nil {
			f.Fatal(err)
		}
		return text
	}
	const now = 1_800_000_000
	open, again := seal(sessions, now+1, ""), seal(sessions, now+300, "E")
	for _, s := range [][2]string{
		{open, "user-identifier=alice@example.com"}, {open, "user-identifier=ada+work%40example.com&x=y"}, {again, ""}, {again, "user-identifier=a"},
		{open, ""}, {open, "user-identifier="}, {open, "user-identifier=a&user-identifier=b"}, {open, "user-identifier=%00"}, {open, "user-identifier=a%20b"}, {open, "user-identifier=%ff"},
		{open, "%zz"}, {open, "a;b"}, {open + "A", "user-identifier=a"}, {open[1:], "user-identifier=a"}, {open + "\n", "user-identifier=a"}, {open + "/", "user-identifier=a"},
		{seal(sessions, now, ""), "user-identifier=a"}, {seal(attempts, now+1, ""), "user-identifier=a"}, {"", "user-identifier=a"}, {"../token", "user-identifier=a"},
		{strings.Repeat("A", 5000), "user-identifier=a"}, {open, "user-identifier=" + strings.Repeat("a", 257)}, {open, "user-identifier=" + strings.Repeat("%22", 80)},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, sealed, query string) {
		log.Reset()
		r := httptest.NewRequest(http.MethodGet, p.URL()+"/account/login/x", nil)
		r.URL.Path, r.URL.RawQuery = enroll.DefaultPrefix+"/account/login/"+sealed, query
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("headers: %v", w.Header())
		}
		if len(sealed) > 32 && !strings.Contains(sealed, "/") && strings.Contains(log.String(), sealed[:33]) {
			t.Fatalf("the log holds a session: %s", log)
		}
		var s struct {
			Enrollment string
			Expires    int64
		}
		opens := sessions.Open(sealed, &s) == nil && s.Expires > now
		typed := 0
		for pair := range strings.SplitSeq(query, "&") {
			if name, value, _ := strings.Cut(pair, "="); unescaped(name) == "user-identifier" {
				typed++
				opens = opens && unescaped(value) != "" && len(unescaped(value)) <= 256
			}
		}
		if w.Code == http.StatusSeeOther {
			if !opens || typed > 1 || typed == 0 && s.Enrollment == "" {
				t.Fatalf("%q %q opened", sealed, query)
			}
			if w.Header().Get("Location") != "https://idp.example.com/authorize" || len(w.Result().Cookies()) != 1 {
				t.Fatalf("headers: %v", w.Header())
			}
			return
		}
		if w.Code < 400 || w.Code >= 500 {
			t.Fatalf("status %d: %s", w.Code, log)
		}
		if len(w.Result().Cookies()) > 0 {
			t.Fatalf("a refused session left a cookie: %v", w.Header())
		}
		if strings.Contains(query, "%") || strings.Contains(query, ";") || strings.ContainsFunc(query, func(r rune) bool { return r < '!' || r > '~' || r == '"' || r == '\\' }) {
			return // what a device does not send may be refused
		}
		if opens && typed == 1 && len(query) < 8<<10 {
			t.Fatalf("%q %q is refused: %s", sealed, query, log)
		}
	})
}

// unescaped is a part of a query in which a plus is one, or "" when it is none.
func unescaped(s string) string {
	text, err := url.PathUnescape(s)
	if err != nil {
		return ""
	}
	return text
}

// zeros is no randomness at all.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var _ io.Reader = zeros{}
