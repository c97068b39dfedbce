package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
)

// fuzzIdentity is the same in each of the fuzzer's worker processes, else no
// seed would be for the key that they have.
func fuzzIdentity(f *testing.F) (*x509.Certificate, *rsa.PrivateKey) {
	f.Helper()
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		block, _ := pem.Decode(b)
		require.NotNil(f, block)
		return block.Bytes
	}
	cert, err := x509.ParseCertificate(read("ra.crt"))
	require.NoError(f, err)
	parsed, err := x509.ParsePKCS8PrivateKey(read("ra.key"))
	require.NoError(f, err)
	key, ok := parsed.(*rsa.PrivateKey)
	require.True(f, ok)
	return cert, key
}

// seed adds the small hostile files and one message of each shape that we write;
// a large seed would leave the fuzzer minimizing all the time.
func seed(f *testing.F, cert *x509.Certificate, key *rsa.PrivateKey) {
	f.Helper()
	files, err := filepath.Glob("testdata/hostile/*.der")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(b)
	}
	for _, opt := range []cms.SignOptions{{}, {BER: true}, {Detached: true, NoAttributes: true, BER: true, Digest: crypto.SHA1}} {
		der, err := cms.Sign([]byte("x"), key, []*x509.Certificate{cert}, opt)
		require.NoError(f, err)
		f.Add(der)
	}
	degenerate, err := cms.Degenerate(cert)
	require.NoError(f, err)
	f.Add(degenerate)
	e := open(f, []byte("x"), cert)
	f.Add(e.der(f))
	e.Content.Content.IsCompound, e.Content.Content.Bytes = true, append([]byte{4, 16}, e.Content.Content.Bytes...)
	f.Add(e.der(f))
	for _, b := range [][]byte{{}, {0x30, 0x80}, {0x30, 0x80, 0, 0}, {0x1f, 0x80}, {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0x30, 0x80}, 40)} {
		f.Add(b)
	}
}

// FuzzCheck: what Check accepts is read by everything without a panic and
// without delay, and rewritten as DER that stays as it is; what it refuses is
// refused by everything.
func FuzzCheck(f *testing.F) {
	cert, key := fuzzIdentity(f)
	seed(f, cert, key)
	readers := everyReader(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		checked := cms.Check(b, cms.MaxBytes)
		start := time.Now()
		for i, read := range readers {
			if err := read(b); checked != nil && !errors.Is(err, checked) && err.Error() != checked.Error() {
				t.Fatalf("reader %d answers %v to what Check refuses with %v", i, err, checked)
			}
		}
		if took := time.Since(start); took > time.Minute {
			t.Fatalf("%d bytes took %v", len(b), took)
		}
		if checked != nil {
			return
		}
		der, err := cms.ToDER(b)
		if err != nil {
			require.Nil(t, der)
			return
		}
		require.LessOrEqual(t, len(der), len(b))
		require.NoError(t, cms.Check(der, len(der)))
		again, err := cms.ToDER(der)
		require.NoError(t, err)
		require.Equal(t, der, again)
	})
}

// FuzzDecrypt: a failure is Check's or ErrDecrypt itself and gives nothing
// away; what is opened is, closed again, opened to the same.
func FuzzDecrypt(f *testing.F) {
	cert, key := fuzzIdentity(f)
	seed(f, cert, key)
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := cms.Decrypt(b, cert, key)
		if checked := cms.Check(b, cms.MaxBytes); checked != nil {
			require.EqualError(t, err, checked.Error())
			return
		}
		if err != nil {
			require.Equal(t, cms.ErrDecrypt, err)
			require.Nil(t, plain)
			return
		}
		closed, err := cms.Encrypt(plain, cert, rand.Reader)
		require.NoError(t, err)
		again, err := cms.Decrypt(closed, cert, key)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, again))
	})
}

// FuzzVerify: a message that verifies has one signer among its certificates, and
// its content, signed again, verifies as the same.
func FuzzVerify(f *testing.F) {
	cert, key := fuzzIdentity(f)
	seed(f, cert, key)
	accepted, err := cms.Sign([]byte("<plist/>"), key, []*x509.Certificate{cert}, cms.SignOptions{})
	require.NoError(f, err)
	_, err = cms.VerifySCEP(accepted)
	require.NoError(f, err)
	f.Add(accepted)
	f.Fuzz(func(t *testing.T, b []byte) {
		strict, err := cms.VerifySCEP(b)
		if err != nil {
			require.Nil(t, strict)
		}
		signed, anyErr := cms.VerifyAnySigner(b)
		if anyErr != nil {
			require.Nil(t, signed)
			return
		}
		if err == nil {
			require.Equal(t, strict.Content, signed.Content, "the same message, of another content")
		}
		require.LessOrEqual(t, len(signed.Certificates), cms.MaxCertificates)
		require.True(t, slices.ContainsFunc(signed.Certificates, signed.Signer.Equal))
		again, err := cms.Sign(signed.Content, key, []*x509.Certificate{cert}, cms.SignOptions{})
		require.NoError(t, err)
		second, err := cms.VerifySCEP(again)
		require.NoError(t, err)
		require.True(t, bytes.Equal(signed.Content, second.Content))
		require.True(t, second.Signer.Equal(cert))
	})
}
