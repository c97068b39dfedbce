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
	"errors"
	"fmt"
	"io"
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
// iOS's SCEP client reads.
func Encrypt(content []byte, to *x509.Certificate, random io.Reader) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cms: recipient has a key of type %T, not RSA", to.PublicKey)
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
	return wrap(oidEnvelopedData, envelopedData{
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
}

// Decrypt opens an EnvelopedData message for cert with its RSA key: AES-128 or
// AES-256 in CBC mode only. Everything that can go wrong past the structure is
// the same ErrDecrypt after the same work, so that it is no oracle.
func Decrypt(message []byte, cert *x509.Certificate, key crypto.Decrypter) ([]byte, error) {
	if err := Check(message, MaxBytes); err != nil {
		return nil, err
	}
	der, err := toDER(message)
	if err != nil {
		return nil, err
	}
	var outer contentInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidEnvelopedData) {
		return nil, malformed("not EnvelopedData")
	}
	var data envelopedData
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil || len(rest) > 0 {
		return nil, malformed("EnvelopedData that does not parse")
	}
	content := data.Content.Content
	if content.Class != asn1.ClassContextSpecific || content.Tag != 0 {
		return nil, malformed("EnvelopedData without content")
	}
	ciphertext := content.Bytes
	if content.IsCompound {
		if ciphertext, err = joinChunks(content.Bytes); err != nil {
			return nil, err
		}
	}
	size := 0
	switch a := data.Content.Algorithm.Algorithm; {
	case a.Equal(oidAES128CBC):
		size = 16
	case a.Equal(oidAES256CBC):
		size = 32
	default:
		return nil, ErrDecrypt
	}
	var iv []byte
	if _, err := asn1.Unmarshal(data.Content.Algorithm.Parameters.FullBytes, &iv); err != nil || len(iv) != aes.BlockSize {
		return nil, ErrDecrypt
	}
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, ErrDecrypt
	}
	secret, err := unwrap(data.Recipients, cert, key, size)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, ErrDecrypt
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	return unpad(plain)
}

func joinChunks(b []byte) ([]byte, error) {
	var out []byte
	for at := 0; at < len(b); {
		e, err := header(b, at, len(b))
		if err != nil || e.tag != 0x04 {
			return nil, malformed("chunk that is no octet string")
		}
		out, at = append(out, b[e.contentStart:e.contentEnd]...), e.end
	}
	return out, nil
}

// unwrap returns the content key, or a random one where the wrapped key is not
// good, so that the failure shows only as a failed padding.
func unwrap(recipients []recipientInfo, cert *x509.Certificate, key crypto.Decrypter, size int) ([]byte, error) {
	for _, r := range recipients {
		serial, err := asn1.Marshal(cert.SerialNumber)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(r.Recipient.Issuer.FullBytes, cert.RawIssuer) || !bytes.Equal(r.Recipient.Serial.FullBytes, serial) || !r.KeyAlgorithm.Algorithm.Equal(oidRSA) {
			continue
		}
		secret := make([]byte, size)
		if _, err := io.ReadFull(rand.Reader, secret); err != nil {
			return nil, fmt.Errorf("cms: randomness: %w", err)
		}
		if private, ok := key.(*rsa.PrivateKey); ok {
			//nolint:staticcheck // iOS's SCEP client wraps keys by nothing newer; failures show only as bad padding
			if err := rsa.DecryptPKCS1v15SessionKey(rand.Reader, private, r.EncryptedKey, secret); err != nil {
				return nil, ErrDecrypt // of a public length only
			}
			return secret, nil
		}
		//nolint:staticcheck // as above, for keys behind an interface
		plain, err := key.Decrypt(rand.Reader, r.EncryptedKey, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: size})
		if err == nil && len(plain) == size {
			return plain, nil
		}
		if errors.Is(err, rsa.ErrDecryption) || err == nil {
			return secret, nil
		}
		return nil, fmt.Errorf("cms: decryption key: %w", err)
	}
	return nil, ErrDecrypt
}

// unpad removes PKCS #7 padding in constant time.
func unpad(b []byte) ([]byte, error) {
	pad := int(b[len(b)-1])
	good := subtle.ConstantTimeLessOrEq(1, pad) & subtle.ConstantTimeLessOrEq(pad, aes.BlockSize)
	for i := range aes.BlockSize {
		inside := subtle.ConstantTimeLessOrEq(i+1, pad)
		equal := subtle.ConstantTimeByteEq(b[len(b)-1-i], byte(pad))
		good &= subtle.ConstantTimeSelect(inside, equal, 1)
	}
	if good != 1 {
		return nil, ErrDecrypt
	}
	return b[:len(b)-pad], nil
}
