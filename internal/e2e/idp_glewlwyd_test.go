package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database that Debian's schema is for

	"github.com/enrollkit/enrollkit/internal/porttest"
	"github.com/enrollkit/enrollkit/jit"
	"github.com/enrollkit/enrollkit/sso"
	"github.com/enrollkit/enrollkit/sso/oidc"
)

// glewlwyd is Debian's package of that name, running: an OpenID provider in C,
// as a process of its own.
type glewlwyd struct {
	t    *testing.T
	base string // without a slash at its end
}

// The places of Debian's package.
const (
	glewlwydSchema  = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	glewlwydModules = "/usr/lib/glewlwyd/"
)

// startGlewlwyd runs it on a free port with a new database, as nobody when the
// test is run by root, until the test ends.
func startGlewlwyd(t *testing.T) *glewlwyd {
	t.Helper()
	program := need(t, "glewlwyd", "/usr/bin/glewlwyd")
	dir, err := os.MkdirTemp("", "glewlwyd")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	config, database := filepath.Join(dir, "glewlwyd.conf"), filepath.Join(dir, "glewlwyd.db")
	schema, err := os.ReadFile(glewlwydSchema)
	require.NoError(t, err)
	db, err := sql.Open("sqlite", database)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(schema))
	require.NoError(t, err)
	require.NoError(t, db.Close())

	address := porttest.Address(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	base := "http://" + address
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
port=%s
bind_address="127.0.0.1"
external_url=%q
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="INFO"
session_key="SESSION"
session_expiration=3600
admin_scope="g_admin"
profile_scope="g_profile"
hash_algorithm="SHA512"
user_module_path=%q
client_module_path=%q
user_auth_scheme_module_path=%q
plugin_module_path=%q
database={ type="sqlite3" path=%q };
`, port, base, glewlwydModules+"user", glewlwydModules+"client", glewlwydModules+"scheme", glewlwydModules+"plugin", database), 0o600))

	cmd := exec.CommandContext(t.Context(), program, "--config-file="+config)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t, dir, config, database)}
	}
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())

	var log bytes.Buffer
	lines := bufio.NewScanner(output)
	started := false
	for !started && lines.Scan() {
		fmt.Fprintln(&log, lines.Text())
		started = strings.Contains(lines.Text(), "Glewlwyd started on port")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&log, output)
	}()
	t.Cleanup(func() { // the context of the test has ended
		<-done
		_ = cmd.Wait() // it ends by our signal
		if t.Failed() {
			t.Logf("glewlwyd wrote:\n%s", log.String())
		}
	})
	require.True(t, started)
	// It says so before it listens.
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return &glewlwyd{t, base}
}

// nobody gives files to a user who may do nothing else.
func nobody(t *testing.T, files ...string) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	for _, f := range files {
		require.NoError(t, os.Chown(f, int(uid), int(gid)))
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// session is a browser at glewlwyd, whose pages are programs that call its API.
type session struct {
	*glewlwyd
	client *http.Client
}

func (g *glewlwyd) session() session {
	g.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(g.t, err)
	return session{g, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// call does what a page does behind the person's back.
func (s session) call(method, path string, body any) int {
	s.t.Helper()
	b, err := json.Marshal(body)
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+"/api/"+path, bytes.NewReader(b))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	require.NoError(s.t, err)
	if resp.StatusCode >= http.StatusBadRequest {
		s.t.Logf("%s %s: %d %s", method, path, resp.StatusCode, said)
	}
	return resp.StatusCode
}

func (s session) must(method, path string, body any) {
	s.t.Helper()
	require.Equal(s.t, http.StatusOK, s.call(method, path, body))
}

func (s session) get(address string) *url.URL {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, address, nil)
	require.NoError(s.t, err)
	resp, err := s.client.Do(req)
	require.NoError(s.t, err)
	resp.Body.Close()
	location, err := resp.Location()
	require.NoError(s.t, err, "status %d", resp.StatusCode)
	return location
}

type object = map[string]any

// configure makes the provider oidc, alice and the client enrollkit, as its
// administrator does.
func (g *glewlwyd) configure() {
	g.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(g.t, err)
	private, err := x509.MarshalECPrivateKey(key)
	require.NoError(g.t, err)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(g.t, err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}

	admin := g.session()
	admin.must(http.MethodPost, "auth/", object{"username": "admin", "password": "password"})
	admin.must(http.MethodPut, "mod/user/database", object{
		"name": "database", "module": "database", "display_name": "Database", "order_rank": 0, "readonly": false, "enabled": true,
		"parameters": object{"use-glewlwyd-connection": true, "data-format": object{"groups": object{"multiple": true, "read": true, "write": true}}},
	})
	admin.must(http.MethodPut, "mod/user/database/reset/", nil)
	admin.must(http.MethodPost, "mod/plugin/", object{
		"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "enabled": true,
		"parameters": object{
			"iss": g.base + "/api/oidc", "jwt-type": "ecdsa", "jwt-key-size": "256", "jwks-show": true, "subject-type": "public",
			"key": encode("EC PRIVATE KEY", private), "cert": encode("PUBLIC KEY", public),
			"access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 60, "refresh-token-rolling": false,
			"auth-type-code-enabled": true, "auth-type-id-token-enabled": true, "auth-type-code-revoke-replayed": true,
			"auth-type-token-enabled": false, "auth-type-none-enabled": false, "auth-type-password-enabled": false,
			"auth-type-client-enabled": false, "auth-type-device-enabled": false, "auth-type-refresh-enabled": false,
			"pkce-allowed": true, "pkce-required": true, "pkce-method-plain-allowed": false, "oauth-as-iss-id": true,
			"name-claim": "mandatory", "email-claim": "mandatory", "scope-claim": "no",
			"claims": []object{{"name": "groups", "user-property": "groups", "type": "string", "mandatory": true}},
		},
	})
	admin.must(http.MethodPost, "user/", object{
		"username": "alice", "password": "wonderland", "name": "Alice Liddell", "email": "alice@example.com",
		"scope": []string{"openid", "g_profile"}, "groups": []string{"byod", "engineering"}, "enabled": true,
	})
	admin.must(http.MethodPost, "client/", object{
		"client_id": "enrollkit", "client_secret": "secret", "confidential": true, "name": "Enrollment", "enabled": true,
		"redirect_uri": []string{idpCallback}, "authorization_type": []string{"code"}, "scope": []string{},
		"token_endpoint_auth_method": []string{"client_secret_basic"},
	})
}

// signIn is alice, from the address that the application sends her to until her
// browser is sent back.
func (g *glewlwyd) signIn(begin string) url.Values {
	g.t.Helper()
	browser := g.session()
	page := browser.get(begin)
	require.Equal(g.t, "/login.html", page.Path)
	require.Equal(g.t, "enrollkit", page.Query().Get("client_id"))
	require.Equal(g.t, http.StatusUnauthorized, browser.call(http.MethodPost, "auth/", object{"username": "alice", "password": "looking glass"}))
	browser.must(http.MethodPost, "auth/", object{"username": "alice", "password": "wonderland"})
	browser.must(http.MethodPut, "auth/grant/enrollkit/", object{"scope": "openid"})
	back := browser.get(page.Query().Get("callback_url") + "&g_continue")
	require.Equal(g.t, "mdm.example.com", back.Host, back)
	return back.Query()
}

// TestGlewlwyd signs in at a provider that is written in another language and
// runs as another process.
func TestGlewlwyd(t *testing.T) {
	g := startGlewlwyd(t)
	config := oidc.Config{Issuer: g.base + "/api/oidc", ClientID: "enrollkit", ClientSecret: "secret"}
	provider, err := oidc.New(config)
	require.NoError(t, err)
	require.ErrorIs(t, provider.Ready(t.Context()), sso.ErrUnavailable, "it is not set up yet")
	g.configure()
	require.NoError(t, provider.Ready(t.Context()))
	request := sso.Request{RedirectURL: idpCallback, LoginHint: "alice"}
	attempt := func() (sso.Attempt, url.Values) {
		t.Helper()
		a, err := provider.Begin(t.Context(), request)
		require.NoError(t, err)
		return a, g.signIn(a.URL)
	}

	t.Run("sign in", func(t *testing.T) {
		a, query := attempt()
		require.Equal(t, g.base+"/api/oidc", query.Get("iss"))
		id, err := provider.Finish(t.Context(), request, a.Secret, query)
		require.NoError(t, err)
		require.Equal(t, g.base+"/api/oidc", id.Issuer)
		require.NotEmpty(t, id.Subject)
		require.Equal(t, "Alice Liddell", id.Name)
		require.Equal(t, "alice@example.com", id.Email)
		require.Equal(t, jit.GroupsPresent, id.GroupState)
		require.Equal(t, []string{"byod", "engineering"}, id.Groups)

		_, err = provider.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrCallback, "the code is replayed")

		again, query := attempt()
		same, err := provider.Finish(t.Context(), request, again.Secret, query)
		require.NoError(t, err)
		require.Equal(t, id.Subject, same.Subject, "the same person")
	})

	t.Run("code of another attempt", func(t *testing.T) {
		a, query := attempt()
		_, stolen := attempt()
		query.Set("code", stolen.Get("code"))
		_, err := provider.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrCallback, "the verifier is another one's")
	})

	t.Run("wrong client secret", func(t *testing.T) {
		wrong := config
		wrong.ClientSecret = "wrong"
		misconfigured, err := oidc.New(wrong)
		require.NoError(t, err)
		a, query := attempt()
		_, err = misconfigured.Finish(t.Context(), request, a.Secret, query)
		require.ErrorIs(t, err, sso.ErrUnavailable, "not the person's fault")
	})
}
