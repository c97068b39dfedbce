package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile is the size of a file that the configuration names, in bytes.
const maxFile = 4 << 20

// files reads what the configuration names, and collects what is wrong.
type files struct {
	*faults

	c *config
}

// read returns a file, nil when it could not be read.
func (f files) read(setting, name string) []byte {
	if name == "" {
		return nil // judged already
	}
	b, err := readFile(f.c.path(name))
	f.add(setting, err)
	return b
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// keys reads files of 32 random bytes, as they are or in base64.
func (f files) keys(setting string, names []string) [][]byte {
	var keys [][]byte
	for _, name := range names {
		b := f.read(setting, name)
		if b == nil {
			continue
		}
		key, err := parseKey(b)
		if err != nil {
			f.add(setting, fmt.Errorf("%s %w", name, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

// keySize is the size of all symmetric keys.
const keySize = 32

func parseKey(b []byte) ([]byte, error) {
	if len(b) == keySize {
		return b, nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != keySize {
		return nil, errors.New(`has not 32 bytes, as they are or in base64: "openssl rand -base64 32" makes some`)
	}
	return key, nil
}

// pair reads a certificate with its chain, and its key; nil when it could not.
func (f files) pair(setting string, p pairConfig) *tls.Certificate {
	certificate, key := f.read(setting+".certificate", p.Certificate), f.read(setting+".key", p.Key)
	if certificate == nil || key == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		f.add(setting, fmt.Errorf("%s and %s: %w", p.Certificate, p.Key, err))
		return nil
	}
	return &pair
}

// chain are the certificates of a pair, its own first.
func chain(pair *tls.Certificate) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// keyOf is the pair's private key as what it must be able to do.
func keyOf[T crypto.PrivateKey](pair *tls.Certificate) (T, error) {
	key, ok := pair.PrivateKey.(T)
	if !ok {
		return key, fmt.Errorf("a key of type %T does not do here", pair.PrivateKey)
	}
	return key, nil
}

// roots reads anchors; nil, which is the system's, when none are named.
func (f files) roots(setting, name string) *x509.CertPool {
	b := f.read(setting, name)
	if b == nil {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		f.add(setting, fmt.Errorf("%s has no certificate in PEM", name))
	}
	return pool
}

// anchors are the certificates of a file that sign themselves: those that a
// device has to be told of, since Apple does not know them.
func anchors(b []byte) []*x509.Certificate {
	var list []*x509.Certificate
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && c.IsCA && c.CheckSignatureFrom(c) == nil {
			list = append(list, c)
		}
	}
	return list
}
