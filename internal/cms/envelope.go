package cms

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
)

type recipientInfo struct {
	Version      int
	Recipient    issuerAndSerial
	KeyAlgorithm pkix.AlgorithmIdentifier
	EncryptedKey []byte
}

type encryptedContent struct {
	Type      asn1.ObjectIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Content   asn1.RawValue
}

type envelopedData struct {
	Version    int
	Recipients []recipientInfo `asn1:"set"`
	Content    encryptedContent
}

// Encrypt makes an EnvelopedData message for one recipient with an RSA key:
// AES-256 in CBC mode, the key wrapped by RSA PKCS #1 v1.5, which is what
// iOS's SCEP client reads. random is for key and IV; nil is crypto/rand.
func Encrypt(content []byte, to *x509.Certificate, random io.Reader) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok || !acceptable(public) {
		return nil, fmt.Errorf("cms: recipient has a key of type %T, not RSA of 1024 to 4096 bits", to.PublicKey)
	}
	if random == nil {
		random = rand.Reader
	}
	secret := make([]byte, 32+aes.BlockSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, fmt.Errorf("cms: randomness: %w", err)
	}
	key, iv := secret[:32], secret[32:]
	wrapped, err := rsa.EncryptPKCS1v15(random, public, key) //nolint:staticcheck // iOS's SCEP client reads nothing newer
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(content)%aes.BlockSize
	padded := append(bytes.Clone(content), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	serial, err := asn1.Marshal(to.SerialNumber)
	if err != nil {
		return nil, err
	}
	data, err := asn1.Marshal(envelopedData{
		Recipients: []recipientInfo{{
			Recipient:    issuerAndSerial{asn1.RawValue{FullBytes: to.RawIssuer}, asn1.RawValue{FullBytes: serial}},
			KeyAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.RawValue{FullBytes: []byte{5, 0}}},
			EncryptedKey: wrapped,
		}},
		Content: encryptedContent{
			Type:      oidData,
			Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: encode(0x04, iv)}},
			Content:   asn1.RawValue{FullBytes: encode(0x80, padded)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	kind, err := asn1.Marshal(oidEnvelopedData)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	return encode(0x30, append(kind, encode(0xa0, data)...)), nil
}

// An envelope is what Decrypt works on.
type envelope struct {
	wrapped    []byte // the content key, as long as the RSA modulus
	keySize    int
	iv         []byte
	ciphertext []byte // whole blocks, at least one
}

// Decrypt opens an EnvelopedData message for cert with its RSA key, in DER or
// BER: AES-128 or AES-256 in CBC mode only. What Check refuses is its error;
// everything else, an HSM's own failure included, is the one ErrDecrypt after
// the same private-key operation, so that neither the error nor the time tells
// what was wrong (Bleichenbacher's and padding oracles).
//
// A content key that does not unwrap is replaced by a random one, which by
// chance (1 in 256) ends in good padding: the result is then noise and no error.
// That must stay so, since telling would be the oracle. Callers parse the result
// and answer a failure to parse exactly as ErrDecrypt.
func Decrypt(der []byte, cert *x509.Certificate, key crypto.Decrypter) ([]byte, error) {
	if err := Check(der, MaxBytes); err != nil {
		return nil, err
	}
	public, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || !acceptable(public) {
		return nil, ErrDecrypt // not for this message's sake
	}
	e, ok := openEnvelope(der, cert, public)
	if !ok {
		decoy := make([]byte, public.Size())
		decoy[len(decoy)-1] = 2
		e = envelope{wrapped: decoy, keySize: 32, iv: make([]byte, aes.BlockSize), ciphertext: make([]byte, aes.BlockSize)}
	}
	secret, err := unwrap(e, key)
	if err != nil {
		return nil, ErrDecrypt
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, ErrDecrypt
	}
	plain := make([]byte, len(e.ciphertext))
	cipher.NewCBCDecrypter(block, e.iv).CryptBlocks(plain, e.ciphertext)
	plain, padded := unpad(plain)
	if !ok || !padded {
		return nil, ErrDecrypt
	}
	return plain, nil
}

// openEnvelope finds what there is to decrypt for cert. All that it looks at is
// public.
func openEnvelope(message []byte, cert *x509.Certificate, public *rsa.PublicKey) (e envelope, ok bool) {
	der, err := toDER(message)
	if err != nil {
		return e, false
	}
	var outer contentInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidEnvelopedData) {
		return e, false
	}
	var data envelopedData
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil || len(rest) > 0 {
		return e, false
	}
	content := data.Content.Content
	if content.Class != asn1.ClassContextSpecific || content.Tag != 0 {
		return e, false
	}
	e.ciphertext, ok = content.Bytes, true
	if content.IsCompound {
		e.ciphertext, ok = joinChunks(content.Bytes)
	}
	if !ok || len(e.ciphertext) == 0 || len(e.ciphertext)%aes.BlockSize != 0 {
		return e, false
	}
	switch a := data.Content.Algorithm.Algorithm; {
	case a.Equal(oidAES128CBC):
		e.keySize = 16
	case a.Equal(oidAES256CBC):
		e.keySize = 32
	default:
		return e, false
	}
	if e.iv, ok = value(data.Content.Algorithm.Parameters.FullBytes, 0x04); !ok || len(e.iv) != aes.BlockSize {
		return e, false
	}
	e.wrapped, ok = wrappedKey(data.Recipients, cert, public)
	return e, ok
}

func joinChunks(b []byte) (out []byte, ok bool) {
	for at := 0; at < len(b); {
		e, err := header(b, at, len(b))
		if err != nil || e.tag != 0x04 {
			return nil, false
		}
		out, at = append(out, b[e.contentStart:e.contentEnd]...), e.end
	}
	return out, true
}

// wrappedKey is the encrypted content key of the one recipient that is cert.
func wrappedKey(recipients []recipientInfo, cert *x509.Certificate, public *rsa.PublicKey) ([]byte, bool) {
	serial, err := asn1.Marshal(cert.SerialNumber)
	if err != nil {
		return nil, false
	}
	for _, r := range recipients {
		if !bytes.Equal(r.Recipient.Issuer.FullBytes, cert.RawIssuer) || !bytes.Equal(r.Recipient.Serial.FullBytes, serial) {
			continue
		}
		good := r.KeyAlgorithm.Algorithm.Equal(oidRSA) && len(r.EncryptedKey) == public.Size() && new(big.Int).SetBytes(r.EncryptedKey).Cmp(public.N) < 0
		return r.EncryptedKey, good
	}
	return nil, false
}

// unwrap returns the content key, or a random one where the wrapped key is not
// good, so that the failure shows only as a failed padding. Its errors are of
// the randomness alone.
func unwrap(e envelope, key crypto.Decrypter) ([]byte, error) {
	secret := make([]byte, e.keySize)
	if _, err := io.ReadFull(rand.Reader, secret); err != nil {
		return nil, err
	}
	if private, ok := key.(*rsa.PrivateKey); ok {
		// An error is of the sizes, which are public; the random key then opens nothing.
		//nolint:staticcheck // iOS's SCEP client wraps keys by nothing newer; failures show only as bad padding
		_ = rsa.DecryptPKCS1v15SessionKey(rand.Reader, private, e.wrapped, secret)
		return secret, nil
	}
	//nolint:staticcheck // as above, for keys behind an interface
	plain, err := key.Decrypt(rand.Reader, e.wrapped, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: e.keySize})
	if err != nil || len(plain) != e.keySize {
		return secret, nil
	}
	return plain, nil
}

// unpad removes PKCS #7 padding in constant time.
func unpad(b []byte) ([]byte, bool) {
	pad := int(b[len(b)-1])
	good := subtle.ConstantTimeLessOrEq(1, pad) & subtle.ConstantTimeLessOrEq(pad, aes.BlockSize)
	for i := range aes.BlockSize {
		inside := subtle.ConstantTimeLessOrEq(i+1, pad)
		equal := subtle.ConstantTimeByteEq(b[len(b)-1-i], byte(pad))
		good &= subtle.ConstantTimeSelect(inside, equal, 1)
	}
	if good != 1 {
		return nil, false
	}
	return b[:len(b)-pad], true
}
