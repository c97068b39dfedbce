package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/machineinfo/machineinfotest"
	"github.com/enrollkit/enrollkit/internal/porttest"
	"github.com/enrollkit/enrollkit/mdm/mdmtest"
	"github.com/enrollkit/enrollkit/push/pushtest"
	"github.com/enrollkit/enrollkit/sso/ssotest"
	"github.com/enrollkit/enrollkit/storage/sqlite"
)

// asProgram makes the test binary be the program.
const asProgram = "ENROLLKIT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestReadmeShowsTheProgram(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 60, "the promise is: under 60 lines")
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\n"+string(source)+"```\n", "the README's block is not examples/minimal/main.go")
	require.Less(t, strings.Count(string(readme), "\n"), 200)
}

// A phone gets as far as Authenticate: what comes then wakes it by Apple's own
// APNs, which is not for tests.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, block *pem.Block) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	pair := func(name string, cert *x509.Certificate, key crypto.Signer) {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		put(name+".key", &pem.Block{Type: "PRIVATE KEY", Bytes: der})
		put(name+".pem", &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	root, rootKey, err := ca.NewRoot("Example", time.Hour, time.Now(), rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: rootKey})
	require.NoError(t, err)
	pair("identity-ca", root, rootKey)
	for name, issue := range map[string]func(crypto.PublicKey) (*x509.Certificate, error){
		"tls": func(k crypto.PublicKey) (*x509.Certificate, error) {
			return authority.IssueTLS(k, []string{"127.0.0.1"}, time.Hour)
		},
		"signing": func(k crypto.PublicKey) (*x509.Certificate, error) {
			return authority.IssueSigning(k, "Example", time.Hour)
		},
		"scep-ra": func(k crypto.PublicKey) (*x509.Certificate, error) {
			return authority.IssueRA(k, "Example RA", time.Hour)
		},
	} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		cert, err := issue(key.Public())
		require.NoError(t, err)
		pair(name, cert, key)
	}
	certPEM, keyPEM := pushtest.New(t).PushCertificate()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "push.pem"), certPEM, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "push.key"), keyPEM, 0o600))
	random := func(name string) []byte {
		key := []byte(rand.Text() + rand.Text())[:32]
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), key, 0o600))
		return key
	}
	random("cookie.key")
	storageKey := random("storage.key")

	apple, err := machineinfotest.NewSimulatedCA(machineinfotest.Config{Expired: true})
	require.NoError(t, err)
	put("apple-device-ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: apple.Certificate.Raw})
	device, err := apple.Device()
	require.NoError(t, err)

	addr := porttest.Address(t)
	issuer := provider(t)

	// Somebody opened the sign-in page last month, and went away.
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "enrollkit.db"), sqlite.Options{Keys: [][]byte{storageKey}})
	require.NoError(t, err)
	require.NoError(t, store.OpenState(t.Context(), [32]byte{1}, time.Now().AddDate(0, -1, 0)))
	require.NoError(t, store.Close())

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1", "LISTEN="+addr, "BASE_URL=https://"+addr, "DOMAIN=example.com", "OIDC_ISSUER="+issuer, "OIDC_CLIENT=minimal", "OIDC_SECRET=secret")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Wait() // it was killed by the end of the test's context
		if t.Failed() {
			t.Log(log.String())
		}
	})

	roots := x509.NewCertPool()
	roots.AddCert(root)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond, "the program does not listen")

	phone, err := mdmtest.New(mdmtest.Config{Transport: transport, Roots: roots})
	require.NoError(t, err)
	require.NoError(t, phone.SignIn(t.Context(), "https://"+addr+"/enroll", "alice@example.com", "password"))
	_, err = phone.Download(t.Context())
	require.NoError(t, err)
	_, err = phone.ObtainIdentity(t.Context())
	require.NoError(t, err)
	require.NoError(t, phone.Authenticate(t.Context()))

	phone, err = mdmtest.New(mdmtest.Config{Transport: transport, Roots: roots, OSVersion: "26.1", Account: mdmtest.AccountConfig{
		Device: device, DomainURL: func(string) string { return "https://" + addr },
	}})
	require.NoError(t, err)
	account, err := phone.Discover(t.Context(), "alice@example.com")
	require.NoError(t, err)
	_, err = account.RequestChallenge(t.Context())
	require.NoError(t, err)
	require.NoError(t, account.SignIn(t.Context(), "alice@example.com", "password"))
	require.NoError(t, account.RequestProfile(t.Context()))
	_, err = phone.ObtainIdentity(t.Context())
	require.NoError(t, err)
	require.NoError(t, phone.Authenticate(t.Context()))

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "enrollkit.db"))
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.Eventually(t, func() bool {
		n := -1
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM sso_states WHERE expires < 1000000 * unixepoch()").Scan(&n)
		return err == nil && n == 0
	}, time.Minute, 20*time.Millisecond, "the program does not forget what is over")

	resp, err := (&http.Client{Transport: transport}).Get("https://" + addr + "/elsewhere")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}

// provider is an identity provider without TLS, which is allowed on loopback.
func provider(t *testing.T) (issuer string) {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	p, err := ssotest.Open(ssotest.Config{
		Issuer:  server.URL + "/idp",
		Users:   []ssotest.User{{Username: "alice@example.com", Password: "password", Name: "Alice Example"}},
		Clients: []ssotest.Client{{ID: "minimal", Secret: "secret"}},
	})
	require.NoError(t, err)
	handler = p
	return server.URL + "/idp"
}
