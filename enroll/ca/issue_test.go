package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
)

func TestIssueFromOurTemplateOnly(t *testing.T) {
	authority, _ := newCA(t, 0)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	cert, err := authority.Issue(t.Context(), key.Public())
	require.NoError(t, err)
	require.Equal(t, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, cert.KeyUsage)
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, cert.ExtKeyUsage)
	require.True(t, cert.BasicConstraintsValid)
	require.Equal(t, now.Add(-5*time.Minute), cert.NotBefore)
	require.Equal(t, authority.Chain()[0].SubjectKeyId, cert.AuthorityKeyId)
	require.Len(t, cert.SubjectKeyId, 20)
	require.Len(t, cert.Extensions, 5, "key usage, extended key usage, basic constraints, both key identifiers")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = authority.Issue(cancelled, key.Public())
	require.ErrorIs(t, err, context.Canceled)
}

func TestIssueRefusesKeys(t *testing.T) {
	authority, _ := newCA(t, 0)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	modulus := func(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(bits-1), 1) }
	for name, pub := range map[string]crypto.PublicKey{
		"nothing":         nil,
		"RSA-1024":        &rsa.PublicKey{N: modulus(1024), E: 65537},
		"RSA-65536":       &rsa.PublicKey{N: modulus(65536), E: 65537},
		"RSA with e=1":    &rsa.PublicKey{N: modulus(2048), E: 1},
		"RSA with even e": &rsa.PublicKey{N: modulus(2048), E: 65538},
		"P-224":           p224.Public(),
		"Ed25519":         ed,
	} {
		_, err := authority.Issue(t.Context(), pub)
		require.ErrorIs(t, err, ca.ErrKey, name)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = authority.IssueRA(p256.Public(), "RA", time.Hour)
	require.ErrorIs(t, err, ca.ErrKey)
}

// A crash between the key and the certificate leaves a key that is nobody's.
func TestLoadOrCreateBeginsAnewAfterAnInterruption(t *testing.T) {
	dir := t.TempDir()
	create := func() (*x509.Certificate, crypto.Signer, error) {
		return ca.NewRoot("A", time.Hour, now, rand.Reader)
	}
	first, _, err := ca.LoadOrCreate(dir, "ca", create)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "ca.pem")))
	second, key, err := ca.LoadOrCreate(dir, "ca", create)
	require.NoError(t, err)
	require.False(t, first.Equal(second))
	require.Equal(t, second.PublicKey, key.Public())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 2, "no temporary file stays")

	require.NoError(t, os.Remove(filepath.Join(dir, "ca.key")))
	_, _, err = ca.LoadOrCreate(dir, "ca", create)
	require.ErrorIs(t, err, ca.ErrUnusable, "a certificate without its key")
	for _, name := range []string{"", "..", "../ca", ".ca"} {
		_, _, err = ca.LoadOrCreate(dir, name, create)
		require.Error(t, err, name)
	}
}

func TestOpenSSLVerifies(t *testing.T) {
	path, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is missing")
		}
		t.Skip("SKIPPED: openssl is missing")
	}
	root, key, err := ca.NewRoot("Root", time.Hour, time.Now(), rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: key})
	require.NoError(t, err)
	device, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name string, c *x509.Certificate) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600))
		return file
	}
	identity, err := authority.Issue(t.Context(), device.Public())
	require.NoError(t, err)
	ra, err := authority.IssueRA(device.Public(), "RA", time.Hour)
	require.NoError(t, err)
	tls, err := authority.IssueTLS(device.Public(), []string{"localhost"}, time.Hour)
	require.NoError(t, err)
	signing, err := authority.IssueSigning(device.Public(), "Profiles", time.Hour)
	require.NoError(t, err)
	for purpose, cert := range map[string]*x509.Certificate{"sslclient": identity, "sslserver": tls, "smimesign": signing, "any": ra} {
		out, err := exec.CommandContext(t.Context(), path, "verify", "-x509_strict", "-purpose", purpose, "-CAfile", write("ca.pem", root), write("leaf.pem", cert)).CombinedOutput()
		require.NoError(t, err, "%s: %s", purpose, out)
	}
}

func BenchmarkIssue(b *testing.B) {
	root, key, err := ca.NewRoot("Root", time.Hour, now, rand.Reader)
	require.NoError(b, err)
	authority, err := ca.New(ca.Config{Certificate: root, Key: key, Now: clock})
	require.NoError(b, err)
	for b.Loop() {
		if _, err := authority.Issue(b.Context(), key.Public()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSignature is the floor of BenchmarkIssue.
func BenchmarkSignature(b *testing.B) {
	_, key, err := ca.NewRoot("Root", time.Hour, now, rand.Reader)
	require.NoError(b, err)
	for b.Loop() {
		if _, err := key.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
