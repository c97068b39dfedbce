package profile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/plist"
	"github.com/enrollkit/enrollkit/profile"
)

func config() profile.EnrollmentConfig {
	return profile.EnrollmentConfig{
		Organization: "Example Inc.", Identifier: "com.example.enroll",
		DisplayName: "Example work profile", Description: "Work apps and accounts",
		ServerURL: "https://mdm.example.com/mdm/connect", CheckInURL: "https://mdm.example.com/mdm/checkin",
		Topic: "com.apple.mgmt.External.1", ManagedAppleID: "alice@example.com",
		SCEP: &profile.SCEPContent{URL: "https://mdm.example.com/scep", Name: "Example", Challenge: "secret"},
	}
}

func read(t *testing.T, cfg profile.EnrollmentConfig) (top map[string]any, payloads []map[string]any) {
	t.Helper()
	p, err := profile.UserEnrollment(cfg)
	require.NoError(t, err)
	b, err := p.Marshal()
	require.NoError(t, err)
	require.NoError(t, plist.Unmarshal(b, plist.Limits{}, &top))
	for _, item := range top["PayloadContent"].([]any) {
		payloads = append(payloads, item.(map[string]any))
	}
	return top, payloads
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

var four = []string{"PayloadIdentifier", "PayloadType", "PayloadUUID", "PayloadVersion"}

func sorted(a ...string) []string {
	return slices.Sorted(slices.Values(append(slices.Clone(four), a...)))
}

func selfSigned(t *testing.T, from, to time.Time, usage x509.KeyUsage) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotBefore: from, NotAfter: to, KeyUsage: usage, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return key, cert
}

func TestUserEnrollmentHasExactlyTheseKeys(t *testing.T) {
	cfg := config()
	_, root := selfSigned(t, time.Now(), time.Now().Add(time.Hour), x509.KeyUsageCertSign)
	cfg.Roots = [][]byte{root.Raw}
	top, payloads := read(t, cfg)
	require.Equal(t, sorted("PayloadContent", "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"), keys(top))
	require.Len(t, payloads, 3)
	byType := map[any]map[string]any{}
	for _, p := range payloads {
		byType[p["PayloadType"]] = p
	}
	mdm := byType["com.apple.mdm"]
	require.Equal(t, sorted("PayloadDisplayName", "CheckInURL", "CheckOutWhenRemoved", "IdentityCertificateUUID", "ManagedAppleID", "ServerURL", "SignMessage", "Topic"), keys(mdm))
	require.Equal(t, byType["com.apple.security.scep"]["PayloadUUID"], mdm["IdentityCertificateUUID"])
	require.Equal(t, sorted("PayloadContent"), keys(byType["com.apple.security.scep"]))
	require.Equal(t, sorted("PayloadContent"), keys(byType["com.apple.security.root"]))
	scep := byType["com.apple.security.scep"]["PayloadContent"].(map[string]any)
	require.Equal(t, map[string]any{
		"URL": "https://mdm.example.com/scep", "Name": "Example", "Challenge": "secret",
		"Keysize": uint64(2048), "Key Type": "RSA", "Key Usage": uint64(5),
	}, scep)
	uuids := map[any]bool{top["PayloadUUID"]: true}
	for _, p := range payloads {
		uuids[p["PayloadUUID"]] = true
	}
	require.Len(t, uuids, 4, "UUIDs are unique")
}

func TestIdentifiersAreStableAndFreeOfThePerson(t *testing.T) {
	a, aPayloads := read(t, config())
	other := config()
	other.ManagedAppleID, other.SCEP.Challenge = "bob@example.com", "another"
	b, bPayloads := read(t, other)
	require.Equal(t, a["PayloadUUID"], b["PayloadUUID"])
	for i := range aPayloads {
		for _, k := range []string{"PayloadUUID", "PayloadIdentifier", "ServerURL", "CheckInURL", "Topic"} {
			require.Equal(t, aPayloads[i][k], bPayloads[i][k])
		}
	}
	encoded := fmt.Sprint(a["PayloadIdentifier"], aPayloads[0]["PayloadIdentifier"])
	require.NotContains(t, encoded, "alice")
}

func TestUserEnrollmentRefuses(t *testing.T) {
	_, err := profile.UserEnrollment(profile.EnrollmentConfig{TargetOS: 18})
	require.ErrorIs(t, err, profile.ErrProfileDrivenRemoved)

	for name, c := range map[string]struct {
		path   string
		change func(*profile.EnrollmentConfig)
	}{
		"plain http":        {"com.apple.mdm.ServerURL", func(c *profile.EnrollmentConfig) { c.ServerURL = "http://mdm.example.com/" }},
		"a query":           {"com.apple.mdm.CheckInURL", func(c *profile.EnrollmentConfig) { c.CheckInURL += "?user=alice" }},
		"foreign topic":     {"com.apple.mdm.Topic", func(c *profile.EnrollmentConfig) { c.Topic = "com.example" }},
		"control character": {"PayloadOrganization", func(c *profile.EnrollmentConfig) { c.Organization = "a\x01" }},
		"non-character":     {"PayloadOrganization", func(c *profile.EnrollmentConfig) { c.Organization = "a\ufffe" }},
		"a megabyte":        {"PayloadDescription", func(c *profile.EnrollmentConfig) { c.Description = strings.Repeat("x", 1<<20) }},
		"no account":        {"com.apple.mdm.ManagedAppleID", func(c *profile.EnrollmentConfig) { c.ManagedAppleID = "" }},
		"no challenge":      {"com.apple.security.scep.PayloadContent.Challenge", func(c *profile.EnrollmentConfig) { c.SCEP.Challenge = "" }},
		"a short key":       {"com.apple.security.scep.PayloadContent.Keysize", func(c *profile.EnrollmentConfig) { c.SCEP.Keysize = 1024 }},
		"no identity":       {"identity", func(c *profile.EnrollmentConfig) { c.SCEP = nil }},
		"bad identifier":    {"PayloadIdentifier", func(c *profile.EnrollmentConfig) { c.Identifier = "a b" }},
		"bad root":          {"com.apple.security.root[0]", func(c *profile.EnrollmentConfig) { c.Roots = [][]byte{{1}} }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			c.change(&cfg)
			p, err := profile.UserEnrollment(cfg)
			require.Nil(t, p)
			var paths []string
			for v := range profile.Violations(fmt.Errorf("setting up: %w", err)) {
				paths = append(paths, v.Path)
			}
			require.Equal(t, []string{c.path}, paths)
		})
	}
}

func TestOrganizationIsEscaped(t *testing.T) {
	cfg := config()
	cfg.Organization = `A ]]> <B> & "C"`
	top, _ := read(t, cfg)
	require.Equal(t, cfg.Organization, top["PayloadOrganization"])
}

func TestSigner(t *testing.T) {
	now := time.Now()
	key, cert := selfSigned(t, now.Add(-time.Hour), now.Add(time.Hour), x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign)
	signer, err := profile.NewSigner(key, []*x509.Certificate{cert})
	require.NoError(t, err)
	require.NoError(t, signer.Ready())
	signed, err := signer.Sign([]byte("profile"))
	require.NoError(t, err)

	t.Run("OpenSSL accepts it with its default purpose", func(t *testing.T) {
		path, err := exec.LookPath("openssl")
		if err != nil && os.Getenv("CI") != "true" {
			t.Skip("SKIPPED: openssl is missing")
		}
		require.NoError(t, err)
		dir := t.TempDir()
		in, ca, out := filepath.Join(dir, "in"), filepath.Join(dir, "ca"), filepath.Join(dir, "out")
		require.NoError(t, os.WriteFile(in, signed, 0o600))
		require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600))
		msg, err := exec.CommandContext(t.Context(), path, "cms", "-verify", "-inform", "DER", "-binary", "-in", in, "-CAfile", ca, "-out", out).CombinedOutput()
		require.NoError(t, err, "%s", msg)
		content, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, "profile", string(content))
	})
	t.Run("expired", func(t *testing.T) {
		late := *signer
		late.Now = func() time.Time { return now.Add(2 * time.Hour) }
		require.ErrorIs(t, late.Ready(), profile.ErrSigningCertificate)
		b, err := late.Sign([]byte("profile"))
		require.ErrorIs(t, err, profile.ErrSigningCertificate)
		require.Nil(t, b)
	})
	t.Run("another key", func(t *testing.T) {
		other, _ := selfSigned(t, now, now.Add(time.Hour), x509.KeyUsageDigitalSignature)
		_, err := profile.NewSigner(other, []*x509.Certificate{cert})
		require.ErrorIs(t, err, profile.ErrSigningCertificate)
	})
	t.Run("another usage", func(t *testing.T) {
		k, c := selfSigned(t, now, now.Add(time.Hour), x509.KeyUsageCertSign)
		_, err := profile.NewSigner(k, []*x509.Certificate{c})
		require.ErrorIs(t, err, profile.ErrSigningCertificate)
	})
}
