package ca_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/ca"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func newCA(t *testing.T, lifetime time.Duration) (*ca.CA, *x509.CertPool) {
	t.Helper()
	cert, key, err := ca.NewRoot("Devices", 24*time.Hour*3650, now, rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: cert, Key: key, Lifetime: lifetime, Now: clock})
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return authority, pool
}

func TestIssue(t *testing.T) {
	authority, pool := newCA(t, 0)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	cert, err := authority.Issue(t.Context(), key.Public())
	require.NoError(t, err)
	again, err := authority.Issue(t.Context(), key.Public())
	require.NoError(t, err)

	_, err = cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)
	require.Equal(t, "CN="+cert.Subject.CommonName, cert.Subject.String(), "nothing but a random name")
	require.Len(t, cert.Subject.CommonName, 32)
	require.NotEqual(t, cert.Subject.CommonName, again.Subject.CommonName)
	require.NotEqual(t, cert.SerialNumber, again.SerialNumber)
	require.False(t, cert.IsCA)
	require.Equal(t, now.Add(365*24*time.Hour), cert.NotAfter)
}

func TestNoCertificateOutlivesTheAuthority(t *testing.T) {
	authority, _ := newCA(t, 24*time.Hour*36500)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert, err := authority.Issue(t.Context(), key.Public())
	require.NoError(t, err)
	require.Equal(t, authority.Chain()[0].NotAfter, cert.NotAfter)
}

func TestNewRefuses(t *testing.T) {
	cert, key, err := ca.NewRoot("A", time.Hour, now, rand.Reader)
	require.NoError(t, err)
	_, other, err := ca.NewRoot("B", time.Hour, now, rand.Reader)
	require.NoError(t, err)
	authority, err := ca.New(ca.Config{Certificate: cert, Key: key, Now: clock})
	require.NoError(t, err)
	leaf, err := authority.IssueSigning(other.Public(), "leaf", time.Hour)
	require.NoError(t, err)
	for name, cfg := range map[string]ca.Config{
		"nothing":     {},
		"another key": {Certificate: cert, Key: other},
		"no CA":       {Certificate: leaf, Key: other},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ca.New(cfg)
			require.ErrorIs(t, err, ca.ErrUnusable)
		})
	}
	expired, err := ca.New(ca.Config{Certificate: cert, Key: key, Now: func() time.Time { return now.Add(2 * time.Hour) }})
	require.NoError(t, err)
	_, err = expired.Issue(t.Context(), other.Public())
	require.ErrorIs(t, err, ca.ErrUnusable)
}

func TestSigningCertificateHasNoExtendedKeyUsage(t *testing.T) {
	authority, _ := newCA(t, 0)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert, err := authority.IssueSigning(key.Public(), "Profiles", time.Hour)
	require.NoError(t, err)
	require.Empty(t, cert.ExtKeyUsage)
	require.Equal(t, x509.KeyUsageDigitalSignature, cert.KeyUsage)
}

func TestIssueTLS(t *testing.T) {
	authority, pool := newCA(t, 0)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert, err := authority.IssueTLS(key.Public(), []string{"localhost", "127.0.0.1", "::1"}, time.Hour)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		_, err = cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, DNSName: host})
		require.NoError(t, err, host)
	}
	_, err = authority.IssueTLS(key.Public(), nil, time.Hour)
	require.Error(t, err)
}

func TestLoadOrCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	made := 0
	create := func() (*x509.Certificate, crypto.Signer, error) {
		made++
		return ca.NewRoot("A", time.Hour, now, rand.Reader)
	}
	first, key, err := ca.LoadOrCreate(dir, "ca", create)
	require.NoError(t, err)
	again, sameKey, err := ca.LoadOrCreate(dir, "ca", create)
	require.NoError(t, err)
	require.Equal(t, 1, made)
	require.True(t, first.Equal(again))
	require.Equal(t, key.Public(), sameKey.Public())
	for file, mode := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "ca.key": 0o600} {
		info, err := os.Stat(filepath.Join(dir, file))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}

	_, _, err = ca.LoadOrCreate(dir, "other", func() (*x509.Certificate, crypto.Signer, error) { return nil, nil, errors.New("no") })
	require.Error(t, err)
	require.NoFileExists(t, filepath.Join(dir, "other.key"))

	second, _, err := ca.LoadOrCreate(dir, "second", create)
	require.NoError(t, err)
	require.False(t, second.Equal(first))
	require.NoError(t, os.Rename(filepath.Join(dir, "second.key"), filepath.Join(dir, "ca.key")))
	_, _, err = ca.LoadOrCreate(dir, "ca", create)
	require.ErrorIs(t, err, ca.ErrUnusable, "a key of another certificate")
}

func ExampleNew() {
	cert, key, err := ca.NewRoot("Example device identities", 10*365*24*time.Hour, time.Now(), rand.Reader)
	if err != nil {
		panic(err)
	}
	authority, err := ca.New(ca.Config{Certificate: cert, Key: key})
	if err != nil {
		panic(err)
	}
	fmt.Println(authority.Chain()[0].Subject)
	// Output: CN=Example device identities
}
