package main

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
)

// tables is every row of every table of the database, as SQLite has it, but for
// the tables that are named.
func (w *world) tables(but ...string) map[string][]string {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.server.dir, "enrollkit.db")+"?mode=ro")
	require.NoError(w.t, err)
	defer db.Close()
	dump := map[string][]string{}
	names := w.rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table'")
	require.Greater(w.t, len(names), 10)
	for _, name := range names {
		if name = strings.Trim(name, "[]"); !slices.Contains(but, name) {
			dump[name] = w.rows(db, "SELECT * FROM "+name)
		}
	}
	return dump
}

func (w *world) rows(db *sql.DB, query string) []string {
	w.t.Helper()
	rows, err := db.QueryContext(w.t.Context(), query)
	require.NoError(w.t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(w.t, err)
	var all []string
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		require.NoError(w.t, rows.Scan(places...))
		all = append(all, fmt.Sprint(values))
	}
	require.NoError(w.t, rows.Err())
	return all
}

// tampering is the network between a phone and the server. It edits requests to
// a path and notes how they were answered.
type tampering struct {
	http.RoundTripper
	path   string
	edit   func(*http.Request)
	status int // of the last one
}

// RoundTrip implements http.RoundTripper.
func (n *tampering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != n.path {
		return n.RoundTripper.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	if n.edit != nil {
		n.edit(r)
	}
	resp, err := n.RoundTripper.RoundTrip(r)
	if err == nil {
		n.status = resp.StatusCode
	}
	return resp, err
}

// query is an edit of one parameter.
func query(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) {
		q := r.URL.Query()
		q[name] = values
		r.URL.RawQuery = q.Encode()
	}
}

// attacked is a server and a phone of alice's, with a network that can tamper.
type attacked struct {
	*world
	network *tampering
	phone   *mdmtest.Phone
}

func attack(t *testing.T, w *world, edit ...func(*mdmtest.Config)) *attacked {
	t.Helper()
	a := &attacked{world: &world{t, w.server}, network: &tampering{RoundTripper: w.server.transport}}
	a.phone = a.world.phone(append(edit, func(c *mdmtest.Config) { c.Transport = a.network })...)
	return a
}

// in is the same in a subtest.
func (a *attacked) in(t *testing.T) *attacked {
	return &attacked{world: &world{t, a.server}, network: a.network, phone: a.phone}
}

// refused does what must fail, and demands the status of the answer to path and
// that no row of any table is another one, but for the tables that are named.
func (a *attacked) refused(status int, path string, edit func(*http.Request), do func() error, but ...string) {
	a.t.Helper()
	before := a.tables(but...)
	*a.network = tampering{RoundTripper: a.network.RoundTripper, path: path, edit: edit}
	require.Error(a.t, do())
	require.Equal(a.t, status, a.network.status)
	require.Equal(a.t, before, a.tables(but...), "a refused request changed something")
	a.network.path = ""
}

func (a *attacked) signIn() error {
	return a.phone.SignIn(a.t.Context(), a.server.portal(), "alice@example.com", password)
}

func (a *attacked) download() error {
	_, err := a.phone.Download(a.t.Context())
	return err
}

func (a *attacked) identify() error {
	_, err := a.phone.ObtainIdentity(a.t.Context())
	return err
}

// gone lets the phone go the way up to a step.
func (a *attacked) gone(steps ...func() error) *attacked {
	a.t.Helper()
	for _, step := range steps {
		require.NoError(a.t, step())
	}
	return a
}

// body is an edit that replaces the body of a device's message and signs it.
func (a *attacked) body(b []byte) func(*http.Request) {
	signature, err := a.phone.Sign(b)
	require.NoError(a.t, err)
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Set("Mdm-Signature", signature)
	}
}

func (a *attacked) authenticate() map[string]any {
	return map[string]any{
		"MessageType": "Authenticate", "EnrollmentID": a.phone.Identity().EnrollmentID, "Topic": a.phone.Identity().Profile.Topic,
		"OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2",
	}
}

// encode writes an Authenticate, with these keys replaced, or removed when nil.
func (a *attacked) encode(more map[string]any) []byte {
	m := a.authenticate()
	maps.Copy(m, more)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	b, err := plist.Marshal(m)
	require.NoError(a.t, err)
	return b
}

// message is an edit of what a device says.
func (a *attacked) message(more map[string]any) func(*http.Request) { return a.body(a.encode(more)) }

const (
	callbackPath = "/enroll/callback"
	profilePath  = "/enroll/profile"
	checkInPath  = "/mdm/checkin"
	connectPath  = "/mdm/connect"
)

// TestBadCallbacks: each tampers with a sign-in that would go through. Whoever
// knows the state and has the cookie uses the attempt up, and changes nothing else.
func TestBadCallbacks(t *testing.T) {
	w, attempt := open(t), []string{"sso_states"}
	for name, c := range map[string]struct {
		path string // that is tampered with
		edit func(*http.Request)
		but  []string
	}{
		"state":                   {callbackPath, query("state", "AAAA"), nil},
		"no state":                {callbackPath, query("state"), nil},
		"two states":              {callbackPath, query("state", "AAAA", "BBBB"), nil},
		"issuer":                  {callbackPath, query("iss", "https://evil.example"), attempt},
		"no issuer":               {callbackPath, query("iss"), attempt},
		"no cookie":               {callbackPath, func(r *http.Request) { r.Header.Del("Cookie") }, nil},
		"another browser's state": {callbackPath, func(r *http.Request) { r.Header.Set("Cookie", "__Host-enroll-signin="+strings.Repeat("A", 200)) }, nil},
		"two codes":               {callbackPath, query("code", "AAAA", "BBBB"), nil},
		"code":                    {callbackPath, query("code", strings.Repeat("A", 43)), attempt},
		"nonce":                   {"/idp/authorize", query("nonce", "AAAA"), attempt},
		"PKCE":                    {"/idp/authorize", query("code_challenge", strings.Repeat("A", 43)), attempt},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack(t, w)
			_, err := a.phone.Safari.Open(t.Context(), a.server.portal()+"/login")
			require.NoError(t, err)
			if c.path != callbackPath {
				*a.network = tampering{RoundTripper: w.server.transport, path: c.path, edit: c.edit}
				_, err := a.phone.Safari.Open(t.Context(), a.server.portal()+"/login")
				require.NoError(t, err)
				c.edit = nil
			}
			a.refused(http.StatusBadRequest, callbackPath, c.edit, func() error {
				_, err := a.phone.Safari.Submit(t.Context(), map[string]string{"username": "alice@example.com", "password": password})
				return err
			}, c.but...)
		})
	}
	t.Run("code replay", func(t *testing.T) {
		a := attack(t, w)
		var again *http.Request
		*a.network = tampering{RoundTripper: w.server.transport, path: callbackPath, edit: func(r *http.Request) { again = r.Clone(t.Context()) }}
		a.gone(a.signIn)
		a.refused(http.StatusBadRequest, callbackPath, nil, func() error {
			resp, err := a.network.RoundTrip(again)
			require.NoError(t, err)
			defer resp.Body.Close()
			return errors.New(resp.Status)
		})
		require.NoError(t, a.download(), "the sign-in that went through did")
	})
}

// TestBadTickets: what is left of a ticket that is not in force.
func TestBadTickets(t *testing.T) {
	reload := func(a *attacked) func() error {
		return func() error {
			_, err := a.phone.Safari.Open(a.t.Context(), a.server.portal()+"/profile")
			return err
		}
	}
	t.Run("expired before a download", func(t *testing.T) {
		a := attack(t, open(t, "-wait", "1ns"))
		var told *mdmtest.StatusError
		require.ErrorAs(t, a.signIn(), &told)
		require.Equal(t, http.StatusGone, told.Page.Status)
		a.refused(http.StatusGone, profilePath, nil, reload(a))
	})
	t.Run("expired after a download", func(t *testing.T) {
		a := attack(t, open(t, "-window", "1ns", "-grace", "0s"))
		a.gone(a.signIn, a.download)
		a.refused(http.StatusOK, "/scep", nil, a.identify)
	})
	w := open(t)
	t.Run("spent", func(t *testing.T) {
		a := attack(t, w)
		a.gone(a.signIn, a.download, func() error { return a.phone.Install(t.Context()) })
		_, err := w.server.pushes.await(t.Context(), a.phone.Identity().EnrollmentID)
		require.NoError(t, err)
		a.refused(http.StatusGone, profilePath, nil, reload(a))
	})
	t.Run("superseded", func(t *testing.T) {
		a := attack(t, w)
		a.gone(a.signIn, a.download, a.signIn)
		a.refused(http.StatusOK, "/scep", nil, a.identify)
	})
	t.Run("superseded after the identity", func(t *testing.T) {
		a := attack(t, w)
		a.gone(a.signIn, a.download, a.identify, a.signIn)
		a.refused(http.StatusForbidden, checkInPath, nil, func() error { return a.phone.Authenticate(t.Context()) })
	})
	t.Run("foreign", func(t *testing.T) {
		a := attack(t, w)
		a.gone(a.signIn)
		for _, cookie := range []string{"", "__Host-enroll-session=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))} {
			before := a.tables()
			resp := a.do(http.MethodGet, w.server.portal()+"/profile", nil, func(r *http.Request) { r.Header.Set("Cookie", cookie) })
			require.Equal(t, http.StatusSeeOther, resp.StatusCode)
			require.Equal(t, "/enroll", resp.Header.Get("Location"))
			require.Equal(t, before, a.tables())
		}
	})
}

// TestBadChallenges: SCEP refuses by a message, whatever the status.
func TestBadChallenges(t *testing.T) {
	w := open(t)
	a := attack(t, w)
	a.gone(a.signIn)
	raw, err := a.phone.Download(t.Context())
	require.NoError(t, err)
	profile := enrollmentIn(t, raw, w)
	client := &sceptest.Client{HTTP: &http.Client{Transport: a.network}, URL: profile.SCEP.URL}
	a.gone(a.identify)
	other := attack(t, w)
	other.gone(other.signIn, other.download, other.identify)
	key := other.phone.Identity().Key
	turned := profile.SCEP.Challenge[1:] + profile.SCEP.Challenge[:1]
	for name, challenge := range map[string]string{
		"none": "", "wrong": turned, "right, by another key": profile.SCEP.Challenge, "long": strings.Repeat("A", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			a.in(t).refused(http.StatusOK, "/scep", nil, func() error {
				_, err := client.Enroll(t.Context(), key, challenge)
				var refused *sceptest.FailureError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, "2", refused.FailInfo)
				return err
			})
		})
	}
	again, err := client.Enroll(t.Context(), a.phone.Identity().Key, profile.SCEP.Challenge)
	require.NoError(t, err)
	require.True(t, a.phone.Identity().Certificate.Equal(again), "the right key gets the same certificate")
}

// enrollmentIn reads a signed profile; what is signed stands in it as it is.
func enrollmentIn(t *testing.T, signed []byte, w *world) *mdmtest.EnrollmentProfile {
	t.Helper()
	begin, end := bytes.Index(signed, []byte("<?xml")), bytes.LastIndex(signed, []byte("</plist>"))
	require.True(t, 0 < begin && begin < end)
	profile, err := mdmtest.ParseEnrollmentProfile(signed[begin : end+len("</plist>")])
	require.NoError(t, err)
	require.Equal(t, w.server.base.String()+"/scep", profile.SCEP.URL)
	return profile
}

// TestBadCheckIns is held against a phone that has its identity and not yet
// authenticated, and one that is enrolled. Both go on in the end.
func TestBadCheckIns(t *testing.T) {
	w := open(t)
	killer, err := os.ReadFile(filepath.Join("..", "..", "internal", "plist", "testdata", "hostile", "p1-negative-length.bplist"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(killer), 94)
	enrolled, half, colleague := attack(t, w), attack(t, w), attack(t, w)
	enrolled.gone(enrolled.signIn, enrolled.download, func() error { return enrolled.phone.Install(t.Context()) })
	half.gone(half.signIn, half.download, half.identify)
	colleague.gone(func() error {
		return colleague.phone.SignIn(t.Context(), w.server.portal(), "bob@example.com", password)
	}, colleague.download, colleague.identify)
	known := enrolled.phone.Identity().EnrollmentID
	_, err = w.server.pushes.await(t.Context(), known)
	require.NoError(t, err)

	without := func(r *http.Request) { r.Header.Del("Mdm-Signature") }
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	signature, err := half.phone.Sign([]byte("something else"))
	require.NoError(t, err)
	otherwise, err := enrolled.phone.Sign(half.encode(nil))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		status int
		edit   func(*http.Request)
	}{
		"unsigned":                        {403, without},
		"no signature":                    {403, header("Mdm-Signature", "sincerely yours")},
		"broken signature":                {403, header("Mdm-Signature", base64.StdEncoding.EncodeToString([]byte{0x30, 0x80, 0, 0}))},
		"signature of something else":     {403, header("Mdm-Signature", signature)},
		"signed by another enrollment":    {403, header("Mdm-Signature", otherwise)},
		"unsigned rubbish":                {403, func(r *http.Request) { half.body([]byte("x"))(r); without(r) }},
		"empty":                           {400, half.body(nil)},
		"no property list":                {400, half.body([]byte("GET / HTTP/1.1"))},
		"OpenStep":                        {400, half.body([]byte(`{UDID=abc;MessageType=Authenticate;}`))},
		"binary":                          {400, half.body([]byte("bplist00"))},
		"94 bytes that kill":              {400, half.body(killer)},
		"too deep":                        {400, half.body([]byte(`<plist version="1.0">` + strings.Repeat("<array>", 17) + strings.Repeat("</array>", 17) + `</plist>`))},
		"too large":                       {413, half.body(make([]byte, 64<<10+1))},
		"compressed":                      {415, header("Content-Encoding", "gzip")},
		"another content type":            {415, header("Content-Type", "text/xml")},
		"unknown MessageType":             {400, half.message(map[string]any{"MessageType": "Foo"})},
		"no MessageType":                  {400, half.message(map[string]any{"MessageType": nil})},
		"iOS 12":                          {400, half.message(map[string]any{"OSVersion": "12.5.7"})},
		"iOS 13.0":                        {400, half.message(map[string]any{"OSVersion": "13.0"})},
		"another topic":                   {400, half.message(map[string]any{"Topic": "com.apple.mgmt.External.another"})},
		"no EnrollmentID":                 {400, half.message(map[string]any{"EnrollmentID": nil})},
		"a UDID in its place":             {400, half.message(map[string]any{"EnrollmentID": nil, "UDID": "00008110-1"})},
		"TokenUpdate before Authenticate": {403, half.message(map[string]any{"MessageType": "TokenUpdate", "Token": []byte("t"), "PushMagic": "m"})},
		"CheckOut before Authenticate":    {403, half.message(map[string]any{"MessageType": "CheckOut"})},
	} {
		t.Run(name, func(t *testing.T) {
			half.in(t).refused(c.status, checkInPath, c.edit, func() error { return half.phone.CheckIn(t.Context(), half.authenticate()) })
		})
	}
	t.Run("a known EnrollmentID under a colleague's fresh ticket", func(t *testing.T) {
		colleague.in(t).refused(http.StatusForbidden, checkInPath, colleague.message(map[string]any{"EnrollmentID": known}),
			func() error { return colleague.phone.CheckIn(t.Context(), colleague.authenticate()) })
	})
	half.gone(func() error { return half.phone.Authenticate(t.Context()) }, func() error { return half.phone.TokenUpdate(t.Context()) })
	_, err = w.server.pushes.await(t.Context(), half.phone.Identity().EnrollmentID)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		status int
		path   string
		more   map[string]any
	}{
		"Idle by another":       {403, connectPath, map[string]any{"Status": "Idle", "EnrollmentID": known}},
		"report by another":     {403, connectPath, map[string]any{"Status": "Acknowledged", "CommandUUID": "A", "EnrollmentID": known}},
		"unknown Status":        {400, connectPath, map[string]any{"Status": "Done"}},
		"UDID at connect":       {400, connectPath, map[string]any{"Status": "Idle", "UDID": "00008110-1", "EnrollmentID": nil}},
		"Authenticate as other": {403, checkInPath, map[string]any{"EnrollmentID": known}},
		"TokenUpdate by other":  {403, checkInPath, map[string]any{"MessageType": "TokenUpdate", "Token": []byte("t"), "PushMagic": "m", "EnrollmentID": known}},
		"CheckOut by another":   {403, checkInPath, map[string]any{"MessageType": "CheckOut", "EnrollmentID": known}},
	} {
		t.Run(name, func(t *testing.T) {
			half.in(t).refused(c.status, c.path, half.message(c.more), func() error {
				if c.path == checkInPath {
					return half.phone.CheckIn(t.Context(), half.authenticate())
				}
				_, err := half.phone.Connect(t.Context())
				return err
			})
		})
	}
	for _, a := range []*attacked{half, enrolled} {
		_, err = a.phone.Connect(t.Context())
		require.NoError(t, err, "the process lives, and every device is where it was")
		require.Len(t, a.phone.Installed(), 1)
	}
}
