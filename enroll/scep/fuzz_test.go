package scep_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/enroll/scep"
	"github.com/enrollkit/enrollkit/enroll/scep/sceptest"
)

// FuzzCertificateRequest reads what was decrypted, which no fuzzer can encrypt:
// the whole request, and its challenge, which its signature would hide. What is
// accepted is written again and reads the same.
func FuzzCertificateRequest(f *testing.F) {
	signer := must(sceptest.SelfSigned(phoneKey(), pkix.Name{CommonName: "phone"}, now, rand.Reader))
	request := func(challenges ...string) []byte {
		return must(sceptest.CertificateRequest(phoneKey(), phoneKey().Public(), sceptest.RequestOptions{
			Challenges: challenges, Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte{3, 2, 5, 160}}},
		}))
	}
	accepted := request("secret")
	_, challenge, err := scep.ParseCSR(accepted, signer)
	require.NoError(f, err)
	require.Equal(f, "secret", challenge)
	for _, der := range [][]byte{
		accepted, request(), request("two", "of them"), request(""), request(strings.Repeat("a", 257)), request("\xff"),
		must(sceptest.CertificateRequest(secondKey(), secondKey().Public(), sceptest.RequestOptions{Challenges: []string{"secret"}})),
		accepted[:len(accepted)-1], append(accepted[:len(accepted):len(accepted)], 0), {0x30, 0x80}, {},
	} {
		f.Add(der)
		if r, err := x509.ParseCertificateRequest(der); err == nil {
			f.Add(r.RawTBSCertificateRequest)
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, whole, err := scep.ParseCSR(der, signer)
		if err != nil {
			require.Nil(t, key)
			require.Empty(t, whole)
		} else {
			require.True(t, phoneKey().PublicKey.Equal(key), "of another key than the message's")
			_, again, err := scep.ParseCSR(request(whole), signer)
			require.NoError(t, err)
			require.Equal(t, whole, again)
		}
		challenge, err := scep.ChallengeOf(der)
		if err != nil {
			require.Empty(t, challenge)
			return
		}
		require.NotEmpty(t, challenge)
		require.True(t, utf8.ValidString(challenge))
		_, again, err := scep.ParseCSR(request(challenge), signer)
		require.NoError(t, err)
		require.Equal(t, challenge, again)
	})
}
