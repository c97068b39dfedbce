package scep_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
	"github.com/enrollkit/enrollkit/internal/cms"
)

// failInfo of RFC 8894.
const (
	badMessageCheck = "1"
	badRequest      = "2"
)

// status wants a request to be refused by a status, and nothing changed.
func (w *world) status(t testing.TB, name, method, query string, body io.Reader, want int) {
	t.Helper()
	before := w.book.dump()
	rec := w.do(method, query, body)
	require.Equal(t, want, rec.Code, name)
	require.LessOrEqual(t, rec.Body.Len(), 64, "%s: no details in the body", name)
	require.Equal(t, before, w.book.dump(), name)
}

func TestHostile32Operations(t *testing.T) {
	w := newWorld(t, nil)
	for name, q := range map[string]string{
		"missing": "", "unknown": "operation=GetNextCACert", "NUL": "operation=GetCACert%00", "case": "operation=getcacert",
		"twice": "operation=GetCACert&operation=GetCACaps", "bad escape": "operation=GetCACert&a=%zz",
	} {
		w.status(t, name, http.MethodGet, q, nil, http.StatusBadRequest)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions, "BREW"} {
		w.status(t, method, method, "operation=GetCACert", nil, http.StatusMethodNotAllowed)
	}
	w.status(t, "POST of GetCACaps", http.MethodPost, "operation=GetCACaps", nil, http.StatusMethodNotAllowed)
	w.status(t, "HEAD of PKIOperation", http.MethodHead, "operation=PKIOperation", nil, http.StatusMethodNotAllowed)
	require.NotEmpty(t, w.do(http.MethodPut, "operation=GetCACert", nil).Header().Get("Allow"))

	rec := w.do(http.MethodGet, "operation=GetCACaps", nil)
	require.Equal(t, "POSTPKIOperation\nSHA-256\nAES\nSCEPStandard", rec.Body.String())
	require.Equal(t, scep.Capabilities, rec.Body.String())
}

func TestHostile33MessageInTheQuery(t *testing.T) {
	w := newWorld(t, nil)
	get := func(name, message string, want int) {
		t.Helper()
		w.status(t, name, http.MethodGet, query("operation", "PKIOperation", "message", message), nil, want)
	}
	w.status(t, "no message", http.MethodGet, "operation=PKIOperation", nil, http.StatusBadRequest)
	w.status(t, "two messages", http.MethodGet, "operation=PKIOperation&message=&message=", nil, http.StatusBadRequest)
	get("no base64", "!!!!", http.StatusBadRequest)
	get("a byte too many", base64.StdEncoding.EncodeToString(make([]byte, scep.DefaultMaxBytes+1)), http.StatusRequestEntityTooLarge)
	get("3 MB", strings.Repeat("A", 3<<20), http.StatusRequestURITooLong)

	// + that a phone did not escape arrives as a space.
	for {
		text := base64.StdEncoding.EncodeToString(w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret"))))
		if !strings.Contains(text, "+") {
			continue
		}
		rec := w.do(http.MethodGet, "operation=PKIOperation&message="+strings.ReplaceAll(text, "=", "%3D"), nil)
		require.Equal(t, http.StatusOK, rec.Code)
		reply, err := sceptest.ParseReply(rec.Body.Bytes())
		require.NoError(t, err)
		require.Equal(t, "0", reply.Status)
		return
	}
}

func TestHostile34Bytes(t *testing.T) {
	w := newWorld(t, nil)
	good := w.marshal(w.message(phoneKey(), w.csr(phoneKey(), "secret")))
	outer := must(cms.Encrypt([]byte("x"), w.ra, rand.Reader))
	for name, b := range map[string][]byte{
		"empty": {}, "open": {0x30, 0x80}, "16k open": bytes.Repeat([]byte{0x30, 0x80}, 16<<10),
		"length of four bytes": {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, "high tag": {0x1f, 0x80},
		"longer than the body":        {0x30, 0x83, 1, 0, 0},
		"one byte behind":             append(bytes.Clone(good), 0),
		"20k siblings":                append([]byte{0x30, 0x82, 0x7f, 0x00}, bytes.Repeat([]byte{5, 0}, 0x7f00/2)...),
		"SignedData that holds none":  {0x30, 0x0f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02, 0xa0, 0x02, 0x30, 0x00},
		"another kind of CMS message": outer, "text": []byte("GET / HTTP/1.0"), "cut off": good[:len(good)-1],
	} {
		start := time.Now()
		w.status(t, name, http.MethodPost, "operation=PKIOperation", bytes.NewReader(b), http.StatusBadRequest)
		require.Less(t, time.Since(start), time.Minute, name)
	}
	w.status(t, "a byte too many, honest length", http.MethodPost, "operation=PKIOperation", bytes.NewReader(make([]byte, scep.DefaultMaxBytes+1)), http.StatusRequestEntityTooLarge)
	w.status(t, "a byte too many, no length", http.MethodPost, "operation=PKIOperation", io.MultiReader(bytes.NewReader(make([]byte, scep.DefaultMaxBytes+1))), http.StatusRequestEntityTooLarge)
	w.status(t, "body breaks off", http.MethodPost, "operation=PKIOperation", io.MultiReader(bytes.NewReader(good), brokenReader{}), http.StatusBadRequest)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestContentEncodingIs415(t *testing.T) {
	w := newWorld(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"?operation=PKIOperation", strings.NewReader("x"))
	require.NoError(t, err)
	req.Header.Set("Content-Encoding", "gzip")
	res, err := w.client.HTTP.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusUnsupportedMediaType, res.StatusCode)
}

// signers repeats the signers of a SignedData n times.
func signers(t *testing.T, der []byte, n int) []byte {
	type contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
	var outer contentInfo
	_, err := asn1.Unmarshal(der, &outer)
	require.NoError(t, err)
	var parts []asn1.RawValue
	_, err = asn1.Unmarshal(outer.Content.Bytes, &parts)
	require.NoError(t, err)
	last := &parts[len(parts)-1]
	*last = asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Repeat(last.Bytes, n)}
	inner := must(asn1.Marshal(parts))
	out := must(asn1.Marshal(contentInfo{outer.Type, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}}))
	if n == 1 {
		require.Equal(t, der, out, "the tool itself changes nothing")
	}
	return out
}

func TestHostile35Signers(t *testing.T) {
	w := newWorld(t, nil)
	m := w.message(phoneKey(), w.csr(phoneKey(), "secret"))
	good := w.marshal(m)
	signers(t, good, 1)
	for name, der := range map[string][]byte{"no signer": signers(t, good, 0), "two signers": signers(t, good, 2)} {
		w.refused(t, name, der, badMessageCheck)
	}
	plain := m
	plain.Envelope = m.Content
	w.refused(t, "content is the bare request", w.marshal(plain), badMessageCheck)
	plain.Envelope = []byte("hello")
	w.refused(t, "content is text", w.marshal(plain), badMessageCheck)
	plain.Envelope = []byte{}
	w.refused(t, "no content", w.marshal(plain), badMessageCheck)

	reply := w.refused(t, "tampered signature", tamper(good, len(good)-1), badMessageCheck)
	require.Equal(t, m.TransactionID, reply.TransactionID)
	require.Equal(t, m.SenderNonce, reply.RecipientNonce)

	other := w.message(secondKey(), w.csr(phoneKey(), "secret"))
	w.refused(t, "signer is not the key to certify", w.marshal(other), badRequest)
}

func tamper(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// sealed is an EnvelopedData built by hand.
type sealed struct {
	to        *x509.Certificate
	algorithm asn1.ObjectIdentifier
	key, iv   []byte
	// plain is encrypted as it is: with its padding, if any.
	plain []byte
	// ciphertext and wrapped replace what would be computed.
	ciphertext, wrapped []byte
}

func (s sealed) der() []byte {
	type recipient struct {
		Version   int
		ID        struct{ Issuer, Serial asn1.RawValue }
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	r := recipient{Algorithm: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}, Key: s.wrapped}
	r.ID.Issuer.FullBytes, r.ID.Serial.FullBytes = s.to.RawIssuer, must(asn1.Marshal(s.to.SerialNumber))
	if r.Key == nil {
		//nolint:staticcheck // what the service decrypts
		r.Key = must(rsa.EncryptPKCS1v15(rand.Reader, s.to.PublicKey.(*rsa.PublicKey), s.key))
	}
	if s.ciphertext == nil {
		s.ciphertext = make([]byte, len(s.plain))
		cipher.NewCBCEncrypter(must(aes.NewCipher(s.key)), s.iv).CryptBlocks(s.ciphertext, s.plain)
	}
	type content struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Bytes     asn1.RawValue
	}
	data := struct {
		Version    int
		Recipients []recipient `asn1:"set"`
		Content    content
	}{0, []recipient{r}, content{
		asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1},
		pkix.AlgorithmIdentifier{Algorithm: s.algorithm, Parameters: asn1.RawValue{FullBytes: must(asn1.Marshal(s.iv))}},
		asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: s.ciphertext},
	}}
	return must(asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: must(asn1.Marshal(data))}}))
}

var (
	aes128  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	aes256  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	desCBC  = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}
	des3CBC = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	rc2CBC  = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 2}
)

func pad(b []byte) []byte {
	n := aes.BlockSize - len(b)%aes.BlockSize
	return append(bytes.Clone(b), bytes.Repeat([]byte{byte(n)}, n)...)
}

// envelopes are what a stranger may try on the RA's key.
func envelopes(w *world) map[string][]byte {
	csr := w.csr(phoneKey(), "secret")
	good := sealed{to: w.ra, algorithm: aes256, key: bytes.Repeat([]byte{1}, 32), iv: make([]byte, 16), plain: pad(csr)}
	change := func(f func(*sealed)) []byte { s := good; f(&s); return s.der() }
	block := func(last byte) []byte { return append(bytes.Repeat([]byte{'x'}, 15), last) }
	another := *w.ra
	another.SerialNumber = big.NewInt(4711)
	return map[string][]byte{
		"good":                      good.der(),
		"DES":                       change(func(s *sealed) { s.algorithm, s.iv, s.ciphertext = desCBC, make([]byte, 8), make([]byte, 16) }),
		"RC2":                       change(func(s *sealed) { s.algorithm, s.iv, s.ciphertext = rc2CBC, make([]byte, 8), make([]byte, 16) }),
		"3DES":                      change(func(s *sealed) { s.algorithm, s.iv, s.ciphertext = des3CBC, make([]byte, 8), make([]byte, 16) }),
		"key longer than the AES":   change(func(s *sealed) { s.algorithm = aes128 }),
		"key shorter than the AES":  change(func(s *sealed) { s.key, s.ciphertext = s.key[:16], make([]byte, 32) }),
		"iv of 8 bytes":             change(func(s *sealed) { s.iv, s.ciphertext = make([]byte, 8), make([]byte, 32) }),
		"ciphertext of 5 bytes":     change(func(s *sealed) { s.ciphertext = make([]byte, 5) }),
		"no ciphertext":             change(func(s *sealed) { s.ciphertext = []byte{} }),
		"padding of 255":            change(func(s *sealed) { s.plain = block(0xff) }),
		"padding of 0":              change(func(s *sealed) { s.plain = block(0) }),
		"padding of 17":             change(func(s *sealed) { s.plain = block(17) }),
		"padding that differs":      change(func(s *sealed) { s.plain = block(2) }),
		"RSA garbage":               change(func(s *sealed) { s.wrapped = append([]byte{0}, bytes.Repeat([]byte{0x5a}, 255)...) }),
		"RSA garbage of one byte":   change(func(s *sealed) { s.wrapped = []byte{1} }),
		"RSA beyond the modulus":    change(func(s *sealed) { s.wrapped = bytes.Repeat([]byte{0xff}, 256) }),
		"another recipient":         change(func(s *sealed) { s.to = &another }),
		"good padding, no request":  change(func(s *sealed) { s.plain = pad([]byte("hello")) }),
		"good padding, nothing":     change(func(s *sealed) { s.plain = pad(nil) }),
		"good padding, cut request": change(func(s *sealed) { s.plain = pad(csr[:len(csr)-1]) }),
		"good padding, two of them": change(func(s *sealed) { s.plain = pad(append(bytes.Clone(csr), csr...)) }),
	}
}

func TestHostile36EnvelopesAreNoOracle(t *testing.T) {
	w := newWorld(t, ones{})
	list := envelopes(w)
	m := w.message(phoneKey(), nil)
	post := func(name string) []byte {
		m.Envelope = list[name]
		return w.post(w.marshal(m)).Body.Bytes()
	}
	var same []byte
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range list {
			if n != "good" && !yield(n) {
				return
			}
		}
	}) {
		w.log.Reset()
		m.Envelope = list[name]
		w.refused(t, name, w.marshal(m), badMessageCheck)
		require.Contains(t, w.log.String(), `reason="message cannot be read"`, name)
		got := post(name)
		if same == nil {
			same = got
		}
		require.Equal(t, same, got, "%s: the answer differs", name)
	}
	reply, err := sceptest.ParseReply(post("good"))
	require.NoError(t, err)
	require.Equal(t, "0", reply.Status, "the hand-made envelope is one, when it is not spoilt")
}

// BenchmarkHostile36EnvelopesAreNoOracle shows that refusals cost the same: each
// past the structure is one RSA decryption and one signature. They are taken in
// turn, so that a busy machine disturbs all alike; read the medians.
func BenchmarkHostile36EnvelopesAreNoOracle(b *testing.B) {
	w := newWorld(b, ones{})
	list := envelopes(w)
	m := w.message(phoneKey(), nil)
	kinds := []string{"padding of 255", "padding of 0", "key shorter than the AES", "RSA garbage", "good padding, no request"}
	times := map[string][]time.Duration{}
	ders := map[string][]byte{}
	for _, k := range kinds {
		m.Envelope = list[k]
		ders[k] = w.marshal(m)
	}
	for b.Loop() {
		for _, k := range kinds {
			start := time.Now()
			w.post(ders[k])
			times[k] = append(times[k], time.Since(start))
		}
	}
	for _, k := range kinds {
		slices.Sort(times[k])
		b.ReportMetric(float64(times[k][len(times[k])/2].Microseconds()), "µs/"+strings.NewReplacer(",", "", " ", "-").Replace(k))
	}
}

func TestHostile37Challenge(t *testing.T) {
	w := newWorld(t, nil)
	w.book.rows["other"] = redeemed{}
	for name, challenges := range map[string][]string{
		"none": nil, "empty": {""}, "wrong": {"Secret"}, "two": {"secret", "other"}, "the same twice": {"secret", "secret"},
		"too long": {strings.Repeat("s", 257)}, "not text": {"\xff\xfe"},
	} {
		w.refused(t, name, w.marshal(w.message(phoneKey(), w.csr(phoneKey(), challenges...))), badRequest)
	}
	_, err := w.client.Enroll(t.Context(), phoneKey(), "secret")
	require.NoError(t, err)
	w.refused(t, "another key", w.marshal(w.message(secondKey(), w.csr(secondKey(), "secret"))), badRequest)
}

func TestHostile37ManyAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.book.rows["shared"] = redeemed{}
	const n = 50
	all := func(key func(int) *rsa.PrivateKey, challenge string) (certs map[string]int, failures int) {
		certs = map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range n {
			k := key(i)
			m := w.message(k, w.csr(k, challenge))
			der := w.marshal(m)
			wg.Go(func() {
				reply, err := sceptest.ParseReply(w.post(der).Body.Bytes())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				if reply.Status == "0" {
					cert, err := reply.Certificate(m.Signer, k)
					if err != nil {
						t.Error(err)
						return
					}
					certs[string(cert.Raw)]++
				} else if reply.FailInfo == badRequest {
					failures++
				}
			})
		}
		wg.Wait()
		return certs, failures
	}
	certs, failures := all(func(int) *rsa.PrivateKey { return phoneKey() }, "secret")
	require.Len(t, certs, 1, "one key, one certificate")
	require.Zero(t, failures)

	certs, failures = all(func(i int) *rsa.PrivateKey { return fiftyKeys()[i] }, "shared")
	require.Len(t, certs, 1)
	require.Equal(t, n-1, failures)
	require.Equal(t, 2, w.book.issued)
}

// fiftyKeys are the pairs of a few primes, since those take long to find.
var fiftyKeys = sync.OnceValue(func() (keys []*rsa.PrivateKey) {
	var primes []*big.Int
	for i := range 11 {
		q := testPrime(fmt.Sprint("phone ", i))
		for _, p := range primes {
			keys = append(keys, keyOf(p, q))
		}
		primes = append(primes, q)
	}
	return keys[:50]
})

func TestHostile38Requests(t *testing.T) {
	w := newWorld(t, nil)
	request := func(pub crypto.PublicKey, opt sceptest.RequestOptions) []byte {
		opt.Challenges = []string{"secret"}
		return w.marshal(w.message(phoneKey(), must(sceptest.CertificateRequest(phoneKey(), pub, opt))))
	}
	modulus := func(bits int) *big.Int { return new(big.Int).SetBit(big.NewInt(1), bits-1, 1) }
	ed := must2(ed25519.GenerateKey(rand.Reader))
	for name, pub := range map[string]crypto.PublicKey{
		"RSA-1024":        &rsa.PublicKey{N: modulus(1024), E: 65537},
		"RSA-65536":       &rsa.PublicKey{N: modulus(65536), E: 65537},
		"RSA with e=1":    &rsa.PublicKey{N: phoneKey().N, E: 1},
		"RSA with even e": &rsa.PublicKey{N: phoneKey().N, E: 65538},
		"P-224":           p224().Public(),
		"Ed25519":         ed,
	} {
		start := time.Now()
		w.refused(t, name, request(pub, sceptest.RequestOptions{}), badRequest)
		require.Less(t, time.Since(start), time.Minute, name)
	}
	spoilt := w.csr(phoneKey(), "secret")
	w.refused(t, "bad signature of the request", w.marshal(w.message(phoneKey(), tamper(spoilt, len(spoilt)-1))), badRequest)
	bomb := make([]pkix.Extension, 1000)
	for i := range bomb {
		bomb[i] = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, i}, Value: []byte{5, 0}}
	}
	w.refused(t, "1000 extensions", request(phoneKey().Public(), sceptest.RequestOptions{Extensions: bomb}), badRequest)

	// What a request wishes for is not refused and not granted.
	wishes := sceptest.RequestOptions{
		Subject: pkix.Name{CommonName: "admin", OrganizationalUnit: slices.Repeat([]string{"wheel"}, 100)},
		Extensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: must(asn1.Marshal([]asn1.RawValue{{Class: 2, Tag: 2, Bytes: []byte("other.example")}}))},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Value: must(asn1.Marshal([]asn1.ObjectIdentifier{{2, 5, 29, 37, 0}}))},
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}},
		},
	}
	require.Equal(t, http.StatusOK, w.post(request(phoneKey().Public(), wishes)).Code)
	cert := w.book.rows["secret"].cert
	require.NotNil(t, cert)
	require.Len(t, cert.Subject.Names, 1)
	require.NotEqual(t, "admin", cert.Subject.CommonName)
	require.Empty(t, cert.DNSNames)
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, cert.ExtKeyUsage)
	require.False(t, cert.IsCA)
	require.Equal(t, now.Add(ca.DefaultLifetime), cert.NotAfter)
}

func must2[A, B any](a A, _ B, err error) A { return must(a, err) }

func TestHostile39Attributes(t *testing.T) {
	w := newWorld(t, nil)
	csr := w.csr(phoneKey(), "secret")
	for name, spoil := range map[string]func(*sceptest.Message){
		"transaction id not printable": func(m *sceptest.Message) { m.TransactionID = "a\x00b" },
		"transaction id of 257 bytes":  func(m *sceptest.Message) { m.TransactionID = strings.Repeat("a", 257) },
		"transaction id empty":         func(m *sceptest.Message) { m.TransactionID = "" },
		"nonce of 15 bytes":            func(m *sceptest.Message) { m.SenderNonce = make([]byte, 15) },
		"nonce of 1 KiB":               func(m *sceptest.Message) { m.SenderNonce = make([]byte, 1<<10) },
		"type unknown":                 func(m *sceptest.Message) { m.Type = "99" },
		"type is no number":            func(m *sceptest.Message) { m.Type = "PKCSReq" },
		"RenewalReq":                   func(m *sceptest.Message) { m.Type = "17" },
		"CertPoll":                     func(m *sceptest.Message) { m.Type = "20" },
		"GetCert":                      func(m *sceptest.Message) { m.Type = "21" },
		"GetCRL":                       func(m *sceptest.Message) { m.Type = "22" },
		"CertRep":                      func(m *sceptest.Message) { m.Type = "3" },
	} {
		m := w.message(phoneKey(), csr)
		spoil(&m)
		w.refused(t, name, w.marshal(m), badMessageCheck)
	}
	m := w.message(phoneKey(), csr)
	m.TransactionID = strings.Repeat("a", 1<<20)
	w.status(t, "transaction id of 1 MB", http.MethodPost, "operation=PKIOperation", bytes.NewReader(w.marshal(m)), http.StatusRequestEntityTooLarge)

	// A renewal is refused whoever signs it: ours, an expired one, a stranger's.
	issued, err := w.client.Enroll(t.Context(), phoneKey(), "secret")
	require.NoError(t, err)
	stranger := must(sceptest.SelfSigned(phoneKey(), pkix.Name{CommonName: "stranger"}, now.AddDate(-5, 0, 0), rand.Reader))
	for i, signer := range []*x509.Certificate{issued, stranger} {
		m := w.message(phoneKey(), csr)
		m.Type, m.Signer = "17", signer
		w.refused(t, fmt.Sprint("renewal ", i), w.marshal(m), badMessageCheck)
	}
}

func TestHostile40Retry(t *testing.T) {
	w := newWorld(t, nil)
	first, err := w.client.Enroll(t.Context(), phoneKey(), "secret")
	require.NoError(t, err)
	again, err := w.client.Enroll(t.Context(), phoneKey(), "secret")
	require.NoError(t, err)
	require.True(t, first.Equal(again))
	require.Equal(t, 1, w.book.issued)
	// The same transaction id, another key.
	w.refused(t, "another key", w.marshal(w.message(secondKey(), w.csr(secondKey(), "secret"))), badRequest)
}

func FuzzPKIOperation(f *testing.F) {
	w := newWorld(f, ones{})
	m := w.message(phoneKey(), w.csr(phoneKey(), "secret"))
	accepted := w.marshal(m)
	first, err := sceptest.ParseReply(w.post(accepted).Body.Bytes())
	require.NoError(f, err)
	require.Equal(f, "0", first.Status)
	f.Add(accepted)
	list := envelopes(w)
	require.NotEmpty(f, list)
	for _, e := range list {
		m.Envelope = e
		f.Add(w.marshal(m))
	}
	f.Add([]byte{0x30, 0x80})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		w.log.Reset()
		w.book.rows["secret"] = redeemed{}
		rec := w.post(b)
		switch rec.Code {
		case http.StatusOK:
			reply, err := sceptest.ParseReply(rec.Body.Bytes())
			require.NoError(t, err, "an answer that does not verify")
			require.Contains(t, []string{"0", "2"}, reply.Status)
			if reply.Status == "2" {
				require.Contains(t, []string{badMessageCheck, badRequest}, reply.FailInfo)
			} else {
				cert, err := reply.Certificate(m.Signer, phoneKey())
				require.NoError(t, err)
				require.True(t, phoneKey().PublicKey.Equal(cert.PublicKey), "a certificate for another key")
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Fatalf("status %d", rec.Code)
		}
	})
}
