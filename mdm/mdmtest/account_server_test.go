package mdmtest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/machineinfo"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/profile"
)

const (
	identifier = "ada+work@corp.example"
	hostPart   = "apple-remotemanagement-user-login://authentication-results"
	redirect   = "apple-remotemanagement-user-login:/oauth2/redirection"
)

// asked is one request of any kind, as it came.
type asked struct {
	method, path, query string
	header              http.Header
	body                string
}

// accounts is a server that a phone enrolls with by an account. Its documents
// are written out, as the protocol's samples have them; a test changes one of
// them to see what the phone makes of it.
type accounts struct {
	*world
	ca     *machineinfotest.CA
	config mdmtest.Config
	asked  []asked

	version  string                                 // of discovery
	method   string                                 // of the challenge
	handBack int                                    // status
	bearer   string                                 // in force, "" refuses all
	replace  map[string]http.HandlerFunc            // by path, before everything else
	edit     func(*profile.EnrollmentConfig)        // of the profile
	build    func(profile.EnrollmentConfig) []byte  // of the profile
	esso     map[string]string                      // headers of the challenge
	tokens   int                                    // handed out
	refresh  string                                 // the token response's, "" leaves it out
	login    func(w http.ResponseWriter, to string) // ends the web session
}

func newAccounts(t testing.TB, edit ...func(*mdmtest.Config)) *accounts {
	t.Helper()
	ca, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{Bits: 1024, Expired: true})
	require.NoError(t, err)
	device, err := ca.Device()
	require.NoError(t, err)
	a := &accounts{
		world: newWorld(t), ca: ca, version: "mdm-byod", method: mdmtest.MethodWeb, handBack: http.StatusPermanentRedirect,
		replace: map[string]http.HandlerFunc{}, refresh: "refresh-1",
	}
	devices := a.server.Config.Handler
	a.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		a.asked = append(a.asked, asked{r.Method, r.URL.Path, r.URL.RawQuery, r.Header, string(body)})
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		switch {
		case a.replace[r.URL.Path] != nil:
			a.replace[r.URL.Path](w, r)
		case strings.HasPrefix(r.URL.Path, "/mdm/"):
			if !a.authorized(r) {
				a.challenge(w)
				return
			}
			devices.ServeHTTP(w, r)
		case a.serve(w, r, string(body)):
		default:
			devices.ServeHTTP(w, r)
		}
	})
	a.config = mdmtest.Config{
		Transport: a.server.Client().Transport, Roots: a.trusted, OSVersion: "26.1", Product: "iPhone17,2",
		Account: mdmtest.AccountConfig{Device: device, DomainURL: func(domain string) string {
			require.Equal(t, "corp.example", domain)
			return a.server.URL
		}},
	}
	for _, e := range edit {
		e(&a.config)
	}
	return a
}

func (a *accounts) authorized(r *http.Request) bool {
	return a.bearer != "" && r.Header.Get("Authorization") == "Bearer "+a.bearer
}

func (a *accounts) challenge(w http.ResponseWriter) {
	for name, address := range a.esso {
		w.Header().Set(name, address)
	}
	how := `Bearer method="apple-as-web", url="` + a.server.URL + `/session/1?lost=1"`
	if a.method == mdmtest.MethodOAuth2 {
		how = fmt.Sprintf(`Bearer method="apple-oauth2", authorization-url="%[1]s/authorize?tenant=a%%2Fb", token-url="%[1]s/token", redirect-url="%[2]s", client-id="device client", scope="MDM"`, a.server.URL, redirect)
	}
	w.Header().Set("WWW-Authenticate", how)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusUnauthorized)
}

// serve answers what comes before a device is managed.
func (a *accounts) serve(w http.ResponseWriter, r *http.Request, body string) bool {
	form := `<form method="post" action="/form"><input name="username"><input name="password"><input type="hidden" name="to" value="%s"></form>`
	switch r.Method + " " + r.URL.Path {
	case "GET /.well-known/com.apple.remotemanagement":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"Servers":[{"Version":"%s","BaseURL":"%s/enroll/t1"}]}`, a.version, a.server.URL)
	case "POST /enroll/t1":
		info, err := machineinfo.Verify([]byte(body), a.ca.Anchor())
		require.NoError(a.t, err)
		require.Equal(a.t, a.config.Product, info.Product)
		if !a.authorized(r) {
			a.challenge(w)
			return true
		}
		w.Header().Set("Content-Type", "application/x-apple-aspen-config")
		w.Write(a.accountProfile())
	case "GET /session/1":
		fmt.Fprintf(w, form, hostPart)
	case "GET /authorize":
		fmt.Fprintf(w, form, redirect+"?state="+r.URL.Query().Get("state"))
	case "POST /form":
		if r.PostFormValue("password") != "password" {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		a.end(w, r.PostFormValue("to"))
	case "POST /token":
		a.tokens++
		a.bearer = fmt.Sprintf("oauth-token-%d", a.tokens)
		w.Header().Set("Content-Type", "application/json")
		more := ""
		if a.refresh != "" {
			more = `,"refresh_token":"` + a.refresh + `"`
		}
		fmt.Fprintf(w, `{"token_type":"bearer","access_token":"%s","expires_in":3600,"scope":"MDM"%s}`, a.bearer, more)
	default:
		return false
	}
	return true
}

// end hands back to the device.
func (a *accounts) end(w http.ResponseWriter, to string) {
	if a.method == mdmtest.MethodOAuth2 {
		to += "&code=code+1"
	} else {
		a.tokens++
		a.bearer = fmt.Sprintf("Zm9v-%d", a.tokens)
		to += "?access-token=" + a.bearer
	}
	if a.login != nil {
		a.login(w, to)
		return
	}
	w.Header().Set("Location", to)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(a.handBack)
}

// accountProfile is that of the version, unless the test builds another.
func (a *accounts) accountProfile() []byte {
	cfg := profile.EnrollmentConfig{
		Organization: "Corp", Identifier: "example.corp.byod", DisplayName: "Corp work account", Description: "Management",
		ServerURL: a.server.URL + "/mdm/connect", CheckInURL: a.server.URL + "/mdm/checkin", Topic: topic, ManagedAppleID: "ada@corp.example",
		SCEP: &profile.SCEPContent{URL: a.server.URL + "/scep", Challenge: fmt.Sprintf("good-%d", len(a.asked))},
	}
	if a.edit != nil {
		a.edit(&cfg)
	}
	if a.build != nil {
		return a.build(cfg)
	}
	build := profile.AccountUserEnrollment
	if a.version == "mdm-adde" {
		build = profile.AccountDeviceEnrollment
	}
	return a.marshal(build(cfg))
}

// marshal signs a profile.
func (a *accounts) marshal(p *profile.Profile, err error) []byte {
	a.t.Helper()
	require.NoError(a.t, err)
	encoded, err := p.Marshal()
	require.NoError(a.t, err)
	signed, err := a.signer.Sign(encoded)
	require.NoError(a.t, err)
	return signed
}

func (a *accounts) phone() *mdmtest.Phone {
	a.t.Helper()
	p, err := mdmtest.New(a.config)
	require.NoError(a.t, err)
	return p
}

// enrolled is a phone that went all the way.
func (a *accounts) enrolled() (*mdmtest.Phone, *mdmtest.Account) {
	a.t.Helper()
	p := a.phone()
	account, err := p.EnrollAccount(a.t.Context(), identifier, "ada", "password")
	require.NoError(a.t, err)
	return p, account
}

// find is the n-th request to a path, from 0.
func (a *accounts) find(path string, n int) asked {
	a.t.Helper()
	for _, r := range a.asked {
		if r.path == path {
			if n--; n < 0 {
				return r
			}
		}
	}
	require.Fail(a.t, "no such request", path)
	return asked{}
}

// challenged is a phone after the first POST.
func (a *accounts) challenged() (*mdmtest.Phone, *mdmtest.Account) {
	a.t.Helper()
	p := a.phone()
	account, err := p.Discover(a.t.Context(), identifier)
	require.NoError(a.t, err)
	_, err = account.RequestChallenge(a.t.Context())
	require.NoError(a.t, err)
	return p, account
}
