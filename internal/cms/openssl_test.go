package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// bench is a directory in which the openssl command works.
type bench struct {
	dir  string
	path string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: openssl is missing, nothing proves that others read what we write")
	}
	return &bench{t.TempDir(), path}
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(b.file(name), content, 0o600))
	return b.file(name)
}

func (b *bench) read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(b.file(name))
	require.NoError(t, err)
	return content
}

func (b *bench) run(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), b.path, args...).CombinedOutput()
	require.NoError(t, err, "openssl %q: %s", args, out)
}

func (b *bench) certificate(t *testing.T, name string, cert *x509.Certificate) string {
	t.Helper()
	return b.write(t, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func (b *bench) key(t *testing.T, name string, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return b.write(t, name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func TestOpenSSLSigned(t *testing.T) {
	b, ca, at := newBench(t), newAuthority(t), time.Now()
	ca.cert = issue(t, "CA", ca.key, nil, at.Add(-time.Hour), at.Add(time.Hour))
	ca.pool = x509.NewCertPool()
	ca.pool.AddCert(ca.cert)
	caFile := b.certificate(t, "ca.pem", ca.cert)
	content := bytes.Repeat([]byte("0123456789abcdef\n"), 5000)
	in := b.write(t, "content", content)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)

	for name, key := range map[string]crypto.Signer{"RSA-2048": rsaKey(t), "P-256": p256, "P-384": p384} {
		cert := issue(t, "signer", key, ca, at.Add(-time.Hour), at.Add(time.Hour))
		certFile, keyFile := b.certificate(t, "cert.pem", cert), b.key(t, "key.pem", key)
		t.Run(name+" ours", func(t *testing.T) {
			for shape, opt := range map[string]cms.SignOptions{
				"DER":           {Time: at},
				"BER":           {Time: at, BER: true, Digest: crypto.SHA384},
				"detached":      {Time: at, Detached: true},
				"no attributes": {NoAttributes: true, BER: true, Digest: crypto.SHA1},
			} {
				der, err := cms.Sign(content, key, []*x509.Certificate{cert, ca.cert}, opt)
				require.NoError(t, err, shape)
				args := []string{"cms", "-verify", "-inform", "DER", "-binary", "-in", b.write(t, "ours", der), "-CAfile", caFile, "-out", b.file("out")}
				if opt.Detached {
					args = append(args, "-content", in)
				}
				b.run(t, args...)
				require.Equal(t, content, b.read(t, "out"), shape)
			}
		})
		sign := func(t *testing.T, args ...string) []byte {
			t.Helper()
			b.run(t, slices.Concat([]string{"cms", "-sign", "-binary", "-in", in, "-signer", certFile, "-inkey", keyFile, "-outform", "DER", "-out", b.file("theirs")}, args)...)
			return b.read(t, "theirs")
		}
		t.Run(name+" theirs, strict", func(t *testing.T) {
			for _, args := range [][]string{{"-nodetach"}, {"-nodetach", "-stream"}, {"-nodetach", "-md", "sha512"}} {
				s, err := cms.VerifyProfile(sign(t, args...), ca.pool, at)
				require.NoError(t, err, args)
				require.Equal(t, content, s.Content, args)
				require.True(t, s.Signer.Equal(cert))
			}
			for _, args := range [][]string{{"-nodetach", "-noattr"}, {"-nodetach", "-md", "sha1"}} {
				_, err := cms.VerifySCEP(sign(t, args...))
				require.ErrorIs(t, err, cms.ErrSignature, args)
			}
			for _, args := range [][]string{{"-nodetach", "-nocerts"}, {"-nodetach", "-keyid"}} {
				_, err := cms.VerifySCEP(sign(t, args...))
				require.ErrorIs(t, err, cms.ErrMalformed, args)
			}
			_, err := cms.VerifyProfile(sign(t), ca.pool, at)
			require.ErrorIs(t, err, cms.ErrMalformed, "detached")
		})
		t.Run(name+" theirs, check-in", func(t *testing.T) {
			for _, args := range [][]string{nil, {"-noattr"}, {"-noattr", "-md", "sha1"}, {"-md", "sha384"}} {
				signer, err := cms.VerifyCheckIn(sign(t, args...), content, ca.pool, at)
				require.NoError(t, err, args)
				require.True(t, signer.Equal(cert))
			}
			for _, args := range [][]string{{"-nodetach"}, {"-stream"}} { // with -stream it attaches
				_, err := cms.VerifyCheckIn(sign(t, args...), content, ca.pool, at)
				require.ErrorIs(t, err, cms.ErrMalformed, args)
			}
		})
		t.Run(name+" theirs, device", func(t *testing.T) {
			for _, args := range [][]string{{"-md", "sha1"}, {"-noattr", "-md", "sha1"}, {"-stream"}, {"-noattr", "-stream"}} {
				s, err := cms.VerifyAppleDevice(sign(t, append(args, "-nodetach")...), ca.cert)
				require.NoError(t, err, args)
				require.Equal(t, content, s.Content, args)
			}
		})
	}
	t.Run("RSA-PSS is refused", func(t *testing.T) { // C19
		key := rsaKey(t)
		cert := issue(t, "signer", key, ca, at.Add(-time.Hour), at.Add(time.Hour))
		b.run(t, "cms", "-sign", "-nodetach", "-in", in, "-signer", b.certificate(t, "pss.pem", cert), "-inkey", b.key(t, "pss.key", key), "-keyopt", "rsa_padding_mode:pss", "-outform", "DER", "-out", b.file("pss"))
		_, err := cms.VerifySCEP(b.read(t, "pss"))
		require.ErrorIs(t, err, cms.ErrSignature)
	})
}

func TestOpenSSLEnveloped(t *testing.T) {
	b, key := newBench(t), rsaKey(t)
	cert := issue(t, "RA", key, nil, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	certFile, keyFile := b.certificate(t, "cert.pem", cert), b.key(t, "key.pem", key)
	content := bytes.Repeat([]byte("0123456789abcdef\n"), 5000)
	in := b.write(t, "content", content)

	der, err := cms.Encrypt(content, cert, rand.Reader)
	require.NoError(t, err)
	b.run(t, "cms", "-decrypt", "-inform", "DER", "-binary", "-in", b.write(t, "ours", der), "-recip", certFile, "-inkey", keyFile, "-out", b.file("out"))
	require.Equal(t, content, b.read(t, "out"))

	for name, c := range map[string]struct {
		args []string
		want error
	}{
		"AES-256":            {[]string{"-aes256"}, nil},
		"AES-128":            {[]string{"-aes128"}, nil},
		"AES-256 BER chunks": {[]string{"-aes256", "-stream"}, nil},
		"AES-192":            {[]string{"-aes192"}, cms.ErrDecrypt},
		"triple DES":         {[]string{"-des3"}, cms.ErrDecrypt},
		"by key id":          {[]string{"-aes256", "-keyid"}, cms.ErrDecrypt},
	} {
		t.Run(name, func(t *testing.T) {
			b.run(t, slices.Concat([]string{"cms", "-encrypt", "-binary", "-in", in, "-outform", "DER", "-out", b.file("theirs")}, c.args, []string{certFile})...)
			for name, key := range map[string]crypto.Decrypter{"key": key, "HSM": hsm{Decrypter: key}} {
				got, err := cms.Decrypt(b.read(t, "theirs"), cert, key)
				require.ErrorIs(t, err, c.want, name)
				if c.want == nil {
					require.Equal(t, content, got, name)
				}
			}
		})
	}
}

func TestOpenSSLDegenerate(t *testing.T) {
	b, ca := newBench(t), newAuthority(t)
	second := issue(t, "RA", rsaKey(t), ca, now, now.AddDate(1, 0, 0))
	der, err := cms.Degenerate(second, ca.cert)
	require.NoError(t, err)
	b.run(t, "pkcs7", "-inform", "DER", "-print_certs", "-in", b.write(t, "ours", der), "-out", b.file("out.pem"))
	got := map[string]bool{}
	for block, rest := pem.Decode(b.read(t, "out.pem")); block != nil; block, rest = pem.Decode(rest) {
		got[string(block.Bytes)] = true
	}
	require.ElementsMatch(t, []string{string(second.Raw), string(ca.cert.Raw)}, slices.Collect(maps.Keys(got)))

	b.run(t, "crl2pkcs7", "-nocrl", "-certfile", b.file("out.pem"), "-outform", "DER", "-out", b.file("theirs"))
	certs, err := cms.ParseDegenerate(b.read(t, "theirs"))
	require.NoError(t, err)
	require.Len(t, certs, 2)
}
