package scep_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
)

var (
	now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	// The same in every process, or a fuzzing worker could not read the seeds.
	raKey     = sync.OnceValue(func() *rsa.PrivateKey { return testKey("ra") })
	phoneKey  = sync.OnceValue(func() *rsa.PrivateKey { return testKey("phone") })
	secondKey = sync.OnceValue(func() *rsa.PrivateKey { return testKey("second") })
)

// testKey is the RSA-2048 key of a name, good for nothing but tests.
func testKey(name string) *rsa.PrivateKey { return keyOf(testPrime(name+" p"), testPrime(name+" q")) }

// testPrime is the prime of 1024 bits of a name.
func testPrime(name string) *big.Int {
	var b []byte
	for i := range 4 {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, i))
		b = append(b, sum[:]...)
	}
	b[0] |= 0xc0
	b[len(b)-1] |= 1
	p, two := new(big.Int).SetBytes(b), big.NewInt(2)
	for !p.ProbablyPrime(0) {
		p.Add(p, two)
	}
	return p
}

func keyOf(p, q *big.Int) *rsa.PrivateKey {
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	k.Precompute()
	if err := k.Validate(); err != nil {
		panic(err)
	}
	return k
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// redeemed is a challenge's row.
type redeemed struct {
	key  [32]byte
	cert *x509.Certificate
}

// book is a Redeemer in memory.
type book struct {
	mu     sync.Mutex
	rows   map[string]redeemed
	issued int
	err    error // what breaks
	panics bool  // instead of an error
}

func (b *book) Redeem(ctx context.Context, challenge string, key [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("no book")
	}
	if b.err != nil {
		return nil, b.err
	}
	row, ok := b.rows[challenge]
	if !ok || row.cert != nil && row.key != key {
		return nil, fmt.Errorf("book: %w", scep.ErrRefused)
	}
	if row.cert != nil {
		return row.cert, nil
	}
	cert, err := issue(ctx)
	if err != nil {
		return nil, err
	}
	b.issued++
	b.rows[challenge] = redeemed{key, cert}
	return cert, nil
}

func (b *book) dump() map[string]redeemed {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.rows)
}

type world struct {
	t       testing.TB
	handler *scep.Handler
	book    *book
	root    *x509.Certificate
	ra      *x509.Certificate
	client  *sceptest.Client
	url     string
	log     *bytes.Buffer
}

// ones is randomness that makes replies comparable byte by byte.
type ones struct{}

func (ones) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{1}, len(p))), nil }

func newWorld(t testing.TB, random io.Reader) *world {
	t.Helper()
	root, key, err := ca.NewRoot("Device CA", 24*time.Hour*3650, now, rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: key, Now: func() time.Time { return now }, Random: random})
	require.NoError(t, err)
	ra, err := authority.IssueRA(raKey().Public(), "RA", 24*time.Hour*365)
	require.NoError(t, err)
	w := &world{t: t, root: root, ra: ra, book: &book{rows: map[string]redeemed{"secret": {}}}, log: &bytes.Buffer{}}
	w.handler, err = scep.New(scep.Config{
		Issuer: authority, Redeemer: w.book, RA: ra, RAKey: raKey(), Random: random,
		Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	require.NoError(t, err)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	w.url = server.URL + "/scep"
	w.client = &sceptest.Client{HTTP: server.Client(), URL: w.url + "?gone=1", Now: func() time.Time { return now }}
	return w
}

// csr is a phone's request.
func (w *world) csr(key *rsa.PrivateKey, challenges ...string) []byte {
	return must(sceptest.CertificateRequest(key, key.Public(), sceptest.RequestOptions{Subject: pkix.Name{CommonName: "phone"}, Challenges: challenges}))
}

// message is a phone's message, to be spoilt.
func (w *world) message(key *rsa.PrivateKey, csr []byte) sceptest.Message {
	return sceptest.Message{
		TransactionID: "0123456789ABCDEF", SenderNonce: bytes.Repeat([]byte{7}, 16), Content: csr, Recipient: w.ra, Key: key,
		Signer: must(sceptest.SelfSigned(key, pkix.Name{CommonName: "phone"}, now, rand.Reader)),
	}
}

func (w *world) marshal(m sceptest.Message) []byte { return must(m.Marshal(rand.Reader)) }

// do serves one request without a network.
func (w *world) do(method, query string, body io.Reader) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(method, "/scep", body)
	req.URL.RawQuery = query
	w.handler.ServeHTTP(rec, req)
	return rec
}

func (w *world) post(der []byte) *httptest.ResponseRecorder {
	return w.do(http.MethodPost, "operation=PKIOperation", bytes.NewReader(der))
}

// refused posts a message and wants a CertRep FAILURE with info, and nothing
// changed.
func (w *world) refused(t testing.TB, name string, der []byte, info string) *sceptest.Reply {
	t.Helper()
	before := w.book.dump()
	rec := w.post(der)
	require.Equal(t, http.StatusOK, rec.Code, "%s: %s", name, rec.Body)
	require.Equal(t, "application/x-pki-message", rec.Header().Get("Content-Type"), name)
	reply, err := sceptest.ParseReply(rec.Body.Bytes())
	require.NoError(t, err, name)
	require.Equal(t, "2", reply.Status, name)
	require.Equal(t, info, reply.FailInfo, name)
	require.Empty(t, reply.Envelope, name)
	require.Equal(t, before, w.book.dump(), name)
	return reply
}

func TestEnroll(t *testing.T) {
	w := newWorld(t, nil)
	cert, err := w.client.Enroll(t.Context(), phoneKey(), "secret")
	require.NoError(t, err)
	require.True(t, phoneKey().PublicKey.Equal(cert.PublicKey))
	require.NoError(t, cert.CheckSignatureFrom(w.root))
	require.NotEqual(t, "device", cert.Subject.CommonName)
	require.Equal(t, sha256.Sum256(cert.RawSubjectPublicKeyInfo), w.book.rows["secret"].key)
	require.NotContains(t, w.log.String(), "secret")

	_, err = w.client.Enroll(t.Context(), secondKey(), "secret")
	var failure *sceptest.FailureError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "2", failure.FailInfo)
	require.NotContains(t, w.log.String(), "secret")
}

func TestGetCACertListsTheRAFirst(t *testing.T) {
	w := newWorld(t, nil)
	recipient, all, err := w.client.Authorities(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.True(t, recipient.Equal(w.ra))
	require.True(t, all[1].Equal(w.root))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		rec := w.do(method, "operation=GetCACert&message=Name", nil)
		require.Equal(t, http.StatusOK, rec.Code)
		require.Equal(t, []string{"application/x-x509-ca-ra-cert"}, rec.Header()["Content-Type"])
	}
}

func TestBrokenStoreIs503(t *testing.T) {
	w := newWorld(t, nil)
	w.book.err = errors.New("disk is full")
	rec := w.post(w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret"))))
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	require.NotContains(t, rec.Body.String(), "disk")
}

func TestHostile8APanicIs503(t *testing.T) {
	w := newWorld(t, nil)
	message := w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret")))
	w.book.panics = true
	rec := w.post(message)
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	require.NotContains(t, rec.Body.String(), "no book")
	require.Contains(t, w.log.String(), "no book")
	w.book.panics = false
	require.Equal(t, http.StatusOK, w.post(message).Code)
	require.Equal(t, 1, w.book.issued)
}

// wrongKey is an Issuer that certifies another key.
type wrongKey struct{ *ca.CA }

func (i wrongKey) Issue(ctx context.Context, _ crypto.PublicKey) (*x509.Certificate, error) {
	return i.CA.Issue(ctx, secondKey().Public())
}

func TestNewRefuses(t *testing.T) {
	root, key, err := ca.NewRoot("Device CA", time.Hour, now, rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: key, Now: func() time.Time { return now }})
	require.NoError(t, err)
	ra, err := authority.IssueRA(raKey().Public(), "RA", time.Hour)
	require.NoError(t, err)
	unfit, err := authority.IssueSigning(raKey().Public(), "no RA", time.Hour)
	require.NoError(t, err)
	good := scep.Config{Issuer: authority, Redeemer: &book{}, RA: ra, RAKey: raKey(), Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}
	_, err = scep.New(good)
	require.NoError(t, err)
	for name, spoil := range map[string]func(*scep.Config){
		"no issuer":            func(c *scep.Config) { c.Issuer = nil },
		"no redeemer":          func(c *scep.Config) { c.Redeemer = nil },
		"no RA":                func(c *scep.Config) { c.RA = nil },
		"no key":               func(c *scep.Config) { c.RAKey = nil },
		"another key":          func(c *scep.Config) { c.RAKey = secondKey() },
		"RA of another use":    func(c *scep.Config) { c.RA = unfit },
		"RA is the authority":  func(c *scep.Config) { c.RA, c.RAKey = root, key.(*rsa.PrivateKey) },
		"RA has expired":       func(c *scep.Config) { c.Now = func() time.Time { return now.Add(2 * time.Hour) } },
		"limit beyond the CMS": func(c *scep.Config) { c.MaxBytes = 1 << 30 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			spoil(&cfg)
			_, err := scep.New(cfg)
			require.ErrorIs(t, err, scep.ErrConfig)
		})
	}
	t.Run("an issuer of another key's certificate is a breakdown", func(t *testing.T) {
		w := newWorld(t, nil)
		cfg := good
		cfg.Issuer, cfg.Redeemer = wrongKey{authority}, w.book
		w.handler, err = scep.New(cfg)
		require.NoError(t, err)
		w.ra = ra
		require.Equal(t, http.StatusServiceUnavailable, w.post(w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret")))).Code)
	})
}

func TestOpenSSLReadsWhatWeAnswer(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: openssl is missing")
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	openssl := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
		return string(out)
	}
	writePEM := func(name, kind string, der []byte) {
		require.NoError(t, os.WriteFile(file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	w := newWorld(t, nil)

	// The request's CSR and envelope are OpenSSL's, as is the reading of the answer.
	require.NoError(t, os.WriteFile(file("req.cnf"), []byte("[req]\nprompt=no\ndistinguished_name=dn\nattributes=a\n[dn]\nCN=phone\n[a]\nchallengePassword=secret\n"), 0o600))
	writePEM("key.pem", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(phoneKey())))
	writePEM("ra.pem", "CERTIFICATE", w.ra.Raw)
	writePEM("ca.pem", "CERTIFICATE", w.root.Raw)
	openssl("req", "-new", "-config", file("req.cnf"), "-key", file("key.pem"), "-outform", "DER", "-out", file("csr.der"))
	openssl("cms", "-encrypt", "-binary", "-aes256", "-in", file("csr.der"), "-outform", "DER", "-out", file("env.der"), file("ra.pem"))
	m := w.message(phoneKey(), nil)
	m.Envelope = must(os.ReadFile(file("env.der")))
	rec := w.post(w.marshal(m))
	require.Equal(t, http.StatusOK, rec.Code)
	require.NoError(t, os.WriteFile(file("rep.der"), rec.Body.Bytes(), 0o600))
	writePEM("signer.pem", "CERTIFICATE", m.Signer.Raw)

	at := fmt.Sprint(now.Unix())
	openssl("cms", "-verify", "-binary", "-attime", at, "-purpose", "any", "-CAfile", file("ca.pem"), "-inform", "DER", "-in", file("rep.der"), "-out", file("inner.der"))
	openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-in", file("inner.der"), "-recip", file("signer.pem"), "-inkey", file("key.pem"), "-out", file("certs.der"))
	openssl("pkcs7", "-inform", "DER", "-in", file("certs.der"), "-print_certs", "-out", file("cert.pem"))
	openssl("verify", "-attime", at, "-purpose", "sslclient", "-CAfile", file("ca.pem"), file("cert.pem"))
	require.Contains(t, openssl("cms", "-cmsout", "-print", "-inform", "DER", "-in", file("inner.der")), "aes-256-cbc")
	parsed := openssl("asn1parse", "-inform", "DER", "-in", file("rep.der"))
	for _, oid := range []string{".9.2", ".9.3", ".9.5", ".9.6", ".9.7"} {
		require.Contains(t, parsed, ":2.16.840.1.113733.1"+oid)
	}

	rec = w.do(http.MethodGet, "operation=GetCACert", nil)
	require.NoError(t, os.WriteFile(file("certs.der"), rec.Body.Bytes(), 0o600))
	require.Contains(t, openssl("pkcs7", "-inform", "DER", "-in", file("certs.der"), "-print_certs"), "subject=CN = RA")

	rec = w.post(w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "wrong"))))
	require.NoError(t, os.WriteFile(file("fail.der"), rec.Body.Bytes(), 0o600))
	openssl("cms", "-verify", "-binary", "-attime", at, "-purpose", "any", "-CAfile", file("ca.pem"), "-inform", "DER", "-in", file("fail.der"), "-content", os.DevNull, "-out", os.DevNull)
}

func BenchmarkEnroll(b *testing.B) {
	w := newWorld(b, nil)
	der := w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret")))
	for b.Loop() {
		w.book.rows["secret"] = redeemed{}
		if rec := w.post(der); rec.Code != http.StatusOK {
			b.Fatal(rec.Code)
		}
	}
}

// BenchmarkFloor is what BenchmarkEnroll cannot do without: two signatures made
// (certificate, answer), one decryption (the request).
func BenchmarkFloor(b *testing.B) {
	key := raKey()
	//nolint:staticcheck // what the service decrypts
	wrapped := must(rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, make([]byte, 32)))
	for b.Loop() {
		for range 2 {
			must(key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256))
		}
		must(key.Decrypt(rand.Reader, wrapped, nil))
	}
}

// memory is the Redeemer of the example; a server's is its ticket store.
type memory struct{}

func (memory) Redeem(ctx context.Context, challenge string, _ [32]byte, issue func(context.Context) (*x509.Certificate, error)) (*x509.Certificate, error) {
	if challenge != "once" {
		return nil, scep.ErrRefused
	}
	return issue(ctx)
}

func Example() {
	root, key, err := ca.NewRoot("Example devices", 24*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		panic(err)
	}
	authority, err := ca.New(ca.Config{Certificate: root, Key: key})
	if err != nil {
		panic(err)
	}
	raKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ra, err := authority.IssueRA(raKey.Public(), "Example SCEP", 24*time.Hour)
	if err != nil {
		panic(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	handler, err := scep.New(scep.Config{Issuer: authority, Redeemer: memory{}, RA: ra, RAKey: raKey, Logger: quiet})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()

	phone, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	client := &sceptest.Client{HTTP: server.Client(), URL: server.URL}
	cert, err := client.Enroll(context.Background(), phone, "once")
	if err != nil {
		panic(err)
	}
	fmt.Println(cert.Issuer, phone.PublicKey.Equal(cert.PublicKey))
	_, err = client.Enroll(context.Background(), phone, "guessed")
	fmt.Println(err)
	// Output:
	// CN=Example devices true
	// sceptest: the server refused, failInfo 2
}

func p224() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)) }

func query(values ...string) string {
	v := url.Values{}
	for i := 0; i < len(values); i += 2 {
		v.Add(values[i], values[i+1])
	}
	return v.Encode()
}
