package push_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/push"
	"github.com/enrollkit/enrollkit/push/pushtest"
)

func TestCertificate(t *testing.T) {
	apns := pushtest.New(t, func(c *pushtest.Config) { c.Topic = "com.apple.mgmt.External.abc-1" })
	end := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	certPEM, keyPEM, err := apns.Issue(apns.Topic(), end.AddDate(-1, 0, 0), end)
	require.NoError(t, err)

	dir := t.TempDir()
	certFile, keyFile, both := filepath.Join(dir, "push.pem"), filepath.Join(dir, "push.key"), filepath.Join(dir, "both.pem")
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	require.NoError(t, os.WriteFile(both, append(bytes.Clone(keyPEM), certPEM...), 0o600))
	for _, files := range [][2]string{{certFile, keyFile}, {both, both}} {
		c, err := push.LoadCertificate(files[0], files[1])
		require.NoError(t, err)
		require.Equal(t, "com.apple.mgmt.External.abc-1", c.Topic())
		require.Equal(t, end, c.NotAfter())
		for now, days := range map[time.Time]int{
			end.AddDate(0, 0, -30):               30,
			end.AddDate(0, 0, -30).Add(1):        29,
			end.Add(-time.Minute):                0,
			end:                                  0,
			end.Add(time.Minute):                 -1,
			end.AddDate(0, 0, 7).Add(time.Hour):  -8,
			end.AddDate(0, 0, -7).Add(time.Hour): 6,
		} {
			require.Equal(t, days, c.DaysLeft(now), now)
		}
	}
}

func TestCertificateRefused(t *testing.T) {
	apns := pushtest.New(t)
	good, key := apns.PushCertificate()
	_, otherKey := issue(t, apns, apns.Topic())
	uid := func(values ...any) (names []pkix.AttributeTypeAndValue) {
		for _, v := range values {
			names = append(names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: v})
		}
		return names
	}
	for name, c := range map[string]struct {
		pair func() ([]byte, []byte)
		want string
	}{
		"nothing":               {func() ([]byte, []byte) { return nil, nil }, "PEM"},
		"no key":                {func() ([]byte, []byte) { return good, good }, "PEM"},
		"key of another":        {func() ([]byte, []byte) { return good, otherKey }, "match"},
		"not a certificate":     {func() ([]byte, []byte) { return key, key }, "switched"},
		"no user ID":            {func() ([]byte, []byte) { return selfSigned(t, nil) }, "no user ID"},
		"an app's":              {func() ([]byte, []byte) { return selfSigned(t, uid("com.example.app")) }, "not one for MDM"},
		"prefix only":           {func() ([]byte, []byte) { return selfSigned(t, uid("com.apple.mgmt.")) }, "not one for MDM"},
		"a header in the topic": {func() ([]byte, []byte) { return selfSigned(t, uid("com.apple.mgmt.a\r\nb: c")) }, "not one for MDM"},
		"not a string":          {func() ([]byte, []byte) { return selfSigned(t, uid(7)) }, "invalid attribute value"},
		"two topics":            {func() ([]byte, []byte) { return selfSigned(t, uid("com.apple.mgmt.a", "com.apple.mgmt.b")) }, "several"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := push.ParseCertificate(c.pair())
			require.ErrorIs(t, err, push.ErrCertificate)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, got)
		})
	}
	t.Run("no file", func(t *testing.T) {
		_, err := push.LoadCertificate(filepath.Join(t.TempDir(), "push.pem"), "push.key")
		require.ErrorIs(t, err, push.ErrCertificate)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
	t.Run("a file that is too large", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "push.pem")
		require.NoError(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
		_, err := push.LoadCertificate(file, file)
		require.ErrorIs(t, err, push.ErrCertificate)
		require.ErrorContains(t, err, file)
	})
}

// selfSigned makes a certificate with these names in its subject.
func selfSigned(t *testing.T, names []pkix.AttributeTypeAndValue) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x", ExtraNames: names}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func TestCheckRenewal(t *testing.T) {
	apns := pushtest.New(t)
	former := certificate(t, apns)
	for topic, ok := range map[string]bool{
		apns.Topic():                    true,
		"com.apple.mgmt.External.other": false,
		apns.Topic() + "x":              false,
	} {
		next, err := push.ParseCertificate(issue(t, apns, topic))
		require.NoError(t, err)
		err = former.CheckRenewal(next)
		refused, is := errors.AsType[*push.TopicError](err)
		require.Equal(t, ok, !is, "%s: %v", topic, err)
		if is {
			require.Equal(t, &push.TopicError{Certificate: topic, Enrolled: apns.Topic()}, refused)
			require.ErrorContains(t, err, "renew the certificate")
		}
	}
}
