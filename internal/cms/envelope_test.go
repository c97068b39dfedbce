package cms_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enrollkit/enrollkit/internal/cms"
)

var (
	oidAES256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidAES128 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
)

type recipient struct {
	Version   int
	ID        asn1.RawValue
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
}

type envelope struct {
	Version    int
	Recipients []recipient `asn1:"set"`
	Content    struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Content   asn1.RawValue `asn1:"optional,tag:0"`
	}
}

// open is the envelope that Encrypt makes of content.
func open(t testing.TB, content []byte, to *x509.Certificate) (e envelope) {
	t.Helper()
	der, err := cms.Encrypt(content, to, rand.Reader)
	require.NoError(t, err)
	var o outer
	_, err = asn1.Unmarshal(der, &o)
	require.NoError(t, err)
	require.True(t, o.Type.Equal(oidEnvelop))
	_, err = asn1.Unmarshal(o.Content.Bytes, &e)
	require.NoError(t, err)
	e.Content.Content.FullBytes = nil
	return e
}

func (e envelope) der(t testing.TB) []byte {
	t.Helper()
	return wrap(t, oidEnvelop, marshal(t, e))
}

// seal encrypts plain as it is, padding and all, under a key of its own.
func (e *envelope) seal(t testing.TB, to *x509.Certificate, kind asn1.ObjectIdentifier, key, plain []byte) {
	t.Helper()
	public, ok := to.PublicKey.(*rsa.PublicKey)
	require.True(t, ok)
	var err error
	e.Recipients[0].Key, err = rsa.EncryptPKCS1v15(rand.Reader, public, key) //nolint:staticcheck // what SCEP clients send
	require.NoError(t, err)
	iv := make([]byte, aes.BlockSize)
	e.Content.Algorithm = pkix.AlgorithmIdentifier{Algorithm: kind, Parameters: asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}}
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	e.Content.Content.Bytes = make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(e.Content.Content.Bytes, plain)
}

// hsm hides a decryption key, counts its uses and fails when told to.
type hsm struct {
	crypto.Decrypter
	uses *int
	err  error
}

func (h hsm) Decrypt(r io.Reader, b []byte, opt crypto.DecrypterOpts) ([]byte, error) {
	if h.uses != nil {
		*h.uses++
	}
	if h.err != nil {
		return nil, h.err
	}
	return h.Decrypter.Decrypt(r, b, opt)
}

const tries = 8

// refusedOrNoise: a content key that does not unwrap is replaced by a random
// one, which 1 time in 256 ends in good padding. It is never always, and never
// what was sealed.
func refusedOrNoise(t *testing.T, der []byte, cert *x509.Certificate, key crypto.Decrypter) {
	t.Helper()
	refused := 0
	for range tries {
		plain, err := cms.Decrypt(der, cert, key)
		if err != nil {
			require.Equal(t, cms.ErrDecrypt, err)
			require.Nil(t, plain)
			refused++
			continue
		}
		require.NotContains(t, string(plain), "secret")
		require.NotEqual(t, make([]byte, 15), plain, "what was sealed")
	}
	require.NotZero(t, refused)
}

func TestC4C5C6C7OneDecryptFailure(t *testing.T) {
	key := rsaKey(t)
	cert := issue(t, "RA", key, nil, now, now.AddDate(1, 0, 0))
	k16, k32 := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 32)
	block := func(pad byte) []byte { return append(make([]byte, 15), pad) }
	sealed := func(kind asn1.ObjectIdentifier, key, plain []byte) func(*envelope) {
		return func(e *envelope) { e.seal(t, cert, kind, key, plain) }
	}
	noise := map[string]bool{"C7 key of 16 for AES-256": true, "C7 key of 32 for AES-128": true, "C7 wrapped key is garbage": true}
	cases := map[string]func(*envelope){
		"C4 ciphertext of 5 bytes":  func(e *envelope) { e.Content.Content.Bytes = []byte{1, 2, 3, 4, 5} },
		"C4 no ciphertext":          func(e *envelope) { e.Content.Content = asn1.RawValue{} },
		"C4 empty ciphertext":       func(e *envelope) { e.Content.Content.Bytes = nil },
		"C5 plaintext ends in 0xff": sealed(oidAES256, k32, block(0xff)),
		"C5 pad of 17":              sealed(oidAES256, k32, append(make([]byte, 15), bytes.Repeat([]byte{17}, 17)...)),
		"C6 pad of 0":               sealed(oidAES256, k32, block(0)),
		"C6 pad bytes differ":       sealed(oidAES256, k32, block(2)),
		"C7 key of 16 for AES-256":  sealed(oidAES256, k16, block(1)),
		"C7 key of 32 for AES-128":  sealed(oidAES128, k32, block(1)),
		"C7 wrapped key is garbage": func(e *envelope) {
			e.Recipients[0].Key = bytes.Repeat([]byte{3}, 256)
			e.Content.Content.Bytes = make([]byte, 1<<14)
		},
		"C7 wrapped key is short":   func(e *envelope) { e.Recipients[0].Key = []byte{3} },
		"C7 wrapped key is too big": func(e *envelope) { e.Recipients[0].Key = bytes.Repeat([]byte{0xff}, 256) },
		"C7 other recipient":        func(e *envelope) { e.Recipients[0].ID.FullBytes = marshal(t, struct{ A, B int }{1, 2}) },
		"C7 no recipient":           func(e *envelope) { e.Recipients = []recipient{} },
		"C7 RSA-OAEP": func(e *envelope) {
			e.Recipients[0].Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
		},
		"C7 DES-CBC":               func(e *envelope) { e.Content.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7} },
		"C7 triple DES":            func(e *envelope) { e.Content.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7} },
		"C7 RC2":                   func(e *envelope) { e.Content.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 2} },
		"C7 IV of 15 bytes":        func(e *envelope) { e.Content.Algorithm.Parameters = asn1.RawValue{Tag: 4, Bytes: make([]byte, 15)} },
		"C7 no IV":                 func(e *envelope) { e.Content.Algorithm.Parameters = asn1.RawValue{Tag: 5} },
		"C7 chunk of another type": func(e *envelope) { e.Content.Content.IsCompound, e.Content.Content.Bytes = true, []byte{2, 1, 1} },
		"C7 structure of nothing":  nil,
	}
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			der := []byte{0x30, 0}
			if edit != nil {
				e := open(t, []byte("secret"), cert)
				edit(&e)
				der = e.der(t)
			}
			uses := 0
			for kind, key := range map[string]crypto.Decrypter{"key": key, "HSM": hsm{key, &uses, nil}} {
				if noise[name] {
					refusedOrNoise(t, der, cert, key)
					continue
				}
				plain, err := cms.Decrypt(der, cert, key)
				require.Equal(t, cms.ErrDecrypt, err, kind)
				require.Nil(t, plain, kind)
			}
			want := 1
			if noise[name] {
				want = tries
			}
			require.Equal(t, want, uses, "each failure costs the same private-key operation")
		})
	}
	t.Run("C7 HSM that fails", func(t *testing.T) {
		e := open(t, []byte("secret"), cert)
		refusedOrNoise(t, e.der(t), cert, hsm{key, nil, errors.New("offline")})
	})
	t.Run("controls", func(t *testing.T) {
		e := open(t, nil, cert)
		for kind, secret := range map[string][]byte{oidAES128.String(): k16, oidAES256.String(): k32} {
			oid := oidAES128
			if kind == oidAES256.String() {
				oid = oidAES256
			}
			e.seal(t, cert, oid, secret, append([]byte("fifteen bytes.."), 1))
			for _, key := range []crypto.Decrypter{key, hsm{Decrypter: key}} {
				plain, err := cms.Decrypt(e.der(t), cert, key)
				require.NoError(t, err)
				require.Equal(t, "fifteen bytes..", string(plain))
			}
		}
		_, err := cms.Decrypt(e.der(t), issue(t, "ec", newAuthority(t).key, nil, now, now), key)
		require.Equal(t, cms.ErrDecrypt, err, "a certificate without an RSA key")
	})
}

func TestC17EncryptIsAES256ForRSA(t *testing.T) {
	key := rsaKey(t)
	e := open(t, []byte("x"), issue(t, "RA", key, nil, now, now))
	require.True(t, e.Content.Algorithm.Algorithm.Equal(oidAES256))
	require.Len(t, e.Recipients, 1)
	for name, cert := range map[string]*x509.Certificate{
		"EC":        issue(t, "ec", newAuthority(t).key, nil, now, now),
		"RSA-65536": oddCertificate(t, newAuthority(t), hugeKey()),
	} {
		_, err := cms.Encrypt([]byte("x"), cert, rand.Reader)
		require.Error(t, err, name)
	}
}
